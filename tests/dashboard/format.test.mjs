// Numbers and times as they are written; run by node's own test runner.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as format from "../../src/admin/dashboard/format.js";
import { cell, csv } from "../../src/admin/dashboard/parts/csv.js";

const same = (write, pairs) => pairs.forEach(([value, text]) => assert.equal(write(value), text, String(value)));

test("octets have three digits and the right unit", () => {
  same(format.octets, [[0, "0 B"], [1, "1 B"], [999, "999 B"], [1000, "1.00 kB"], [1234, "1.23 kB"], [12_345, "12.3 kB"],
    [999_499, "999 kB"], [999_500, "1.00 MB"], [41_300_000, "41.3 MB"], [2 ** 53, "9.01 PB"]]);
  same(format.exactOctets, [[1, "1 octet"], [1_234_567, "1,234,567 octets"]]);
  same(format.roundRate, [[0, "0 B/s"], [20e6, "20 MB/s"], [2.5e6, "2.5 MB/s"], [500, "500 B/s"], [100e3, "100 kB/s"]]);
});

test("durations have one or two units", () => {
  same(format.duration, [[0, "0 ms"], [0.0004, "0.4 ms"], [0.05, "50 ms"], [0.34, "340 ms"], [1, "1 s"], [1.25, "1.3 s"],
    [59.9, "59 s"], [60, "1 min"], [200, "3 min 20 s"], [3600, "1 h"], [18_720, "5 h 12 min"], [273_600, "3 d 4 h"]]);
  same(format.micros, [[0, "0 µs"], [85, "85 µs"], [1000, "1 ms"], [3240, "3.2 ms"], [21_400, "21 ms"], [1_400_000, "1.4 s"]]);
  same(format.ago, [[0, "now"], [7.9, "7 s ago"], [61, "1 min ago"], [7200, "2 h ago"], [200_000, "2 d ago"]]);
});

test("counts and shares say no more than they know", () => {
  same(format.count, [[0, "0"], [99_999, "99,999"], [183_204, "183 k"], [2_345_678, "2.35 M"]]);
  same(format.perSecond, [[0, "0"], [0.016, "0.02"], [0.5, "0.5"], [9.94, "9.9"], [14.2, "14"]]);
  same(format.percent, [[0, "0 %"], [0.0004, "<0.1 %"], [0.05, "5 %"], [0.088, "8.8 %"], [1, "100 %"], [NaN, "–"]]);
});

test("an axis has round numbers, zero among them", () => {
  assert.deepEqual(format.ticks(0, 10, 5), [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(format.ticks(-4, 26, 5), [0, 10, 20]);
  assert.deepEqual(format.ticks(-30, 70, 5), [-20, 0, 20, 40, 60]);
  assert.deepEqual(format.ticks(0, 0, 5), [0]);
});

test("addresses of IPv6 have brackets", () => {
  assert.equal(format.address("2001:db8::1", 443), "[2001:db8::1]:443");
  assert.equal(format.address("example.com", 443), "example.com:443");
});

test("a cell of CSV is no formula and no two cells", () => {
  same(cell, [[null, ""], [0, "0"], ["alice", "alice"], ["a,b", '"a,b"'], ['say "x"', '"say ""x"""'], ["two\nlines", '"two\nlines"'],
    ["=1+1", "'=1+1"], ["@SUM(A1)", "'@SUM(A1)"], ["-1,2", `"'-1,2"`]]);
  const [head, row] = csv([{ session_id: "x", user: "=cmd", bytes_sent: 7 }]).split("\r\n");
  assert.equal(head.split(",").length, row.split(",").length);
});
