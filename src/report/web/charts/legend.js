// Names of a picture's lines. Nothing can be scrolled there, so that all of them need room.

// Names of so many letters stand in one row, others below each other at the right.
const ROW_LETTERS = 80;
const LETTERS_OF_SIGN = 6;
const ROWS_OF_COLUMN = 30;
// Of more lines nobody can tell which is which.
const MOST_NAMES = 2 * ROWS_OF_COLUMN;
const LETTER_WIDTH = 5.2;
const SIGN_WIDTH = 34;

const COMMON = {type: "plain", itemWidth: 22, selectedMode: false, itemStyle: {opacity: 0}};

const inRow = (look) => ({
  top: 30,
  right: 0,
  legend: {...COMMON, top: 34, left: 70, textStyle: {color: look.text}},
});

const inColumns = (names, look) => {
  const columns = Math.ceil(names.length / ROWS_OF_COLUMN);
  const longest = Math.max(...names.map((name) => name.length));
  return {
    top: 0,
    right: columns * (longest * LETTER_WIDTH + SIGN_WIDTH),
    legend: {
      ...COMMON,
      data: names,
      orient: "vertical",
      top: 36,
      bottom: 0,
      right: 4,
      itemGap: 2,
      itemHeight: 9,
      textStyle: {color: look.text, fontSize: 9},
    },
  };
};

/** The legend of a chart, and the room that it takes of the grid. One line needs none. */
export const legendOf = (names, look) => {
  if (names.length < 2) return {top: 0, right: 0};
  const letters = names.reduce((sum, name) => sum + name.length + LETTERS_OF_SIGN, 0);
  return letters <= ROW_LETTERS ? inRow(look) : inColumns(names.slice(0, MOST_NAMES), look);
};
