// The colour scale: a histogram in its colours, and two handles that narrow the range.
import {distribution} from "../../charts/distribution.js";
import {rampOf, spreadOf, ticksOf} from "../../colours.js";
import {h} from "../../dom.js";
import {shortNumber} from "../../format.js";
import {colourAt} from "../../raster.js";

const BINS = 72,
  TICKS = 4;
// Positions of a handle.
const STEPS = 500;

const handle = (label, onmove) =>
  h("input", {type: "range", min: "0", max: String(STEPS), step: "1", "aria-label": label, oninput: onmove});

const binColour = (bin, [first, last], ramp) => colourAt(ramp, ((bin + 0.5) / BINS - first) / (last - first));

/** {element, show(shown)}; onrange([first, last]) of the span when a handle moves. */
export const colourScale = (page, onrange) => {
  const chart = page.studio.chart("Histogram of the values, in their colours", "scale-chart");
  let colours = null,
    counts = null,
    range = [0, 1];

  const option = (look) =>
    distribution(
      {
        counts,
        ticks: ticksOf(colours, TICKS).map(([t, value]) => [t * BINS, value]),
        colours: counts.map((_, bin) => binColour(bin, range, rampOf(colours, look))),
      },
      look,
    );
  const draw = () => {
    const isWhole = range[0] === 0 && range[1] === 1;
    const [from, to] = range.map((t) => shortNumber(Number(colours.at(t).toPrecision(4))));
    text.textContent = isWhole ? `${from} to ${to}` : `coloured from ${from} to ${to}`;
    low.setAttribute("aria-valuetext", from);
    high.setAttribute("aria-valuetext", to);
    whole.disabled = isWhole;
    chart.update(option);
  };
  const move = () => {
    // Handles may cross; between them there is always some range.
    const [a, b] = [Number(low.value), Number(high.value)].sort((x, y) => x - y);
    range = [Math.min(a, STEPS - 1) / STEPS, Math.max(b, a + 1) / STEPS];
    draw();
    onrange(range);
  };
  const place = (first, last) => {
    [low.value, high.value] = [String(first), String(last)];
  };
  const low = handle("Lowest value that is coloured", move);
  const high = handle("Highest value that is coloured", move);
  const text = h("output", {class: "range-text"});
  const whole = h(
    "button",
    {
      type: "button",
      onclick: () => {
        place(0, STEPS);
        move();
      },
    },
    "Whole range",
  );
  return {
    element: h(
      "div",
      {class: "scale", role: "group", "aria-label": "Colour scale"},
      h("div", {class: "scale-box"}, chart.element, h("div", {class: "handles"}, low, high)),
      h("div", {class: "scale-side"}, text, whole),
    ),
    show: (shown) => {
      ({colours, range} = shown);
      counts = spreadOf(colours, shown.values, shown.isWanted, BINS);
      place(Math.round(range[0] * STEPS), Math.round(range[1] * STEPS));
      draw();
    },
  };
};
