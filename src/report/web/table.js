// Tables of rows: sorted by a click on a column's head, copied, saved as CSV.
import {fill, h} from "./dom.js";

const isMissing = (value) => value === null || value === undefined || value !== value;

// Null last, whichever way.
const compare = (a, b, down) => {
  if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
  const order = typeof a === "string" ? a.localeCompare(b, "en", {numeric: true}) : a - b;
  return down ? -order : order;
};

const cellText = (value) => (isMissing(value) ? "" : String(value));
const csvCell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** RFC 4180 text of rows; columns: [{key, value(row)}]. */
export const csv = (columns, rows) => [columns.map(({key}) => csvCell(key)),
  ...rows.map((row) => columns.map(({value}) => csvCell(cellText(value(row)))))]
  .map((cells) => `${cells.join(",")}\r\n`).join("");

const tabSeparated = (columns, rows) => [columns.map(({key}) => key),
  ...rows.map((row) => columns.map(({value}) => cellText(value(row)).replace(/[\t\r\n]/g, " ")))]
  .map((cells) => cells.join("\t")).join("\n");

/** Saves text as a file of the reader's. */
export const save = (name, type, text) => {
  const url = URL.createObjectURL(new Blob([text], {type}));
  h("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
};

// Where the clipboard is not to be had, a selection is copied as of old.
const copyBySelection = (text) => {
  const area = h("textarea", {class: "offscreen", "aria-hidden": "true"});
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
};

export const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
};

/** A button that copies text() and says that it did. */
export const copyButton = (label, text) => {
  const button = h("button", {type: "button", onclick: async () => {
    const done = await copy(text());
    button.textContent = done ? "Copied" : "Could not copy";
    setTimeout(() => {
      button.textContent = label;
    }, 1500);
  }}, label);
  return button;
};

const head = (column, sorted, onsort) => {
  const label = column.head ?? column.label ?? column.key;
  const direction = sorted?.key === column.key ? (sorted.down ? "descending" : "ascending") : "none";
  return h("th", {scope: "col", class: column.number ? "number" : "", "aria-sort": onsort ? direction : null},
    onsort ? h("button", {type: "button", class: "sort", onclick: () => onsort(column)}, label) : label,
    column.note ?? null);
};

/**
 * A table. columns: [{key, label, number, value(row), cell(row)}]: `value` is sorted by and saved, `cell`
 * (text or node) is shown. `show(rows)` fills it; `sorted` null means that it can't be sorted.
 */
export const dataTable = (caption, columns, {sortable = false, onrow = null, rowClass = null} = {}) => {
  const table = h("table", null);
  const element = h("div", {class: "table-box", tabindex: "0", role: "region", "aria-label": caption}, table);
  let rows = [], sorted = null, shownColumns = columns;

  const body = () => h("tbody", null, rows.map((row) => h("tr",
    {class: rowClass?.(row) ?? null, onclick: onrow ? (event) => onrow(row, event) : null},
    shownColumns.map((column, i) => h(i === 0 ? "th" : "td",
      {scope: i === 0 ? "row" : null, class: column.number ? "number" : column.long ? "long" : null},
      column.cell ? column.cell(row) : cellText(column.value(row)))))));
  const order = () => {
    const column = sorted && shownColumns.find(({key}) => key === sorted.key);
    if (column) rows.sort((a, b) => compare(column.value(a), column.value(b), sorted.down));
  };
  const draw = () => fill(table, h("caption", null, caption), h("thead", null, h("tr", null,
    shownColumns.map((column) => head(column, sorted, sortable ? sort : null)))), body());
  const sort = (column) => {
    const again = sorted?.key === column.key;
    sorted = {key: column.key, down: again ? !sorted.down : Boolean(column.number)};
    order();
    draw();
    table.querySelector(`th:nth-child(${shownColumns.indexOf(column) + 1}) button`)?.focus();
  };
  return {
    element,
    rows: () => rows,
    columns: () => shownColumns,
    show: (next, {newColumns = shownColumns, sort: by = sorted, newCaption = caption} = {}) => {
      [rows, shownColumns, sorted, caption] = [[...next], newColumns, by, newCaption];
      order();
      draw();
      element.dataset.rows = String(rows.length);
    },
    csv: () => csv(shownColumns, rows),
    text: () => tabSeparated(shownColumns, rows),
  };
};
