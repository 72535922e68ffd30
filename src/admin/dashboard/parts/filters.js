// Filters that are typed. They count once the typing rests; until then nothing else writes into their
// fields, so that an answer or a click on the way loses nothing of them.

import { change } from "../place.js";

const TYPING_MS = 350;

/** Keeps `inputs`, by their names in the address, and the address in step. */
export function typed(inputs) {
  let resting = null;
  const drop = () => {
    clearTimeout(resting);
    resting = null;
  };
  const rest = () => {
    drop();
    resting = setTimeout(() => {
      resting = null;
      change(Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim() || null])), true);
    }, TYPING_MS);
  };
  Object.values(inputs).forEach((input) => input.addEventListener("input", rest));
  return {
    /** Shows what the address says. */
    show: (params) => {
      if (resting !== null) return;
      for (const [name, input] of Object.entries(inputs)) {
        if (document.activeElement !== input || !params[name]) input.value = params[name] ?? "";
      }
    },
    /** Forgets what is being typed. */
    drop,
  };
}
