import {axis, frame} from "./frame.js";

// A label needs this much room in its cell.
const LABEL_WIDTH = 26, LABEL_HEIGHT = 15;

const cellOf = (data, look) => (params, api) => {
  const cell = data.cells[params.dataIndex];
  const [x, y] = api.coord([cell.x, cell.y]);
  const [width, height] = api.size([1, 1]);
  const gap = width > 5 ? 1 : 0;
  const box = {x: x - width / 2 + gap / 2, y: y - height / 2 + 0.5, width: width - gap, height: height - 1};
  const colour = cell.colour === null ? look.missing : data.colours[cell.colour];
  const children = [{type: "rect", shape: box, style: {fill: colour}}];
  if (!cell.met && cell.colour !== null) {
    children.push({type: "line", style: {stroke: look.background, lineWidth: 4},
      shape: {x1: box.x, y1: box.y + box.height, x2: box.x + box.width, y2: box.y}},
    {type: "line", style: {stroke: look.series[1], lineWidth: 2},
      shape: {x1: box.x, y1: box.y + box.height, x2: box.x + box.width, y2: box.y}});
  }
  if (cell.met && cell.colour !== null && width >= LABEL_WIDTH && height >= LABEL_HEIGHT) {
    children.push({type: "text", style: {text: cell.label, x, y, align: "center", verticalAlign: "middle",
      fontSize: 11, fontFamily: look.font, fill: data.inks[cell.colour]}});
  }
  return {type: "group", children};
};

/**
 * The chosen scheme of each layer (x) and projection (y).
 * data: {xName, xLabels, yLabels, colours: string[], inks: string[], cells: [{x, y, colour, label, met}]};
 * `colour` and `ink` by scheme, null where nothing is chosen; a stroke marks what was not met.
 */
export const plan = (data, look) => ({
  ...frame({}, look),
  grid: {left: 8, right: 8, top: 4, bottom: 40, containLabel: true},
  xAxis: axis(data.xName, look, {type: "category", data: data.xLabels, nameGap: 26, splitLine: {show: false},
    axisTick: {show: false}, axisLine: {show: false}}),
  yAxis: axis("", look, {type: "category", data: data.yLabels, inverse: true, splitLine: {show: false},
    axisTick: {show: false}, axisLine: {show: false},
    axisLabel: {color: look.text, width: 130, overflow: "truncate"}}),
  series: [{type: "custom", silent: true, data: data.cells.map(({x, y}) => [x, y]), renderItem: cellOf(data, look)}],
});
