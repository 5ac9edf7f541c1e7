// Scheme against scheme: any two, matrix by matrix.
import {differences, pairs} from "../charts/pairs.js";
import {fill, h, latest} from "../dom.js";
import {clipped, percent, plural, shortNumber, significant} from "../format.js";
import {definition} from "../metrics.js";
import {ERROR, nearestTo} from "../mix.js";
import {figure, labelled, named, schemeSelect, section} from "../parts.js";
import {hasValue, histogram, largest, overall} from "../stats.js";
import {FEW_HUGE} from "../terms.js";
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

/** A point tells its matrix, and opens it when clicked; `shown()`: {names, errors, points}, or null. */
const hookScatter = (page, chart, shown) => {
  const nearest = (event) => {
    const now = shown();
    return now ? nearestOf(chart, now.points, ...now.errors, event) : -1;
  };
  chart.element.addEventListener("mousemove", (event) => {
    const i = nearest(event);
    if (i < 0) hideTip();
    else showTip(event, placeWords(page, i), errorLines(shown().names, ...shown().errors, i));
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
        page.place.fewHuge[i] ? [" (", term("few huge weights", FEW_HUGE), ")"] : null,
      ),
    ),
  ),
];

const scatterCaption = ({a, b}) =>
  `A point is a matrix. Below the dashed line ${a} has less error than ${b}, above it more; a point far ` +
  "from the others is an expert that one of them suits badly. A click on a point opens its matrix.";

const histogramCaption = ({a, b}) =>
  `The error under ${a} minus the one under ${b}: left of zero (blue) ${a} is better, right of it (orange) ` +
  `${b}. A narrow hill means that all experts agree.`;

/** Pictures and words of the pair that is chosen: {element, show({a, b})}. */
const comparison = (page) => {
  const {run, studio} = page;
  const scatter = studio.chart("", "medium"),
    bars = studio.chart("", "medium");
  const [summary, most] = [h("p", {role: "status"}), h("div", null)];
  const [aboutScatter, aboutBars] = [h("span", null), h("span", null)];
  const charts = h(
    "div",
    {class: "columns"},
    figure(scatter.element, aboutScatter),
    figure(bars.element, aboutBars),
  );
  let shown = null;
  hookScatter(page, scatter, () => shown);

  const draw = (names, errors, difference) => {
    const points = scatterData(page, names, ...errors),
      bins = histogramData(difference);
    shown = {names, errors, points};
    summary.textContent = sentence(names, difference) + beyondText(bins, difference);
    aboutScatter.textContent = scatterCaption(names);
    aboutBars.textContent = histogramCaption(names);
    fill(most, farthest(page, names, ...errors, difference));
    scatter.label(`Errors under ${names.a} against ${names.b}`);
    bars.label(`Histogram of the difference of ${names.a} and ${names.b}`);
    scatter.update((look) => pairs(points, look));
    bars.update((look) => differences(bins, look));
  };
  return {
    element: h("div", {class: "pair"}, summary, charts, most),
    show: latest(async (isCurrent, {a, b}) => {
      const [errorsA, errorsB] = await Promise.all([run.values(ERROR, a), run.values(ERROR, b)]);
      if (!isCurrent()) return;
      const [nameA, nameB] = [a, b].map((scheme) => clipped(run.facts.schemes[scheme].name, 32));
      const difference = differenceOf(errorsA, errorsB);
      const isKnown = hasValue(difference);
      charts.hidden = most.hidden = !isKnown;
      if (isKnown) draw({a: nameA, b: nameB}, [errorsA, errorsB], difference);
      else summary.textContent = `No matrix has an error under both ${nameA} and ${nameB}.`;
    }),
  };
};

/** {element, show({a, b})}; onchange(patch) */
const pairControls = ({schemes, deltas}, onchange) => {
  const [a, b] = ["a", "b"].map((key) => schemeSelect(schemes, (scheme) => onchange({[key]: scheme})));
  const presets = deltas.map((pair) =>
    h(
      "button",
      {type: "button", onclick: () => onchange({a: pair.a, b: pair.b})},
      named(clipped(pair.name, 40)),
    ),
  );
  return {
    element: [
      h("div", {class: "controls"}, labelled("First scheme", a), labelled("against", b)),
      presets.length ? h("p", {class: "buttons"}, "Pairs of the configuration: ", presets) : null,
    ],
    show: (pair) => {
      [a.value, b.value] = [String(pair.a), String(pair.b)];
    },
  };
};

/** The pair to begin with: the configuration's first, else the scheme nearest in bits against 4-bit. */
const firstPair = ({run: {facts}, decision: {numbers, reference}}) => {
  if (facts.deltas.length) return facts.deltas[0];
  const b = reference?.index ?? 0;
  return {a: nearestTo(numbers, b), b};
};

// How far outside the window the pair is computed.
const NEAR = "800px";

const nothing = (text) => ({all: () => {}, element: section("pairs", TITLE, h("p", {class: "lead"}, text))});

/** {element, all(): computes what no one has come near to, for paper} */
export const pairsSection = (page) => {
  const {state, run} = page;
  if (run.facts.schemes.length < 2) {
    return nothing("Fewer than two schemes were simulated, so there is nothing to compare.");
  }
  const pictures = comparison(page);
  const current = () => {
    const first = firstPair(page);
    const {a, b} = {a: state.get().a ?? first.a, b: state.get().b ?? first.b};
    return {a, b: a === b ? nearestTo(page.decision.numbers, a) : b};
  };
  // The scheme that the other one is trades places with it.
  const choose = (patch) => {
    const was = current(),
      next = {...was, ...patch};
    state.set(next.a === next.b ? {a: was.b, b: was.a} : next);
  };
  const controls = pairControls(run.facts, choose);
  const show = () => {
    controls.show(current());
    return pictures.show(current());
  };
  let isStarted = false;
  const start = () => {
    if (isStarted) return null;
    isStarted = true;
    return show();
  };
  state.listen((changed) => {
    if (isStarted && (changed.has("a") || changed.has("b"))) show();
  });
  const nearness = new IntersectionObserver(
    (entries) => {
      if (entries.some(({isIntersecting}) => isIntersecting)) start();
    },
    {rootMargin: `${NEAR} 0px`},
  );
  nearness.observe(pictures.element);
  return {
    all: start,
    element: section(
      "pairs",
      TITLE,
      h(
        "p",
        {class: "lead"},
        "Any two schemes, matrix by matrix: how much one gains over the other by ",
        term("relative error", definition(page.metric(ERROR))),
        ", and for which experts.",
      ),
      controls.element,
      pictures.element,
    ),
  };
};
