// Orders to the proxy: each asks whether it is meant, and for the token if this tab has none.

import { post, remove, token } from "../api.js";
import { h, toast } from "../element.js";

/** Shows a dialog; `submit` may throw to keep it open and say why. Answers whether it was done. */
function dialog({ title, body, field, action, danger, submit }) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
    const confirm = h("button", { type: "submit", class: danger ? "first danger" : "first" }, action);
    let done = false;
    const form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      confirm.disabled = true;
      wrong.hidden = true;
      try {
        await submit();
        done = true;
        element.close();
      } catch (error) {
        wrong.textContent = error.message;
        wrong.hidden = false;
        confirm.disabled = false;
        form.querySelector("input")?.select();
      }
    } }, h("h2", { id: "dialog-title" }, title), ...body, field, wrong,
    h("div", { class: "buttons" },
      h("button", { type: "button", onclick: () => element.close() }, "Cancel"), confirm));
    const element = h("dialog", { "aria-labelledby": "dialog-title", onclose: () => {
      element.remove();
      if (before?.isConnected) before.focus();
      resolve(done);
    } }, form);
    document.body.append(element);
    element.showModal();
    (form.querySelector("input") ?? confirm).focus();
  });
}

function tokenField() {
  const input = h("input", { type: "password", name: "token", required: true, autocomplete: "off", spellcheck: "false" });
  const label = h("label", { class: "field" }, h("span", null, "Token, from the file ",
    h("code", null, "data/api-token"), " (", h("code", null, "server.api_token_file"), ")"), input);
  return { label, input };
}

/** Asks for the token and keeps it for this tab. Answers whether there is one. */
export function askToken(wrong) {
  const { label, input } = tokenField();
  return dialog({
    title: wrong ? "That token was refused" : "Token of the API",
    body: [h("p", null, "It is kept until this tab is closed, and sent to this proxy only.")],
    field: label,
    action: "Use it",
    submit: async () => token.keep(input.value.trim()),
  });
}

/** Asks whether something is meant and does it, `act(token)`, with a token that is kept if it was right. */
function confirmed({ title, body, action, danger, act }) {
  // One that is known is not asked for again; one that was refused is forgotten.
  const known = token.get();
  const { label, input } = tokenField();
  return dialog({
    title, body, action, danger,
    field: known ? null : label,
    submit: async () => {
      const shown = known ?? input.value.trim();
      try {
        await act(shown);
        token.keep(shown);
      } catch (error) {
        if (!error.wantsToken) throw error;
        token.forget();
        throw new Error(known
          ? "The token that this tab had is no longer right. Close this and try again to enter another."
          : "That is not the token.");
      }
    },
  });
}

async function end(title, body, action, path, params) {
  let told = 0;
  const done = await confirmed({ title, body, action, danger: true, act: async (shown) => {
    told = (await post(path, params, shown)).told;
  } });
  if (done) toast(told === 1 ? "The session is being ended." : `${told} sessions are being ended.`);
  return done;
}

/** Ends the session of this record, if that is confirmed. */
export function terminate(record, target) {
  return end("End this session?", [h("p", null, "The session of ", h("b", null, record.user), " to ",
    h("b", null, target), " is cut at once, both ways. Its record says that you asked.")],
  "End session", `/api/sessions/${record.session_id}/terminate`);
}

/** Ends all live sessions that pass the filter, if that is confirmed. */
export function terminateAll(filter, total) {
  const named = Object.entries(filter).filter(([, value]) => value)
    .flatMap(([name, value]) => [h("b", null, `${name} ${value}`), " "]);
  return end("End all of these?", [h("p", null, `At this moment ${total} live ${total === 1 ? "session passes" : "sessions pass"} `,
    ...named, ". All that pass when the order arrives are cut at once.")],
  "End them all", "/api/sessions/terminate", filter);
}

/** Lifts the ban of this address, if that is confirmed. */
export async function liftBan(address) {
  const done = await confirmed({ title: "Lift this ban?", action: "Lift it", body: [h("p", null, "Whoever is at ",
    h("b", null, address), " may try passwords again at once.")],
  act: (shown) => remove(`/api/bans/${encodeURIComponent(address)}`, shown) });
  if (done) toast(`${address} may come again.`);
  return done;
}

/** Has the configuration and the rules read anew, if that is confirmed; says what has changed. */
export async function reload() {
  let answer = null;
  const done = await confirmed({ title: "Read the configuration anew?", action: "Reload",
    body: [h("p", null, "The configuration and the rules are read from their files. If something is wrong with them, nothing changes.")],
    act: async (shown) => { answer = await post("/api/admin/reload", {}, shown); } });
  if (done) {
    const changed = answer.changed.length === 0 ? "Nothing is different" : `Changed: ${answer.changed.join(", ")}`;
    const later = answer.needs_restart.length === 0 ? "" : ` Only after a restart: ${answer.needs_restart.join(", ")}.`;
    toast(`${changed}.${later} ${answer.warnings.join(" ")}`.trim());
  }
  return done;
}
