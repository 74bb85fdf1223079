// The way to this door: requests with the token, if one is asked for; the stream; what to do when it ends.

import { clock } from "./text.js";

const dialog = document.getElementById("token");
let token = sessionStorage.getItem("token");
let asked = null;

// Asks for a token, once for all who need it.
function ask(again) {
  dialog.querySelector(".wrong").textContent = again ? "This one does not fit." : "";
  if (!asked) {
    asked = new Promise((resolve) => {
      dialog.querySelector("form").onsubmit = (event) => {
        event.preventDefault();
        const input = dialog.querySelector("input[type=password]");
        token = input.value.trim();
        if (!token) return;
        sessionStorage.setItem("token", token);
        input.value = "";
        asked = null;
        dialog.close();
        resolve();
      };
    });
    dialog.oncancel = (event) => event.preventDefault();
    dialog.showModal();
  }
  return asked;
}

async function request(path, options = {}) {
  for (;;) {
    const sent = token;
    const headers = { ...options.headers, ...(sent && { authorization: "Bearer " + sent }) };
    const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
    if (answer.status !== 401) return answer;
    if (sent === token) await ask(sent != null);
  }
}

// Sends JSON; what comes back, or an error with the door's own words.
export async function send(method, path, body) {
  const options = body === undefined ? { method } : { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await request(path, options);
  const json = await answer.json().catch(() => null);
  if (answer.ok) return json;
  throw new Error(json?.title ? [json.title, json.detail].filter(Boolean).join("; ") + "." : `The door answers ${answer.status}.`);
}

const SILENCE = 6000;
const WAITS = [1, 2, 4, 8, 15];

// Follows the stream for ever; says how it goes: "live", or "lost" with words.
export async function follow(path, onEvent, onState) {
  for (let failures = 0; ; ) {
    let why;
    try {
      await read(path, (name, data) => {
        if (failures >= 0) onState("live");
        failures = -1;
        onEvent(name, data);
      });
      why = "Tidegate has ended the connection";
    } catch (error) {
      why = error.refused ?? "Tidegate does not answer";
    }
    failures = Math.max(failures, 0);
    const since = clock(Date.now());
    for (let left = WAITS[Math.min(failures, WAITS.length - 1)]; left > 0; left--) {
      onState("lost", failures === 0 ? `${why} (since ${since}).` : `${why}.`, `Trying again in ${left} s.`);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    failures++;
  }
}

async function read(path, onEvent) {
  const abort = new AbortController();
  let watch = setTimeout(() => abort.abort(), SILENCE);
  const answer = await request(path, { signal: abort.signal });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => null);
    clearTimeout(watch);
    throw Object.assign(new Error(), { refused: `Tidegate says: ${problem?.title ?? answer.status}` });
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(() => abort.abort(), SILENCE);
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) {
        const name = event.match(/^event: (.*)$/m)?.[1];
        const data = event.match(/^data: (.*)$/m)?.[1];
        if (name && data) onEvent(name, JSON.parse(data));
      }
    }
  } finally {
    clearTimeout(watch);
  }
}
