"use strict";
// The listed objects as a file: CSV for spreadsheets, GeoJSON for maps.

// Names and values of an object: those of the list first, then all of its columns.
function exportedValues(row) {
  const values = { [statuses ? "status" : "result"]: categories.length ? categories[category[row]].name : null };
  if (!categories.length) delete values.result;
  Object.assign(values, { class: className(row), score: scoreOf(row) });
  if (scores === null) delete values.score;
  if (zones) values.zone = zoneNames(row);
  for (const [name, column] of columns) {
    const value = isPrediction(row) ? valueOf(column, row) : null;
    if (name !== "centre") values[name] = value;
    else [values.latitude, values.longitude] = value === null ? [null, null] : value.split(", ").map(Number);
  }
  return values;
}

function csvText(rows) {
  const records = Array.from(rows, exportedValues);
  const lines = [Object.keys(records[0]), ...records.map(Object.values)];
  return `\ufeff${lines.map((values) => values.map(csvCell).join(",")).join("\r\n")}\r\n`; // the mark tells Excel UTF-8
}

// An apostrophe precedes texts that a spreadsheet would compute as formulas.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) && Number.isNaN(Number(value)) ? `'${value}` : `${value}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function geojsonText(rows) {
  const features = Array.from(rows, exportedValues).map(({ latitude, longitude, ...properties }) => {
    const geometry = Number.isFinite(latitude) ? { type: "Point", coordinates: [longitude, latitude] } : null;
    return { type: "Feature", geometry, properties };
  });
  return JSON.stringify({ type: "FeatureCollection", features });
}

function initExport() {
  const page = decodeURIComponent(location.pathname.split("/").pop()).replace(/\.[^.]*$/, "") || "report";
  const onClick = (name, toText, suffix, type) => byId(name).addEventListener("click", () => {
    if (list.rows.length) download(`${page}_${noun.plural}.${suffix}`, toText(list.rows), type);
  });
  onClick("export-csv", csvText, "csv", "text/csv");
  onClick("export-geojson", geojsonText, "geojson", "application/geo+json");
  byId("export-geojson").hidden = !columns.has("centre");
}

function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", "", { href: url, download: name.replace(/[\\/:*?"<>|]/g, "_") }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
