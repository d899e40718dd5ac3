"use strict";
// The report: a score threshold and the selected classes decide which predictions are visible.

const data = JSON.parse(document.getElementById("data").textContent);
const { grid, palette, classes } = data;
const unit = grid.gsd_m ? "m" : "px";

const byId = (id) => document.getElementById(id);
const formatCount = (value) => value.toLocaleString("en-US");
const formatFraction = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");
const fromTenths = (values) => Float64Array.from(values, (value) => value / 10);
const decodeBoxes = ({ x, y, w, h }) =>
  ({ count: x.length, x: fromTenths(x), y: fromTenths(y), w: fromTenths(w), h: fromTenths(h) });

function element(name, text = "", properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), { textContent: text }, properties);
  node.append(...children);
  return node;
}

// Ground size of a pixel in metres, at the nearest point where it was sampled; 1 without a CRS.
function pixelSize(x, y) {
  if (!grid.gsd_m) return 1;
  const index = (value, size) => Math.round(Math.max(0, Math.min(1, value / size)) * (grid.gsd_samples - 1));
  return grid.gsd_m[index(y, grid.height) * grid.gsd_samples + index(x, grid.width)];
}

const predictions = decodeBoxes(data.predictions), truth = data.truth ? decodeBoxes(data.truth) : null;
const scores = data.predictions.score; // descending, or null
const predictionClass = data.predictions.class, truthClass = truth ? data.truth.class : [];
const lengths = Float64Array.from(predictions.x, (x, i) =>
  Math.max(predictions.w[i], predictions.h[i]) * pixelSize(x, predictions.y[i]));
const minScore = scores ? Math.min(0, scores[predictions.count - 1] ?? 0) : 0;
const maxScore = scores ? Math.max(1, scores[0] ?? 1) : 1;

// nAboveThreshold: predictions, from the first on, that reach the score threshold
const state = {
  nAboveThreshold: predictions.count, hiddenClasses: new Set(), colourByResult: Boolean(truth), selected: null,
};
const isTruePositive = (row) => data.truth.truth_rows[row] >= 0;
const isFalseNegative = (row) =>
  data.truth.prediction_rows[row] < 0 || data.truth.prediction_rows[row] >= state.nAboveThreshold;
const isPredictionVisible = (row) => row < state.nAboveThreshold && !state.hiddenClasses.has(predictionClass[row]);
const isTruthVisible = (row) =>
  state.colourByResult && isFalseNegative(row) && !state.hiddenClasses.has(truthClass[row]);
const scoreAt = (fraction) => minScore + fraction * (maxScore - minScore);

// ------------------------------------------------------------------ map
const map = new MapView(byId("map-canvas"), grid);
const predictionLayer = new BoxLayer(predictions, grid), truthLayer = truth ? new BoxLayer(truth, grid) : null;
const imagery = data.imagery ? new Imagery(data.imagery, grid, () => { map.redraw(); drawThumbnail(); }) : null;
const selectionLayer = {
  draw: (context, view) => state.selected
    && drawOutlines(context, view, [boxOf(state.selected)], { colour: "#ffffff", width: 4 }),
};

function initMap() {
  predictionLayer.isVisible = isPredictionVisible;
  map.imagery = imagery;
  map.layers = [predictionLayer, selectionLayer];
  if (truthLayer) {
    truthLayer.isVisible = isTruthVisible;
    truthLayer.styles = [{ colour: palette.fn, dashed: true }];
    map.layers.unshift(truthLayer);
  }
  map.onPaint = (view) => {
    updateScaleBar(view);
    byId("missing-imagery").hidden = !(imagery && imagery.failed);
    map.canvas.dataset.view = [view.cx, view.cy, view.zoom].join(" ");
  };
  map.onClick = (x, y, tolerance) => select(objectAt(x, y, tolerance));
  map.onHover = (x, y) => map.canvas.classList.toggle("over-box", objectAt(x, y, 4) !== null);
  byId("zoom-buttons").addEventListener("click", ({ target }) => {
    if (target.dataset.zoom === "full") map.zoomToFull();
    else if (target.dataset.zoom) map.zoomBy(target.dataset.zoom === "in" ? 1.6 : 1 / 1.6);
  });
  byId("thumbnail").addEventListener("click", () => map.zoomToBox(...boxOf(state.selected)));
  const folder = imagery && imagery.folder;
  byId("missing-imagery").textContent = `Some imagery is missing: keep the folder ${folder} beside this page.`;
  updateColours();
}

function updateColours() {
  const byScore = scores ? palette.scores : [palette.tp];
  const colours = state.colourByResult ? [palette.fp, palette.tp] : byScore;
  predictionLayer.styles = colours.map((colour) => ({ colour }));
  predictionLayer.styleIndex = (row) => {
    if (state.colourByResult) return Number(isTruePositive(row));
    return scores ? scoreInterval(scores[row]) : 0;
  };
}

// Index of the interval of the palette that holds a score.
function scoreInterval(score) {
  const fraction = (score - minScore) / (maxScore - minScore);
  return palette.breaks.slice(1, -1).filter((edge) => edge <= fraction).length;
}

function objectAt(x, y, tolerance) {
  for (const distance of [0, tolerance]) // boxes below the pointer take precedence over boxes near it
    for (const [kind, layer] of [["prediction", predictionLayer], ["fn", truthLayer]]) {
      const row = layer ? layer.hitTest(map.view, x, y, distance) : -1;
      if (row >= 0) return { kind, row };
    }
  return null;
}

function boxOf({ kind, row }) {
  const { x, y, w, h } = kind === "prediction" ? predictions : truth;
  return [x[row], y[row], w[row], h[row]];
}

function updateScaleBar(view) {
  const unitsPerPixel = pixelSize(view.cx, view.cy) / view.zoom, limit = unitsPerPixel * 130;
  const power = 10 ** Math.floor(Math.log10(limit));
  const length = [5, 2, 1].map((step) => step * power).find((value) => value <= limit);
  const metric = length >= 1000 ? [0.001, "km"] : length < 1 ? [100, "cm"] : [1, "m"];
  const [factor, name] = unit === "px" ? [1, "px"] : metric;
  const bar = byId("scale-bar").firstElementChild;
  bar.style.width = `${length / unitsPerPixel}px`;
  bar.textContent = `${+(length * factor).toPrecision(1)} ${name}`;
}

// ------------------------------------------------------------------ selected object
function select(object) {
  state.selected = object;
  byId("select-hint").hidden = Boolean(object);
  byId("details").hidden = !object;
  if (object) {
    byId("attributes").replaceChildren(...attributesOf(object).map(([name, value]) =>
      element("tr", "", {}, element("td", name), element("td", value))));
    drawThumbnail();
  }
  map.redraw();
}

function attributesOf({ kind, row }) {
  const [x, y, w, h] = boxOf({ kind, row }), size = pixelSize(x, y);
  const box = ["Box", `${(w * size).toFixed(1)} x ${(h * size).toFixed(1)} ${unit}`];
  if (kind === "fn") return [["Result", "missed"], ["Class", classes[truthClass[row]] ?? "any"], box];
  const rows = [["Class", classes[predictionClass[row]]], box];
  if (scores) rows.unshift(["Score", `${scores[row]}`]);
  if (truth) rows.unshift(["Result", isTruePositive(row) ? "true positive" : "false positive"]);
  return rows.concat(data.predictions.columns.map((column) => [column.name, formatValue(column, row)]));
}

function formatValue({ constant, categories, codes, values }, row) {
  const value = codes ? categories[codes[row]] : values ? values[row] : constant;
  if (value === null || value === "") return "–";
  return typeof value === "boolean" ? (value ? "yes" : "no") : `${value}`;
}

function drawThumbnail() {
  if (!state.selected) return;
  const { kind, row } = state.selected, canvas = byId("thumbnail-canvas"), image = byId("thumbnail-image");
  const uri = kind === "prediction" ? data.thumbnails[row] : undefined; // if the imagery was reduced
  image.hidden = uri === undefined;
  canvas.hidden = uri !== undefined;
  if (uri !== undefined) { image.src = uri; return; }
  const [x, y, w, h] = boxOf(state.selected), ratio = window.devicePixelRatio || 1, side = canvas.clientWidth;
  canvas.width = canvas.height = Math.round(side * ratio);
  const windowSize = Math.max(2.4 * Math.max(w, h), unit === "m" ? 12 / pixelSize(x, y) : 48);
  const view = { cx: x + w / 2, cy: y + h / 2, zoom: side / windowSize, width: side, height: side, ratio };
  const context = canvas.getContext("2d");
  paintBackground(context, view, grid, imagery);
  const layer = kind === "prediction" ? predictionLayer : truthLayer;
  drawOutlines(context, view, [[x, y, w, h]], layer.styles[layer.styleIndex(row)]);
}

// ------------------------------------------------------------------ counts
const precision = ({ tp, visible }) => tp / visible;
const recall = ({ tp, objects }) => tp / objects;
const f1 = ({ tp, visible, objects }) => (2 * tp) / (visible + objects);

// Counts of each class, hidden or not, and of all visible classes together.
function countVisible() {
  const byClass = classes.map(() => ({ visible: 0, tp: 0, objects: 0 }));
  const total = { visible: 0, tp: 0, objects: 0, area: 0, medianLength: NaN }, visibleLengths = [];
  for (let row = 0; row < state.nAboveThreshold; row++) {
    const code = predictionClass[row], tp = truth && isTruePositive(row) ? 1 : 0;
    byClass[code].visible++;
    byClass[code].tp += tp;
    if (state.hiddenClasses.has(code)) continue;
    total.visible++;
    total.tp += tp;
    total.area += predictions.w[row] * predictions.h[row] * pixelSize(predictions.x[row], predictions.y[row]) ** 2;
    visibleLengths.push(lengths[row]);
  }
  for (const code of truthClass) {
    if (code >= 0) byClass[code].objects++;
    if (!state.hiddenClasses.has(code)) total.objects++;
  }
  const sorted = Float64Array.from(visibleLengths).sort();
  if (sorted.length) total.medianLength = sorted[sorted.length >> 1];
  return { byClass, total };
}

function updateKeyFigures({ total }) {
  const [divisor, areaUnit, digits] = unit === "m" && total.area >= 1e6 ? [1e6, "km²", 2] : [1, `${unit}²`, 0];
  const area = `${formatCount(+(total.area / divisor).toFixed(digits))} ${areaUnit}`;
  const median = Number.isFinite(total.medianLength) ? `${total.medianLength.toFixed(1)} ${unit}` : "–";
  const accuracy = [
    [formatFraction(precision(total)), "precision"], [formatFraction(recall(total)), "recall"],
    [formatFraction(f1(total)), "F1"], [formatCount(total.objects), "ground-truth objects"],
  ];
  const figures = [
    [formatCount(total.visible), `of ${formatCount(predictions.count)} predictions`],
    ...(truth ? accuracy : [[area, "total area of boxes"]]),
    [median, "median length"],
  ];
  byId("key-figures").replaceChildren(...figures.map(([value, name]) =>
    element("div", "", {}, element("dt", name), element("dd", value))));
}

const classCells = []; // table cells of each class
const classTotals = new Uint32Array(classes.length);
for (const code of predictionClass) classTotals[code]++;

function initClasses() {
  const names = truth && classes.length > 1 ? ["visible", "truth", "precision", "recall"] : ["visible", "all"];
  const header = element("tr", "", {}, ...["Class", ...names].map((name) => element("th", name)));
  byId("classes").replaceChildren(header, ...classes.map((name, code) => {
    const checkbox = element("input", "", { type: "checkbox", checked: true });
    checkbox.addEventListener("change", () => {
      state.hiddenClasses[checkbox.checked ? "delete" : "add"](code);
      traceCurve();
      update();
    });
    const inputs = classes.length > 1 ? [checkbox] : [];
    const label = element("label", "", {}, ...inputs, element("span", name || "(none)"));
    classCells[code] = names.map(() => element("td"));
    return element("tr", "", {}, element("td", "", {}, label), ...classCells[code]);
  }));
}

function updateClasses({ byClass }) {
  byClass.forEach((counts, code) => {
    const values = classCells[code].length > 2
      ? [formatCount(counts.visible), formatCount(counts.objects),
         formatFraction(precision(counts)), formatFraction(recall(counts))]
      : [formatCount(counts.visible), formatCount(classTotals[code])];
    values.forEach((value, i) => { classCells[code][i].textContent = value; });
  });
}

// ------------------------------------------------------------------ charts
const length99 = (predictions.count && lengths.slice().sort()[Math.floor(predictions.count * 0.99)]) || 1;
const lengthTick = niceStep(length99, 6), lengthTicks = Math.ceil(length99 / lengthTick);
const lengthBins = new Bins(lengths, 0, lengthTick * lengthTicks, lengthTicks * 5, lengthTick);
const scoreBins = scores ? new Bins(scores, minScore, maxScore, 40) : null;
const scoreColours = Array.from({ length: 40 }, (_, i) => palette.scores[scoreInterval(scoreAt((i + 0.5) / 40))]);

function updateCharts({ total }) {
  const label = `Length of the longer side (${unit})`;
  histogram(byId("size-histogram"), lengthBins, lengthBins.count(isPredictionVisible), label);
  if (scores) sliderHistogram(byId("score-histogram"), scoreBins, scoreBins.count(isPredictionVisible), scoreColours);
  if (!truth) return;
  const isDefined = total.visible && total.objects;
  const operatingPoint = isDefined ? { precision: precision(total), recall: recall(total) } : null;
  precisionRecallChart(byId("curve"), curve, operatingPoint);
}

// Trace the precision-recall curve of the visible classes: a point for each score threshold, of
// which at most about 400 are drawn.
let curve = [], bestF1 = null;
function traceCurve() {
  if (!truth) return;
  const objects = truthClass.filter((code) => !state.hiddenClasses.has(code)).length, points = [];
  let visible = 0, tp = 0;
  for (let row = 0; row < predictions.count; row++) {
    if (!state.hiddenClasses.has(predictionClass[row])) { visible++; tp += Number(isTruePositive(row)); }
    if (scores && scores[row + 1] === scores[row]) continue; // no threshold separates equal scores
    if (visible) points.push({ threshold: scores ? scores[row] : 0, visible, tp, objects });
  }
  const stride = Math.ceil(points.length / 400);
  const drawn = objects ? points.filter((_, i) => i % stride === 0 || i === points.length - 1) : [];
  curve = drawn.map((point) => ({ precision: precision(point), recall: recall(point) }));
  bestF1 = points.reduce((best, point) => (!best || f1(point) > f1(best) ? point : best), null);
  byId("best-f1").hidden = !scores || !bestF1;
  if (!bestF1) return;
  const threshold = bestF1.threshold.toFixed(2);
  byId("best-f1").textContent = `Best F1: ${formatFraction(f1(bestF1))} at a score threshold of ${threshold}. Apply`;
}

function updateLegend() {
  const swatches = element("div", "", { className: "swatches" });
  const addSwatch = (colour, name, className = "") => {
    const swatch = element("i", "", { className });
    swatch.style.borderColor = colour;
    swatches.append(element("span", "", {}, swatch, name));
  };
  const edges = palette.breaks.map((fraction) => +scoreAt(fraction).toPrecision(3));
  if (state.colourByResult) {
    addSwatch(palette.tp, "true positive");
    addSwatch(palette.fp, "false positive");
    addSwatch(palette.fn, "missed", "dashed");
  } else if (scores) palette.scores.forEach((colour, i) => addSwatch(colour, `${edges[i]}–${edges[i + 1]}`));
  const modes = truth && scores ? [["Result", true], ["Score", false]] : [];
  const buttons = modes.map(([name, colourByResult]) => {
    const button = element("button", name, { type: "button" });
    button.setAttribute("aria-pressed", String(state.colourByResult === colourByResult));
    button.addEventListener("click", () => setColourMode(colourByResult));
    return button;
  });
  const switches = element("div", "", { className: "colour-modes", hidden: !modes.length }, ...buttons);
  byId("legend").replaceChildren(switches, swatches);
}

function setColourMode(colourByResult) {
  state.colourByResult = colourByResult;
  updateColours();
  updateLegend();
  drawThumbnail();
  map.redraw();
}

// ------------------------------------------------------------------ worst errors
function initErrors() {
  if (!data.errors) return;
  byId("errors").hidden = false;
  const threshold = data.score_threshold !== null && scores ? ` at a score threshold of ${data.score_threshold}` : "";
  const texts = {
    fp: `Predictions of the highest scores${threshold} that match no object. `
      + "Orange: false positive, turquoise: true positive, pink: missed.",
    fn: `Objects that match no prediction${threshold}; first those that match none at any score, the largest first.`,
  };
  for (const [kind, thumbnails] of Object.entries(data.errors)) {
    if (!texts[kind]) continue;
    byId(`${kind}-text`).textContent = thumbnails.length ? texts[kind] : `None${threshold}.`;
    byId(`${kind}-thumbnails`).replaceChildren(...thumbnails.map(({ row, src }) => errorButton(kind, row, src)));
  }
}

function errorButton(kind, row, src) {
  const object = { kind: kind === "fp" ? "prediction" : "fn", row }, [x, y, w, h] = boxOf(object);
  const score = kind === "fp" && scores ? `${scores[row].toFixed(2)} · ` : "";
  const size = `${(Math.max(w, h) * pixelSize(x, y)).toFixed(1)} ${unit}`;
  const image = element("img", "", { src, alt: kind === "fp" ? "False positive" : "Missed object" });
  const button = element("button", "", { type: "button" }, image, element("span", score + size));
  button.addEventListener("click", () => {
    map.zoomToBox(x, y, w, h);
    select(object);
    byId("map-section").scrollIntoView({ behavior: "smooth", block: "start" });
  });
  return button;
}

// ------------------------------------------------------------------ score threshold
function setThreshold(threshold) {
  let low = 0, high = predictions.count; // binary search: scores descend
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] >= threshold - 1e-9) low = middle + 1; else high = middle;
  }
  state.nAboveThreshold = low;
  byId("score-value").textContent = threshold.toFixed(2);
  byId("score").value = threshold;
}

function initThreshold() {
  byId("threshold").hidden = !scores;
  if (!scores) return;
  const slider = Object.assign(byId("score"), { min: minScore, max: maxScore, step: (maxScore - minScore) / 100 });
  slider.addEventListener("input", () => { setThreshold(Number(slider.value)); update(); });
  byId("best-f1").addEventListener("click", () => { setThreshold(bestF1.threshold); update(); });
  setThreshold(data.score_threshold ?? minScore);
}

function update() {
  const counts = countVisible();
  updateKeyFigures(counts);
  updateClasses(counts);
  updateCharts(counts);
  const { selected } = state;
  if (selected && selected.kind === "prediction" && !isPredictionVisible(selected.row)) select(null);
  map.redraw();
}

function init() {
  byId("curve-card").hidden = !truth;
  if (truth) {
    const { iou, ap50 } = data.truth, ap50Text = ap50 === null ? "" : ` AP50: ${formatFraction(ap50)}.`;
    byId("curve-text").textContent = `True positive: an IoU of at least ${iou} with an object.${ap50Text}`;
  }
  initMap();
  initThreshold();
  initClasses();
  updateLegend();
  initErrors();
  traceCurve();
  update();
  window.addEventListener("resize", () => updateCharts(countVisible()));
}

init();
