// Tables of rows: sorted by a click on a column's head, copied, saved as CSV.
import {fill, h} from "./dom.js";
import {explain, hideTip, term} from "./tip.js";

const isMissing = (value) => value === null || value === undefined || value !== value;

// Null last, whichever way.
const compare = (a, b, isDown) => {
  if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b);
  const order = typeof a === "string" ? a.localeCompare(b, "en", {numeric: true}) : a - b;
  return isDown ? -order : order;
};

// ---- as text ----

const cellText = (value) => (isMissing(value) ? "" : String(value));
const csvCell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

const lines = (columns, rows, quoted) => [
  columns.map(({key}) => quoted(key)),
  ...rows.map((row) => columns.map(({value}) => quoted(cellText(value(row))))),
];

/** RFC 4180 text of rows; columns: [{key, value(row)}]. */
export const csv = (columns, rows) =>
  lines(columns, rows, csvCell)
    .map((cells) => `${cells.join(",")}\r\n`)
    .join("");

/** For a spreadsheet's clipboard. */
const tabSeparated = (columns, rows) =>
  lines(columns, rows, (text) => text.replace(/[\t\r\n]/g, " "))
    .map((cells) => cells.join("\t"))
    .join("\n");

// ---- to the reader's disk and clipboard ----

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
  const isDone = document.execCommand("copy");
  area.remove();
  return isDone;
};

const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
};

/** A button that copies text() and says that it did. */
export const copyButton = (label, text) => {
  const button = h(
    "button",
    {
      type: "button",
      onclick: async () => {
        button.textContent = (await copy(text())) ? "Copied" : "Could not copy";
        setTimeout(() => {
          button.textContent = label;
        }, 1500);
      },
    },
    label,
  );
  return button;
};

// ---- as a table ----

const headContent = ({label, meaning}, onsort) => {
  if (!onsort) return meaning ? term(label, meaning) : label;
  const button = h("button", {type: "button", class: meaning ? "sort term" : "sort", onclick: onsort}, label);
  return meaning ? explain(button, meaning) : button;
};

const head = (column, sorted, onsort) => {
  const direction = sorted?.key !== column.key ? "none" : sorted.isDown ? "descending" : "ascending";
  return h(
    "th",
    {scope: "col", class: column.number ? "number" : "", "aria-sort": onsort ? direction : null},
    headContent(column, onsort),
  );
};

const cell = (column, row, isFirst) =>
  h(
    isFirst ? "th" : "td",
    {scope: isFirst ? "row" : null, class: column.number ? "number" : column.isLong ? "long" : null},
    column.cell ? column.cell(row) : cellText(column.value(row)),
  );

/** A column of numbers, shown as shown(value). */
export const numberColumn = (key, label, value, shown) => ({
  key,
  label,
  number: true,
  value,
  cell: (row) => shown(value(row)),
});

/**
 * A table. columns: [{key, label, meaning, number, value(row), cell(row), isLong}]: `value` is sorted
 * by and saved, `cell` (text or node) is shown, `meaning` (paragraphs) explains the label. show(rows)
 * fills it.
 */
export const dataTable = (title, columns, {isSortable = false, onrow = null, rowClass = null} = {}) => {
  const table = h("table", null);
  const element = h("div", {class: "table-box", tabindex: "0", role: "region", "aria-label": title}, table);
  const tellMore = () => {
    element.dataset.more = String(element.scrollWidth - element.clientWidth - element.scrollLeft > 1);
  };
  element.addEventListener("scroll", tellMore, {passive: true});
  new ResizeObserver(tellMore).observe(element);
  let rows = [],
    sorted = null;

  const bodyRow = (row) =>
    h(
      "tr",
      {class: rowClass?.(row), onclick: onrow ? () => onrow(row) : null},
      columns.map((column, i) => cell(column, row, i === 0)),
    );
  const draw = () => {
    // What it stands by may go.
    hideTip();
    const by = columns.find(({key}) => key === sorted?.key);
    if (by) rows.sort((a, b) => compare(by.value(a), by.value(b), sorted.isDown));
    fill(
      table,
      h("caption", null, h("span", null, title)),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          columns.map((column) => head(column, sorted, isSortable ? () => sort(column) : null)),
        ),
      ),
      h("tbody", null, rows.map(bodyRow)),
    );
    element.dataset.rows = String(rows.length);
    tellMore();
  };
  const sort = (column) => {
    const isAgain = sorted?.key === column.key;
    sorted = {key: column.key, isDown: isAgain ? !sorted.isDown : Boolean(column.number)};
    draw();
    table.querySelectorAll(".sort")[columns.indexOf(column)].focus();
  };
  return {
    element,
    rows: () => rows,
    show: (nextRows, nextColumns = columns, nextTitle = title) => {
      [rows, columns, title, sorted] = [[...nextRows], nextColumns, nextTitle, null];
      draw();
    },
    csv: () => csv(columns, rows),
    text: () => tabSeparated(columns, rows),
  };
};
