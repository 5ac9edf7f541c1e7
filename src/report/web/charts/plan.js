import {axis, frame} from "./frame.js";

// A label needs this much room in its cell.
const LABEL_WIDTH = 26,
  LABEL_HEIGHT = 15;
// Names longer than this part of the picture take two lines.
const LABEL_SHARE = 0.4;
// From here on cells are set apart.
const GAP_FROM = 5;

const boxAround = (api, {x, y}) => {
  const [middle, centre] = api.coord([x, y]);
  const [width, height] = api.size([1, 1]);
  const gap = width > GAP_FROM ? 1 : 0;
  return {
    x: middle - width / 2 + gap / 2,
    y: centre - height / 2 + 0.5,
    width: width - gap,
    height: height - 1,
  };
};

/** A stroke through a cell whose choice does not meet the limit, with a rim that sets it off. */
const stroke = ({x, y, width, height}, look) => {
  const shape = {x1: x, y1: y + height, x2: x + width, y2: y};
  return [
    {type: "line", shape, style: {stroke: look.background, lineWidth: 4}},
    {type: "line", shape, style: {stroke: look.series[1], lineWidth: 2}},
  ];
};

const label = (text, box, ink, look) => ({
  type: "text",
  style: {
    text,
    x: box.x + box.width / 2,
    y: box.y + box.height / 2,
    align: "center",
    verticalAlign: "middle",
    fontSize: 11,
    fontFamily: look.font,
    fill: ink,
  },
});

const cellOf = (data, look) => (params, api) => {
  const cell = data.cells[params.dataIndex];
  const box = boxAround(api, cell);
  const isChosen = cell.colour !== null;
  const children = [
    {type: "rect", shape: box, style: {fill: isChosen ? data.colours[cell.colour] : look.missing}},
  ];
  if (isChosen && !cell.met) children.push(...stroke(box, look));
  else if (isChosen && box.width >= LABEL_WIDTH && box.height >= LABEL_HEIGHT) {
    children.push(label(cell.label, box, data.inks[cell.colour], look));
  }
  return {type: "group", children};
};

/**
 * The chosen scheme of each layer (x) and projection (y).
 * data: {xName, xLabels, yLabels, colours: string[], inks: string[],
 *        cells: [{x, y, colour, label, met}]}; `colour` is an index of colours and inks, null where
 *        nothing is chosen; a stroke marks what was not met.
 */
export const plan = (data, look, {width}) => {
  const bare = {type: "category", splitLine: {show: false}, axisTick: {show: false}, axisLine: {show: false}};
  return {
    ...frame({}, look),
    grid: {left: 4, right: 4, top: 4, bottom: 40, containLabel: true},
    xAxis: axis(data.xName, look, {...bare, data: data.xLabels, nameGap: 26}),
    yAxis: axis("", look, {
      ...bare,
      data: data.yLabels,
      inverse: true,
      axisLabel: {color: look.text, width: LABEL_SHARE * width, overflow: "break"},
    }),
    series: [
      {
        type: "custom",
        silent: true,
        data: data.cells.map(({x, y}) => [x, y]),
        renderItem: cellOf(data, look),
      },
    ],
  };
};
