"use strict";
// Small charts as SVG.

const CHART = { height: 250, left: 40, right: 12, top: 10, bottom: 38 };
const BARE = { height: 70, left: 8, right: 8, top: 4, bottom: 1 }; // over a slider, whose knob needs the sides

function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Numbers 0, 1, 2, 5, 10, ... in steps that divide a length into about as many parts.
function niceStep(length, parts) {
  const power = 10 ** Math.floor(Math.log10(length / parts));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => length / step <= parts * 1.3) || 10 * power;
}

const shortNumber = (value) => value >= 10000 ? `${+(value / 1000).toFixed(1)}k` : `${+value.toPrecision(4)}`;

// Equal bins over the values; the last one takes all that is beyond it. A tick is a part of the axis.
class Bins {
  constructor(values, low, high, count, tick = high - low) {
    Object.assign(this, { low, high, count, tick });
    const bin = (value) => Math.floor(((value - low) / (high - low)) * count);
    this.of = Uint16Array.from(values, (value) => Math.max(0, Math.min(count - 1, bin(value))));
    this.all = this.counts(() => true);
  }

  counts(shows) {
    const counts = new Uint32Array(this.count);
    for (let row = 0; row < this.of.length; row++) if (shows(row)) counts[this.of[row]]++;
    return counts;
  }
}

// Bars of what is shown, with axes.
function histogram(place, bins, shown, label) {
  const { height, left, right, top } = CHART, width = place.clientWidth || 400, bottom = height - CHART.bottom;
  const most = Math.max(1, ...shown), end = width - right;
  const x = (value) => left + ((value - bins.low) / (bins.high - bins.low)) * (end - left);
  const y = (count) => bottom - (count / most) * (bottom - top);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${label}: histogram` });
  drawAxes(root, { x, y, left, right: end, bottom, bins, most, label });
  drawBars(root, shown, { left, right: end, bottom, y, style: () => ({ class: "shown" }) });
  place.replaceChildren(root);
}

// Bars over a slider: all in grey, those shown in colours by bin. Heights are logarithms, because
// unsure detections outnumber sure ones many times.
function sliderHistogram(place, bins, shown, colours) {
  const { height, left, right, top } = BARE, width = place.clientWidth || 400, bottom = height - BARE.bottom;
  const y = (count) => bottom - (Math.log1p(count) / Math.log1p(Math.max(1, ...bins.all))) * (bottom - top);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const area = { left, right: width - right, bottom, y };
  drawBars(root, bins.all, { ...area, style: () => ({ class: "all" }) });
  drawBars(root, shown, { ...area, style: (i) => ({ style: `fill:${colours[i]}`, stroke: "#3a4350" }) });
  place.replaceChildren(root);
}

function drawBars(root, counts, { left, right, bottom, y, style }) {
  const step = (right - left) / counts.length;
  counts.forEach((count, i) => {
    if (!count) return;
    const top = Math.min(y(count), bottom - 1.5), place = { x: left + i * step + 0.5, width: Math.max(1, step - 1) };
    root.append(svg("rect", { ...place, y: top, height: bottom - top, ...style(i) }));
  });
}

function drawAxes(root, { x, y, left, right, bottom, bins, most, label }) {
  const { low, high, tick } = bins, up = Math.max(1, niceStep(most, 4));
  for (let count = 0; count <= most; count += up) {
    root.append(svg("line", { class: "grid", x1: left, x2: right, y1: y(count), y2: y(count) }));
    root.append(svg("text", { x: left - 6, y: y(count) + 4, "text-anchor": "end" }, shortNumber(count)));
  }
  for (let value = low; value <= high + tick * 1e-6; value += tick) {
    const last = value + tick > high + tick * 1e-6; // the last bin takes all that is beyond it
    const text = `${+value.toPrecision(4)}${last ? "+" : ""}`;
    root.append(svg("text", { x: x(value), y: bottom + 15, "text-anchor": "middle" }, text));
  }
  root.append(svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  root.append(svg("text", { x: (left + right) / 2, y: bottom + 33, "text-anchor": "middle" }, label));
}

// Precision over recall, with lines of equal F1 and the point of the threshold that is set.
function precisionRecall(place, points, here) {
  const { height, left, right, top } = CHART, width = place.clientWidth || 400, bottom = height - CHART.bottom;
  const x = (recall) => left + recall * (width - left - right);
  const y = (precision) => bottom - precision * (bottom - top);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Precision over recall" });
  for (let i = 0; i <= 5; i++) {
    root.append(svg("line", { class: "grid", x1: x(0), x2: x(1), y1: y(i / 5), y2: y(i / 5) }));
    root.append(svg("text", { x: left - 6, y: y(i / 5) + 4, "text-anchor": "end" }, (i / 5).toFixed(1)));
    root.append(svg("text", { x: x(i / 5), y: bottom + 15, "text-anchor": "middle" }, (i / 5).toFixed(1)));
  }
  for (const f1 of [0.5, 0.7, 0.9]) {
    const curve = Array.from({ length: 41 }, (_, i) => f1 / (2 - f1) + (i / 40) * (1 - f1 / (2 - f1)));
    root.append(svg("path", { class: "level", d: path(curve.map((r) => [x(r), y((f1 * r) / (2 * r - f1))])) }));
    root.append(svg("text", { x: x(f1) - 4, y: y(f1) + 12, "text-anchor": "end" }, `F1 ${f1}`));
  }
  const places = points.map((point) => [x(point.recall), y(point.precision)]);
  if (points.length) root.append(svg("path", { class: "curve", d: path(places) }));
  if (here) root.append(svg("circle", { class: "here", r: 5.5, cx: x(here.recall), cy: y(here.precision) }));
  root.append(svg("line", { class: "axis", x1: x(0), x2: x(1), y1: bottom, y2: bottom }));
  root.append(svg("text", { x: (x(0) + x(1)) / 2, y: bottom + 33, "text-anchor": "middle" }, "Recall"));
  const upright = `translate(11 ${(top + bottom) / 2}) rotate(-90)`;
  root.append(svg("text", { transform: upright, "text-anchor": "middle" }, "Precision"));
  place.replaceChildren(root);
}

const path = (places) => "M" + places.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
