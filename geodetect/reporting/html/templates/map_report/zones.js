"use strict";
// Zones: a table with counts, a map shaded by density, and their outlines on the large map.

const zones = data.zones ?? null;
const ZONE_MARGIN = 8; // CSS pixels around the shaded map
const NEARLY_ALL = 0.995; // fraction of a zone that counts as all of it
const HATCH_PX = 7; // CSS pixels between the lines over what was not looked at

// Outline as a path in grid coordinates, and extent, of each zone. Holes are rings of their own.
const zoneShapes = zones ? zones.list.map(({ rings }) => {
  const outline = new Path2D(), extent = [Infinity, Infinity, -Infinity, -Infinity];
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i += 2) {
      const x = ring[i] / 10, y = ring[i + 1] / 10;
      outline[i ? "lineTo" : "moveTo"](x, y);
      extent.splice(0, 4, Math.min(extent[0], x), Math.min(extent[1], y), Math.max(extent[2], x), Math.max(extent[3], y));
    }
    outline.closePath();
  }
  return { outline, extent, members: null };
}) : [];

// 1 for each object whose centre lies in a zone.
function zoneMembers(zone) {
  const { x, y, w, h, count } = objects;
  zoneShapes[zone].members ??= Uint8Array.from({ length: count }, (_, row) => Number(isInZone(zone, x[row] + w[row] / 2, y[row] + h[row] / 2)));
  return zoneShapes[zone].members;
}

const testContext = element("canvas").getContext("2d"); // has no transform

function isInZone(zone, x, y) {
  const { outline, extent: [x1, y1, x2, y2] } = zoneShapes[zone];
  return x >= x1 && x <= x2 && y >= y1 && y <= y2 && testContext.isPointInPath(outline, x, y, "evenodd");
}

// Names of the zones that hold the centre of an object.
function zoneNames(row) {
  const x = objects.x[row] + objects.w[row] / 2, y = objects.y[row] + objects.h[row] / 2;
  return zones.list.filter((_, zone) => isInZone(zone, x, y)).map(({ name }) => name).join(", ");
}

// ------------------------------------------------------------------ shades
// Zones are shaded by density, which their sizes do not distort.
const NO_SHADE = "#eceff2";
const shadeOf = ({ shade }) => (shade === null ? NO_SHADE : palette.zones[shade]);
const isSearchUnknown = zones?.list.every(({ searched }) => searched === "assumed");
const isPartlySearched = ({ searched }) => searched === "none" || searched === "part";

// ------------------------------------------------------------------ shaded map
const zoneMap = { view: null };

function drawZoneMap() {
  const canvas = byId("zone-canvas"), context = canvas.getContext("2d"), ratio = window.devicePixelRatio || 1;
  const extents = zoneShapes.map(({ extent }) => extent).filter(([x]) => Number.isFinite(x)); // zones off the map have none
  const [x1, y1] = [0, 1].map((i) => Math.min(...extents.map((extent) => extent[i])));
  const [x2, y2] = [2, 3].map((i) => Math.max(...extents.map((extent) => extent[i])));
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const zoom = Math.min((width - 2 * ZONE_MARGIN) / (x2 - x1), (height - 2 * ZONE_MARGIN) / (y2 - y1));
  const view = { cx: (x1 + x2) / 2, cy: (y1 + y2) / 2, zoom, width, height, ratio };
  zoneMap.view = view;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const hatch = hatchPattern(context, ratio);
  zones.list.forEach((zone, i) => {
    setGridTransform(context, view);
    context.fillStyle = shadeOf(zone);
    context.fill(zoneShapes[i].outline, "evenodd");
    if (isPartlySearched(zone)) {
      context.fillStyle = hatch;
      hatch.setTransform(new DOMMatrix().scale(1 / (view.zoom * ratio)));
      context.fill(zoneShapes[i].outline, "evenodd");
    }
    strokeZone(context, view, i, "#ffffff", 1.5);
  });
  if (state.zone !== null) strokeZone(context, view, state.zone, "#17202c", 3);
  drawZoneNames(context, view);
}

function setGridTransform(context, { cx, cy, zoom, width, height, ratio }) {
  const scale = zoom * ratio;
  context.setTransform(scale, 0, 0, scale, (width * ratio) / 2 - cx * scale, (height * ratio) / 2 - cy * scale);
}

function strokeZone(context, view, zone, colour, width) {
  setGridTransform(context, view);
  context.strokeStyle = colour;
  context.lineWidth = width / view.zoom;
  context.lineJoin = "round";
  context.stroke(zoneShapes[zone].outline);
}

function hatchPattern(context, ratio) {
  const side = Math.round(HATCH_PX * ratio), tile = element("canvas", "", { width: side, height: side });
  const lines = tile.getContext("2d");
  for (const shift of [-side, 0, side]) {
    lines.moveTo(shift, side);
    lines.lineTo(shift + side, 0);
  }
  for (const [colour, width] of [["rgba(255,255,255,.8)", 2.4], ["rgba(60,70,82,.9)", 0.9]]) { // on any shade
    lines.strokeStyle = colour;
    lines.lineWidth = width * ratio;
    lines.stroke();
  }
  return context.createPattern(tile, "repeat");
}

// Names and counts in the zones that have room for them.
function drawZoneNames(context, view) {
  context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  Object.assign(context, { textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: 4 });
  zones.list.forEach(({ name, count }, i) => {
    const [x1, y1, x2, y2] = zoneShapes[i].extent, width = (x2 - x1) * view.zoom;
    const x = toScreenX(view, (x1 + x2) / 2), y = toScreenY(view, (y1 + y2) / 2);
    if ((y2 - y1) * view.zoom < 34) return;
    [[name, 600], [count === null ? "–" : formatCount(count), 400]].forEach(([text, weight], line) => {
      const fits = [12, 10].some((size) => { // CSS pixels
        context.font = `${weight} ${size}px system-ui, sans-serif`;
        return context.measureText(text).width < width - 6;
      });
      if (!fits) return;
      context.strokeStyle = "rgba(255,255,255,.9)";
      context.strokeText(text, x, y + (line - 0.5) * 15);
      context.fillStyle = "#17202c";
      context.fillText(text, x, y + (line - 0.5) * 15);
    });
  });
}

function zoneAt(x, y) {
  const { view } = zoneMap;
  return zoneShapes.findIndex((_, zone) => isInZone(zone, toGridX(view, x), toGridY(view, y)));
}

// Outlines on the large map.
const zoneLayer = {
  draw(context, view) {
    for (const [colour, width] of [["rgba(0,0,0,.45)", 3], ["#ffffff", 1.4]])
      zoneShapes.forEach((_, i) => strokeZone(context, view, i, colour, i === state.zone ? width * 2 : width));
    context.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  },
};

// ------------------------------------------------------------------ table
const formatExpected = ({ expected, low, high }) =>
  expected === null || expected === undefined ? "–" : `${formatCount(Math.round(expected))} (${formatCount(low)}\u2060–\u2060${formatCount(high)})`; // the interval stays on one line
// "1,234 (1,100–1,380)" of an area and the ends of its 95 % interval.
function formatArea(area) {
  if (!area) return "–";
  const [value, low, high] = area.map((number) => (number === null ? null : formatCount(Math.round(number))));
  return low === null || high === null ? value : `${value} (${low}\u2060–\u2060${high})`;
}
const notSearched = ({ searched, searched_fraction: fraction }) => (searched === "assumed" ? null : 1 - fraction);
const formatNotSearched = (zone) =>
  zone.searched === "assumed" ? "not known" : isPartlySearched(zone) ? `${Math.max(1, Math.round(notSearched(zone) * 100))} %` : "–";
const orDash = (value, format = formatCount) => (value === null || value === undefined ? "–" : format(value));

function zoneColumns() {
  const has = (name) => zones.list.some((zone) => zone[name] !== null && zone[name] !== undefined);
  const first = statuses?.[0], total = { count: zones.in_zones, ...zones.corrected && { ...zones.corrected, expected: zones.corrected.count, count: zones.in_zones } };
  const firstInZones = zones.in_several ? "" : formatCount(zones.list.reduce((sum, zone) => sum + (zone.statuses?.[0] ?? 0), 0));
  return [
    { name: "Zone", text: ({ name }) => name, key: ({ name }) => sortText(name), total: "All zones" },
    { name: capitalise(noun.plural), text: ({ count }) => orDash(count), key: ({ count }) => count, total: formatCount(zones.in_zones) },
    { name: capitalise(first?.name ?? " "), text: (zone) => orDash(zone.statuses?.[0]), key: (zone) => zone.statuses?.[0] ?? null, total: firstInZones, isUsed: Boolean(first) && has("statuses") },
    { name: "Expected (95 %)", text: formatExpected, key: ({ expected }) => expected, total: formatExpected(total), isUsed: has("expected") },
    { name: zones.object_area?.[1] ? "Area in m² (95 %)" : "Area in m²", text: ({ object_area: area }) => formatArea(area), key: ({ object_area: area }) => area?.[0] ?? null, total: formatArea(zones.object_area), isUsed: hasOutlines && has("object_area") },
    { name: "per km²", text: ({ density }) => orDash(density, (value) => `${+value.toPrecision(3)}`), key: ({ density }) => density, isUsed: has("density"), isMinor: true },
    { name: "Not looked at", text: formatNotSearched, key: notSearched, isUsed: !isSearchUnknown },
  ].filter(({ isUsed }) => isUsed !== false);
}

function drawZoneTable(sortColumn = null, isDescending = false) {
  const columns = zoneColumns(), order = [...zones.list.keys()];
  const column = columns.find(({ name }) => name === sortColumn);
  if (column) {
    const keys = zones.list.map(column.key), sign = isDescending ? -1 : 1;
    order.sort((a, b) => (keys[a] === null) - (keys[b] === null) || sign * compareKeys(keys[a], keys[b]));
  }
  const header = element("tr", "", {}, ...columns.map(({ name, isMinor }) => {
    const isSorted = name === sortColumn, button = element("button", name, { type: "button" });
    button.addEventListener("click", () => drawZoneTable(name, isSorted ? !isDescending : name !== "Zone"));
    const cell = element("th", "", { scope: "col", className: isMinor ? "minor" : "" }, button);
    cell.setAttribute("aria-sort", !isSorted ? "none" : isDescending ? "descending" : "ascending");
    return cell;
  }));
  const rows = order.map((i) => {
    const button = element("button", zones.list[i].name, { type: "button", title: "Show only this zone" });
    button.addEventListener("click", () => selectZone(i));
    const cells = columns.slice(1).map(({ text, isMinor }) => element("td", text(zones.list[i]), { className: isMinor ? "minor" : "" }));
    const shade = element("i", "", { className: "shade" });
    shade.style.background = shadeOf(zones.list[i]);
    return element("tr", "", { className: i === state.zone ? "chosen" : "" }, element("td", "", {}, element("div", "", {}, shade, button)), ...cells);
  });
  const totals = element("tr", "", { className: "total" }, ...columns.map(({ total = "", isMinor }) =>
    element("td", total, { className: isMinor ? "minor" : "" })));
  byId("zone-table").replaceChildren(element("thead", "", {}, header), element("tbody", "", {}, ...rows, totals));
  Object.assign(zoneMap, { sortColumn, isDescending });
}

// Show only the objects of a zone (null: of all), and zoom to it.
function selectZone(zone) {
  state.zone = zone === state.zone ? null : zone;
  if (state.zone === null) map.zoomToFull();
  else {
    const [x1, y1, x2, y2] = zoneShapes[state.zone].extent, margin = 0.05 * Math.max(x2 - x1, y2 - y1);
    map.zoomToExtent(x1 - margin, y1 - margin, x2 - x1 + 2 * margin, y2 - y1 + 2 * margin);
  }
  byId("zone-chip").hidden = state.zone === null;
  byId("zone-chip").textContent = state.zone === null ? "" : `Only ${zones.list[state.zone].name} ×`;
  drawZoneTable(zoneMap.sortColumn, zoneMap.isDescending);
  drawZoneMap();
  update();
}

function initZones() {
  if (!zones) return;
  byId("zones").hidden = false;
  byId("zones-text").textContent = zoneFacts().join(" ");
  byId("zone-legend").replaceChildren(...shadeSwatches());
  const canvas = byId("zone-canvas");
  canvas.addEventListener("click", ({ offsetX, offsetY }) => {
    const zone = zoneAt(offsetX, offsetY);
    if (zone >= 0) selectZone(zone);
  });
  byId("zone-chip").addEventListener("click", () => selectZone(null));
  new ResizeObserver(() => !isPrinting && drawZoneMap()).observe(canvas);
  drawZoneTable();
}

// Sentences about the objects and zones that the table does not show as they are.
function zoneFacts() {
  const { score_threshold: threshold, counted, in_zones: inZones, in_several: inSeveral, overlapping_pairs: pairs } = zones;
  const at = threshold === null ? "" : ` at a score threshold of ${threshold}`;
  const facts = [`${countNouns(counted)} counted${at}${uncountedObjects(counted)}.`];
  if (counted > inZones) facts.push(`${countNouns(counted - inZones)} in no zone.`);
  if (pairs) facts.push(`${pairs === 1 ? "Two zones overlap" : `${formatCount(pairs)} pairs of zones overlap`}: ${formatCount(inSeveral)} count in several.`);
  if (isSearchUnknown) facts.push("It is not known whether all of this ground was looked at.");
  if (zones.left_out) facts.push(`${formatCount(zones.left_out)} zones off the map, without any, are left out.`);
  if (zones.corrected?.source) facts.push(`Expected: corrected by precision and recall, from ${zones.corrected.source}.`);
  return facts;
}

// Objects on the map that do not count, or counted ones that are not on it.
function uncountedObjects(counted) {
  const undetected = (statuses ?? []).filter(({ detected, count }) => !detected && count);
  if (counted > undetected.reduce((rest, { count }) => rest - count, predictionCount)) return ", on the map and beyond it";
  const texts = undetected.map(({ name, count }) => `${formatCount(count)} ${name}`);
  return texts.length ? `, without the ${texts.join(" and ")}` : "";
}

function shadeSwatches() {
  const edges = zones.breaks.map((edge) => `${+edge.toPrecision(3)}`);
  const shades = edges.slice(1).map((edge, i) => [palette.zones[i], `${edges[i]}–${edge}`]);
  if (edges.length === 1) shades.push([palette.zones[0], edges[0]]);
  const swatches = shades.map(([colour, text]) => {
    const shade = element("i", "", { className: "shade" });
    shade.style.background = colour;
    return element("span", "", {}, shade, text);
  });
  if (zones.list.some(isPartlySearched))
    swatches.push(element("span", "", {}, element("i", "", { className: "shade hatched" }), "not or partly looked at"));
  return shades.length ? [element("span", `${noun.plural} per km²`), ...swatches] : swatches;
}
