// Tables of sessions: rows are kept by their id, so that a table that is drawn anew each second keeps
// its focus, its selection and its place.

import { h, mark, say } from "../element.js";
import { address, exactOctets, octets } from "../format.js";

/**
 * A table. `columns` are `{name, sort, class, title, show(cell, record)}`; `lead(record)` is what a click
 * on a row does; `sorted(column)` is called for a click on a head.
 */
export function table({ columns, label, lead, sorted }) {
  const heads = columns.map((column) => {
    const text = column.sort && sorted
      ? h("button", { type: "button", onclick: () => sorted(column.sort) }, column.name)
      : column.name;
    return h("th", { scope: "col", class: column.class, title: column.title }, text);
  });
  const body = h("tbody");
  const element = h("table", { class: "table rows sticks", "aria-label": label },
    h("thead", null, h("tr", null, heads)), body);
  const rows = new Map();
  let drawn = false;

  element.order = (sort, order) => columns.forEach((column, index) => mark(heads[index], "aria-sort",
    column.sort && column.sort === sort ? (order === "asc" ? "ascending" : "descending") : null));

  /** Shows these records in this order. */
  element.show = (records, selected) => {
    const wanted = new Set(records.map((record) => record.session_id));
    const focused = body.contains(document.activeElement) ? document.activeElement : null;
    for (const [id, row] of rows) {
      if (wanted.has(id)) continue;
      row.element.remove();
      rows.delete(id);
    }
    let before = body.firstElementChild;
    for (const record of records) {
      const id = record.session_id;
      let row = rows.get(id);
      if (!row) {
        row = fresh(columns, lead);
        if (drawn) row.element.classList.add("fresh");
        rows.set(id, row);
      }
      row.record = record;
      columns.forEach((column, index) => column.show(row.cells[index], record));
      mark(row.element, "aria-current", id === selected ? "true" : null);
      if (row.element === before) before = before.nextElementSibling;
      else body.insertBefore(row.element, before);
    }
    drawn = true;
    if (focused && focused.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
  };
  element.forget = () => { drawn = false; };
  element.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    const row = event.target.closest?.("tbody tr");
    if (!step || !row || event.target.matches("input, select")) return;
    const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
    next?.querySelector("a")?.focus();
    event.preventDefault();
  });
  return element;
}

function fresh(columns, lead) {
  const cells = columns.map((column) => h("td", { class: column.class }));
  const row = { record: null, cells };
  row.element = h("tr", { "data-leads": Boolean(lead), onclick: (event) => {
    if (!event.target.closest("a, button") && getSelection().isCollapsed) lead(row.record);
  } }, cells);
  return row;
}

/** Shows a text, and all of it where it is cut. */
export function text(cell, shown, title) {
  say(cell, shown);
  mark(cell, "title", title ?? shown);
}

/** Shows a link. */
export function linked(cell, shown, href) {
  let anchor = cell.firstElementChild;
  if (!anchor) {
    anchor = h("a");
    cell.append(anchor);
  }
  say(anchor, shown);
  mark(anchor, "href", href);
  mark(cell, "title", shown);
}

/** Shows octets, to the last one on hover. */
export function amount(cell, number) {
  text(cell, octets(number), exactOctets(number));
}

/** The target of a record; one without says so. */
export function targetOf(record) {
  return record.dest_ip ? address(record.dest_ip, record.dest_port) : "no target";
}

/** The client of a record. */
export function clientOf(record) {
  return address(record.source_ip, record.source_port);
}
