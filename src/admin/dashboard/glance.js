// What happens, found out by asking again and again: where as many listen to /api/events as may.

import { get } from "./api.js";

const ROWS = 100;
const KNOWN_MAX = 5000;

/**
 * Answers what tells each time what is new since the last: the sessions that live and those that have ended,
 * as far as the first page of each has them. What was there at the first time is not new.
 */
export function glances(params, hear) {
  const { event, ...filter } = params;
  let known = null;
  return async (signal) => {
    const [live, ended] = await Promise.all([
      get("/api/sessions/active", { ...filter, limit: ROWS }, signal),
      // Without a history there is none of what has ended.
      get("/api/sessions/history", { ...filter, limit: ROWS }, signal).catch((error) => {
        if (error.status === 404) return { data: [] };
        throw error;
      }),
    ]);
    const found = [
      ...live.data.map((record) => ["opened", record]),
      ...ended.data.map((record) => [record.acl_decision === "allow" ? "closed" : "refused", record]),
    ].reverse();
    const first = known === null;
    known ??= new Set();
    for (const [kind, record] of found) {
      const key = `${kind} ${record.session_id}`;
      if (known.has(key)) continue;
      known.add(key);
      if (!first && (!event || event === kind)) hear(kind, record);
    }
    for (const key of known) {
      if (known.size <= KNOWN_MAX) break;
      known.delete(key);
    }
  };
}
