"use strict";
// The report: what is shown follows from a score threshold and the classes that are switched on.

const data = JSON.parse(document.getElementById("data").textContent);
const { frame, palette, classes } = data;
const unit = frame.gsd_m ? "m" : "px";

const byId = (id) => document.getElementById(id);
const count = (value) => value.toLocaleString("en-US");
const share = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");
const tenths = (values) => Float64Array.from(values, (value) => value / 10);
const boxesOf = ({ x, y, w, h }) => ({ count: x.length, x: tenths(x), y: tenths(y), w: tenths(w), h: tenths(h) });

function element(name, text = "", properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), { textContent: text }, properties);
  made.append(...children);
  return made;
}

// Ground size of a pixel, from the nearest place where it is known.
function pixelSize(x, y) {
  if (!frame.gsd_m) return 1;
  const step = (value, size) => Math.round(Math.max(0, Math.min(1, value / size)) * (frame.lattice - 1));
  return frame.gsd_m[step(y, frame.height) * frame.lattice + step(x, frame.width)];
}

const found = boxesOf(data.objects), truth = data.truth ? boxesOf(data.truth) : null;
const scores = data.objects.score; // descending; null: there are none
const foundClass = data.objects.class, truthClass = truth ? data.truth.class : [];
const length = Float64Array.from(found.x, (x, i) => Math.max(found.w[i], found.h[i]) * pixelSize(x, found.y[i]));
const lowest = scores ? Math.min(0, scores[found.count - 1] ?? 0) : 0;
const highest = scores ? Math.max(1, scores[0] ?? 1) : 1;

const state = { limit: found.count, off: new Set(), byResult: Boolean(truth), picked: null };
const isRight = (row) => data.truth.truth_of[row] >= 0;
const isMissed = (row) => data.truth.found_by[row] < 0 || data.truth.found_by[row] >= state.limit;
const foundShows = (row) => row < state.limit && !state.off.has(foundClass[row]);
const truthShows = (row) => state.byResult && isMissed(row) && !state.off.has(truthClass[row]);
const atScore = (part) => lowest + part * (highest - lowest);

// ------------------------------------------------------------------ the map
const map = new MapView(byId("view"), frame);
const foundLayer = new BoxLayer(found, frame), truthLayer = truth ? new BoxLayer(truth, frame) : null;
const imagery = data.imagery ? new Imagery(data.imagery, frame, () => { map.redraw(); drawChip(); }) : null;
const pickedLayer = {
  draw: (context, view) => state.picked
    && drawOutlines(context, view, [boxOf(state.picked)], { colour: "#ffffff", width: 4 }),
};

function setUpMap() {
  foundLayer.shows = foundShows;
  map.imagery = imagery;
  map.layers = [foundLayer, pickedLayer];
  if (truthLayer) {
    truthLayer.shows = truthShows;
    truthLayer.styles = [{ colour: palette.missed, dashed: true }];
    map.layers.unshift(truthLayer);
  }
  map.drawn = (view) => {
    showScale(view);
    byId("lost").hidden = !(imagery && imagery.failed);
    map.canvas.dataset.view = [view.cx, view.cy, view.zoom].join(" ");
  };
  map.clicked = (x, y, reach) => pick(objectAt(x, y, reach));
  map.hovered = (x, y) => map.canvas.classList.toggle("over", objectAt(x, y, 4) !== null);
  byId("zoom").addEventListener("click", ({ target }) => {
    if (target.dataset.zoom === "all") map.showAll();
    else if (target.dataset.zoom) map.zoomBy(target.dataset.zoom === "in" ? 1.6 : 1 / 1.6);
  });
  byId("chip-zoom").addEventListener("click", () => map.showBox(...boxOf(state.picked)));
  const folder = imagery && imagery.folder;
  byId("lost").textContent = `Some imagery is missing: keep the folder ${folder} beside this page.`;
  colourBoxes();
}

function colourBoxes() {
  const colours = state.byResult ? [palette.false, palette.found] : scores ? palette.scores : [palette.found];
  foundLayer.styles = colours.map((colour) => ({ colour }));
  foundLayer.style = (row) => (state.byResult ? Number(isRight(row)) : scores ? scoreStep(scores[row]) : 0);
}

function scoreStep(score) {
  const part = (score - lowest) / (highest - lowest);
  return palette.breaks.slice(1, -1).filter((edge) => edge <= part).length;
}

function objectAt(x, y, reach) {
  for (const far of [0, reach]) // what is below the pointer comes before what is near it
    for (const [kind, layer] of [["found", foundLayer], ["missed", truthLayer]]) {
      const row = layer ? layer.at(map.view, x, y, far) : -1;
      if (row >= 0) return { kind, row };
    }
  return null;
}

function boxOf({ kind, row }) {
  const { x, y, w, h } = kind === "found" ? found : truth;
  return [x[row], y[row], w[row], h[row]];
}

function showScale(view) {
  const perPixel = pixelSize(view.cx, view.cy) / view.zoom, longest = perPixel * 130;
  const power = 10 ** Math.floor(Math.log10(longest));
  const length = [5, 2, 1].map((step) => step * power).find((value) => value <= longest);
  const inMetres = length >= 1000 ? [0.001, "km"] : length < 1 ? [100, "cm"] : [1, "m"];
  const [factor, name] = unit === "px" ? [1, "px"] : inMetres;
  const bar = byId("scale").firstElementChild;
  bar.style.width = `${length / perPixel}px`;
  bar.textContent = `${+(length * factor).toPrecision(1)} ${name}`;
}

// ------------------------------------------------------------------ the selected object
function pick(object) {
  state.picked = object;
  byId("hint").hidden = Boolean(object);
  byId("details").hidden = !object;
  if (object) {
    byId("attributes").replaceChildren(...attributesOf(object).map(([name, value]) =>
      element("tr", "", {}, element("td", name), element("td", value))));
    drawChip();
  }
  map.redraw();
}

function attributesOf({ kind, row }) {
  const [x, y, w, h] = boxOf({ kind, row }), size = pixelSize(x, y);
  const sides = ["Box", `${(w * size).toFixed(1)} x ${(h * size).toFixed(1)} ${unit}`];
  if (kind === "missed") return [["Result", "missed"], ["Class", classes[truthClass[row]] ?? "any"], sides];
  const rows = [["Class", classes[foundClass[row]]], sides];
  if (scores) rows.unshift(["Score", `${scores[row]}`]);
  if (truth) rows.unshift(["Result", isRight(row) ? "correct" : "false alarm"]);
  return rows.concat(data.objects.columns.map((column) => [column.name, shownValue(column, row)]));
}

function shownValue({ same, texts, codes, values }, row) {
  const value = codes ? texts[codes[row]] : values ? values[row] : same;
  if (value === null || value === "") return "–";
  return typeof value === "boolean" ? (value ? "yes" : "no") : `${value}`;
}

function drawChip() {
  if (!state.picked) return;
  const { kind, row } = state.picked, canvas = byId("chip"), image = byId("chip-image");
  const own = kind === "found" ? data.chips[row] : undefined; // where the imagery is too coarse
  image.hidden = own === undefined;
  canvas.hidden = own !== undefined;
  if (own !== undefined) { image.src = own; return; }
  const [x, y, w, h] = boxOf(state.picked), ratio = window.devicePixelRatio || 1, side = canvas.clientWidth;
  canvas.width = canvas.height = Math.round(side * ratio);
  const around = Math.max(2.4 * Math.max(w, h), unit === "m" ? 12 / pixelSize(x, y) : 48);
  const view = { cx: x + w / 2, cy: y + h / 2, zoom: side / around, width: side, height: side, ratio };
  const context = canvas.getContext("2d");
  paintGround(context, view, frame, imagery);
  const style = kind === "found" ? foundLayer.styles[foundLayer.style(row)] : truthLayer.styles[0];
  drawOutlines(context, view, [[x, y, w, h]], style);
}

// ------------------------------------------------------------------ counts
const precision = ({ right, shown }) => right / shown;
const recall = ({ right, objects }) => right / objects;
const f1 = ({ right, shown, objects }) => (2 * right) / (shown + objects);

// What is shown, by class (whether it is on or not) and together (of the classes that are on).
function tally() {
  const rows = classes.map(() => ({ shown: 0, right: 0, objects: 0 }));
  const total = { shown: 0, right: 0, objects: 0, area: 0, length: NaN }, lengths = [];
  for (let row = 0; row < state.limit; row++) {
    const on = !state.off.has(foundClass[row]), right = truth && isRight(row) ? 1 : 0;
    rows[foundClass[row]].shown++;
    rows[foundClass[row]].right += right;
    if (!on) continue;
    total.shown++;
    total.right += right;
    total.area += found.w[row] * found.h[row] * pixelSize(found.x[row], found.y[row]) ** 2;
    lengths.push(length[row]);
  }
  for (const number of truthClass) {
    if (number >= 0) rows[number].objects++;
    if (!state.off.has(number)) total.objects++;
  }
  if (lengths.length) total.length = Float64Array.from(lengths).sort()[lengths.length >> 1];
  return { rows, total };
}

function showFigures({ total }) {
  const square = unit === "m" && total.area >= 1e6 ? [1e6, "km²", 2] : [1, `${unit}²`, 0];
  const area = `${count(+(total.area / square[0]).toFixed(square[2]))} ${square[1]}`;
  const median = Number.isFinite(total.length) ? `${total.length.toFixed(1)} ${unit}` : "–";
  const agreement = [
    [share(precision(total)), "precision"], [share(recall(total)), "recall"], [share(f1(total)), "F1"],
    [count(total.objects), "objects in truth"],
  ];
  const figures = [
    [count(total.shown), `of ${count(found.count)} detections`],
    ...(truth ? agreement : [[area, "area of their boxes"]]),
    [median, "median length"],
  ];
  byId("figures").replaceChildren(...figures.map(([value, name]) =>
    element("div", "", {}, element("b", value), element("span", name))));
}

const cells = []; // of the table of classes, by class
const ofClass = new Uint32Array(classes.length);
for (const number of foundClass) ofClass[number]++;

function setUpClasses() {
  const names = truth && classes.length > 1 ? ["shown", "truth", "precision", "recall"] : ["shown", "of all"];
  const head = element("tr", "", {}, ...["Class", ...names].map((name) => element("th", name)));
  byId("classes").replaceChildren(head, ...classes.map((name, number) => {
    const box = element("input", "", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      state.off[box.checked ? "delete" : "add"](number);
      update(true);
    });
    const label = element("label", "", {}, ...(classes.length > 1 ? [box] : []), element("span", name || "(none)"));
    cells[number] = names.map(() => element("td"));
    return element("tr", "", {}, element("td", "", {}, label), ...cells[number]);
  }));
}

function showClasses({ rows }) {
  rows.forEach((row, number) => {
    const values = cells[number].length > 2
      ? [count(row.shown), count(row.objects), share(precision(row)), share(recall(row))]
      : [count(row.shown), count(ofClass[number])];
    values.forEach((value, i) => { cells[number][i].textContent = value; });
  });
}

// ------------------------------------------------------------------ charts
const large = (found.count && length.slice().sort()[Math.floor(found.count * 0.99)]) || 1;
const sizeTick = niceStep(large, 6), sizeTicks = Math.ceil(large / sizeTick);
const sizeBins = new Bins(length, 0, sizeTick * sizeTicks, sizeTicks * 5, sizeTick);
const scoreBins = scores ? new Bins(scores, lowest, highest, 40) : null;
const scoreColours = Array.from({ length: 40 }, (_, i) => palette.scores[scoreStep(atScore((i + 0.5) / 40))]);

function showCharts({ total }) {
  histogram(byId("size-chart"), sizeBins, sizeBins.counts(foundShows), `Length of the longer side (${unit})`);
  if (scores) sliderHistogram(byId("score-chart"), scoreBins, scoreBins.counts(foundShows), scoreColours);
  if (!truth) return;
  const known = total.shown && total.objects;
  const here = known ? { precision: precision(total), recall: recall(total) } : null;
  precisionRecall(byId("curve-chart"), curve, here);
}

// The curve of the classes that are on: a point after each detection, thinned out for drawing.
let curve = [], best = null;
function traceCurve() {
  const objects = truthClass.filter((number) => !state.off.has(number)).length, steps = [];
  let shown = 0, right = 0;
  for (let row = 0; row < found.count; row++) {
    if (!state.off.has(foundClass[row])) { shown++; right += Number(isRight(row)); }
    if (scores && scores[row + 1] === scores[row]) continue; // no threshold parts them
    if (shown) steps.push({ threshold: scores ? scores[row] : 0, shown, right, objects });
  }
  const every = Math.ceil(steps.length / 400);
  const drawn = objects ? steps.filter((_, i) => i % every === 0 || i === steps.length - 1) : [];
  curve = drawn.map((step) => ({ precision: precision(step), recall: recall(step) }));
  best = steps.reduce((top, step) => (!top || f1(step) > f1(top) ? step : top), null);
  byId("best").hidden = !scores || !best;
  if (!best) return;
  byId("best").textContent = `Best F1: ${share(f1(best))} at a score of ${best.threshold.toFixed(2)}. Show it`;
}

function showLegend() {
  const keys = element("div", "", { className: "keys" });
  const key = (colour, name, dashed = false) => {
    const mark = element("i", "", { className: dashed ? "dashed" : "" });
    mark.style.borderColor = colour;
    keys.append(element("span", "", { className: "key" }, mark, name));
  };
  const edges = palette.breaks.map((part) => +atScore(part).toPrecision(3));
  if (state.byResult) {
    key(palette.found, "correct");
    key(palette.false, "false alarm");
    key(palette.missed, "missed", true);
  } else if (scores) palette.scores.forEach((colour, i) => key(colour, `${edges[i]}–${edges[i + 1]}`));
  const modes = truth && scores ? [["Result", true], ["Score", false]] : [];
  const buttons = modes.map(([name, byResult]) => {
    const button = element("button", name, { type: "button" });
    button.setAttribute("aria-pressed", String(state.byResult === byResult));
    button.addEventListener("click", () => showBy(byResult));
    return button;
  });
  const switches = element("div", "", { className: "modes", hidden: !modes.length }, ...buttons);
  byId("legend").replaceChildren(switches, keys);
}

function showBy(byResult) {
  state.byResult = byResult;
  colourBoxes();
  showLegend();
  drawChip();
  map.redraw();
}

// ------------------------------------------------------------------ the worst errors
function showGallery() {
  if (!data.gallery) return;
  byId("gallery").hidden = false;
  const at = data.conf !== null && scores ? ` at a score of ${data.conf} or more` : "";
  const texts = {
    false: `The surest detections${at} that match no object. Orange: false alarm, turquoise: correct, pink: missed.`,
    missed: `Objects without a detection${at}, first the largest of those without any at all.`,
  };
  for (const [kind, chips] of Object.entries(data.gallery)) {
    byId(`${kind}-text`).textContent = chips.length ? texts[kind] : `None${at}.`;
    byId(`${kind}-chips`).replaceChildren(...chips.map(({ row, src }) => errorChip(kind, row, src)));
  }
}

function errorChip(kind, row, src) {
  const object = { kind: kind === "false" ? "found" : "missed", row }, [x, y, w, h] = boxOf(object);
  const score = kind === "false" && scores ? `${scores[row].toFixed(2)} · ` : "";
  const size = `${(Math.max(w, h) * pixelSize(x, y)).toFixed(1)} ${unit}`;
  const image = element("img", "", { src, alt: kind === "false" ? "False alarm" : "Missed object" });
  const button = element("button", "", { type: "button" }, image, element("span", score + size));
  button.addEventListener("click", () => {
    map.showBox(x, y, w, h);
    pick(object);
    byId("explore").scrollIntoView({ behavior: "smooth", block: "start" });
  });
  return button;
}

// ------------------------------------------------------------------ all together
function setThreshold(value) {
  let low = 0, high = found.count; // scores descend: find how many reach the threshold
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] >= value - 1e-9) low = middle + 1; else high = middle;
  }
  state.limit = low;
  byId("score-value").textContent = value.toFixed(2);
  byId("score").value = value;
}

function setUpThreshold() {
  byId("threshold").hidden = !scores;
  if (!scores) return;
  const slider = Object.assign(byId("score"), { min: lowest, max: highest, step: (highest - lowest) / 100 });
  slider.addEventListener("input", () => { setThreshold(Number(slider.value)); update(); });
  byId("best").addEventListener("click", () => { setThreshold(best.threshold); update(); });
  setThreshold(data.conf ?? lowest);
}

function update(curveChanged = false) {
  if (truth && curveChanged) traceCurve();
  const counts = tally();
  showFigures(counts);
  showClasses(counts);
  showCharts(counts);
  if (state.picked && state.picked.kind === "found" && !foundShows(state.picked.row)) pick(null);
  map.redraw();
}

function start() {
  byId("note").textContent = data.note;
  byId("note").hidden = !data.note;
  byId("facts").replaceChildren(...data.facts.map(([name, value]) =>
    element("div", "", {}, element("dt", name), element("dd", value))));
  byId("curve-card").hidden = !truth;
  if (truth) {
    const { iou, ap50 } = data.truth, precise = ap50 === null ? "" : ` AP at an IoU of 0.5: ${share(ap50)}.`;
    byId("curve-text").textContent = `Correct: an IoU of at least ${iou} with an object.${precise}`;
  }
  setUpMap();
  setUpThreshold();
  setUpClasses();
  showLegend();
  showGallery();
  update(true);
  window.addEventListener("resize", () => showCharts(tally()));
}

start();
