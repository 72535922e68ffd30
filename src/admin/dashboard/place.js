// Where the reader is: a page and its parameters, kept in the address behind `#`, so that it can be
// bookmarked, sent to somebody, and gone back to.

/** The page and parameters of the address now. */
export function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { page: path || "overview", params: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

/** The address of a page. */
export function link(page, params) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `#/${page}?${text}` : `#/${page}`;
}

/** Goes there. */
export function go(page, params) {
  location.hash = link(page, params);
}

/** Changes some parameters of this page; `replace` leaves nothing to go back to. */
export function change(changes, replace) {
  const { page, params } = here();
  const address = link(page, { ...params, ...changes });
  if (address === location.hash) return;
  if (!replace) {
    location.hash = address;
    return;
  }
  history.replaceState(null, "", address);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
