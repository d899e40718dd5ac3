"use strict";

const CELL = 46; // CSS pixels along a side of a cell, at least; up to twice as many between zoom levels
const MAX_CELLS = 250_000; // of a zoom level
const MIN_RADIUS = 12, MAX_RADIUS = 21; // CSS pixels of a cluster

// Counts of the visible boxes in the cells of a regular grid, by style. Cells are fixed to the ground
// and the counts of a zoom level are kept until the boxes change, so moving the map costs nothing.
class Clusters {
  constructor(boxes, grid) {
    this.boxes = boxes;
    this.grid = grid;
    this.levels = new Map(); // counts by size of the cells
  }

  clear() {
    this.levels.clear();
  }

  // The clusters in view: {x, y, radius, count, byStyle} with their position on the screen.
  inView(view, { isVisible, styleIndex, styles }) {
    const size = this.cellSize(view.zoom);
    if (!this.levels.has(size)) this.levels.set(size, this.countCells(size, isVisible, styleIndex, styles.length));
    const { columns, rows, counts, sumX, sumY } = this.levels.get(size), clusters = [];
    const [x1, y1, x2, y2] = visibleExtent(view).map((value) => Math.floor(value / size));
    for (let r = Math.max(0, y1); r <= Math.min(rows - 1, y2); r++)
      for (let c = Math.max(0, x1); c <= Math.min(columns - 1, x2); c++) {
        const cell = r * columns + c;
        const byStyle = counts.subarray(cell * styles.length, (cell + 1) * styles.length);
        const count = byStyle.reduce((sum, n) => sum + n, 0);
        if (!count) continue;
        const radius = Math.min(MAX_RADIUS, MIN_RADIUS + 2 * Math.log10(count)), margin = radius / view.zoom;
        // at the mean position of its boxes, but inside the cell, so that no two clusters overlap
        const clamp = (value, index) => Math.max(index * size + margin, Math.min((index + 1) * size - margin, value));
        const x = toScreenX(view, clamp(sumX[cell] / count, c)), y = toScreenY(view, clamp(sumY[cell] / count, r));
        clusters.push({ x, y, radius, count, byStyle });
      }
    return clusters;
  }

  // Side of a cell in grid pixels: a power of two per zoom level.
  cellSize(zoom) {
    const size = CELL / 2 ** Math.floor(Math.log2(zoom));
    return Math.max(size, Math.sqrt((this.grid.width * this.grid.height) / MAX_CELLS));
  }

  countCells(size, isVisible, styleIndex, nStyles) {
    const { x, y, w, h, count } = this.boxes;
    const columns = Math.max(1, Math.ceil(this.grid.width / size)), rows = Math.max(1, Math.ceil(this.grid.height / size));
    const counts = new Uint32Array(columns * rows * nStyles);
    const sumX = new Float64Array(columns * rows), sumY = new Float64Array(columns * rows);
    for (let row = 0; row < count; row++) {
      if (!isVisible[row]) continue;
      const centreX = x[row] + w[row] / 2, centreY = y[row] + h[row] / 2;
      const c = Math.max(0, Math.min(columns - 1, Math.floor(centreX / size)));
      const cell = Math.max(0, Math.min(rows - 1, Math.floor(centreY / size))) * columns + c;
      counts[cell * nStyles + styleIndex[row]]++;
      sumX[cell] += centreX;
      sumY[cell] += centreY;
    }
    return { columns, rows, counts, sumX, sumY };
  }
}

// Circles with the number of boxes, and around it a ring with the fraction of each style.
function drawClusters(context, clusters, styles) {
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = "600 11px system-ui, sans-serif";
  for (const { x, y, radius, count, byStyle } of clusters) {
    fillCircle(context, x, y, radius + CASING, CASING_COLOUR);
    let angle = -Math.PI / 2;
    byStyle.forEach((n, style) => {
      if (!n) return;
      const end = angle + (2 * Math.PI * n) / count;
      context.fillStyle = styles[style].colour;
      context.beginPath();
      context.moveTo(x, y);
      context.arc(x, y, radius, angle, end);
      context.fill();
      angle = end;
    });
    fillCircle(context, x, y, radius - 3.5, "#ffffff");
    context.fillStyle = "#17202c";
    context.fillText(shortNumber(count), x, y + 0.5);
  }
}

function fillCircle(context, x, y, radius, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}
