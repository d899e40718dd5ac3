"use strict";
// Numbers of the visible objects: the headline, key figures, categories and classes.

const byId = (id) => document.getElementById(id);
const formatCount = (value) => value.toLocaleString("en-US");
const formatFraction = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");
const capitalise = (text) => text[0].toUpperCase() + text.slice(1);
const countNouns = (count) => `${formatCount(count)} ${count === 1 ? noun.singular : noun.plural}`;

function element(name, text = "", properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), { textContent: text }, properties);
  node.append(...children);
  return node;
}

function swatch({ colour, dashed }) {
  const square = element("i", "", { className: dashed ? "swatch dashed" : "swatch" });
  square.style.borderColor = colour;
  return square;
}

const precision = ({ tp, visible }) => tp / visible;
const recall = ({ tp, objects }) => tp / objects;
const f1 = ({ tp, visible, objects }) => (2 * tp) / (visible + objects);

// Accuracy of each class, hidden or not, and of all visible classes together; it depends on the score
// threshold only. Size of the visible predictions.
function countObjects() {
  const byClass = classes.map(() => ({ visible: 0, tp: 0, objects: 0 }));
  const total = { visible: 0, tp: 0, objects: 0 }, shown = { count: 0, area: 0, medianLength: NaN };
  const visibleLengths = new Float64Array(predictionCount);
  let nLengths = 0;
  for (let row = 0; row < objects.count; row++) {
    const counts = byClass[classCodes[row]], isHidden = state.hiddenClasses.has(classCodes[row]);
    if (!isPrediction(row)) {
      if (counts) counts.objects++;
      if (!isHidden) total.objects++;
    } else if (reachesThreshold(row)) {
      const tp = truth && isTruePositive(row) ? 1 : 0;
      counts.visible++;
      counts.tp += tp;
      if (!isHidden) { total.visible++; total.tp += tp; }
      if (!isVisible[row]) continue;
      shown.count++;
      shown.area += areas[row];
      if (lengths[row]) visibleLengths[nLengths++] = lengths[row]; // points have none
    }
  }
  const sorted = visibleLengths.subarray(0, nLengths).sort();
  if (nLengths) shown.medianLength = sorted[nLengths >> 1];
  return { byClass, total, shown };
}

// "887 pools", "212 of 887 pools", or with ground truth "77 of 82 detections, 3 pools missed".
function updateHeadline({ shown }, counts) {
  const all = truth ? `${formatCount(predictionCount)} ${predictionCount === 1 ? "detection" : "detections"}` : countNouns(predictionCount);
  const visible = shown.count === predictionCount ? all : `${formatCount(shown.count)} of ${all}`;
  const showsMissed = truth && (!state.categories.size || state.categories.has(MISSED));
  byId("headline").textContent = showsMissed ? `${visible}, ${countNouns(counts[MISSED])} missed` : visible;
}

function updateKeyFigures({ total, shown }) {
  const [divisor, areaUnit, digits] = unit === "m" && shown.area >= 1e6 ? [1e6, "km²", 2] : [1, `${unit}²`, 0];
  const area = shown.area ? `${formatCount(+(shown.area / divisor).toFixed(digits))} ${areaUnit}` : "–"; // points have none
  const median = Number.isFinite(shown.medianLength) ? `${shown.medianLength.toFixed(1)} ${unit}` : "–";
  const accuracy = [
    [formatFraction(precision(total)), "precision"], [formatFraction(recall(total)), "recall"],
    [formatFraction(f1(total)), "F1"], [formatCount(total.objects), "ground-truth objects"],
  ];
  const figures = [...(truth ? accuracy : [[area, hasOutlines ? "total area" : "total area of boxes"]]), [median, "median length"]];
  byId("key-figures").replaceChildren(...figures.map(([value, name]) =>
    element("div", "", {}, element("dt", name), element("dd", value))));
}

// ------------------------------------------------------------------ categories
// A button for each category: those that are pressed are shown; if none is, all are.
const categoryButtons = [];
function initCategories() {
  if (!categories.length) return;
  const add = (children, title, onClick) => {
    const button = element("button", "", { type: "button", className: "chip", title }, ...children);
    button.addEventListener("click", () => { onClick(); update(); });
    categoryButtons.push(button);
  };
  add(["All"], "Show all", () => {
    state.categories.clear();
    state.withoutPermit = false;
  });
  categories.forEach((style, code) => {
    if (code === LOOSE && truth && !loosePairs.length) return categoryButtons.push(null);
    add([swatch(style), element("span", "", {}, element("b"), " ", element("span"))], style.text ?? "", () => {
      if (!state.categories.delete(code)) state.categories.add(code);
    });
  });
  byId("categories").append(...categoryButtons.filter(Boolean));
  byId("permit-chip").hidden = !permitColumn;
  byId("permit-chip").addEventListener("click", () => {
    state.withoutPermit = !state.withoutPermit;
    update();
  });
}

// Name of a category after a number.
function categoryNoun(code, count) {
  const { name, plural = name } = categories[code];
  return count === 1 ? name : plural;
}

function updateCategories({ counts, unpermitted }) {
  categoryButtons.forEach((button, i) => {
    if (!button) return;
    const isPressed = i === 0 ? !state.categories.size && !state.withoutPermit : state.categories.has(i - 1);
    button.setAttribute("aria-pressed", String(isPressed));
    if (i === 0) return;
    button.querySelector("b").textContent = formatCount(counts[i - 1]);
    button.querySelector("span span").textContent = categoryNoun(i - 1, counts[i - 1]);
  });
  byId("permit-chip").setAttribute("aria-pressed", String(state.withoutPermit));
  byId("permit-chip").querySelector("b").textContent = formatCount(unpermitted);
}

// ------------------------------------------------------------------ classes
const classCells = []; // table cells of each class
const classTotals = new Uint32Array(classes.length);
for (let row = 0; row < predictionCount; row++) classTotals[classCodes[row]]++;

function initClasses() {
  byId("class-card").hidden = classes.length < 2;
  const names = truth ? ["visible", "truth", "precision", "recall"] : ["visible", "all"];
  const header = element("tr", "", {}, ...["Class", ...names].map((name) => element("th", name, { scope: "col" })));
  byId("classes").replaceChildren(header, ...classes.map((name, code) => {
    const checkbox = element("input", "", { type: "checkbox", checked: true });
    checkbox.addEventListener("change", () => {
      state.hiddenClasses[checkbox.checked ? "delete" : "add"](code);
      traceCurve();
      update();
    });
    const label = element("label", "", {}, checkbox, element("span", name || "(none)"));
    classCells[code] = names.map(() => element("td"));
    return element("tr", "", {}, element("td", "", {}, label), ...classCells[code]);
  }));
}

function updateClasses({ byClass }) {
  byClass.forEach((counts, code) => {
    const values = truth
      ? [formatCount(counts.visible), formatCount(counts.objects),
         formatFraction(precision(counts)), formatFraction(recall(counts))]
      : [formatCount(counts.visible), formatCount(classTotals[code])];
    values.forEach((value, i) => { classCells[code][i].textContent = value; });
  });
}
