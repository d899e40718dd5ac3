"use strict";
// List of the visible objects in the order of work, or sorted by a column. Only the rows in view are
// elements of the page, so a list of 100,000 objects scrolls as one of ten.

const ROW_HEIGHT = 34; // CSS pixels, as in the style sheet
const MARGIN_ROWS = 6; // made above and below the rows in view
const MAX_ROWS = 400_000; // browsers draw no taller elements
const PRINTED_ROWS = 200;

// Columns of the list: width, text, and key to sort by (null: last).
const categoryWidth = 24 + 7.2 * Math.max(0, ...categories.map(({ name }) => name.length)); // CSS pixels
const listColumns = [
  { name: statuses ? "Status" : "Result", width: `minmax(0, ${categoryWidth}px)`, text: (row) => categories[category[row]].name, isUsed: categories.length > 0 },
  { name: addressColumn ? capitalise(addressColumn.name) : "id", width: "minmax(40px, 1.6fr)", text: addressColumn ? (row) => formatValue(nameOf(row)) : (row) => (isPrediction(row) ? idOf(row) : "–"), key: addressColumn ? addressOf : (row) => (isPrediction(row) ? idOf(row) : null) },
  { name: capitalise(data.permit ?? " "), width: "minmax(40px, 1fr)", text: permitText, key: permitText, isUsed: permitColumn !== null },
  { name: "Class", width: "minmax(40px, 1fr)", text: className, key: className, isUsed: classes.length > 1 },
  { name: "Score", width: "48px", text: (row) => scoreOf(row)?.toFixed(2) ?? "–", key: scoreOf, isNumber: true, isUsed: scores !== null, isMinor: permitColumn !== null },
  { name: "Length", width: "60px", text: (row) => formatLength(lengths[row]), key: (row) => lengths[row], isNumber: true, isUsed: !addressColumn && classes.length < 2 },
].filter(({ isUsed }) => isUsed !== false);

function permitText(row) {
  if (!isPrediction(row)) return "–";
  return lacksPermit(row) ? "none" : formatValue(valueOf(permitColumn, row));
}

// rows: the listed objects. sortColumn null: in the order of work.
const list = { rows: new Uint32Array(), workRows: new Uint32Array(), sortColumn: null, isDescending: false };

const formatLength = (length) => (length ? `${length.toFixed(1)} ${unit}` : "–");

// Name of an object in the list: its address or parcel, where there are such columns; null: it has none.
const parcelColumn = columns.get("parcel") ?? null;
function addressOf(row) {
  if (!isPrediction(row)) return null;
  const address = addressColumn && valueOf(addressColumn, row), parcel = parcelColumn && valueOf(parcelColumn, row);
  return address ?? (parcel === null ? null : `parcel ${parcel}`);
}

const nameOf = (row) => addressOf(row) ?? (isPrediction(row) ? `id ${idOf(row)}` : null);

const cellClass = ({ isNumber, isMinor }) => [isNumber && "number", isMinor && "minor"].filter(Boolean).join(" ");

function initList() {
  byId("map-section").classList.toggle("wide-list", listColumns.length > 3);
  const setWidths = (name, columns) => byId("work").style.setProperty(name, columns.map(({ width }) => width).join(" "));
  setWidths("--columns", listColumns);
  setWidths("--phone-columns", listColumns.filter(({ isMinor }) => !isMinor));
  byId("work-header").replaceChildren(...listColumns.map((column) => {
    const button = element("button", column.name, { type: "button" });
    button.addEventListener("click", () => sortList(column));
    const header = element("div", "", { className: cellClass(column) }, button);
    header.setAttribute("role", "columnheader");
    return header;
  }));
  const rows = byId("work-rows");
  rows.addEventListener("scroll", () => !isPrinting && drawList());
  rows.addEventListener("click", ({ target }) => {
    const index = target.closest("[aria-rowindex]")?.getAttribute("aria-rowindex");
    if (index) select(list.rows[index - 2], { isShown: true });
  });
  rows.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(rows.clientHeight / ROW_HEIGHT) - 1), last = list.rows.length - 1;
    const action = {
      ArrowDown: () => selectNext(1), ArrowUp: () => selectNext(-1),
      PageDown: () => selectNext(page), PageUp: () => selectNext(-page),
      Home: () => selectIndex(0), End: () => selectIndex(last),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  new ResizeObserver(() => !isPrinting && drawList()).observe(rows);
  byId("search").addEventListener("input", ({ target }) => {
    state.words = target.value.trim().toLowerCase();
    update();
  });
  const print = (value) => () => { isPrinting = value; drawList(); updateCharts(numbers); };
  window.addEventListener("beforeprint", print(true));
  window.addEventListener("afterprint", print(false));
}

// ------------------------------------------------------------------ order
function sortList(column) {
  const isDescending = list.sortColumn === column ? !list.isDescending : column.name === "Score";
  Object.assign(list, { sortColumn: column, isDescending });
  byId("work-rows").scrollTop = 0;
  updateList(list.workRows);
}

// Text that sorts as people expect: whatever the case and accents, and numbers by their value.
const sortText = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase()
  .replace(/\d+/g, (digits) => digits.padStart(12, "0"));

// Compare keys of one column: numbers or texts, null last.
const compareKeys = (a, b) => (a === null) - (b === null) || (a < b ? -1 : Number(a > b));

// The rows of all objects in ascending order of a column, and those without a value.
function columnOrder(column) {
  if (column.order) return column.order;
  const keys = Array.from(isVisible, (_, row) => {
    const key = column.key(row);
    return typeof key === "string" ? sortText(key) : key;
  });
  const rows = [...keys.keys()].sort((a, b) => compareKeys(keys[a], keys[b])), end = rows.findIndex((row) => keys[row] === null);
  column.order = end < 0 ? { rows, missing: [] } : { rows: rows.slice(0, end), missing: rows.slice(end) };
  return column.order;
}

function sortedRows(workRows) {
  const { sortColumn, isDescending } = list;
  if (!sortColumn) return workRows;
  if (!sortColumn.key) return isDescending ? workRows.slice().reverse() : workRows;
  const isListed = new Uint8Array(objects.count);
  for (const row of workRows) isListed[row] = 1;
  const { rows, missing } = columnOrder(sortColumn), visible = rows.filter((row) => isListed[row]);
  if (isDescending) visible.reverse();
  return Uint32Array.from(visible.concat(missing.filter((row) => isListed[row])));
}

// ------------------------------------------------------------------ display
function updateList(workRows, counts) {
  list.workRows = workRows;
  list.rows = sortedRows(workRows);
  const sorted = list.sortColumn ?? (categories.length ? listColumns[0] : null);
  byId("work-header").childNodes.forEach((header, i) => {
    const direction = list.isDescending ? "descending" : "ascending";
    header.setAttribute("aria-sort", listColumns[i] === sorted ? direction : "none");
  });
  const count = list.rows.length, isCut = count > MAX_ROWS;
  byId("work-count").textContent = formatCount(count);
  if (counts) byId("work-hint").textContent = workHint(counts);
  byId("work-cut").hidden = !isCut;
  byId("work-cut").textContent = `The first ${formatCount(MAX_ROWS)} are listed: filter them to see the others.`;
  byId("work-grid").setAttribute("aria-rowcount", count + 1);
  byId("work-empty").hidden = count > 0;
  byId("work-space").style.height = `${Math.min(count, MAX_ROWS) * ROW_HEIGHT}px`;
  drawList();
}

// "18 new first, then 6 moved": the work that waits, in its order.
function workHint(counts) {
  if (data.work && list.workRows.length === predictionCount) return data.work; // nothing is filtered
  const isShown = (code) => counts[code] && (!state.categories.size || state.categories.has(code));
  const shown = [...categories.keys()].filter(isShown), last = categories.length - 1; // confirmed, or right
  if (shown.length < 2) return "";
  const waiting = shown.filter((code) => code < last || state.withoutPermit).map((code) => `${formatCount(counts[code])} ${categoryNoun(code, counts[code])}`);
  return `${waiting[0]} first${waiting.length > 1 ? `, then ${waiting.slice(1).join(", ")}` : ""}`;
}

function drawList() {
  const scroller = byId("work-rows"), count = Math.min(list.rows.length, MAX_ROWS);
  let first = Math.max(0, Math.floor(scroller.scrollTop / ROW_HEIGHT) - MARGIN_ROWS);
  let end = Math.min(count, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW_HEIGHT) + MARGIN_ROWS);
  if (isPrinting) [first, end] = [0, Math.min(count, PRINTED_ROWS)];
  byId("work-printed").textContent = count > PRINTED_ROWS ? `The first ${PRINTED_ROWS} of ${formatCount(count)}.` : "";
  const elements = [];
  for (let index = first; index < end; index++) elements.push(listRow(index));
  byId("work-space").replaceChildren(...elements);
  const index = state.selected === null ? -1 : list.rows.indexOf(state.selected);
  const isDrawn = index >= first && index < end;
  scroller[isDrawn ? "setAttribute" : "removeAttribute"]("aria-activedescendant", `work-row-${index}`);
}

function listRow(index) {
  const row = list.rows[index];
  const node = element("div", "", { id: `work-row-${index}`, className: "work-row" }, ...listColumns.map((column, i) => {
    const text = column.text(row), mark = i === 0 ? [swatch(boxLayer.styles[boxLayer.styleIndex[row]])] : [];
    const cell = element("div", "", { className: cellClass(column), title: text }, ...mark, element("span", text));
    cell.setAttribute("role", "gridcell");
    return cell;
  }));
  node.style.top = `${index * ROW_HEIGHT}px`;
  node.setAttribute("role", "row");
  node.setAttribute("aria-rowindex", index + 2); // the header is row 1
  node.setAttribute("aria-selected", String(row === state.selected));
  return node;
}

// Bring a row of the list into view: to its middle, so that its neighbours show too.
function scrollToIndex(index) {
  const scroller = byId("work-rows"), top = index * ROW_HEIGHT, bottom = top + ROW_HEIGHT;
  if (top < scroller.scrollTop || bottom > scroller.scrollTop + scroller.clientHeight)
    scroller.scrollTop = (top + bottom - scroller.clientHeight) / 2;
}

// Select the object at a place of the list, at its ends if there is none, and move the map to it.
function selectIndex(index) {
  if (list.rows.length) select(list.rows[Math.max(0, Math.min(list.rows.length - 1, index))], { isShown: true });
}

// Select the object some steps further in the list; the first if none of it is selected.
function selectNext(steps) {
  const index = state.selected === null ? -1 : list.rows.indexOf(state.selected);
  selectIndex(index < 0 ? 0 : index + steps);
}
