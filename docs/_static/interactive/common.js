// What the ten interactive pages share: random numbers, charts, and the page itself. A page's own script defines a kernel
// (inputs -> numbers, no drawing) and calls show(page). Classic scripts, no request: the pages work from file:// too.
"use strict";

// --- Random numbers: a hash of (seed, i), so that Python can draw the same ones in any order -----------------------

function mix(x) { // all 32 bits of x move all bits of the result
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

function uniform(seed, i) { // in [0, 1)
  return mix((mix(seed) + i) | 0) / 4294967296;
}

function normal(seed, i) { // Box & Muller 1958; draws number 2i and 2i + 1
  const radius = Math.sqrt(-2 * Math.log(1 - uniform(seed, 2 * i)));
  return radius * Math.cos(2 * Math.PI * uniform(seed, 2 * i + 1));
}

// --- Numbers -------------------------------------------------------------------------------------------------------

function range(n, f = (i) => i) {
  return Array.from({ length: n }, (_, i) => f(i));
}

function sum(list) {
  return list.reduce((a, b) => a + b, 0);
}

// The largest difference of two results of a kernel; JSON has no NaN, a stored null is one.
function difference(a, b) {
  if (b === null) return Number.isNaN(a) ? 0 : Infinity;
  if (typeof b === "number") return Number.isFinite(a) ? Math.abs(a - b) : Infinity;
  const keys = Object.keys(b);
  if (Object.keys(a).length !== keys.length) return Infinity;
  return Math.max(0, ...keys.map((key) => difference(a[key], b[key])));
}

function agreeing(page, cases) { // how many stored cases of the library's numbers the kernel reproduces
  return cases.filter((c) => difference(page.kernel(c.inputs), c.outputs) <= 1e-9).length;
}

// --- Drawing: SVG in pixels of the screen, so that letters keep their size on a phone ----------------------------------

function make(tag, attributes = {}, ...children) {
  const node = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

class Sheet {
  constructor(width, height, about) {
    this.w = width;
    this.h = height;
    this.svg = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": about });
  }
  add(tag, attributes, ...children) {
    this.svg.append(make("svg:" + tag, attributes, ...children));
  }
  text(x, y, text, kind = "", anchor = "middle") {
    this.add("text", { x, y, class: kind, "text-anchor": anchor }, text);
  }
  line(points, kind = "") {
    const seen = points.filter((p) => Number.isFinite(p[0]) && Number.isFinite(p[1]));
    this.add("polyline", { points: seen.map((p) => p.map((v) => v.toFixed(1)).join()).join(" "), class: kind });
  }
  box(x, y, width, height, kind = "") {
    this.add("rect", { x, y, width: Math.max(0, width), height: Math.max(0, height), class: kind });
  }
  dot(x, y, kind = "", r = 5) {
    this.add("circle", { cx: x, cy: y, r, class: kind });
  }

  // Axes with lines and dots between top and bottom (pixels). x and y are {from, to, label, ticks, log}.
  chart({ x, y, lines = [], dots = [], bars = [], top = 0, bottom = this.h }) {
    this.text(4, top + 12, y.label, "small", "start");
    let at = 24 + 6.5 * y.label.length; // the legend: names one after the other, wrapped where the sheet ends
    let row = top + 12;
    for (const { name, kind } of lines.filter((l) => l.name)) {
      const wide = 32 + 6.5 * name.length;
      if (at + wide > this.w) [at, row] = [4, row + 18];
      this.line([[at, row - 4], [at + 20, row - 4]], kind);
      this.text(at + 25, row, name, "small", "start");
      at += wide + 8;
    }
    const frame = { left: 50, right: this.w - 14, top: row + 18, bottom: bottom - 42 };
    const scale = (axis, low, high) => (value) => {
      const f = axis.log ? Math.log : (v) => v;
      return low + ((high - low) * (f(value) - f(axis.from))) / (f(axis.to) - f(axis.from));
    };
    const px = scale(x, frame.left, frame.right);
    const py = scale(y, frame.bottom, frame.top);
    for (const tick of y.ticks) {
      this.line([[frame.left, py(tick)], [frame.right, py(tick)]], "rule");
      this.text(frame.left - 6, py(tick) + 4, short(tick), "small", "end");
    }
    for (const tick of x.ticks) this.text(px(tick), frame.bottom + 16, short(tick), "small");
    this.text((frame.left + frame.right) / 2, bottom - 8, x.label, "small");
    const within = (v) => Math.min(frame.bottom, Math.max(frame.top, v));
    for (const { from, to, value, kind } of bars) {
      const [zero, end] = [within(py(Math.max(0, y.from))), within(py(value))];
      this.box(px(from), Math.min(zero, end), px(to) - px(from), Math.abs(zero - end), kind);
    }
    for (const { points, kind } of lines) this.line(points.map((p) => [px(p[0]), within(py(p[1]))]), kind);
    for (const { point, kind } of dots) this.dot(px(point[0]), within(py(point[1])), kind);
    return { px, py };
  }
}

function short(value) { // 1000 -> 1000, 0.30000000000000004 -> 0.3
  return String(Number(value.toPrecision(6))).replace("-", "\u2212");
}

function ticks(from, to, about = 5) { // round numbers between two others
  const raw = (to - from) / about;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * unit).find((s) => s >= raw);
  return range(Math.floor(to / step + 1e-9) - Math.ceil(from / step - 1e-9) + 1, (i) => (Math.ceil(from / step - 1e-9) + i) * step);
}

// --- The page: first a prediction, then the result, then the knobs -----------------------------------------------------

function initial(page) {
  const state = Object.fromEntries(page.knobs.map((knob) => [knob.name, knob.value]));
  return { ...state, broken: false };
}

function show(page) {
  const root = document.getElementById("interactive");
  const state = initial(page);
  let last = null; // what the kernel said last

  const stage = make("div", { class: "stage" });
  const result = make("dl", { class: "result", id: "result" });
  const verdict = make("p", { class: "verdict", id: "verdict" });
  const spoken = make("div", { role: "status" }, verdict, result); // screen readers are told of changes
  const note = make("p", { class: "note", id: "note" });

  function paint() {
    if (last === null) return;
    const told = page.results(last, state).map(([label, text]) => `${label}: ${text}`);
    const width = Math.max(280, Math.min(700, root.clientWidth - 26));
    const height = typeof page.height === "function" ? page.height(width) : page.height;
    const sheet = new Sheet(width, height, told.join("; "));
    page.draw(sheet, last, state);
    stage.replaceChildren(sheet.svg);
  }

  function run() {
    last = page.kernel(page.inputs(state));
    root.dataset.runs = Number(root.dataset.runs) + 1;
    const rows = page.results(last, state).map(([label, text]) => make("div", {}, make("dt", {}, label), make("dd", {}, text)));
    result.replaceChildren(...rows);
    note.textContent = state.broken ? page.breaks.says : "";
    paint();
  }

  // Prediction
  const choices = page.predict.options.map((text, i) =>
    make("label", {}, make("input", { type: page.predict.many ? "checkbox" : "radio", name: "prediction", value: i }), " " + text));
  const commit = make("button", { type: "submit" }, "Predict, and see");
  const asked = make("fieldset", {}, make("legend", {}, "Predict first"), make("p", {}, page.predict.ask), ...choices, commit);
  const named = (indices) => indices.map((i) => page.predict.options[i]).join("; ");

  function predicted(event) {
    event.preventDefault();
    const chosen = choices.flatMap((label, i) => (label.firstChild.checked ? [i] : []));
    if (!chosen.length) {
      verdict.textContent = "Choose an answer first: a guess is enough.";
      return;
    }
    run();
    const right = [page.predict.right(last, page.kernel)].flat();
    const hit = right.length === chosen.length && right.every((i) => chosen.includes(i));
    verdict.textContent = `${hit ? "As you predicted" : "It is otherwise"}: ${named(right)}. ${page.predict.because}`;
    verdict.className = hit ? "verdict hit" : "verdict";
    asked.replaceChildren(asked.firstChild, asked.children[1], make("p", {}, "You predicted: " + named(chosen) + "."));
    knobs.disabled = false;
    knobs.querySelector("input, select").focus({ preventScroll: true });
  }

  // Knobs
  const rows = page.knobs.map((knob) => {
    const id = "knob-" + knob.name;
    const written = (value) => (knob.show ? knob.show(value) : short(value));
    const shown = make("output", { for: id }, written(knob.value));
    let input;
    if (knob.options) {
      input = make("select", { id }, ...knob.options.map((text, i) => make("option", { value: i, selected: i === knob.value }, text)));
    } else {
      const at = knob.values ? knob.values.indexOf(knob.value) : knob.value;
      const bounds = knob.values ? { min: 0, max: knob.values.length - 1, step: 1 } : { min: knob.min, max: knob.max, step: knob.step };
      input = make("input", { type: "range", id, ...bounds, value: at, "aria-valuetext": written(knob.value) });
    }
    input.addEventListener("input", () => {
      state[knob.name] = knob.values ? knob.values[Number(input.value)] : Number(input.value);
      if (!knob.options) shown.textContent = written(state[knob.name]);
      if (!knob.options) input.setAttribute("aria-valuetext", shown.textContent);
      run();
    });
    return make("div", { class: "knob" }, make("label", { for: id }, knob.label), input, knob.options ? "" : shown);
  });
  const broken = make("button", { type: "button", "aria-pressed": "false", id: "break" }, "Break it: " + page.breaks.label);
  broken.addEventListener("click", () => {
    state.broken = !state.broken;
    broken.setAttribute("aria-pressed", String(state.broken));
    broken.textContent = state.broken ? "Mend it" : "Break it: " + page.breaks.label;
    run();
  });
  const check = make("button", { type: "button", id: "check", class: "quiet" }, "Check this page's arithmetic");
  check.addEventListener("click", () => {
    check.textContent = `${agreeing(page, GOLDEN)} of ${GOLDEN.length} stored cases equal the library's numbers to 1e-9`;
  });
  const knobs = make("fieldset", { disabled: true }, make("legend", {}, "Now turn the knobs"), ...rows, broken, check);

  root.dataset.runs = 0;
  root.replaceChildren(make("form", { onsubmit: predicted }, asked), spoken, stage, note, make("form", {}, knobs));
  window.addEventListener("resize", paint);
}

if (typeof module !== "undefined") module.exports = { uniform, normal, range, sum, difference, agreeing, initial };
