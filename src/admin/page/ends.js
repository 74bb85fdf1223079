// How pushes ended, and what is dead: by reason.

import { send } from "./door.js";
import { toast } from "./routes.js";
import { clock, count, make, put } from "./text.js";

const KINDS = ["delivered", "unregistered", "rejected", "expired", "collapsed", "shed", "failed"];
const MEANS = {
  delivered: "the provider accepted it", unregistered: "the token is dead", rejected: "can never succeed",
  expired: "its time was over", collapsed: "a newer one took its place", shed: "dropped under overload", failed: "attempts ended",
};
const outcomes = document.getElementById("outcomes");
const dead = document.getElementById("dead");
const dialog = document.getElementById("replay");

export function show(status) {
  const total = KINDS.reduce((sum, kind) => sum + status.outcomes[kind], 0);
  put(document.getElementById("since"), total ? `${count(total)} pushes since ${clock(status.started_at, false)}` : "since the start");
  if (!total) return outcomes.replaceChildren(make("p", { className: "empty", textContent: "No push has ended yet. Jobs come by POST /v1/jobs, or from the broker." }));
  const list = make("ul", { className: "ends" });
  for (const kind of KINDS) {
    const n = status.outcomes[kind];
    if (n) list.append(entry(kind, MEANS[kind], n, total, kind));
    for (const { reason, count: of } of status.outcome_reasons.filter((reason) => reason.outcome === kind).slice(0, 8)) {
      list.append(entry(reason, "", of, total, kind, true));
    }
  }
  outcomes.replaceChildren(list);
}

function entry(name, means, n, total, kind, part) {
  const bar = make("i");
  bar.style.setProperty("--share", `${Math.max((n / total) * 100, 0.4).toFixed(2)}%`);
  const share = (n / total) * 100;
  const percent = share >= 99.95 || share === 0 ? `${Math.round(share)} %` : share < 0.1 ? "< 0.1 %" : `${share.toFixed(1)} %`;
  const item = make("li", { className: part ? "end part" : "end" },
    make("span", { className: "name" }, make("b", { textContent: name }), means ? make("small", { textContent: means }) : ""),
    make("span", { className: "n", textContent: count(n) }), make("span", { className: "share", textContent: percent }), make("span", { className: "track" }, bar));
  item.dataset.kind = kind;
  return item;
}

let known = null;
let asking = false;
let asked = 0;

// Looks for dead letters when their number has changed, every few seconds at most: that reads them all.
export async function look(status) {
  const spool = status.sources.find((source) => source.source === "spool");
  const now = spool ? spool.dead : -1;
  if (now === known || asking || Date.now() - asked < 3000) return;
  asking = true;
  try {
    showDead(await send("GET", "v1/dead"));
    known = now;
  } catch (error) {
    dead.replaceChildren(make("p", { className: "empty", textContent: error.message }));
  } finally {
    asking = false;
    asked = Date.now();
  }
}

function showDead({ spool, amqp }) {
  const parts = [];
  if (spool && spool.reasons.length) {
    const list = make("ul", { className: "letters" });
    for (const letters of spool.reasons) {
      const replay = make("button", { type: "button", textContent: "Replay" });
      replay.onclick = () => ask(letters);
      const of = letters.app ? `${letters.app}, ` : "";
      list.append(make("li", {},
        make("span", { className: "n", textContent: count(letters.letters) }),
        make("span", { className: "name" }, make("b", { textContent: letters.reason }), make("small", { textContent: `${of}last at ${clock(letters.newest)}` })),
        replay));
    }
    parts.push(list);
  } else if (spool) {
    parts.push(make("p", { className: "empty", textContent: "None. Every job could be read, and none was given up." }));
  }
  if (spool?.reasons.length) parts.push(command("One by one, whole, or to throw away: ", "tidegate dead list"));
  if (amqp) parts.push(command("The broker's are seen and replayed by ", "tidegate dead list --source amqp"));
  if (!parts.length) parts.push(make("p", { className: "empty", textContent: "There is no source that keeps any." }));
  dead.replaceChildren(...parts);
}

function command(text, command) {
  return make("p", { className: "hint" }, text, make("code", { textContent: command }));
}

function ask(letters) {
  const form = dialog.querySelector("form");
  const wrong = dialog.querySelector(".wrong");
  dialog.querySelector("h3 b").textContent = `${count(letters.letters)} × ${letters.reason}`;
  wrong.textContent = "";
  form.onsubmit = async (event) => {
    event.preventDefault();
    const body = { reason: letters.reason, rate: form.rate.value.trim() };
    if (letters.app) body.app = letters.app;
    try {
      const { replayed, rate } = await send("POST", "v1/dead/replay", body);
      dialog.close();
      toast(`${count(replayed)} dead letters go once more, at ${rate}.`);
      known = null;
    } catch (error) {
      wrong.textContent = error.message;
    }
  };
  dialog.showModal();
}
