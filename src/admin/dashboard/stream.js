// Events as they happen, from /api/events. Read by fetch and not by EventSource, which could not show a
// token.

import { Problem, token, withQuery } from "./api.js";

const PAUSE_MS = 2000;
const PAUSE_MAX_MS = 30_000;

/**
 * Listens until what it answers is called. `hear(name, data)` is told each event, `say(problem)` why there
 * are none, `null` when there are again.
 */
export function listen(params, hear, say) {
  const own = new AbortController();
  let failures = 0;
  let timer = null;

  const run = async () => {
    try {
      const headers = token.get() ? { authorization: `Bearer ${token.get()}` } : {};
      const response = await fetch(withQuery("/api/events", params), { headers, cache: "no-store", credentials: "omit",
        redirect: "error", signal: own.signal });
      if (!response.ok) {
        const answer = await response.json().catch(() => null);
        throw new Problem(response.status, answer?.title ?? response.statusText, answer?.detail ?? "");
      }
      failures = 0;
      say(null);
      await read(response.body, hear);
    } catch (error) {
      if (own.signal.aborted) return;
      failures += 1;
      say(error instanceof Problem ? error : new Problem(0, "The proxy cannot be reached", "The stream has ended."));
    }
    if (!own.signal.aborted) timer = setTimeout(run, Math.min(PAUSE_MS * 2 ** failures, PAUSE_MAX_MS));
  };
  run();
  return () => {
    clearTimeout(timer);
    own.abort();
  };
}

async function read(body, hear) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = {};
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.event) hear(event.event, JSON.parse(event.data));
        event = {};
        continue;
      }
      const at = line.indexOf(":");
      if (at > 0) event[line.slice(0, at)] = line.slice(at + 1).trimStart();
    }
  }
}
