"use strict";
// The objects of the page, as columns of arrays: first the predictions in descending order of their
// scores, those without a score last; then the objects of the ground truth. An object is its row.

const data = JSON.parse(document.getElementById("data").textContent);
const { grid, palette, classes } = data;
const truth = data.truth ?? null, statuses = truth ? null : data.statuses ?? null;
const noun = data.noun ?? { singular: "object", plural: "objects" };
const unit = grid.gsd_m ? "m" : "px";

const predictionCount = data.predictions.x.length;
const objects = decodeBoxes(data.predictions, truth);
const isPrediction = (row) => row < predictionCount;
const truthRow = (row) => row - predictionCount; // in the arrays of the ground truth
const boxOf = (row) => [objects.x[row], objects.y[row], objects.w[row], objects.h[row]];
const shapeOf = (row) => ({ box: boxOf(row), rings: objects.outlines[row] });
const classCodes = Int32Array.from(data.predictions.class.concat(truth ? truth.class : [])); // -1: any class
const lengths = Float64Array.from(objects.x, (x, row) =>
  Math.max(objects.w[row], objects.h[row]) * pixelSize(x, objects.y[row]));
const hasOutlines = objects.outlines.some((outline) => outline);
const areas = Float64Array.from(objects.x, (x, row) =>
  objects.areas[row] ?? objects.w[row] * objects.h[row] * pixelSize(x, objects.y[row]) ** 2);

const scores = data.predictions.score ?? null;
const scoredCount = scores ? scores.filter((score) => score !== null).length : 0;
const minScore = scores ? Math.min(0, scores[scoredCount - 1] ?? 0) : 0;
const maxScore = scores ? Math.max(1, scores[0] ?? 1) : 1;
const scoreOf = (row) => (scores && isPrediction(row) ? scores[row] : null);

function decodeBoxes(...layers) {
  const decode = (name) => Float64Array.from(layers.flatMap((layer) => layer?.[name] ?? []), (value) => value / 10);
  const x = decode("x"), y = decode("y");
  const fill = (layer, name) => layer?.[name] ?? Array(layer?.x.length ?? 0).fill(null);
  const outlines = layers.flatMap((layer) => fill(layer, "outlines"))
    .map((outline, row) => (outline ? outline.map((steps) => decodeRing(steps, x[row], y[row])) : null));
  return { count: x.length, x, y, w: decode("w"), h: decode("h"), outlines, areas: layers.flatMap((layer) => fill(layer, "areas")) };
}

// Vertices x, y, x, y, ... of a ring, from steps in tenths of a pixel that begin at a corner.
function decodeRing(steps, x, y) {
  const ring = new Float64Array(steps.length);
  for (let i = 0; i < steps.length; i += 2) {
    ring[i] = x += steps[i] / 10;
    ring[i + 1] = y += steps[i + 1] / 10;
  }
  return ring;
}

// Ground size of a pixel in metres, at the nearest point where it was sampled; 1 without a CRS.
function pixelSize(x, y) {
  if (!grid.gsd_m) return 1;
  const index = (value, size) => Math.round(Math.max(0, Math.min(1, value / size)) * (grid.gsd_samples - 1));
  return grid.gsd_m[index(y, grid.height) * grid.gsd_samples + index(x, grid.width)];
}

// ------------------------------------------------------------------ columns
const columns = new Map(data.predictions.columns.map((column) => [column.name, column]));

// Value of a prediction in a column; null where there is none.
function valueOf({ constant, categories, codes, values }, row) {
  const value = codes ? categories[codes[row]] : values ? values[row] : constant;
  return value === "" ? null : value;
}

function formatValue(value) {
  if (value === null) return "–";
  return typeof value === "boolean" ? (value ? "yes" : "no") : `${value}`;
}

const idOf = (row) => `${columns.has("id") ? valueOf(columns.get("id"), row) : row + 1}`;
const addressColumn = columns.get(data.address) ?? null;
const permitColumn = columns.get(data.permit) ?? null;
const lacksPermit = (row) => permitColumn !== null && isPrediction(row) && !data.predictions.permitted[row];
const className = (row) => classes[classCodes[row]] ?? "any";

// ------------------------------------------------------------------ categories
// Objects are filtered and listed by category: the status of a comparison, or the result of the match
// with the ground truth. Categories come in the order of work; without any there is one for all.
const FALSE_POSITIVE = 0, MISSED = 1, LOOSE = 2, TRUE_POSITIVE = 3;
const LOOSE_TRUTH = 4; // drawn beside its prediction, but no object of the list
const NO_OBJECT = 255; // ground truth that a visible prediction matches

const resultStyles = truth && [
  { name: "false positive", plural: "false positives", colour: palette.fp },
  { name: "missed", colour: palette.fn, dashed: true },
  { name: "box off", plural: "boxes off", colour: palette.loose, text: "found, but the box is off" },
  { name: "true positive", plural: "true positives", colour: palette.tp },
  { name: "box off", colour: palette.loose, dashed: true }, // the ground truth of such a pair
];
const categories = statuses ?? (truth ? resultStyles.slice(0, LOOSE_TRUTH) : []);
const loosePairs = truth?.loose_rows ?? []; // [row of the prediction, row in the ground truth, IoU]
const looseTruth = new Map(loosePairs.map(([prediction, object]) => [prediction, object]));
const loosePrediction = new Map(loosePairs.map(([prediction, object]) => [object, prediction]));

const isTruePositive = (row) => truth.truth_rows[row] >= 0;
const reachesThreshold = (row) => row < state.nAboveThreshold || (row >= scoredCount && isPrediction(row));

// True if a visible prediction matches an object of the ground truth, other than one whose box is off.
function isMatched(object) {
  const match = truth.prediction_rows[object];
  return match >= 0 && reachesThreshold(match) && match !== loosePrediction.get(object);
}

function resultOf(row) {
  if (isPrediction(row)) {
    if (looseTruth.has(row) && !isMatched(looseTruth.get(row))) return LOOSE;
    return isTruePositive(row) ? TRUE_POSITIVE : FALSE_POSITIVE;
  }
  const object = truthRow(row), nearby = loosePrediction.get(object);
  if (isMatched(object)) return NO_OBJECT;
  return nearby !== undefined && reachesThreshold(nearby) ? LOOSE_TRUTH : MISSED;
}

// Category of an object at the score threshold.
const categoryOf = (row) => (statuses ? data.predictions.status[row] : truth ? resultOf(row) : 0);

// ------------------------------------------------------------------ visible objects
// nAboveThreshold: predictions, from the first on, that reach the score threshold. No categories: all.
// withoutPermit: no others. words: lower-case text that objects must hold. zone: index of the only
// zone, or null.
const state = {
  nAboveThreshold: predictionCount, hiddenClasses: new Set(), categories: new Set(), withoutPermit: false, words: "", zone: null,
  colourBy: statuses ? "status" : truth ? "result" : "score", selected: null,
};
// Rows in the order of work, or else in that of the file, of which the list makes one by category.
const isOrdered = Boolean(data.predictions.order) && !truth;
const workOrder = isOrdered ? data.predictions.order : Array.from(objects.x.keys());
const isVisible = new Uint8Array(objects.count), category = new Uint8Array(objects.count);

// Decide which objects are visible. Returns the rows of the list, in the order of work, the number of
// objects in each category under all filters but that of categories, and the number of those without
// a permit under all filters but that of permits.
function filterObjects() {
  const { hiddenClasses, withoutPermit, words, zone } = state, isInZone = zone === null ? null : zoneMembers(zone);
  const counts = new Uint32Array(Math.max(1, categories.length)), byCategory = Array.from(counts, () => []);
  let unpermitted = 0;
  for (const row of workOrder) {
    category[row] = categoryOf(row);
    isVisible[row] = 0;
    if (isPrediction(row) ? !reachesThreshold(row) : category[row] === NO_OBJECT) continue;
    if (hiddenClasses.has(classCodes[row]) || (isInZone && !isInZone[row])) continue;
    if (words && !searchText(row).includes(words)) continue;
    const isListed = isPrediction(row) || category[row] === MISSED, filtered = isListed ? category[row] : LOOSE;
    const isChosen = !state.categories.size || state.categories.has(filtered), isUnpermitted = lacksPermit(row);
    if (isChosen && isUnpermitted) unpermitted++;
    if (withoutPermit && !isUnpermitted) continue;
    if (isListed) counts[filtered]++;
    if (!isChosen) continue;
    isVisible[row] = 1;
    if (isListed) byCategory[isOrdered ? 0 : filtered].push(row);
  }
  return { rows: Uint32Array.from(byCategory.flat()), counts, unpermitted };
}

// Lower-case text of all that is written about an object, for the search.
const searchTexts = [];
function searchText(row) {
  const values = isPrediction(row) ? [...columns.values()].map((column) => formatValue(valueOf(column, row))) : [];
  return (searchTexts[row] ??= [className(row), ...values].join("\n").toLowerCase());
}
