"use strict";

const MAX_LOADED_TILES = 256;

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
