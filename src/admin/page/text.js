// Numbers and times, as people read them; elements, in one line.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export function count(n) {
  if (n == null || !Number.isFinite(n)) return "–";
  if (n >= 1e9) return tenths.format(n / 1e9) + " G";
  if (n >= 1e7) return tenths.format(n / 1e6) + " M";
  return n > 0 && n < 10 && n % 1 ? tenths.format(n) : whole.format(n);
}

export function bytes(n) {
  if (n == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < 4) { n /= 1024; unit++; }
  return (n < 10 && unit ? tenths : whole).format(n) + " " + units[unit];
}

export function span(seconds) {
  if (seconds == null) return "–";
  if (seconds < 0.05) return "0 s";
  if (seconds < 10) return tenths.format(seconds) + " s";
  if (seconds < 120) return whole.format(seconds) + " s";
  if (seconds < 7200) return whole.format(seconds / 60) + " min";
  if (seconds < 172800) return whole.format(seconds / 3600) + " h";
  return whole.format(seconds / 86400) + " d";
}

export function millis(ms) {
  if (ms == null) return "–";
  return ms < 1000 ? whole.format(ms) + " ms" : span(ms / 1000);
}

export function clock(at, seconds = true) {
  const shown = { hour: "2-digit", minute: "2-digit", hour12: false };
  if (seconds) shown.second = "2-digit";
  return new Date(at).toLocaleTimeString("en-GB", shown);
}

// make("p", { className: "note" }, "text", child)
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Writes a text only where it changed, so that nothing flickers and selections stay.
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function shape(state) {
  const mark = make("span", { className: "mark" });
  mark.dataset.state = state;
  return mark;
}
