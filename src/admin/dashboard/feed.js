// The pulse: what the process says of itself each second, and what that makes since the second before.
// All pages read the same feed, so they never disagree.

import { get, serverNow } from "./api.js";
import { poll } from "./poll.js";

/** Seconds that are kept. */
export const SPAN = 600;
const EVERY_MS = 1000;

const listeners = new Set();

export const feed = {
  /** `waiting`, `live`, `gone` (nobody answers), `denied` (a token is wanted) or `ill` (an error). */
  state: "waiting",
  /** Why, if it is not live. */
  problem: null,
  /** The last answers of `/api/system/resources` and `/health`. */
  resources: null,
  health: null,
  /** Seconds: `{t, active, started, rejected, sent, received, cpu, resident, busy: []}`, in rates. */
  samples: [],
  /** When the last answer came, by our clock. */
  heard: 0,
};

/** Tells `listener` of each new second; answers what stops that. */
export function follow(listener) {
  listeners.add(listener);
  if (feed.state !== "waiting") listener(feed);
  return () => listeners.delete(listener);
}

function tell(state, problem) {
  feed.state = state;
  feed.problem = problem;
  listeners.forEach((listener) => listener(feed));
}

function sample(before, after, seconds) {
  const passed = (name) => Math.max(after.since_start[name] - before.since_start[name], 0) / seconds;
  const busy = after.workers.map((worker, index) =>
    Math.min(Math.max(worker.busy_seconds - (before.workers[index]?.busy_seconds ?? 0), 0) / seconds, 1));
  return {
    t: serverNow(),
    active: active(after),
    started: passed("sessions_started"),
    rejected: passed("sessions_rejected"),
    sent: passed("bytes_sent"),
    received: passed("bytes_received"),
    cpu: Math.max(after.cpu_seconds - before.cpu_seconds, 0) / seconds,
    resident: after.resident_bytes,
    busy,
  };
}

/** Live sessions of all workers. */
export function active(resources) {
  return resources.workers.reduce((sum, worker) => sum + worker.active_sessions, 0);
}

async function ask(signal) {
  try {
    const [resources, health] =
      await Promise.all([get("/api/system/resources", {}, signal), get("/health", {}, signal)]);
    const before = feed.resources;
    const seconds = before ? resources.uptime_seconds - before.uptime_seconds : 0;
    // Another process: what was counted before is another's.
    if (seconds < 0) feed.samples = [];
    if (seconds > 0.05) {
      feed.samples.push(sample(before, resources, seconds));
      if (feed.samples.length > SPAN) feed.samples.splice(0, feed.samples.length - SPAN);
    }
    feed.resources = resources;
    feed.health = health;
    feed.heard = Date.now();
    tell("live", null);
  } catch (error) {
    if (signal.aborted) throw error;
    const state = error.status === 0 ? "gone" : error.wantsToken ? "denied" : "ill";
    tell(state, error);
    throw error;
  }
}

/** Begins. */
export function start() {
  poll(EVERY_MS, ask);
}
