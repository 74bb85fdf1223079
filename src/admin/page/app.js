// The dashboard: follows the stream, and has each part show its own.

import * as charts from "./charts.js";
import * as ends from "./ends.js";
import * as routes from "./routes.js";
import { follow } from "./door.js";
import { bytes, count, make, millis, put, span } from "./text.js";

const at = (id) => document.getElementById(id);
let status = null;

function figures(second) {
  const sum = (lanes) => lanes.reduce((a, b) => a + b, 0);
  const delivered = sum(second.delivered);
  put(at("f-delivered"), count(delivered));
  const ended = sum(second.outcomes);
  put(at("n-delivered"), ended > delivered + 0.5 ? `${count(ended - delivered)}/s ended otherwise` : "nothing ended otherwise");
  put(at("f-waiting"), count(sum(second.waiting)));
  put(at("n-waiting"), second.queued == null ? "in memory" : `and ${count(second.queued)} jobs on disk`);
  const oldest = Math.max(...second.oldest_s);
  put(at("f-oldest"), span(oldest));
  put(at("n-oldest"), oldest > 0 ? `in ${["high", "normal", "low"][second.oldest_s.indexOf(oldest)]}` : "nobody waits");
  put(at("f-flight"), count(second.in_flight));
  put(at("n-flight"), `of ${count(second.concurrency_limit)}, on ${count(second.connections)} connections`);
  const latency = second.latency_ms[0];
  put(at("f-latency"), latency ? millis(latency[2]) : "–");
  put(at("n-latency"), latency ? `half within ${millis(latency[0])}` : "nothing was delivered");
  put(at("f-memory"), bytes(second.held_bytes));
  put(at("n-memory"), status ? `of ${bytes(status.memory.limit_bytes)}` : "");
}

const TROUBLED = new Set(["stop", "down"]);

function verdict() {
  const shapes = status.routes.map(routes.shapeOf);
  const of = (wanted) => shapes.filter((shape) => wanted.has(shape)).length;
  const [troubled, held] = [of(TROUBLED), of(new Set(["throttle", "pause", "wait"]))];
  let [mark, words] = ["flow", `All ${shapes.length} routes flow`];
  const routesOf = (n) => `${n} of ${shapes.length} ${shapes.length === 1 ? "route" : "routes"}`;
  if (!shapes.length) [mark, words] = ["wait", "No route is configured"];
  else if (troubled) [mark, words] = ["stop", `${routesOf(troubled)} can't send`];
  else if (!status.ready) [mark, words] = ["stop", "Not ready"];
  else if (held && shapes.every((shape) => shape === "flow" || shape === "pause")) [mark, words] = ["pause", `${routesOf(held)} paused`];
  else if (held) [mark, words] = ["throttle", `${routesOf(held)} held back`];
  else if (shapes.length < 3) words = shapes.length === 1 ? "The route flows" : "Both routes flow";
  at("verdict").querySelector(".mark").dataset.state = mark;
  put(at("verdict").querySelector(".words"), words);
  const second = charts.latest();
  const rate = second ? `${count(second.delivered.reduce((a, b) => a + b, 0))}/s` : "";
  document.title = mark === "flow" ? `${rate} · Tidegate` : `${words} · Tidegate`;
}

function reasons() {
  // What a route says for itself stands in its row already.
  const others = status.reasons.filter((reason) => !reason.startsWith("route "));
  at("reasons").hidden = others.length === 0;
  at("reasons").replaceChildren(...others.map((reason) => make("li", { textContent: reason })));
}

function scopes() {
  const select = at("scope");
  const measured = charts.latest()?.routes;
  const names = ["", ...status.routes.map(routes.nameOf).filter((name) => !measured || measured[name])];
  if ([...select.options].map((option) => option.value).join() === names.join()) return;
  const chosen = names.includes(select.value) ? select.value : "";
  select.replaceChildren(...names.map((name) => make("option", { value: name, textContent: name || "all routes" })));
  select.value = chosen;
  charts.setScope(chosen);
}

function showStatus(now) {
  status = now;
  charts.setMemoryLimit(now.memory.limit_bytes);
  put(at("version"), now.version);
  put(at("uptime"), `up ${span(now.uptime_seconds)}`);
  reasons();
  scopes();
  routes.show(now.routes);
  ends.show(now);
  ends.look(now);
  verdict();
}

const on = {
  hello({ status: now, history }) {
    // Another version has another page.
    if (status && status.version !== now.version) return location.reload();
    charts.setMemoryLimit(now.memory.limit_bytes);
    charts.past(history);
    showStatus(now);
    if (history.length) figures(history[history.length - 1]);
  },
  second(second) {
    charts.add(second);
    figures(second);
    if (status) verdict();
  },
  status: showStatus,
};

function state(now, why, next) {
  const lost = now === "lost";
  at("pulse").dataset.state = lost ? "off" : "on";
  put(at("pulse"), lost ? "lost" : "live");
  at("lost").hidden = !lost;
  document.body.classList.toggle("stale", lost);
  if (lost) {
    put(at("lost"), `${why} ${status ? "What you see is as it was. " : ""}${next}`);
    document.title = "Connection lost · Tidegate";
    at("verdict").querySelector(".mark").dataset.state = "wait";
    put(at("verdict").querySelector(".words"), "Out of touch");
  }
}

charts.start();
charts.draw();
at("scope").onchange = (event) => charts.setScope(event.target.value);
for (const button of document.querySelectorAll("[data-span]")) {
  button.onclick = () => {
    document.querySelectorAll("[data-span]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    charts.setSpan(Number(button.dataset.span));
  };
}
for (const button of document.querySelectorAll("[data-close]")) {
  button.onclick = () => button.closest("dialog").close();
}
follow("v1/stream", (name, data) => on[name]?.(data), state);
