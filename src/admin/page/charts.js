// The course of things: charts over the last minutes, all with one cursor.

import { bytes, clock, count, make, millis, put, span } from "./text.js";

const KEPT = 600; // seconds, as many as the door keeps
const HEIGHT = 168;
const LANES = ["high", "normal", "low"];
const LANE_COLOURS = ["--high", "--normal", "--low"];

const each = (pick) => (second) => LANES.map((_, lane) => pick(second)[lane]);
const perSecond = (n) => (n == null ? "–" : count(n) + "/s");

// One chart: its series' names and colours, how a second becomes its values, of all routes and (where it can) of one.
const CHARTS = [
  {
    name: "Delivered", wide: true, stacked: true, unit: perSecond,
    series: [...LANES, "delivered"], colours: [...LANE_COLOURS, "--accent"],
    all: (s) => [...s.delivered, null], one: (r) => [null, null, null, r.delivered],
  },
  {
    name: "Waiting in memory", stacked: true, unit: count,
    series: LANES, colours: LANE_COLOURS, all: each((s) => s.waiting), one: each((r) => r.waiting),
  },
  {
    name: "Oldest wait", unit: span,
    series: [...LANES, "oldest"], colours: [...LANE_COLOURS, "--accent"],
    all: (s) => [...s.oldest_s, null], one: (r) => [null, null, null, r.oldest_s],
  },
  {
    name: "In flight", unit: count,
    series: ["in flight", "limit"], colours: ["--accent", "--limit"], limit: 1, filled: [0],
    all: (s) => [s.in_flight, s.concurrency_limit], one: (r) => [r.in_flight, r.concurrency_limit],
  },
  {
    name: "Attempts", unit: perSecond,
    series: ["attempts", "rate limit"], colours: ["--accent", "--limit"], limit: 1, filled: [0],
    all: (s) => [s.attempts, s.rate_limit], one: (r) => [r.attempts, r.rate_limit],
  },
  {
    name: "Latency, acceptance to delivery", unit: millis, general: true,
    series: ["p50", "p90", "p99"], colours: ["--p50", "--p90", "--p99"],
    all: (s) => s.latency_ms[0] ?? [null, null, null],
  },
  {
    name: "Demand, in jobs", unit: count, general: true,
    series: ["asked for", "in hand"], colours: ["--normal", "--accent"],
    all: (s) => [s.demand, s.unsettled],
  },
  {
    name: "Tried again", unit: perSecond,
    series: ["retries", "put off"], colours: ["--normal", "--high"], filled: [0], quiet: "None in this time.",
    all: (s) => [s.retries, s.put_off], one: (r) => [r.retries, null],
  },
  {
    name: "Refused for good", stacked: true, unit: perSecond, general: true,
    quiet: "None in this time.", series: ["unregistered", "rejected", "failed"], colours: ["--unregistered", "--rejected", "--failed"],
    all: (s) => [s.outcomes[1], s.outcomes[2], s.outcomes[6]],
  },
  {
    name: "Left unsent", stacked: true, unit: perSecond, general: true,
    quiet: "None in this time.", series: ["shed", "expired", "collapsed"], colours: ["--shed", "--expired", "--collapsed"],
    all: (s) => [s.outcomes[5], s.outcomes[3], s.outcomes[4]],
  },
  {
    name: "Memory", unit: bytes, general: true,
    series: ["held", "limit", "process"], colours: ["--accent", "--limit", "--low"], limit: 1, filled: [0],
    all: (s, limit) => [s.held_bytes, limit, s.resident_bytes],
  },
];

let seconds = [];
let scope = "";
let range = 120;
let memoryLimit = null;
let ahead = 0;
const shown = [];

let palette = {};
function colours() {
  const style = getComputedStyle(document.documentElement);
  palette = new Proxy({}, { get: (known, name) => (known[name] ??= style.getPropertyValue(name).trim()) });
}

function faint(colour, share) {
  return colour + Math.round(share * 255).toString(16).padStart(2, "0");
}

// Rounded up to 1, 2 or 5 times a power of ten: an axis that holds still.
function ceiling(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= most) * power;
}

// Steps of an axis whose unit is no decimal one: bytes; seconds, minutes, hours, days.
const BYTES = Array.from({ length: 40 }, (_, n) => [2 ** (n + 10), 1.5 * 2 ** (n + 10)]).flat();
const SECONDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 240, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 345600, 864000, 1728000, 3456000];
const STEPS = new Map([[bytes, BYTES], [span, SECONDS], [millis, SECONDS.map((s) => s * 1000)]]);

// Up to what the axis goes: all that is measured; a limit only if it is not far beyond.
function top(chart, columns) {
  let most = 0;
  let limit = null;
  const from = (seconds.length ? seconds[seconds.length - 1].at : 0) / 1000 - range;
  columns.slice(1).forEach((column, nth) => {
    for (let at = column.length - 1; at >= 0 && columns[0][at] >= from; at--) {
      const value = column[at];
      if (value == null) continue;
      if (nth === chart.limit) limit = Math.max(limit ?? 0, value);
      else most = Math.max(most, value);
    }
  });
  if (limit != null && limit <= most * 3) most = Math.max(most, limit);
  const wanted = most * 1.06;
  return (most > 0 && STEPS.get(chart.unit)?.find((step) => step >= wanted)) || ceiling(wanted);
}

function columnsOf(chart) {
  const columns = [[], ...chart.series.map(() => [])];
  let before = null;
  const row = (at, values) => {
    columns[0].push(at);
    values.forEach((value, nth) => columns[nth + 1].push(value ?? null));
  };
  for (const second of seconds) {
    const at = second.at / 1000;
    if (before != null && at - before > 3.5) row(before + 1, chart.series.map(() => null));
    before = at;
    const route = scope && chart.one ? second.routes[scope] : null;
    if (scope && chart.one && !route) row(at, chart.series.map(() => null));
    else row(at, route ? chart.one(route) : chart.all(second, memoryLimit));
  }
  return columns;
}

// Each line of a stack lies on those after it.
function stacked(columns) {
  const piled = columns.map((column) => column.slice());
  for (let nth = piled.length - 2; nth >= 1; nth--) {
    for (let at = 0; at < piled[nth].length; at++) {
      const [mine, below] = [piled[nth][at], piled[nth + 1][at]];
      if (mine != null && below != null) piled[nth][at] = mine + below;
    }
  }
  return piled;
}

class Chart {
  constructor(chart) {
    this.chart = chart;
    this.values = chart.series.map((name, nth) => {
      const value = make("b");
      const key = make("i", { className: nth === chart.limit ? "key dashed" : "key" });
      key.style.setProperty("--key", `var(${chart.colours[nth]})`);
      const entry = make("span", { className: "entry" }, key, name + " ", value);
      return { entry, value };
    });
    this.when = make("span", { className: "when" });
    this.empty = make("p", { className: "empty over", textContent: "Nothing yet." });
    this.plot = make("div", { className: "plot" }, this.empty);
    const head = make("h3", {}, chart.name, this.when);
    const legend = make("p", { className: "legend" }, ...this.values.map(({ entry }) => entry));
    this.element = make("figure", { className: chart.wide ? "card chart wide" : "card chart" }, head, legend, this.plot);
    this.columns = columnsOf(chart);
    this.cursor = null;
  }

  options() {
    const { chart } = this;
    const line = (nth) => ({
      label: chart.series[nth],
      stroke: () => (this.nothing?.[nth] ? "transparent" : palette[chart.colours[nth]]),
      width: nth === chart.limit ? 1.25 : 1.75,
      dash: nth === chart.limit ? [5, 4] : undefined,
      fill: chart.stacked || chart.filled?.includes(nth) ? () => faint(palette[chart.colours[nth]], chart.stacked ? 0.28 : 0.13) : undefined,
      points: { show: false },
      spanGaps: false,
    });
    const axis = { stroke: () => palette["--muted"], font: "11px system-ui, sans-serif", ticks: { show: false } };
    return {
      width: Math.max(this.plot.clientWidth, 120), height: HEIGHT, pxAlign: 1,
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "tide" }, y: false, drag: { x: false, y: false }, points: { size: 7, width: 1.5 } },
      scales: {
        x: { time: true, range: () => this.window() },
        y: { range: () => [0, top(chart, this.drawn)] },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 70, size: 26, values: (_, at) => at.map((t) => clock(t * 1000, range <= 120 && t % 60 !== 0)) },
        { ...axis, grid: { stroke: () => palette["--line"], width: 1 }, space: 36, incrs: STEPS.get(chart.unit), size: (_, values) => 14 + 6.2 * Math.max(3, ...(values ?? []).map((v) => v?.length ?? 0)), gap: 6, values: (_, at) => at.map((v) => chart.unit(v).replace("/s", "")) },
      ],
      series: [{}, ...chart.series.map((_, nth) => line(nth))],
      bands: chart.stacked ? LANES.slice(1).map((_, nth) => ({ series: [nth + 1, nth + 2] })) : undefined,
      hooks: { setCursor: [(plot) => { this.cursor = plot.cursor.idx; this.tell(); }] },
    };
  }

  window() {
    const now = seconds.length ? seconds[seconds.length - 1].at / 1000 : Date.now() / 1000;
    // While it is young, what there is fills the picture.
    const first = seconds.length ? seconds[0].at / 1000 : now;
    return [Math.max(now - range, Math.min(first, now - 30)), now];
  }

  draw() {
    this.columns = columnsOf(this.chart);
    this.nothing = this.columns.slice(1).map((column) => column.every((value) => !value));
    this.drawn = this.chart.stacked ? stacked(this.columns) : this.columns;
    if (!this.uplot) {
      this.uplot = new uPlot(this.options(), this.drawn, this.plot);
      new ResizeObserver(() => this.uplot.setSize({ width: Math.max(this.plot.clientWidth, 120), height: HEIGHT })).observe(this.plot);
    } else {
      this.uplot.setData(this.drawn);
    }
    this.tell();
  }

  // The latest values, or those under the cursor.
  tell() {
    const { chart, columns } = this;
    const last = columns[0].length - 1;
    const at = this.cursor ?? last;
    this.values.forEach(({ entry, value }, nth) => {
      const column = columns[nth + 1];
      const never = column.every((v) => v == null);
      entry.hidden = never && !(last < 0);
      put(value, last < 0 ? "" : chart.unit(column[at]));
    });
    const under = this.cursor != null && columns[0][at] ? clock(columns[0][at] * 1000) : "";
    put(this.when, under || (scope && chart.general ? "all routes" : ""));
    const quiet = chart.quiet && last >= 0 && this.nothing.every(Boolean);
    put(this.empty, quiet ? chart.quiet : "Nothing yet.");
    this.empty.hidden = !quiet && columns.slice(1).some((column, nth) => nth !== chart.limit && column.some((v) => v != null));
  }
}

export function start() {
  colours();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    colours();
    shown.forEach((chart) => chart.uplot?.redraw());
  });
  const place = document.getElementById("charts");
  for (const definition of CHARTS) {
    const chart = new Chart(definition);
    shown.push(chart);
    place.append(chart.element);
  }
  document.addEventListener("visibilitychange", draw);
}

export function draw() {
  if (!document.hidden) shown.forEach((chart) => chart.draw());
}

export function past(history) {
  // What was seen before the connection was lost, or the process began anew, stays.
  const first = history.length ? history[0].at : Infinity;
  seconds = [...seconds.filter((second) => second.at < first), ...history].slice(-KEPT);
  draw();
}

export function add(second) {
  const last = seconds[seconds.length - 1];
  if (last && second.at <= last.at) return;
  ahead = second.at - Date.now();
  seconds.push(second);
  if (seconds.length > KEPT) seconds.shift();
  draw();
}

export function setMemoryLimit(limit) {
  memoryLimit = limit;
}

export function setScope(route) {
  scope = route;
  draw();
}

export function setSpan(to) {
  range = to;
  draw();
}

// The time at the instance, whose clock may be another.
export const now = () => Date.now() + ahead;

export const latest = () => seconds[seconds.length - 1];

// What one route delivered in the last minute.
export function recent(route, length = 60) {
  return seconds.slice(-length).map((second) => second.routes[route]?.delivered ?? 0);
}
