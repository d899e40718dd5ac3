"use strict";
// The selected object: its attributes and thumbnail, its address in the link of the page, and the keys.

// Select an object, or none (null). isShown: move the map to it. isLinked: write its id into the link.
function select(row, { isShown = false, isLinked = true } = {}) {
  state.selected = row;
  byId("selected").hidden = row === null;
  if (row !== null) {
    byId("attributes").replaceChildren(...attributesOf(row).map(([name, value]) =>
      element("tr", "", {}, element("th", name, { scope: "row" }), element("td", value))));
    drawThumbnail();
    if (isShown) map.showBox(...boxOf(row));
    const index = list.rows.indexOf(row);
    if (index >= 0) scrollToIndex(index);
    byId("announcement").textContent = describe(row, index);
  } else byId("announcement").textContent = "Nothing is selected.";
  if (isLinked) writeLink();
  drawList();
  map.redraw();
}

function attributesOf(row) {
  const [x, y, w, h] = boxOf(row), size = pixelSize(x, y);
  const box = [objects.outlines[row] ? "Extent" : "Box", w + h ? `${(w * size).toFixed(1)} x ${(h * size).toFixed(1)} ${unit}` : "a point"];
  const result = categories.length ? [[statuses ? "Status" : "Result", describeCategory(row)]] : [];
  const area = hasOutlines && !(isPrediction(row) && columns.has("area_m2")) ? [["Area", `${formatCount(+areas[row].toPrecision(3))} ${unit}²`]] : [];
  if (!isPrediction(row)) return [...result, ["Class", className(row)], box, ...area];
  const score = scores ? [["Score", formatValue(scoreOf(row))]] : [];
  const ofColumn = (column) => [column.name, formatValue(valueOf(column, row))];
  const first = [addressColumn, permitColumn].filter(Boolean), rest = [...columns.values()].filter((column) => !first.includes(column) && !(statuses && valueOf(column, row) === null));
  const zone = zones ? [["Zone", zoneNames(row) || "–"]] : [];
  return [...result, ...first.map(ofColumn), ...zone, ...score, ["Class", className(row)], box, ...area, ...looseAttributes(row), ...rest.map(ofColumn)];
}

function describeCategory(row) {
  const { name, text } = resultStyles?.[category[row]] ?? categories[category[row]];
  return statuses ? name : text ?? name;
}

// IoU and distance of the centres of a prediction whose box is off, and its object.
function looseAttributes(row) {
  if (!looseTruth.has(row) || category[row] !== LOOSE || statuses) return [];
  const [iou, distance] = compareBoxes(boxOf(row), boxOf(predictionCount + looseTruth.get(row)));
  return [["IoU", iou.toFixed(2)], ["Off by", `${(distance * pixelSize(objects.x[row], objects.y[row])).toFixed(1)} ${unit}`]];
}

function compareBoxes([x1, y1, w1, h1], [x2, y2, w2, h2]) {
  const overlapX = Math.max(0, Math.min(x1 + w1, x2 + w2) - Math.max(x1, x2));
  const overlap = overlapX * Math.max(0, Math.min(y1 + h1, y2 + h2) - Math.max(y1, y2));
  const distance = Math.hypot(x1 + w1 / 2 - x2 - w2 / 2, y1 + h1 / 2 - y2 - h2 / 2);
  return [overlap / (w1 * h1 + w2 * h2 - overlap || 1), distance];
}

// Spoken by screen readers.
function describe(row, index) {
  const texts = [nameOf(row), categories.length ? describeCategory(row) : null, className(row)];
  if (scoreOf(row) !== null) texts.push(`score ${scoreOf(row).toFixed(2)}`);
  const place = index >= 0 ? ` ${formatCount(index + 1)} of ${formatCount(list.rows.length)}.` : "";
  return `${texts.filter((text) => text !== null).join(", ")}.${place}`;
}

function drawThumbnail() {
  const row = state.selected, canvas = byId("thumbnail-canvas"), image = byId("thumbnail-image");
  if (row === null) return;
  const uri = isPrediction(row) ? data.thumbnails[row] : undefined; // if the imagery was reduced
  image.hidden = !uri;
  canvas.hidden = Boolean(uri);
  if (uri) { image.src = uri; return; }
  const [x, y, w, h] = boxOf(row), ratio = window.devicePixelRatio || 1, side = canvas.clientWidth;
  canvas.width = canvas.height = Math.round(side * ratio);
  const windowSize = Math.max(2.4 * Math.max(w, h), unit === "m" ? 12 / pixelSize(x, y) : 48);
  const view = { cx: x + w / 2, cy: y + h / 2, zoom: side / windowSize, width: side, height: side, ratio };
  const context = canvas.getContext("2d");
  paintBackground(context, view, grid, imagery);
  drawOutlines(context, view, [shapeOf(row)], boxLayer.styles[boxLayer.styleIndex[row]]);
}

// ------------------------------------------------------------------ link to an object
// report.html#id=17 opens the page at the object of this id.
function writeLink() {
  const row = state.selected, hash = row !== null && isPrediction(row) ? `#id=${encodeURIComponent(idOf(row))}` : "";
  if (hash !== location.hash) history.replaceState(null, "", hash || location.pathname + location.search);
}

function readLink() {
  const id = new URLSearchParams(location.hash.slice(1)).get("id");
  if (id === null) return;
  let row = 0;
  while (row < predictionCount && idOf(row) !== id) row++;
  const isMissing = row === predictionCount, isHidden = !isMissing && !isVisible[row];
  if (isHidden) showAll();
  byId("link-warning").hidden = !isMissing;
  byId("link-warning").textContent = `This page has no object with the id ${id}.`;
  if (!isMissing) select(row, { isShown: true, isLinked: false });
}

// ------------------------------------------------------------------ keys
// Keys of the whole page; those of the map and of the list are theirs while they have the focus.
function onPageKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const isText = event.target.matches("input[type=search]"), isControl = event.target.matches("button, summary, a, input");
  if (event.key === "Escape") return isText && state.words ? clearSearch() : select(null);
  if (isText) return;
  const zoom = () => { if (state.selected !== null && !isControl) map.zoomToBox(...boxOf(state.selected)); };
  const action = {
    n: () => selectNext(1), j: () => selectNext(1), p: () => selectNext(-1), k: () => selectNext(-1),
    Enter: isControl ? null : zoom, "+": () => map.zoomBy(1.5), "=": () => map.zoomBy(1.5),
    "-": () => map.zoomBy(1 / 1.5), 0: () => map.zoomToFull(),
    "/": () => byId("search").focus(), "?": () => byId("help").showModal(),
  }[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function clearSearch() {
  byId("search").value = state.words = "";
  update();
}

function initSelection() {
  byId("thumbnail").addEventListener("click", () => map.zoomToBox(...boxOf(state.selected)));
  byId("deselect").addEventListener("click", () => select(null));
  byId("next").addEventListener("click", () => selectNext(1));
  byId("previous").addEventListener("click", () => selectNext(-1));
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  document.addEventListener("keydown", onPageKey);
  window.addEventListener("hashchange", readLink);
}
