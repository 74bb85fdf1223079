// The table of routes: what each does, why not, until when; and a hand on it.

import { latest, now, recent } from "./charts.js";
import { send } from "./door.js";
import { clock, count, make, put, shape, span } from "./text.js";

const place = document.getElementById("routes");
const dialog = document.getElementById("limits");
const rows = new Map();
const SURE = 4000;
const MANY = 8;
const FOLDED = 6;
const ORDER = { stop: -2, down: -2, throttle: -1, pause: -1 };

const SHAPES = { ready: "flow", paused: "throttle", paused_by_operator: "pause", no_credential: "wait", parked: "stop", unavailable: "down" };

export const shapeOf = (route) => SHAPES[route.state] ?? "wait";
export const nameOf = (route) => `${route.app}/${route.provider}`;

// The state in words; what of it only the last second's numbers tell is added here.
function says(route, second) {
  if (route.state !== "ready" || !second) return route.says;
  if (second.rate_limit != null && second.attempts >= second.rate_limit * 0.95 && second.attempts > 0) return "flowing, at its rate limit";
  if (second.in_flight > 0 && second.in_flight >= second.concurrency_limit) return "flowing, at its concurrency limit";
  if (second.attempts === 0 && second.in_flight === 0) return route.says === "flowing" ? "ready, nothing to send" : route.says;
  return route.says;
}

function until(route) {
  if (!route.until) return ["parked", "unavailable"].includes(route.state) ? "being tried now" : "";
  const at = Date.parse(route.until);
  const left = Math.ceil((at - now()) / 1000);
  const what = route.state === "paused" ? "until" : "next try at";
  return left > 0 ? `${what} ${clock(at)}, in ${span(left)}` : "";
}

class Row {
  constructor(route) {
    this.name = nameOf(route);
    const cell = (label, ...children) => {
      const cell = make("div", { className: "cell " + label.replace(" ", "-").toLowerCase(), role: "cell" }, ...children);
      cell.dataset.label = label;
      return cell;
    };
    this.mark = shape("wait");
    this.says = make("span", { className: "says" });
    this.why = make("span", { className: "why" });
    this.until = make("span", { className: "until" });
    this.delivered = make("span");
    this.spark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.spark.setAttribute("viewBox", "0 0 100 24");
    this.spark.setAttribute("preserveAspectRatio", "none");
    this.spark.setAttribute("aria-hidden", "true");
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    this.area = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
    this.spark.append(this.area, this.line);
    this.rate = make("span");
    this.flight = make("span");
    this.waiting = make("span");
    this.oldest = make("small");
    this.retries = make("span");
    this.pause = make("button", { type: "button", className: "pause" });
    this.pause.onclick = () => this.pressed();
    const limits = make("button", { type: "button", className: "limits", textContent: "Limits" });
    limits.onclick = () => edit(this.route);
    this.element = make("div", { className: "row", role: "row" },
      cell("Route", make("b", { textContent: route.app }), make("span", { className: "provider", textContent: route.provider })),
      cell("State", this.mark, make("span", { className: "words" }, this.says, this.until, this.why)),
      cell("Delivered", this.spark, this.delivered),
      cell("Rate limit", this.rate),
      cell("In flight", this.flight),
      cell("Waiting", this.waiting, this.oldest),
      cell("Retries", this.retries),
      cell("Hand", limits, this.pause));
    this.element.dataset.route = this.name;
  }

  show(route) {
    this.route = route;
    const second = latest()?.routes[this.name];
    this.mark.dataset.state = shapeOf(route);
    this.element.dataset.state = shapeOf(route);
    put(this.says, says(route, second));
    put(this.until, until(route));
    put(this.why, route.reason && route.reason !== "paused by the operator" ? route.reason : "");
    put(this.delivered, count(second ? second.delivered : this.measure(route)) + "/s");
    put(this.rate, rate(route));
    put(this.flight, `${count(route.in_flight)} of ${count(Math.min(route.concurrency_limit, route.limits.concurrency.max))}`);
    const waiting = route.waiting.reduce((sum, lane) => sum + lane.pushes, 0);
    const oldest = Math.max(...route.waiting.map((lane) => lane.oldest_seconds));
    put(this.waiting, count(waiting));
    const shedding = route.waiting.filter((lane) => lane.shedding).map((lane) => lane.lane);
    put(this.oldest, shedding.length ? `shedding ${shedding.join(", ")}` : waiting ? `oldest ${span(oldest)}` : "");
    put(this.retries, count(route.retries));
    this.draw();
    if (!this.sure) this.label();
  }

  // Of the first routes by name a second has numbers; of the others it is measured here.
  measure(route) {
    const [now, delivered] = [Date.now(), route.outcomes.delivered];
    const before = this.before;
    if (!before || now - before.now > 900) this.before = { now, delivered, rate: before ? ((delivered - before.delivered) * 1000) / (now - before.now) : null };
    return this.before.rate;
  }

  draw() {
    const values = recent(this.name);
    const step = 100 / Math.max(values.length - 1, 19);
    const most = Math.max(1, ...values);
    const points = values.map((value, nth) => `${(100 - (values.length - 1 - nth) * step).toFixed(1)},${(22 - (value / most) * 19).toFixed(1)}`);
    this.line.setAttribute("points", points.join(" "));
    const left = points[0]?.split(",")[0] ?? "0";
    this.area.setAttribute("points", points.length ? `${left},24 ${points.join(" ")} 100,24` : "");
  }

  label() {
    const paused = this.route.limits.paused;
    put(this.pause, paused ? "Resume" : "Pause");
    this.pause.setAttribute("aria-label", `${paused ? "Resume" : "Pause"} ${this.name}`);
    this.pause.classList.toggle("strong", paused);
  }

  // To stop a route takes two presses, to let it go on one.
  pressed() {
    const paused = this.route.limits.paused;
    if (!paused && !this.sure) {
      put(this.pause, "Sure?");
      this.pause.classList.add("sure");
      this.sure = setTimeout(() => this.unsure(), SURE);
      return;
    }
    this.unsure();
    change(this.route, { paused: !paused }).catch((error) => toast(error.message, true));
  }

  unsure() {
    clearTimeout(this.sure);
    this.sure = null;
    this.pause.classList.remove("sure");
    this.label();
  }
}

function rate(route) {
  if (route.rate == null) return route.limits.rate;
  const per = Number(route.rate);
  return `${per < 10 ? per.toFixed(1) : count(per)}/s`;
}

async function change(route, what) {
  const path = `v1/routes/${encodeURIComponent(route.app)}/${route.provider}`;
  return send("PATCH", path, what);
}

function edit(route) {
  const form = dialog.querySelector("form");
  const { rate, concurrency } = route.limits;
  dialog.querySelector("h3 b").textContent = nameOf(route);
  form.rate.value = rate;
  form.min.value = concurrency.min;
  form.max.value = concurrency.max;
  const wrong = dialog.querySelector(".wrong");
  wrong.textContent = "";
  form.onsubmit = async (event) => {
    event.preventDefault();
    const patch = {};
    if (form.rate.value.trim() !== rate) patch.rate = form.rate.value.trim();
    const bounds = {};
    if (form.min.value.trim() !== String(concurrency.min)) bounds.min = Number(form.min.value);
    if (form.max.value.trim() !== String(concurrency.max)) bounds.max = Number(form.max.value);
    if (Object.keys(bounds).length) patch.concurrency = bounds;
    if (!Object.keys(patch).length) return dialog.close();
    try {
      await change(route, patch);
      dialog.close();
      toast(`${nameOf(route)} goes by the new limits.`);
    } catch (error) {
      wrong.textContent = error.message;
    }
  };
  dialog.showModal();
}

let gone;
export function toast(text, bad = false) {
  const toast = document.getElementById("toast");
  toast.textContent = text;
  toast.classList.toggle("bad", bad);
  toast.hidden = false;
  clearTimeout(gone);
  gone = setTimeout(() => (toast.hidden = true), 6000);
}

// Of very many, the healthy ones are folded away but for the first few, until somebody wants to see them.
const more = make("button", { type: "button", className: "more" });
let folded = true;
more.onclick = () => {
  folded = !folded;
  fold();
};

function fold() {
  const many = rows.size > MANY + 4;
  place.classList.toggle("folded", many && folded);
  more.hidden = !many;
  put(more, folded ? `All ${rows.size} routes` : "Fewer");
}

export function show(routes) {
  const names = new Set(routes.map(nameOf));
  for (const [name, row] of rows) {
    if (!names.has(name)) {
      row.element.remove();
      rows.delete(name);
    }
  }
  const empty = place.querySelector(".empty");
  empty.hidden = routes.length > 0;
  put(empty, "No route is configured. Add an app to the configuration, as [apps.chat.fcm].");
  if (routes.length && !place.querySelector(".head")) {
    const heads = ["Route", "State", "Delivered", "Rate limit", "In flight", "Waiting", "Retries", ""];
    const head = make("div", { className: "row head", role: "row" }, ...heads.map((text) => make("div", { className: "cell", role: "columnheader", textContent: text })));
    place.setAttribute("role", "table");
    place.append(head);
  }
  let healthy = 0;
  for (const route of routes) {
    const name = nameOf(route);
    if (!rows.has(name)) {
      const row = new Row(route);
      rows.set(name, row);
      place.append(row.element);
    }
    const row = rows.get(name);
    row.show(route);
    // Among many, those that need somebody come first.
    row.element.classList.toggle("calm", shapeOf(route) === "flow" && ++healthy > FOLDED);
    row.element.style.order = routes.length > MANY ? ORDER[shapeOf(route)] ?? 0 : 0;
  }
  place.append(more);
  fold();
}
