// A rectangle over cells of a chart: the cursor, the mark, the part that is being chosen.
import {h} from "../../dom.js";
import {isInside} from "./zoom.js";

/** A mark that is smaller, in pixels, would not be found. `rim` is around the cells. */
const boxOf = ([x0, y0], [x1, y1], least, rim) => {
  const width = Math.max(least, x1 - x0 + 2 * rim),
    height = Math.max(least, y1 - y0 + 2 * rim);
  return {
    left: `${(x0 + x1 - width) / 2}px`,
    top: `${(y0 + y1 - height) / 2}px`,
    width: `${width}px`,
    height: `${height}px`,
  };
};

/** {node, hide(), cover(view, cells)}; cells: {x, y} as views are, or {layer, slot}, null for all. */
export const overlay = (chart, className, {least = 0, rim = 0} = {}) => {
  const node = h("div", {class: className, hidden: true});
  const hide = () => {
    node.hidden = true;
  };
  const coverCells = ({x, y}) => {
    const from = chart.pixel([x[0] - 0.5, y[0] - 0.5]),
      to = chart.pixel([x[1] + 0.5, y[1] + 0.5]);
    if (!from) return;
    Object.assign(node.style, boxOf(from, to, least, rim));
    node.hidden = false;
  };
  return {
    node,
    hide,
    coverCells,
    cover: (view, at) => {
      if (!at || !isInside(view, at)) return hide();
      return coverCells({
        x: at.layer === null ? view.x : [at.layer, at.layer],
        y: at.slot === null ? view.y : [at.slot, at.slot],
      });
    },
  };
};
