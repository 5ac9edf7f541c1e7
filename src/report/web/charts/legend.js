// Names of a picture's lines. Nothing can be scrolled there, so that all of them need room.
import {fitted, widest} from "./measure.js";

const SIGN = 22;
const GAP = 10;
const SIZE = 12;

// Names that do not fit in one row stand below each other at the right, in smaller letters.
const SMALL = 9;
const ROWS_OF_COLUMN = 30;
// Of more lines nobody can tell which is which.
const MOST_COLUMNS = 2;

const COMMON = {type: "plain", itemWidth: SIGN, selectedMode: false, itemStyle: {opacity: 0}};

const inRow = (look) => ({
  top: 30,
  right: 0,
  legend: {...COMMON, top: 34, left: 70, textStyle: {color: look.text, fontSize: SIZE}},
});

const column = (names, right, width, look) => ({
  ...COMMON,
  data: names,
  orient: "vertical",
  align: "left",
  top: 36,
  left: look.width - right,
  itemGap: 2,
  itemHeight: 9,
  padding: 0,
  formatter: (name) => fitted(name, SMALL, width),
  textStyle: {color: look.text, fontSize: SMALL},
});

// The lines keep half of the picture.
const inColumns = (names, look) => {
  const columns = [];
  for (let i = 0; i < MOST_COLUMNS && i * ROWS_OF_COLUMN < names.length; ++i) {
    columns.push(names.slice(i * ROWS_OF_COLUMN, (i + 1) * ROWS_OF_COLUMN));
  }
  const most = look.width / 2 / columns.length - SIGN - 2 * GAP;
  const legend = [];
  let right = 0;
  for (let i = columns.length - 1; i >= 0; --i) {
    const width = Math.min(most, widest(columns[i], SMALL));
    right += SIGN + width + 2 * GAP;
    legend.unshift(column(columns[i], right, width, look));
  }
  return {top: 0, right, legend};
};

/** The legend of a chart, and the room that it takes of the grid. One line needs none. */
export const legendOf = (names, look) => {
  if (names.length < 2) return {top: 0, right: 0};
  const row = names.reduce((sum, name) => sum + SIGN + 2 * GAP + widest([name], SIZE), 0);
  return row <= look.width - 90 ? inRow(look) : inColumns(names, look);
};

/** A dot and a name for each series, in a row that can be scrolled. */
export const dotLegend = (names, look, more = {}) => ({
  top: 0,
  left: 0,
  type: "scroll",
  itemGap: 16,
  textStyle: {color: look.text},
  selectedMode: false,
  pageIconColor: look.text,
  pageTextStyle: {color: look.muted},
  data: names.map((name) => ({name, icon: "circle"})),
  ...more,
});
