"use strict";

const MAX_INDEX_SIDE = 512; // cells along a side of the spatial index

// Spatial index: for each cell c of a regular grid the rows of the boxes that intersect it,
// members[start[c]] to members[start[c + 1] - 1].
class BoxIndex {
  constructor(boxes, grid) {
    this.boxes = boxes;
    const side = Math.min(MAX_INDEX_SIDE, Math.max(1, Math.ceil(Math.sqrt(boxes.count))));
    this.cellSize = Math.max(grid.width, grid.height) / side;
    this.columns = Math.max(1, Math.ceil(grid.width / this.cellSize));
    this.rows = Math.max(1, Math.ceil(grid.height / this.cellSize));
    this.start = new Uint32Array(this.columns * this.rows + 1);
    for (let row = 0; row < boxes.count; row++) this.forEachCell(row, (c) => this.start[c + 1]++);
    for (let c = 0; c < this.columns * this.rows; c++) this.start[c + 1] += this.start[c];
    this.members = new Uint32Array(this.start[this.columns * this.rows]);
    const next = this.start.slice();
    for (let row = 0; row < boxes.count; row++) this.forEachCell(row, (c) => { this.members[next[c]++] = row; });
    this.allRows = Uint32Array.from(boxes.x, (_, row) => row);
    this.lastQuery = new Uint32Array(boxes.count); // that returned each box
    this.query = 0;
  }

  forEachCell(row, visit) {
    const { x, y, w, h } = this.boxes;
    this.forEachCellIn(x[row], y[row], x[row] + w[row], y[row] + h[row], visit);
  }

  forEachCellIn(x1, y1, x2, y2, visit) {
    const clamp = (value, count) => Math.min(count - 1, Math.max(0, Math.floor(value / this.cellSize)));
    const left = clamp(x1, this.columns), right = clamp(x2, this.columns);
    for (let r = clamp(y1, this.rows); r <= clamp(y2, this.rows); r++)
      for (let c = left; c <= right; c++) visit(r * this.columns + c);
  }

  // Rows of the boxes that intersect a rectangle, each once, in ascending order.
  search(x1, y1, x2, y2) {
    const { x, y, w, h } = this.boxes, rows = [], query = ++this.query, size = this.cellSize;
    if (x1 <= 0 && y1 <= 0 && x2 >= this.columns * size && y2 >= this.rows * size) return this.allRows;
    this.forEachCellIn(x1, y1, x2, y2, (c) => {
      for (let i = this.start[c]; i < this.start[c + 1]; i++) {
        const row = this.members[i];
        if (this.lastQuery[row] === query) continue;
        this.lastQuery[row] = query;
        const intersectsX = x[row] <= x2 && x[row] + w[row] >= x1;
        if (intersectsX && y[row] <= y2 && y[row] + h[row] >= y1) rows.push(row);
      }
    });
    return Uint32Array.from(rows).sort(); // typed arrays sort as numbers
  }
}

const MIN_OUTLINE = 6; // CSS pixels; smaller boxes are drawn as dots
const DOT = 3; // CSS pixels of a dot, without its casing
const CASING = 1; // CSS pixels of the dark edge, so that a colour shows on bright and dark ground
const CASING_COLOUR = "rgba(0,0,0,.6)";
const POINT_SIDE = 16; // CSS pixels of the outline of an object without an extent
const CLUSTER_AREA = 64; // CSS px²; with less of the screen per box, clusters are drawn instead

// A layer of boxes, which are drawn as outlines where these are known. isVisible[row] selects those
// that are drawn, styleIndex[row] the style of each:
// {colour, dashed, width}.
class BoxLayer {
  constructor(boxes, grid) {
    this.boxes = boxes;
    this.index = new BoxIndex(boxes, grid);
    this.clusters = new Clusters(boxes, grid);
    this.styles = [];
    this.isVisible = new Uint8Array(boxes.count).fill(1);
    this.styleIndex = new Uint8Array(boxes.count);
    // points among boxes are taken for objects of the median size, and are dots where these are
    const sides = boxes.w.map((w, row) => Math.max(w, boxes.h[row])).filter((side) => side > 0).sort();
    this.pointSide = sides.length ? sides[sides.length >> 1] : Infinity;
  }

  // To be called after styles or visible boxes changed.
  onChange() {
    this.clusters.clear();
  }

  // Clusters in view if there are too many boxes to tell them apart, else null.
  clustersIn(view) {
    const limit = (view.width * view.height) / CLUSTER_AREA;
    if (this.boxes.count <= limit) return null;
    const clusters = this.clusters.inView(view, this);
    return clusters.reduce((sum, { count }) => sum + count, 0) > limit ? clusters : null;
  }

  draw(context, view) {
    const clusters = this.clustersIn(view);
    if (clusters) return drawClusters(context, clusters, this.styles);
    const { x, y, w, h } = this.boxes;
    const outlines = this.styles.map(() => []), dots = this.styles.map(() => []);
    const rows = this.index.search(...visibleExtent(view));
    for (let i = rows.length - 1; i >= 0; i--) { // the highest score last, on top
      const row = rows[i], style = this.styleIndex[row];
      if (!this.isVisible[row]) continue;
      const isOutline = (Math.max(w[row], h[row]) || this.pointSide) * view.zoom >= MIN_OUTLINE;
      if (isOutline) outlines[style].push({ box: [x[row], y[row], w[row], h[row]], rings: this.boxes.outlines[row] });
      else dots[style].push(toScreenX(view, x[row] + w[row] / 2), toScreenY(view, y[row] + h[row] / 2));
    }
    drawDots(context, dots, this.styles);
    this.styles.forEach((style, i) => drawOutlines(context, view, outlines[i], style));
  }

  // Row of the smallest visible box at a point, or of the nearest within a tolerance; -1: none.
  hitTest(view, screenX, screenY, tolerance) {
    const { x, y, w, h } = this.boxes, radius = tolerance / view.zoom;
    const px = toGridX(view, screenX), py = toGridY(view, screenY);
    let hit = -1, lowestRank = Infinity;
    for (const row of this.index.search(px - radius, py - radius, px + radius, py + radius)) {
      if (!this.isVisible[row]) continue;
      const dx = Math.max(x[row] - px, 0, px - x[row] - w[row]);
      const dy = Math.max(y[row] - py, 0, py - y[row] - h[row]);
      const distance = Math.hypot(dx, dy);
      if (distance > radius) continue;
      const rank = distance > 0 ? 1e12 + distance : w[row] * h[row];
      if (rank < lowestRank) { lowestRank = rank; hit = row; }
    }
    return hit;
  }
}

// Dots of each style at the screen positions x, y, x, y, ...
function drawDots(context, dots, styles) {
  const fill = (positions, colour, side) => {
    context.fillStyle = colour;
    for (let i = 0; i < positions.length; i += 2)
      context.fillRect(positions[i] - side / 2, positions[i + 1] - side / 2, side, side);
  };
  for (const positions of dots) fill(positions, "rgba(0,0,0,.75)", DOT + 2 * CASING);
  dots.forEach((positions, style) => fill(positions, styles[style].colour, DOT));
}

// Outlines of objects {box, rings}: of boxes where there are no rings; boxes without an extent get a
// small square around them.
function drawOutlines(context, view, shapes, style) {
  const width = style.width || 2;
  for (const [colour, lineWidth] of [[CASING_COLOUR, width + 2 * CASING], [style.colour, width]]) {
    context.setLineDash(style.dashed && lineWidth === width ? [6, 3] : []);
    context.strokeStyle = colour;
    context.lineWidth = lineWidth;
    context.lineJoin = "round";
    for (const { box: [x, y, w, h], rings } of shapes) {
      if (rings) {
        tracePath(context, view, rings);
        context.stroke();
        continue;
      }
      const margin = w + h === 0 ? POINT_SIDE / 2 : 0;
      const [left, top] = [toScreenX(view, x) - margin, toScreenY(view, y) - margin];
      context.strokeRect(left, top, w * view.zoom + 2 * margin, h * view.zoom + 2 * margin);
    }
  }
  context.setLineDash([]);
  context.lineJoin = "miter";
}

function tracePath(context, view, rings) {
  context.beginPath();
  for (const ring of rings) {
    context.moveTo(toScreenX(view, ring[0]), toScreenY(view, ring[1]));
    for (let i = 2; i < ring.length; i += 2) context.lineTo(toScreenX(view, ring[i]), toScreenY(view, ring[i + 1]));
    context.closePath();
  }
}
