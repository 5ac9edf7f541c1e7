// The colour scale: a histogram in its colours, and two handles that narrow the range.
import {distribution} from "../charts/distribution.js";
import {rampOf, spreadOf, ticksOf} from "../colours.js";
import {fill, h} from "../dom.js";
import {shortNumber} from "../format.js";
import {colourAt} from "../raster.js";

const BINS = 72;
const STEPS = 500;

const handle = (label, onmove) => h("input", {type: "range", min: "0", max: String(STEPS), step: "1", "aria-label": label, oninput: onmove});

/** {element, show(colours, values, wanted)}; onrange([first, last]) when a handle moves, in shares of the span. */
export const colourScale = (page, onrange) => {
  const chart = page.studio.chart("Histogram of the values, in their colours", "scale-chart");
  let colours = null, counts = null, range = [0, 1];
  const low = handle("Lowest value that is coloured", () => move());
  const high = handle("Highest value that is coloured", () => move());
  const text = h("output", {class: "range-text"});
  const reset = h("button", {type: "button", onclick: () => {
    [low.value, high.value] = ["0", String(STEPS)];
    move();
  }}, "Whole range");

  const option = (look) => {
    const ramp = rampOf(colours, look);
    const shareOf = (bin) => ((bin + 0.5) / BINS - range[0]) / (range[1] - range[0]);
    return distribution({counts, ticks: ticksOf(colours, 4).map(([t, value]) => [t * BINS, value]),
      colours: Array.from(counts, (_, bin) => (shareOf(bin) >= 0 && shareOf(bin) <= 1 ? colourAt(ramp, shareOf(bin)) : look.line))}, look);
  };
  const describe = () => {
    const [from, to] = range.map((t) => shortNumber(Number(colours.at(t).toPrecision(4))));
    fill(text, range[0] === 0 && range[1] === 1 ? `${from} to ${to}` : `only ${from} to ${to}`);
    low.setAttribute("aria-valuetext", from);
    high.setAttribute("aria-valuetext", to);
    reset.disabled = range[0] === 0 && range[1] === 1;
  };
  const move = () => {
    // Handles may cross; between them there is always some range.
    const [a, b] = [Number(low.value), Number(high.value)].sort((x, y) => x - y);
    range = [a / STEPS, Math.max(b, a + 1) / STEPS];
    describe();
    chart.update(option);
    onrange(range);
  };
  return {
    element: h("div", {class: "scale", role: "group", "aria-label": "Colour scale"},
      h("div", {class: "scale-box"}, chart.element, h("div", {class: "handles"}, low, high)), h("div", {class: "scale-side"}, text, reset)),
    show: (next, values, wanted) => {
      [colours, range] = [next, [0, 1]];
      [low.value, high.value] = ["0", String(STEPS)];
      counts = spreadOf(colours, values, wanted, BINS);
      describe();
      chart.update(option);
      return range;
    },
  };
};
