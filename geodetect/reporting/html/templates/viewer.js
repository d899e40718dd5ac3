"use strict";
// A map of boxes over imagery, on a canvas. Coordinates are those of the frame: pixel edges of the
// raster, x to the right and y down. A view is {cx, cy, zoom, width, height, ratio}: the place in its
// middle, CSS pixels per frame pixel, size in CSS pixels, and device pixels per CSS pixel.

const SMALL = 6; // CSS pixels; smaller boxes are drawn as dots
const DOT = 3; // CSS pixels of a dot, without its dark rim of 1
const MOST_CELLS = 512; // per side of the index
const KEPT_PICTURES = 256;

// Finds boxes by place: the rows of all boxes that touch each cell of a grid.
class BoxIndex {
  constructor(boxes, frame) {
    this.boxes = boxes;
    const side = Math.min(MOST_CELLS, Math.max(1, Math.ceil(Math.sqrt(boxes.count))));
    const cell = Math.max(frame.width, frame.height) / side;
    this.columns = Math.max(1, Math.ceil(frame.width / cell));
    this.rows = Math.max(1, Math.ceil(frame.height / cell));
    this.cell = cell;
    this.start = new Uint32Array(this.columns * this.rows + 1);
    for (let row = 0; row < boxes.count; row++) this.eachCell(row, (c) => this.start[c + 1]++);
    for (let c = 0; c < this.columns * this.rows; c++) this.start[c + 1] += this.start[c];
    this.members = new Uint32Array(this.start[this.columns * this.rows]);
    const next = this.start.slice();
    for (let row = 0; row < boxes.count; row++) this.eachCell(row, (c) => { this.members[next[c]++] = row; });
    this.every = Uint32Array.from(boxes.x, (_, row) => row);
    this.seen = new Uint32Array(boxes.count);
    this.query = 0;
  }

  eachCell(row, visit) {
    const { x, y, w, h } = this.boxes;
    this.cellsIn(x[row], y[row], x[row] + w[row], y[row] + h[row], visit);
  }

  cellsIn(x1, y1, x2, y2, visit) {
    const clamp = (value, count) => Math.min(count - 1, Math.max(0, Math.floor(value / this.cell)));
    const left = clamp(x1, this.columns), right = clamp(x2, this.columns);
    for (let r = clamp(y1, this.rows); r <= clamp(y2, this.rows); r++)
      for (let c = left; c <= right; c++) visit(r * this.columns + c);
  }

  // Rows of the boxes that touch a rectangle, each once, in ascending order.
  find(x1, y1, x2, y2) {
    const { x, y, w, h } = this.boxes, found = [], query = ++this.query, side = this.cell;
    if (x1 <= 0 && y1 <= 0 && x2 >= this.columns * side && y2 >= this.rows * side) return this.every;
    this.cellsIn(x1, y1, x2, y2, (c) => {
      for (let i = this.start[c]; i < this.start[c + 1]; i++) {
        const row = this.members[i];
        if (this.seen[row] === query) continue;
        this.seen[row] = query;
        const beside = x[row] > x2 || x[row] + w[row] < x1, apart = y[row] > y2 || y[row] + h[row] < y1;
        if (!beside && !apart) found.push(row);
      }
    });
    return Uint32Array.from(found).sort(); // sorts by number, which arrays do not
  }
}

// Pictures of the raster at several resolutions, loaded when they come into sight.
class Imagery {
  constructor(spec, frame, changed) {
    Object.assign(this, spec);
    this.frame = frame;
    this.changed = changed;
    this.loaded = new Map(); // by key, the one used last at the end
    this.present = new Set(spec.folder === null ? Object.keys(spec.pictures) : spec.pictures);
    this.failed = false;
  }

  draw(context, view) {
    const { frame, width, height, levels } = this;
    const scaleX = width / frame.width, scaleY = height / frame.height; // finest pixels per frame pixel
    const shrink = scaleX / (view.zoom * view.ratio); // finest pixels per device pixel
    const wanted = Math.min(levels - 1, Math.max(0, Math.floor(Math.log2(shrink) + 0.4)));
    const device = (value) => Math.round(value * view.ratio) / view.ratio; // no gaps between pictures
    const [x1, y1, x2, y2] = visible(view);
    for (let level = levels - 1; level >= wanted; level--) { // coarser ones stand in for those to come
      const side = this.side * 2 ** level;
      const columns = Math.ceil(width / side), rows = Math.ceil(height / side);
      const from = (value, scale) => Math.max(0, Math.floor((value * scale) / side));
      for (let r = from(y1, scaleY); r <= Math.min(rows - 1, Math.floor((y2 * scaleY) / side)); r++)
        for (let c = from(x1, scaleX); c <= Math.min(columns - 1, Math.floor((x2 * scaleX) / side)); c++) {
          const load = level === wanted || level === levels - 1;
          const image = this.picture(`${level}/${c}_${r}`, load);
          if (!image) continue;
          const size = 2 ** level; // finest pixels per pixel of the picture
          const left = device(toScreenX(view, (c * side) / scaleX));
          const top = device(toScreenY(view, (r * side) / scaleY));
          const right = device(toScreenX(view, (c * side + image.width * size) / scaleX));
          const bottom = device(toScreenY(view, (r * side + image.height * size) / scaleY));
          context.drawImage(image, left, top, right - left, bottom - top);
        }
    }
  }

  // The picture, or null while it is not there.
  picture(key, load) {
    let image = this.loaded.get(key);
    if (!image && load && this.present.has(key)) {
      image = new Image();
      image.onload = () => this.changed();
      image.onerror = () => { this.failed = true; this.changed(); };
      const inside = this.folder === null;
      image.src = inside ? this.pictures[key] : `${encodeURIComponent(this.folder)}/${key}.webp`;
    }
    if (!image) return null;
    this.loaded.delete(key);
    this.loaded.set(key, image);
    if (this.loaded.size > KEPT_PICTURES) this.loaded.delete(this.loaded.keys().next().value);
    return image.complete && image.naturalWidth ? image : null;
  }
}

// Dots, set pixel by pixel in a picture of their own: many times faster than a shape for each.
class Dots {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
  }

  begin({ width, height, ratio }) {
    const across = Math.max(1, Math.round(width * ratio)), down = Math.max(1, Math.round(height * ratio));
    this.ratio = ratio;
    this.used = false;
    if (this.canvas.width !== across || this.canvas.height !== down || !this.pixels) {
      Object.assign(this.canvas, { width: across, height: down });
      this.image = this.context.createImageData(across, down);
      this.pixels = new Uint32Array(this.image.data.buffer);
    } else this.pixels.fill(0);
  }

  put(x, y, colour) {
    const rim = Math.round(this.ratio), size = Math.round(DOT * this.ratio) + 2 * rim;
    const left = Math.round(x * this.ratio - size / 2), top = Math.round(y * this.ratio - size / 2);
    this.used = true;
    this.square(left, top, size, 0xc0000000);
    this.square(left + rim, top + rim, size - 2 * rim, colour);
  }

  square(left, top, size, value) {
    const { width, height } = this.canvas;
    const right = Math.min(width, left + size), bottom = Math.min(height, top + size);
    for (let y = Math.max(0, top); y < bottom; y++)
      for (let x = Math.max(0, left); x < right; x++) this.pixels[y * width + x] = value;
  }

  end(context, { width, height }) {
    if (!this.used) return;
    this.context.putImageData(this.image, 0, 0);
    context.drawImage(this.canvas, 0, 0, width, height);
  }
}

// Boxes of one kind. shows(row) says whether a box is drawn, style(row) in which of the styles.
class BoxLayer {
  constructor(boxes, frame) {
    this.boxes = boxes;
    this.index = new BoxIndex(boxes, frame);
    this.dots = new Dots();
    this.styles = [];
    this.shows = () => true;
    this.style = () => 0;
  }

  draw(context, view) {
    const { x, y, w, h } = this.boxes, outlines = this.styles.map(() => []);
    const colours = this.styles.map((style) => packed(style.colour)), rows = this.index.find(...visible(view));
    this.dots.begin(view);
    for (let i = rows.length - 1; i >= 0; i--) { // the surest last, on top
      const row = rows[i];
      if (!this.shows(row)) continue;
      const style = this.style(row), centreX = x[row] + w[row] / 2, centreY = y[row] + h[row] / 2;
      if (Math.max(w[row], h[row]) * view.zoom >= SMALL) outlines[style].push([x[row], y[row], w[row], h[row]]);
      else this.dots.put(toScreenX(view, centreX), toScreenY(view, centreY), colours[style]);
    }
    this.dots.end(context, view);
    this.styles.forEach((style, i) => drawOutlines(context, view, outlines[i], style));
  }

  // The smallest shown box at a place, or the nearest within a few pixels; -1 if there is none.
  at(view, screenX, screenY, reach) {
    const { x, y, w, h } = this.boxes, r = reach / view.zoom;
    const px = toFrameX(view, screenX), py = toFrameY(view, screenY);
    let best = -1, least = Infinity;
    for (const row of this.index.find(px - r, py - r, px + r, py + r)) {
      if (!this.shows(row)) continue;
      const besideX = Math.max(x[row] - px, 0, px - x[row] - w[row]);
      const besideY = Math.max(y[row] - py, 0, py - y[row] - h[row]);
      const outside = Math.hypot(besideX, besideY);
      if (outside > r) continue;
      const rank = outside > 0 ? 1e12 + outside : w[row] * h[row];
      if (rank < least) { least = rank; best = row; }
    }
    return best;
  }
}

// #rrggbb as the number that is stored for a pixel.
function packed(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return new Uint32Array(Uint8Array.of(r, g, b, 255).buffer)[0];
}

function drawOutlines(context, view, boxes, style) {
  const width = style.width || 2;
  for (const [colour, line] of [["rgba(0,0,0,.6)", width + 2], [style.colour, width]]) {
    context.setLineDash(style.dashed && line === width ? [6, 3] : []);
    context.strokeStyle = colour;
    context.lineWidth = line;
    for (const [x, y, w, h] of boxes)
      context.strokeRect(toScreenX(view, x), toScreenY(view, y), w * view.zoom, h * view.zoom);
  }
  context.setLineDash([]);
}

const toScreenX = (view, x) => (x - view.cx) * view.zoom + view.width / 2;
const toScreenY = (view, y) => (y - view.cy) * view.zoom + view.height / 2;
const toFrameX = (view, x) => (x - view.width / 2) / view.zoom + view.cx;
const toFrameY = (view, y) => (y - view.height / 2) / view.zoom + view.cy;
const visible = (view) =>
  [toFrameX(view, 0), toFrameY(view, 0), toFrameX(view, view.width), toFrameY(view, view.height)];

// The map: moves with pointer, wheel, keys and buttons; calls clicked(x, y) and drawn(view).
class MapView {
  constructor(canvas, frame) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.frame = frame;
    this.imagery = null;
    this.layers = [];
    this.drawn = this.clicked = this.hovered = () => {};
    this.view = { cx: frame.width / 2, cy: frame.height / 2, zoom: 0, width: 0, height: 0, ratio: 1 };
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.release(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", (event) => this.zoomBy(2, event.offsetX, event.offsetY));
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.resize();
  }

  resize() {
    const { view, canvas } = this, first = view.zoom === 0;
    view.width = canvas.clientWidth;
    view.height = canvas.clientHeight;
    view.ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(view.width * view.ratio);
    canvas.height = Math.round(view.height * view.ratio);
    if (first && view.width) this.showAll();
    this.paint(); // at once: a canvas that was resized is empty
  }

  showAll() {
    const { view, frame } = this;
    Object.assign(view, { cx: frame.width / 2, cy: frame.height / 2, zoom: this.fitting() });
    this.redraw();
  }

  fitting() {
    return Math.min(this.view.width / this.frame.width, this.view.height / this.frame.height) * 0.98;
  }

  showBox(x, y, w, h) {
    const side = Math.max(w, h, 4) * 6;
    const zoom = Math.min(this.view.width, this.view.height) / side;
    Object.assign(this.view, { cx: x + w / 2, cy: y + h / 2 });
    this.view.zoom = this.limited(zoom);
    this.redraw();
  }

  limited(zoom) {
    return Math.min(32, Math.max(this.fitting() / 2, zoom));
  }

  zoomBy(factor, x = this.view.width / 2, y = this.view.height / 2) {
    const { view } = this, px = toFrameX(view, x), py = toFrameY(view, y);
    view.zoom = this.limited(view.zoom * factor);
    this.panBy(toScreenX(view, px) - x, toScreenY(view, py) - y); // what is below the pointer stays there
  }

  panBy(dx, dy) {
    const { view, frame } = this, inside = (value, size) => Math.min(size, Math.max(0, value));
    view.cx = inside(view.cx + dx / view.zoom, frame.width);
    view.cy = inside(view.cy + dy / view.zoom, frame.height);
    this.redraw();
  }

  press(event) {
    try { this.canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
    this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    this.travelled = this.pointers.size > 1 ? Infinity : 0;
  }

  move(event) {
    const last = this.pointers.get(event.pointerId), here = { x: event.offsetX, y: event.offsetY };
    if (!last) return this.hovered(here.x, here.y);
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    this.pointers.set(event.pointerId, here);
    this.travelled += Math.hypot(here.x - last.x, here.y - last.y);
    if (others.length === 0) {
      this.canvas.classList.add("moving");
      return this.panBy(last.x - here.x, last.y - here.y);
    }
    const [other] = others, apart = (a) => Math.hypot(a.x - other.x, a.y - other.y) || 1;
    this.zoomBy(apart(here) / apart(last), (here.x + other.x) / 2, (here.y + other.y) / 2);
    this.panBy((last.x - here.x) / 2, (last.y - here.y) / 2);
  }

  release(event) {
    const here = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    this.canvas.classList.remove("moving");
    const reach = event.pointerType === "mouse" ? 4 : 12; // CSS pixels: a finger is less exact
    if (here && event.type === "pointerup" && this.travelled < 6) this.clicked(here.x, here.y, reach);
  }

  wheel(event) {
    event.preventDefault();
    const turned = event.deltaY * (event.deltaMode === 1 ? 20 : 1); // lines or pixels
    this.zoomBy(Math.exp(-0.002 * Math.max(-240, Math.min(240, turned))), event.offsetX, event.offsetY);
  }

  key(event) {
    const step = 80, act = {
      ArrowLeft: () => this.panBy(-step, 0), ArrowRight: () => this.panBy(step, 0),
      ArrowUp: () => this.panBy(0, -step), ArrowDown: () => this.panBy(0, step),
      "+": () => this.zoomBy(1.5), "=": () => this.zoomBy(1.5), "-": () => this.zoomBy(1 / 1.5),
      0: () => this.showAll(),
    }[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  }

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.paint(); });
  }

  paint() {
    const { context, view, frame } = this;
    if (!view.width) return;
    paintGround(context, view, frame, this.imagery);
    for (const layer of this.layers) layer.draw(context, view);
    this.drawn(view);
  }
}

// The ground of a view: imagery, or plain paper as large as the frame.
function paintGround(context, view, frame, imagery) {
  context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  context.fillStyle = "#e3e6ea";
  context.fillRect(0, 0, view.width, view.height);
  context.fillStyle = imagery ? "#cfd4da" : "#fbfbfa";
  context.fillRect(toScreenX(view, 0), toScreenY(view, 0), frame.width * view.zoom, frame.height * view.zoom);
  context.imageSmoothingQuality = "high";
  if (imagery) imagery.draw(context, view);
}
