"use strict";
// The report: score threshold, categories, classes, search and zone decide which objects are visible.

const NO_SCORE_COLOUR = "#e3e6ea";
const map = new MapView(byId("map-canvas"), grid);
const boxLayer = new BoxLayer(objects, grid);
const imagery = data.imagery ? new Imagery(data.imagery, grid, () => { map.redraw(); drawThumbnail(); }) : null;
const selectionLayer = {
  draw(context, view) {
    if (state.selected === null) return;
    const [x, y, w, h] = boxOf(state.selected), margin = Math.max(0, 14 / view.zoom - Math.max(w, h)) / 2;
    const box = [x - margin, y - margin, w + 2 * margin, h + 2 * margin], rings = margin ? null : objects.outlines[state.selected];
    drawOutlines(context, view, [{ box, rings }], { colour: "#ffffff", width: 4 });
  },
};

// ------------------------------------------------------------------ map
function initMap() {
  boxLayer.isVisible = isVisible;
  map.imagery = imagery;
  map.layers = [...(zones ? [zoneLayer] : []), boxLayer, selectionLayer];
  map.onPaint = (view) => {
    updateScaleBar(view);
    byId("missing-imagery").hidden = !(imagery && imagery.failed);
    map.canvas.dataset.view = [view.cx, view.cy, view.zoom].join(" ");
  };
  map.onClick = (x, y, tolerance) => {
    const cluster = clusterAt(x, y);
    if (cluster) map.zoomBy(2.5, cluster.x, cluster.y);
    else select(objectAt(x, y, tolerance));
  };
  map.onHover = (x, y) =>
    map.canvas.classList.toggle("over-box", Boolean(clusterAt(x, y)) || objectAt(x, y, 4) !== null);
  byId("zoom-buttons").addEventListener("click", ({ target }) => {
    if (target.dataset.zoom === "full") map.zoomToFull();
    else if (target.dataset.zoom) map.zoomBy(target.dataset.zoom === "in" ? 1.6 : 1 / 1.6);
  });
  const folder = imagery && imagery.folder;
  byId("missing-imagery").textContent = `Some imagery is missing: keep the folder ${folder} beside this page.`;
}

// The cluster below a point: of the smaller circles around it the nearest.
function clusterAt(x, y) {
  const clusters = boxLayer.clustersIn(map.view) ?? [];
  return clusters.find((cluster) => Math.hypot(cluster.x - x, cluster.y - y) <= cluster.radius) ?? null;
}

// Row of the object at a point; boxes below it take precedence over boxes near it. Null: none.
function objectAt(x, y, tolerance) {
  if (boxLayer.clustersIn(map.view)) return null;
  const row = [0, tolerance].map((distance) => boxLayer.hitTest(map.view, x, y, distance)).find((row) => row >= 0);
  if (row === undefined) return null;
  return category[row] === LOOSE_TRUTH && !statuses ? loosePrediction.get(truthRow(row)) : row;
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

// ------------------------------------------------------------------ colours
const scoreAt = (fraction) => minScore + fraction * (maxScore - minScore);

// Index of the interval of the palette that holds a score.
function scoreInterval(score) {
  const fraction = (score - minScore) / (maxScore - minScore);
  return palette.breaks.slice(1, -1).filter((edge) => edge <= fraction).length;
}

const scoreStyles = palette.scores.map((colour) => ({ colour }));
const [withoutScore, missedStyle, looseTruthStyle] = [0, 1, 2].map((i) => palette.scores.length + i);
if (truth) scoreStyles.push({ colour: NO_SCORE_COLOUR }, resultStyles[MISSED], resultStyles[LOOSE_TRUTH]);
else scoreStyles.push({ colour: scores ? NO_SCORE_COLOUR : palette.tp });

function scoreStyle(row) {
  if (!isPrediction(row)) return category[row] === MISSED ? missedStyle : looseTruthStyle;
  const score = scoreOf(row);
  return score === null ? withoutScore : scoreInterval(score);
}

function updateStyles() {
  const isByScore = state.colourBy === "score";
  boxLayer.styles = isByScore ? scoreStyles : resultStyles ?? categories;
  for (let row = 0; row < objects.count; row++)
    boxLayer.styleIndex[row] = isVisible[row] ? (isByScore ? scoreStyle(row) : category[row]) : 0;
}

function updateLegend() {
  const edges = palette.breaks.map((fraction) => +scoreAt(fraction).toPrecision(3)), entries = [];
  const add = (style, name) => entries.push(element("span", "", {}, swatch(style), name));
  if (state.colourBy !== "score")
    categories.forEach((style, code) => (code !== LOOSE || statuses || loosePairs.length) && add(style, style.text ?? style.name));
  else {
    if (scores) palette.scores.forEach((colour, i) => add({ colour }, `${edges[i]}–${edges[i + 1]}`));
    if (scores && scoredCount < predictionCount) add({ colour: NO_SCORE_COLOUR }, "without a score");
    if (truth) add(resultStyles[MISSED], "missed");
  }
  const names = { status: "Status", result: "Result", score: "Score" };
  const modes = [statuses && "status", truth && "result", scores && "score"].filter(Boolean);
  const buttons = modes.map((mode) => {
    const button = element("button", names[mode], { type: "button" });
    button.setAttribute("aria-pressed", String(state.colourBy === mode));
    button.addEventListener("click", () => { state.colourBy = mode; update(); });
    return button;
  });
  const switches = element("div", "", { className: "colour-modes", hidden: modes.length < 2 }, ...buttons);
  switches.setAttribute("role", "group");
  switches.setAttribute("aria-label", "Colours of the boxes");
  byId("legend").replaceChildren(switches, element("div", "", { className: "swatches" }, ...entries));
}

// ------------------------------------------------------------------ charts
// Bins of the predictions from 0 to a round number above 99 % of the values of all objects.
function binsOf(values) {
  const high = (objects.count && values.slice().sort()[Math.floor(objects.count * 0.99)]) || 1;
  const tick = niceStep(high, 6), ticks = Math.ceil(high / tick);
  return new Bins(values.slice(0, predictionCount), 0, tick * ticks, ticks * 5, tick);
}
const lengthBins = binsOf(lengths);
const areaBins = hasOutlines ? binsOf(areas) : null;
const scoreBins = scores ? new Bins(scores.slice(0, scoredCount), minScore, maxScore, 40) : null;
const scoreColours = Array.from({ length: 40 }, (_, i) => palette.scores[scoreInterval(scoreAt((i + 0.5) / 40))]);

function updateCharts({ total }) {
  const hasSize = isVisible.map((visible, row) => Number(visible && lengths[row] > 0)); // points have none
  histogram(byId("size-histogram"), lengthBins, lengthBins.count(hasSize), `Length of the longer side (${unit})`);
  if (areaBins) histogram(byId("area-histogram"), areaBins, areaBins.count(hasSize), `Area (${unit}²)`);
  if (scores) sliderHistogram(byId("score-histogram"), scoreBins, scoreBins.count(isVisible), scoreColours);
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
  const nObjects = truth.class.filter((code) => !state.hiddenClasses.has(code)).length, points = [];
  let visible = 0, tp = 0;
  for (let row = 0; row < predictionCount; row++) {
    if (!state.hiddenClasses.has(classCodes[row])) { visible++; tp += Number(isTruePositive(row)); }
    if (scores && scores[row + 1] === scores[row]) continue; // no threshold separates equal scores
    if (visible) points.push({ threshold: scores ? scores[row] : 0, visible, tp, objects: nObjects });
  }
  const stride = Math.ceil(points.length / 400);
  const drawn = nObjects ? points.filter((_, i) => i % stride === 0 || i === points.length - 1) : [];
  curve = drawn.map((point) => ({ precision: precision(point), recall: recall(point) }));
  bestF1 = points.reduce((best, point) => (!best || f1(point) > f1(best) ? point : best), null);
  byId("best-f1").hidden = !scores || !bestF1;
  if (!bestF1) return;
  const threshold = bestF1.threshold.toFixed(2);
  byId("best-f1").textContent = `Best F1: ${formatFraction(f1(bestF1))} at a score threshold of ${threshold}. Apply`;
}

function initCurve() {
  byId("curve-card").hidden = !truth;
  if (!truth) return;
  const { iou, distance_m: distance, ap50 } = truth, ap50Text = ap50 === null ? "" : ` AP50: ${formatFraction(ap50)}.`;
  const rule = distance ? `a centre within ${distance} m of that of an object` : `an IoU of at least ${iou} with an object`;
  byId("curve-text").textContent = `True positive: ${rule}.${ap50Text}`;
}

// ------------------------------------------------------------------ score threshold
// Predictions without a score reach every threshold.
function setThreshold(threshold) {
  let low = 0, high = scoredCount; // binary search: scores descend
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

// Take all filters off.
function showAll() {
  state.categories.clear();
  state.withoutPermit = false;
  state.hiddenClasses.clear();
  byId("classes").querySelectorAll("input").forEach((checkbox) => { checkbox.checked = true; });
  byId("search").value = state.words = "";
  if (state.zone !== null) selectZone(null);
  if (scores) setThreshold(minScore);
  update();
}

// ------------------------------------------------------------------ update
let pendingCharts = 0, numbers = null;
function update() {
  const filtered = filterObjects(), { rows, counts } = filtered;
  updateStyles();
  boxLayer.onChange();
  if (state.selected !== null && !isVisible[state.selected]) select(null);
  numbers = countObjects();
  updateHeadline(numbers, counts);
  updateKeyFigures(numbers);
  updateCategories(filtered);
  updateClasses(numbers);
  updateList(rows, counts);
  updateLegend();
  map.redraw();
  // charts are drawn once a frame, however fast the slider moves
  pendingCharts ||= requestAnimationFrame(() => { pendingCharts = 0; updateCharts(numbers); });
}

function init() {
  byId("area-card").hidden = !hasOutlines;
  initCurve();
  initMap();
  initThreshold();
  initCategories();
  initClasses();
  initList();
  initExport();
  initSelection();
  initGallery();
  traceCurve();
  initZones();
  update();
  readLink();
  window.addEventListener("resize", () => updateCharts(numbers));
}

init();
