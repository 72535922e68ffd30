// Asks the API. Errors come as `Problem`, whatever their cause.

const TOKEN_KEY = "rustsocks-token";
const PATIENCE_MS = 35_000;

/** Why a question was not answered. `status` is 0 when nobody answered at all. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
  }

  /** Whether the banner says it already. */
  get isForBanner() {
    return this.status === 0 || this.status === 401;
  }

  /** Whether another token, or any, is wanted. */
  get wantsToken() {
    return this.status === 401;
  }
}

/** The token of this tab; `null` without one. It is never written to disk. */
export const token = {
  get: () => sessionStorage.getItem(TOKEN_KEY),
  keep: (text) => sessionStorage.setItem(TOKEN_KEY, text),
  forget: () => sessionStorage.removeItem(TOKEN_KEY),
};

/** By how much the server's clock is ahead of ours, milliseconds. */
let ahead = 0;

/** The time by the server's clock, milliseconds since the epoch. */
export function serverNow() {
  return Date.now() + ahead;
}

function learnTime(response) {
  const date = Date.parse(response.headers.get("date") ?? "");
  // The header has whole seconds, so less than two say nothing.
  if (Number.isNaN(date)) return;
  const difference = date + 500 - Date.now();
  if (Math.abs(difference - ahead) > 2000) ahead = Math.abs(difference) > 2000 ? difference : 0;
}

/** A path with those parameters that are there. */
export function withQuery(path, params) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params ?? {})) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** What the API answers to GET. */
export function get(path, params, signal) {
  return ask("GET", withQuery(path, params), token.get(), signal);
}

/** What it answers to POST, with this token, and this as JSON if there is something. */
export function post(path, params, shown, body) {
  return ask("POST", withQuery(path, params), shown, null, body && JSON.stringify(body));
}

/** What it answers to DELETE, with this token. */
export function remove(path, shown) {
  return ask("DELETE", path, shown);
}

async function ask(method, path, shown, signal, body) {
  const late = AbortSignal.timeout(PATIENCE_MS);
  const headers = {};
  if (shown) headers.authorization = `Bearer ${shown}`;
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method, headers, body, cache: "no-store", credentials: "omit", redirect: "error",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    const why = late.aborted ? "It did not answer in time." : "Nobody answers at its address.";
    throw new Problem(0, "The proxy cannot be reached", why);
  }
  learnTime(response);
  const answer = await response.json().catch(() => null);
  // A node that is starting, draining or ill says so in an answer that is none of an error.
  if (response.ok || (response.status === 503 && answer?.checks)) return answer;
  throw new Problem(response.status, answer?.title ?? response.statusText, answer?.detail ?? "");
}
