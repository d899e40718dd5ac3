"use strict";
// A map of boxes over imagery, on a canvas. Coordinates are those of the grid: pixel edges of the
// raster, x to the right and y down. A view is {cx, cy, zoom, width, height, ratio}: the grid
// coordinates of its centre, CSS pixels per grid pixel, size in CSS pixels, and device pixels per
// CSS pixel.
// No map library such as Leaflet or OpenLayers: the page must be one small file that works offline,
// draw many thousand boxes, and show rasters in their own pixels, with or without a georeference.

let isPrinting = false; // canvases keep the size they have on the screen, and the style sheet fits them to the paper

const MIN_BOX = 16; // grid pixels; smaller boxes are shown with the surroundings of one of this size

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
    this.isFull = true; // stays so while the window changes
    this.pointers = new Map();
    new ResizeObserver(() => !isPrinting && this.resize()).observe(canvas);
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
    const { view, canvas } = this;
    view.width = canvas.clientWidth;
    view.height = canvas.clientHeight;
    view.ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(view.width * view.ratio);
    canvas.height = Math.round(view.height * view.ratio);
    if (this.isFull && view.width) this.zoomToFull();
    this.paint(); // immediately: resizing clears a canvas
  }

  zoomToFull() {
    const { view, grid } = this;
    Object.assign(view, { cx: grid.width / 2, cy: grid.height / 2, zoom: this.fullZoom() });
    this.isFull = true;
    this.redraw();
  }

  fullZoom() {
    return Math.min(this.view.width / this.grid.width, this.view.height / this.grid.height) * 0.98;
  }

  zoomToBox(x, y, w, h) {
    const side = Math.max(w, h, MIN_BOX) * 6;
    this.zoomToExtent(x + w / 2 - side / 2, y + h / 2 - side / 2, side, side);
  }

  zoomToExtent(x, y, w, h) {
    const zoom = this.clampZoom(Math.min(this.view.width / w, this.view.height / h));
    Object.assign(this.view, { cx: x + w / 2, cy: y + h / 2, zoom });
    this.isFull = false;
    this.redraw();
  }

  // Move to a box, and zoom only if it would be too small or too large to look at.
  showBox(x, y, w, h) {
    const ratio = (Math.max(w, h, MIN_BOX) * this.view.zoom) / Math.min(this.view.width, this.view.height);
    if (ratio < 1 / 20 || ratio > 1 / 3) return this.zoomToBox(x, y, w, h);
    Object.assign(this.view, { cx: x + w / 2, cy: y + h / 2 });
    this.isFull = false;
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
    this.isFull = false;
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
