// Filters that are typed. They count once the typing rests; until then nothing else writes into their
// fields, so that an answer or a click on the way loses nothing of them.

import { change } from "../place.js";

const TYPING_MS = 350;

/** Keeps `inputs`, by their names in the address, and the address in step. */
export function typed(inputs) {
  const fields = Object.entries(inputs);
  const filter = (params) => JSON.stringify(fields.map(([name]) => params[name] ?? null));
  let resting = null;
  let known = "";
  const drop = () => {
    clearTimeout(resting);
    resting = null;
  };
  const rest = () => {
    drop();
    resting = setTimeout(() => {
      resting = null;
      const said = Object.fromEntries(fields.map(([name, input]) => [name, input.value.trim() || null]));
      known = filter(said);
      change(said, true);
    }, TYPING_MS);
  };
  fields.forEach(([, input]) => input.addEventListener("input", rest));
  return {
    /** Shows what the address says. If that is a filter that was not typed here, it is what counts. */
    show: (params) => {
      if (filter(params) === known) return;
      known = filter(params);
      drop();
      fields.forEach(([name, input]) => { input.value = params[name] ?? ""; });
    },
    /** Forgets what is being typed. */
    drop,
  };
}
