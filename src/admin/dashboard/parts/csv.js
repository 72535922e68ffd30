// Sessions as CSV (RFC 4180), made in the browser of what is there.

const COLUMNS = ["session_id", "user", "start_time", "end_time", "duration_ms", "source_ip", "source_port",
  "dest_ip", "dest_port", "resolved_ip", "protocol", "command", "bytes_sent", "bytes_received",
  "packets_sent", "packets_received", "status", "close_code", "close_reason", "acl_decision",
  "acl_rule_matched", "auth_us", "resolve_us", "connect_us", "first_byte_us", "client_rtt_us",
  "upstream_rtt_us", "client_retransmits", "upstream_retransmits", "claimed_user", "node"];

/** The text of a table with these records. */
export function csv(records) {
  const lines = records.map((record) => COLUMNS.map((column) => cell(record[column])).join(","));
  return `${[COLUMNS.join(","), ...lines].join("\r\n")}\r\n`;
}

/**
 * One cell. Names are chosen by strangers, and a spreadsheet takes a text that begins like a formula for
 * one: an apostrophe before it makes it a text again.
 */
export function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Hands a text to the reader as a file. */
export function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
