"use strict";
// Small charts as SVG.

const CHART = { height: 250, left: 40, right: 12, top: 10, bottom: 38 };
const PRINTED_WIDTH = 420; // CSS pixels: half a sheet of A4
// above a slider, whose thumb needs the margins left and right
const SLIDER_CHART = { height: 40, left: 8, right: 8, top: 4, bottom: 1 };

function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function newChart(container, { height, left, right, top, bottom }, attributes) {
  const width = isPrinting ? PRINTED_WIDTH : container.clientWidth || 400;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, ...attributes });
  container.replaceChildren(root);
  return { root, left, right: width - right, top, bottom: height - bottom };
}

const addLine = (root, name, x1, y1, x2, y2) => root.append(svg("line", { class: name, x1, y1, x2, y2 }));
const addText = (root, text, attributes) => root.append(svg("text", { "text-anchor": "middle", ...attributes }, text));

// The step 1, 2, 5, 10, ... that divides a length into about as many parts.
function niceStep(length, parts) {
  const power = 10 ** Math.floor(Math.log10(length / parts));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => length / step <= parts * 1.3) || 10 * power;
}

const shortNumber = (value) => value >= 10000 ? `${+(value / 1000).toFixed(1)}k` : `${+value.toPrecision(4)}`;

// Bins of equal width; the last one also counts larger values. Ticks of the axis are `tick` apart.
class Bins {
  constructor(values, low, high, size, tick = high - low) {
    Object.assign(this, { low, high, size, tick });
    const index = (value) => Math.floor(((value - low) / (high - low)) * size);
    this.indices = Uint16Array.from(values, (value) => Math.max(0, Math.min(size - 1, index(value))));
    this.total = this.count(new Uint8Array(this.indices.length).fill(1));
  }

  count(isVisible) {
    const counts = new Uint32Array(this.size);
    for (let row = 0; row < this.indices.length; row++) counts[this.indices[row]] += isVisible[row];
    return counts;
  }
}

// Histogram with axes.
function histogram(container, bins, counts, label) {
  const chart = newChart(container, CHART, { role: "img", "aria-label": `${label}: histogram` });
  const { root, left, right, top, bottom } = chart, { low, high, tick } = bins;
  const highest = Math.max(1, ...counts), yStep = Math.max(1, niceStep(highest, 4));
  const x = (value) => left + ((value - low) / (high - low)) * (right - left);
  const y = (count) => bottom - (count / highest) * (bottom - top);
  for (let count = 0; count <= highest; count += yStep) {
    addLine(root, "grid", left, y(count), right, y(count));
    addText(root, shortNumber(count), { x: left - 6, y: y(count) + 4, "text-anchor": "end" });
  }
  for (let value = low; value <= high + tick * 1e-6; value += tick) {
    const isLast = value + tick > high + tick * 1e-6; // its bin also counts larger values
    addText(root, `${+value.toPrecision(4)}${isLast ? "+" : ""}`, { x: x(value), y: bottom + 15 });
  }
  addLine(root, "axis", left, bottom, right, bottom);
  addText(root, label, { x: (left + right) / 2, y: bottom + 33 });
  drawBars(chart, counts, y, () => ({ class: "bar" }));
}

// Histogram above a slider: hidden predictions in grey, visible ones in the colours of their bins.
// The y axis is logarithmic, because low scores are many times more frequent than high ones.
function sliderHistogram(container, bins, counts, colours) {
  const chart = newChart(container, SLIDER_CHART, { "aria-hidden": "true" });
  const { top, bottom } = chart, highest = Math.log1p(Math.max(1, ...bins.total));
  const y = (count) => bottom - (Math.log1p(count) / highest) * (bottom - top);
  drawBars(chart, bins.total, y, () => ({ class: "hidden-bar" }));
  drawBars(chart, counts, y, (i) => ({ style: `fill:${colours[i]}`, stroke: "#3a4350" }));
}

function drawBars({ root, left, right, bottom }, counts, y, attributes) {
  const step = (right - left) / counts.length, width = Math.max(1, step - 1);
  counts.forEach((count, i) => {
    if (!count) return;
    const top = Math.min(y(count), bottom - 1.5);
    root.append(svg("rect", { x: left + i * step + 0.5, y: top, width, height: bottom - top, ...attributes(i) }));
  });
}

// Precision over recall, with lines of equal F1 and the operating point at the score threshold.
function precisionRecallChart(container, points, operatingPoint) {
  const chart = newChart(container, CHART, { role: "img", "aria-label": "Precision over recall" });
  const { root, left, right, top, bottom } = chart;
  const x = (recall) => left + recall * (right - left);
  const y = (precision) => bottom - precision * (bottom - top);
  for (const value of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    addLine(root, "grid", left, y(value), right, y(value));
    addText(root, value.toFixed(1), { x: left - 6, y: y(value) + 4, "text-anchor": "end" });
    addText(root, value.toFixed(1), { x: x(value), y: bottom + 15 });
  }
  for (const f1 of [0.5, 0.7, 0.9]) { // precision = F1 recall / (2 recall - F1)
    const lowest = f1 / (2 - f1);
    const recalls = Array.from({ length: 41 }, (_, i) => lowest + (i / 40) * (1 - lowest));
    root.append(svg("path", { class: "equal-f1", d: path(recalls.map((r) => [x(r), y((f1 * r) / (2 * r - f1))])) }));
    addText(root, `F1 ${f1}`, { x: x(f1) - 4, y: y(f1) + 12, "text-anchor": "end" });
  }
  const curve = points.map(({ recall, precision }) => [x(recall), y(precision)]);
  if (points.length) root.append(svg("path", { class: "curve", d: path(curve) }));
  if (operatingPoint) {
    const { recall, precision } = operatingPoint;
    root.append(svg("circle", { class: "operating-point", r: 5.5, cx: x(recall), cy: y(precision) }));
  }
  addLine(root, "axis", left, bottom, right, bottom);
  addText(root, "Recall", { x: (left + right) / 2, y: bottom + 33 });
  addText(root, "Precision", { transform: `translate(11 ${(top + bottom) / 2}) rotate(-90)` });
}

const path = (points) => "M" + points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
