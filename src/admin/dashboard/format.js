// Numbers and times as people read them, with the exact value beside. Pure.

const WHOLE = new Intl.NumberFormat("en");
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/** `1 234 567` as `1,234,567`. */
export function whole(number) {
  return WHOLE.format(number);
}

/** A count of people's size: exact to 99 999, then `123 k`, `4.56 M`. */
export function count(number) {
  if (number < 100_000) return whole(Math.round(number));
  if (number < 1e6) return `${Math.floor(number / 1e3)} k`;
  return number < 1e9 ? `${three(number / 1e6)} M` : `${three(number / 1e9)} G`;
}

/** Octets in decimal units, three digits. */
export function octets(number) {
  let unit = 0;
  while (number >= 999.5 && unit < UNITS.length - 1) {
    number /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(number) : three(number)} ${UNITS[unit]}`;
}

/** Octets to the last one. */
export function exactOctets(number) {
  return `${whole(number)} ${number === 1 ? "octet" : "octets"}`;
}

/** Octets in each second. */
export function rate(number) {
  return `${octets(number)}/s`;
}

/** The same without digits that say nothing, for an axis. */
export function roundRate(number) {
  return rate(number).replace(/(\.\d*?)0+ /, (_, rest) => `${rest === "." ? "" : rest} `);
}

/** Events in each second. */
export function perSecond(number) {
  if (number === 0) return "0";
  if (number < 10) return number.toFixed(number < 0.095 ? 2 : 1);
  return count(number);
}

/** A part of one, `12 %`. */
export function percent(part) {
  if (!Number.isFinite(part)) return "–";
  const value = part * 100;
  if (value > 0 && value < 0.1) return "<0.1 %";
  return `${value < 10 && value > 0 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)} %`;
}

function three(number) {
  return number < 9.995 ? number.toFixed(2) : number < 99.95 ? number.toFixed(1) : String(Math.round(number));
}

/** A duration of seconds: `340 ms`, `12 s`, `3 min 20 s`, `5 h 12 min`, `3 d 4 h`. */
export function duration(seconds) {
  if (seconds < 0.0995) return `${trim((seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0))} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${trim(seconds.toFixed(1))} s`;
  const all = Math.floor(seconds);
  if (all < 60) return `${all} s`;
  if (all < 3600) return pair(Math.floor(all / 60), "min", all % 60, "s");
  if (all < 86_400) return pair(Math.floor(all / 3600), "h", Math.floor((all % 3600) / 60), "min");
  return pair(Math.floor(all / 86_400), "d", Math.floor((all % 86_400) / 3600), "h");
}

function pair(large, largeUnit, small, smallUnit) {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

function trim(text) {
  return text.replace(/\.0$/, "");
}

/** Microseconds: `85 µs`, `3.2 ms`, `1.4 s`. */
export function micros(us) {
  if (us < 1000) return `${us} µs`;
  if (us < 9950) return `${trim((us / 1000).toFixed(1))} ms`;
  return duration(us / 1e6);
}

/** How long ago, in one unit. */
export function ago(seconds) {
  if (seconds < 1.5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** A moment of RFC 3339 in the reader's own time, to the second. */
export function localTime(text) {
  const moment = new Date(text);
  return `${day(moment)} ${clock(moment, true)}`;
}

/** The same with what was given. */
export function exactTime(text) {
  return `${localTime(text)} here · ${text}`;
}

/** A moment in the reader's own time: the day only when it is not today's. */
export function shortTime(text, now) {
  const moment = new Date(text);
  const today = day(moment) === day(new Date(now));
  return today ? clock(moment, true) : `${day(moment).slice(5)} ${clock(moment, false)}`;
}

/** `2026-01-31`. */
export function day(moment) {
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
}

/** `08:05` or `08:05:09`. */
export function clock(moment, seconds) {
  const text = `${two(moment.getHours())}:${two(moment.getMinutes())}`;
  return seconds ? `${text}:${two(moment.getSeconds())}` : text;
}

function two(number) {
  return String(number).padStart(2, "0");
}

/** `host:port`, IPv6 in brackets. */
export function address(host, port) {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Values for the lines of an axis: round ones, about `about` of them, from `least` to `most`. */
export function ticks(least, most, about) {
  const span = most - least;
  if (!(span > 0)) return [least];
  const raw = span / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= raw * 0.999);
  const found = [];
  for (let index = Math.ceil(least / step - 1e-9); index * step <= most + step * 1e-9; index += 1) {
    found.push(index === 0 ? 0 : index * step);
  }
  return found;
}

/** The words of `status`. */
export function statusWord(status) {
  return status === "rejected_by_acl" ? "refused" : status;
}
