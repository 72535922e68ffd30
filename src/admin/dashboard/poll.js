// Asks again and again: never twice at once, not while nobody looks, and more rarely while it fails.

/** Told to the document, it has everybody ask at once: something has changed about who is answered. */
const AGAIN = "ask-again";

const PAUSE_MAX_MS = 10_000;

/**
 * Runs `ask(signal)` at once and then every `ms`. Answers what stops it; `now` of that asks at once,
 * giving up what is under way.
 */
export function poll(ms, ask) {
  let timer = null;
  let running = null;
  let failures = 0;
  let stopped = false;

  const run = async () => {
    clearTimeout(timer);
    running?.abort();
    const own = new AbortController();
    running = own;
    const began = performance.now();
    try {
      await ask(own.signal);
      failures = 0;
    } catch (error) {
      if (own.signal.aborted) return;
      failures += 1;
    }
    if (stopped || running !== own) return;
    running = null;
    const pause = Math.min(ms * 2 ** Math.min(failures, 5), Math.max(ms, PAUSE_MAX_MS));
    if (!document.hidden) timer = setTimeout(run, Math.max(pause - (performance.now() - began), 50));
  };
  const look = () => { if (!document.hidden && !running) run(); };
  document.addEventListener("visibilitychange", look);
  document.addEventListener(AGAIN, run);
  run();

  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    running?.abort();
    document.removeEventListener("visibilitychange", look);
    document.removeEventListener(AGAIN, run);
  };
  stop.now = run;
  return stop;
}

/** Has all that is asked again and again be asked now. */
export function askAgain() {
  document.dispatchEvent(new Event(AGAIN));
}
