// Scheme against scheme: the pairs of the configuration, matrix by matrix.
import {differences, pairs} from "../charts/pairs.js";
import {fill, h} from "../dom.js";
import {clipped, percent, plural, shortNumber, significant} from "../format.js";
import {definition} from "../metrics.js";
import {ERROR} from "../mix.js";
import {figure, named, section} from "../parts.js";
import {hasValue, histogram, largest, overall} from "../stats.js";
import {hideTip, showTip, term} from "../tip.js";
import {placeWords} from "./where/cell.js";

const TITLE = "Scheme against scheme";
const BINS = 48;
const every = () => true;

const differenceOf = (a, b) => Float64Array.from(a, (value, i) => value - b[i]);

const sentence = ({a, b}, difference) => {
  const {
    count,
    at: [middle],
  } = overall(difference, every, [0.5]);
  const below = difference.filter((d) => d < 0).length;
  return (
    `${a} has less error than ${b} in ${percent(below / count)} of the ` +
    `${plural(count, "matrix", "matrices")}; the median difference is ${significant(middle, 3)}.`
  );
};

const threeDigits = (value) => Number(value.toPrecision(3));

const scatterData = ({place, run}, names, a, b) => {
  const series = run.facts.projs.map((name) => ({name: clipped(name, 28), points: []}));
  let low = Infinity,
    high = 0;
  for (let i = 0; i < a.length; ++i) {
    if (a[i] !== a[i] || b[i] !== b[i]) continue;
    series[place.proj[i]].points.push([b[i], a[i]]);
    low = Math.min(low, a[i], b[i]);
    high = Math.max(high, a[i], b[i]);
  }
  const room = (high - low) * 0.04 || high * 0.05 || 1;
  return {
    series: series.filter(({points}) => points.length),
    range: [threeDigits(Math.max(0, low - room)), threeDigits(high + room)],
    xName: `relative error under ${names.b}`,
    yName: `under ${names.a}`,
  };
};

// Of many matrices the last thousandth is cut, so that one odd expert does not squeeze all others.
const MANY = 2000;
const CUT = 0.0005;

const histogramData = (difference) => {
  const cut = difference.length > MANY ? CUT : 0;
  let [low, high] = overall(difference, every, [cut, 1 - cut]).at;
  if (low === high) {
    const room = Math.abs(low) * 0.1 || 1e-6;
    [low, high] = [low - room, high + room];
  }
  const counts = histogram(difference, every, low, high, BINS);
  return {low, high, counts, yName: "matrices", xName: "difference of the errors"};
};

const beyondText = ({low, high}, difference) => {
  const beyond = difference.filter((d) => d < low || d > high).length;
  return beyond
    ? ` ${plural(beyond, "matrix lies", "matrices lie")} beyond the ends of the ` +
        `histogram, ${shortNumber(threeDigits(low))} and ${shortNumber(threeDigits(high))}.`
    : "";
};

// A point so near, in pixels, is meant.
const REACH = 20;

/** The matrix whose point is nearest to the pointer, -1 if none is near. */
const nearestOf = (chart, {range: [low, high]}, a, b, event) => {
  const at = chart.under(event);
  if (!at) return -1;
  const [left, bottom] = chart.pixel([low, low]),
    [right, top] = chart.pixel([high, high]);
  const across = (right - left) / (high - low),
    up = (bottom - top) / (high - low);
  let nearest = -1,
    least = REACH;
  for (let i = 0; i < a.length; ++i) {
    const distance = Math.hypot((b[i] - at[0]) * across, (a[i] - at[1]) * up);
    if (distance < least) [nearest, least] = [i, distance];
  }
  return nearest;
};

const errorLines = (names, a, b, i) => [
  [`under ${names.a}`, significant(a[i], 4)],
  [`under ${names.b}`, significant(b[i], 4)],
];

/** A point tells its matrix, and opens it when clicked. */
const hookScatter = (page, chart, data, names, a, b) => {
  const nearest = (event) => nearestOf(chart, data, a, b, event);
  chart.element.addEventListener("mousemove", (event) => {
    const i = nearest(event);
    if (i < 0) hideTip();
    else showTip(event, placeWords(page, i), errorLines(names, a, b, i));
  });
  chart.element.addEventListener("pointerleave", hideTip);
  chart.element.addEventListener("click", (event) => {
    const i = nearest(event);
    if (i >= 0) page.open(i);
  });
};

const FARTHEST = 3;

/** The matrices about which two schemes differ most, as links. */
const farthest = (page, names, a, b, difference) => [
  h("p", {class: "quiet"}, "They differ most about"),
  h(
    "ul",
    {class: "plain"},
    largest(difference.length, (i) => Math.abs(difference[i]), FARTHEST).map((i) =>
      h(
        "li",
        null,
        h("button", {type: "button", class: "link", onclick: () => page.open(i)}, placeWords(page, i)),
        `: ${errorLines(names, a, b, i)
          .map(([under, error]) => `${error} ${under}`)
          .join(", ")}`,
      ),
    ),
  ),
];

/** {element, fillIn()} of one pair. */
const pairPart = (page, {name, a, b}) => {
  const {run, studio} = page;
  const names = {a: clipped(run.facts.schemes[a].name, 32), b: clipped(run.facts.schemes[b].name, 32)};
  const scatter = studio.chart(`Errors under ${names.a} against ${names.b}`, "medium");
  const bars = studio.chart(`Histogram of the difference of ${names.a} and ${names.b}`, "medium");
  const summary = h("p", {role: "status"});
  const most = h("div", null);
  const charts = h(
    "div",
    {class: "columns"},
    figure(
      scatter.element,
      `A point is a matrix. Below the dashed line ${names.a} has less error than ` +
        `${names.b}, above it more; a point far from the others is an expert that one of them suits badly. A click on a point opens its matrix.`,
    ),
    figure(
      bars.element,
      `The error under ${names.a} minus the one under ${names.b}: left of zero (blue) ` +
        `${names.a} is better, right of it (orange) ${names.b}. A narrow hill means that all experts agree.`,
    ),
  );
  return {
    element: h("div", {class: "pair"}, h("h3", null, named(clipped(name, 60))), summary, charts, most),
    fillIn: async () => {
      const [errorsA, errorsB] = await Promise.all([run.values(ERROR, a), run.values(ERROR, b)]);
      const difference = differenceOf(errorsA, errorsB);
      if (!hasValue(difference)) {
        summary.textContent = `No matrix has an error under both ${names.a} and ${names.b}.`;
        charts.remove();
        return;
      }
      const bins = histogramData(difference);
      summary.textContent = sentence(names, difference) + beyondText(bins, difference);
      const points = scatterData(page, names, errorsA, errorsB);
      fill(most, farthest(page, names, errorsA, errorsB, difference));
      hookScatter(page, scatter, points, names, errorsA, errorsB);
      scatter.update((look) => pairs(points, look));
      bars.update((look) => differences(bins, look));
    },
  };
};

// How far outside the window a pair is computed.
const NEAR = "800px";

/** {element, all(): computes what no one has come near to, for paper} */
export const pairsSection = (page) => {
  const {deltas} = page.run.facts;
  if (!deltas.length) {
    return {
      all: () => {},
      element: section(
        "pairs",
        TITLE,
        h(
          "p",
          {class: "lead"},
          "The configuration names no pair of schemes (delta_pairs) that were both simulated, so " +
            "there is nothing to compare.",
        ),
      ),
    };
  }
  const parts = deltas.map((delta) => pairPart(page, delta));
  const waiting = new Map(parts.map((part) => [part.element, part]));
  const start = (element) => {
    const part = waiting.get(element);
    waiting.delete(element);
    return part?.fillIn();
  };
  const nearness = new IntersectionObserver(
    (entries) => {
      for (const {target, isIntersecting} of entries) if (isIntersecting) start(target);
    },
    {rootMargin: `${NEAR} 0px`},
  );
  for (const {element} of parts) nearness.observe(element);
  return {
    all: () => Promise.all([...waiting.keys()].map(start)),
    element: section(
      "pairs",
      TITLE,
      h(
        "p",
        {class: "lead"},
        "The pairs of the configuration, matrix by matrix: how much one scheme gains over the other by ",
        term("relative error", definition(page.metric(ERROR))),
        ", and for which experts.",
      ),
      parts.map(({element}) => element),
    ),
  };
};
