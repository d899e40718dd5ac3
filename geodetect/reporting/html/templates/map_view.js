"use strict";
// A map of boxes over imagery, on a canvas. Coordinates are those of the grid: pixel edges of the
// raster, x to the right and y down. A view is {cx, cy, zoom, width, height, ratio}: the grid
// coordinates of its centre, CSS pixels per grid pixel, size in CSS pixels, and device pixels per
// CSS pixel.
// No map library such as Leaflet or OpenLayers: the page must be one small file that works offline,
// draw many thousand boxes, and show rasters in their own pixels, with or without a georeference.

const MIN_OUTLINE = 6; // CSS pixels; smaller boxes are drawn as dots
const DOT = 3; // CSS pixels of a dot, without its dark casing of 1
const MAX_INDEX_SIDE = 512; // cells along a side of the spatial index
const MAX_LOADED_TILES = 256;

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

// Image pyramid of the raster; tiles are loaded when they come into view.
class Imagery {
  constructor(payload, grid, onChange) {
    Object.assign(this, payload);
    this.grid = grid;
    this.onChange = onChange;
    this.loaded = new Map(); // by key, the most recently used at the end
    this.keys = new Set(payload.folder === null ? Object.keys(payload.tiles) : payload.tiles);
    this.failed = false;
  }

  draw(context, view) {
    const { grid, width, height, levels } = this; // width and height: pixels of the finest level
    const scaleX = width / grid.width, scaleY = height / grid.height; // finest pixels per grid pixel
    const reduction = scaleX / (view.zoom * view.ratio); // finest pixels per device pixel
    const target = Math.min(levels - 1, Math.max(0, Math.floor(Math.log2(reduction) + 0.4)));
    const snap = (value) => Math.round(value * view.ratio) / view.ratio; // no gaps between tiles
    const [x1, y1, x2, y2] = visibleExtent(view);
    for (let level = levels - 1; level >= target; level--) { // coarser tiles show until finer ones load
      const size = this.tile_px * 2 ** level; // of a tile, in finest pixels
      const columns = Math.ceil(width / size), rows = Math.ceil(height / size);
      const first = (value, scale) => Math.max(0, Math.floor((value * scale) / size));
      for (let r = first(y1, scaleY); r <= Math.min(rows - 1, Math.floor((y2 * scaleY) / size)); r++)
        for (let c = first(x1, scaleX); c <= Math.min(columns - 1, Math.floor((x2 * scaleX) / size)); c++) {
          const load = level === target || level === levels - 1;
          const image = this.tileImage(`${level}/${c}_${r}`, load);
          if (!image) continue;
          const scale = 2 ** level; // finest pixels per pixel of the tile
          const left = snap(toScreenX(view, (c * size) / scaleX));
          const top = snap(toScreenY(view, (r * size) / scaleY));
          const right = snap(toScreenX(view, (c * size + image.width * scale) / scaleX));
          const bottom = snap(toScreenY(view, (r * size + image.height * scale) / scaleY));
          context.drawImage(image, left, top, right - left, bottom - top);
        }
    }
  }

  // The image of a tile, or null while it is not loaded.
  tileImage(key, load) {
    let image = this.loaded.get(key);
    if (!image && load && this.keys.has(key)) {
      image = new Image();
      image.onload = () => this.onChange();
      image.onerror = () => { this.failed = true; this.onChange(); };
      const isInside = this.folder === null;
      image.src = isInside ? this.tiles[key] : `${encodeURIComponent(this.folder)}/${key}.webp`;
    }
    if (!image) return null;
    this.loaded.delete(key);
    this.loaded.set(key, image);
    if (this.loaded.size > MAX_LOADED_TILES) this.loaded.delete(this.loaded.keys().next().value);
    return image.complete && image.naturalWidth ? image : null;
  }
}

// Dots, written to the pixels of an off-screen image: many times faster than drawing shapes.
class DotImage {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
  }

  begin({ width, height, ratio }) {
    const columns = Math.max(1, Math.round(width * ratio)), rows = Math.max(1, Math.round(height * ratio));
    this.ratio = ratio;
    this.isEmpty = true;
    if (this.canvas.width !== columns || this.canvas.height !== rows || !this.pixels) {
      Object.assign(this.canvas, { width: columns, height: rows });
      this.image = this.context.createImageData(columns, rows);
      this.pixels = new Uint32Array(this.image.data.buffer);
    } else this.pixels.fill(0);
  }

  addDot(x, y, colour) {
    const casing = Math.round(this.ratio), size = Math.round(DOT * this.ratio) + 2 * casing;
    const left = Math.round(x * this.ratio - size / 2), top = Math.round(y * this.ratio - size / 2);
    this.isEmpty = false;
    this.fillSquare(left, top, size, 0xc0000000);
    this.fillSquare(left + casing, top + casing, size - 2 * casing, colour);
  }

  fillSquare(left, top, size, value) {
    const { width, height } = this.canvas;
    const right = Math.min(width, left + size), bottom = Math.min(height, top + size);
    for (let y = Math.max(0, top); y < bottom; y++)
      for (let x = Math.max(0, left); x < right; x++) this.pixels[y * width + x] = value;
  }

  end(context, { width, height }) {
    if (this.isEmpty) return;
    this.context.putImageData(this.image, 0, 0);
    context.drawImage(this.canvas, 0, 0, width, height);
  }
}

// A layer of boxes: isVisible(row) selects those that are drawn, styleIndex(row) the style of each.
class BoxLayer {
  constructor(boxes, grid) {
    this.boxes = boxes;
    this.index = new BoxIndex(boxes, grid);
    this.dots = new DotImage();
    this.styles = [];
    this.isVisible = () => true;
    this.styleIndex = () => 0;
  }

  draw(context, view) {
    const { x, y, w, h } = this.boxes, outlines = this.styles.map(() => []);
    const colours = this.styles.map((style) => pixelValue(style.colour));
    const rows = this.index.search(...visibleExtent(view));
    this.dots.begin(view);
    for (let i = rows.length - 1; i >= 0; i--) { // the highest score last, on top
      const row = rows[i];
      if (!this.isVisible(row)) continue;
      const style = this.styleIndex(row), centreX = x[row] + w[row] / 2, centreY = y[row] + h[row] / 2;
      if (Math.max(w[row], h[row]) * view.zoom >= MIN_OUTLINE) outlines[style].push([x[row], y[row], w[row], h[row]]);
      else this.dots.addDot(toScreenX(view, centreX), toScreenY(view, centreY), colours[style]);
    }
    this.dots.end(context, view);
    this.styles.forEach((style, i) => drawOutlines(context, view, outlines[i], style));
  }

  // Row of the smallest visible box at a point, or of the nearest within a tolerance; -1: none.
  hitTest(view, screenX, screenY, tolerance) {
    const { x, y, w, h } = this.boxes, radius = tolerance / view.zoom;
    const px = toGridX(view, screenX), py = toGridY(view, screenY);
    let hit = -1, lowestRank = Infinity;
    for (const row of this.index.search(px - radius, py - radius, px + radius, py + radius)) {
      if (!this.isVisible(row)) continue;
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

// #rrggbb as the 32 bits of an opaque pixel.
function pixelValue(colour) {
  const [r, g, b] = [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  return new Uint32Array(Uint8Array.of(r, g, b, 255).buffer)[0];
}

function drawOutlines(context, view, boxes, style) {
  const width = style.width || 2;
  for (const [colour, lineWidth] of [["rgba(0,0,0,.6)", width + 2], [style.colour, width]]) {
    context.setLineDash(style.dashed && lineWidth === width ? [6, 3] : []);
    context.strokeStyle = colour;
    context.lineWidth = lineWidth;
    for (const [x, y, w, h] of boxes)
      context.strokeRect(toScreenX(view, x), toScreenY(view, y), w * view.zoom, h * view.zoom);
  }
  context.setLineDash([]);
}

const toScreenX = (view, x) => (x - view.cx) * view.zoom + view.width / 2;
const toScreenY = (view, y) => (y - view.cy) * view.zoom + view.height / 2;
const toGridX = (view, x) => (x - view.width / 2) / view.zoom + view.cx;
const toGridY = (view, y) => (y - view.height / 2) / view.zoom + view.cy;
const visibleExtent = (view) =>
  [toGridX(view, 0), toGridY(view, 0), toGridX(view, view.width), toGridY(view, view.height)];

// A map that is panned and zoomed by pointer, wheel and keys. Calls onClick(x, y, tolerance),
// onHover(x, y) and onPaint(view).
class MapView {
  constructor(canvas, grid) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.grid = grid;
    this.imagery = null;
    this.layers = [];
    this.onPaint = this.onClick = this.onHover = () => {};
    this.view = { cx: grid.width / 2, cy: grid.height / 2, zoom: 0, width: 0, height: 0, ratio: 1 };
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.onPointerDown(event));
    canvas.addEventListener("pointermove", (event) => this.onPointerMove(event));
    canvas.addEventListener("pointerup", (event) => this.onPointerEnd(event));
    canvas.addEventListener("pointercancel", (event) => this.onPointerEnd(event));
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    canvas.addEventListener("dblclick", (event) => this.zoomBy(2, event.offsetX, event.offsetY));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    this.resize();
  }

  resize() {
    const { view, canvas } = this, isFirst = view.zoom === 0;
    view.width = canvas.clientWidth;
    view.height = canvas.clientHeight;
    view.ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(view.width * view.ratio);
    canvas.height = Math.round(view.height * view.ratio);
    if (isFirst && view.width) this.zoomToFull();
    this.paint(); // immediately: resizing clears a canvas
  }

  zoomToFull() {
    const { view, grid } = this;
    Object.assign(view, { cx: grid.width / 2, cy: grid.height / 2, zoom: this.fullZoom() });
    this.redraw();
  }

  fullZoom() {
    return Math.min(this.view.width / this.grid.width, this.view.height / this.grid.height) * 0.98;
  }

  zoomToBox(x, y, w, h) {
    const side = Math.max(w, h, 4) * 6;
    const zoom = this.clampZoom(Math.min(this.view.width, this.view.height) / side);
    Object.assign(this.view, { cx: x + w / 2, cy: y + h / 2, zoom });
    this.redraw();
  }

  clampZoom(zoom) {
    return Math.min(32, Math.max(this.fullZoom() / 2, zoom));
  }

  zoomBy(factor, x = this.view.width / 2, y = this.view.height / 2) {
    const { view } = this, px = toGridX(view, x), py = toGridY(view, y);
    view.zoom = this.clampZoom(view.zoom * factor);
    this.panBy(toScreenX(view, px) - x, toScreenY(view, py) - y); // keeps the point below the pointer
  }

  panBy(dx, dy) {
    const { view, grid } = this, clamp = (value, size) => Math.min(size, Math.max(0, value));
    view.cx = clamp(view.cx + dx / view.zoom, grid.width);
    view.cy = clamp(view.cy + dy / view.zoom, grid.height);
    this.redraw();
  }

  onPointerDown(event) {
    try { this.canvas.setPointerCapture(event.pointerId); } catch { /* the pointer was released already */ }
    this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    this.dragged = this.pointers.size > 1 ? Infinity : 0; // CSS pixels
  }

  onPointerMove(event) {
    const last = this.pointers.get(event.pointerId), point = { x: event.offsetX, y: event.offsetY };
    if (!last) return this.onHover(point.x, point.y);
    const [second] = [...this.pointers.keys()].filter((id) => id !== event.pointerId);
    this.pointers.set(event.pointerId, point);
    this.dragged += Math.hypot(point.x - last.x, point.y - last.y);
    if (second === undefined) {
      this.canvas.classList.add("panning");
      return this.panBy(last.x - point.x, last.y - point.y);
    }
    const other = this.pointers.get(second); // two fingers: pinch to zoom
    const distance = ({ x, y }) => Math.hypot(x - other.x, y - other.y) || 1;
    this.zoomBy(distance(point) / distance(last), (point.x + other.x) / 2, (point.y + other.y) / 2);
    this.panBy((last.x - point.x) / 2, (last.y - point.y) / 2);
  }

  onPointerEnd(event) {
    const point = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    this.canvas.classList.remove("panning");
    const isClick = point && event.type === "pointerup" && this.dragged < 6;
    const tolerance = event.pointerType === "mouse" ? 4 : 12; // CSS pixels: a finger is less exact
    if (isClick) this.onClick(point.x, point.y, tolerance);
  }

  onWheel(event) {
    event.preventDefault();
    const delta = event.deltaY * (event.deltaMode === 1 ? 20 : 1); // lines or pixels
    this.zoomBy(Math.exp(-0.002 * Math.max(-240, Math.min(240, delta))), event.offsetX, event.offsetY);
  }

  onKey(event) {
    const step = 80, action = {
      ArrowLeft: () => this.panBy(-step, 0), ArrowRight: () => this.panBy(step, 0),
      ArrowUp: () => this.panBy(0, -step), ArrowDown: () => this.panBy(0, step),
      "+": () => this.zoomBy(1.5), "=": () => this.zoomBy(1.5), "-": () => this.zoomBy(1 / 1.5),
      0: () => this.zoomToFull(),
    }[event.key];
    if (!action || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    action();
  }

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.paint(); });
  }

  paint() {
    const { context, view, grid } = this;
    if (!view.width) return;
    paintBackground(context, view, grid, this.imagery);
    for (const layer of this.layers) layer.draw(context, view);
    this.onPaint(view);
  }
}

// The background of a view: imagery, or an empty sheet of the size of the grid.
function paintBackground(context, view, grid, imagery) {
  context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  context.fillStyle = "#e3e6ea";
  context.fillRect(0, 0, view.width, view.height);
  context.fillStyle = imagery ? "#cfd4da" : "#fbfbfa";
  context.fillRect(toScreenX(view, 0), toScreenY(view, 0), grid.width * view.zoom, grid.height * view.zoom);
  context.imageSmoothingQuality = "high";
  if (imagery) imagery.draw(context, view);
}
