// Scheme against scheme: the pairs of the configuration, matrix by matrix.
import {differences, pairs} from "../charts/pairs.js";
import {h} from "../dom.js";
import {clipped, percent, plural, printable, shortNumber, significant} from "../format.js";
import {figure, named, section} from "../parts.js";
import {histogram, overall} from "../stats.js";

const BINS = 48;
const ERROR = "w_rel_fro";

const differenceOf = (a, b) => {
  const difference = new Float64Array(a.length);
  for (let i = 0; i < a.length; ++i) difference[i] = a[i] - b[i];
  return difference;
};

const shareBelowZero = (values) => {
  let below = 0, all = 0;
  for (const value of values) {
    if (!(value === value)) continue;
    ++all;
    if (value < 0) ++below;
  }
  return [below, all];
};

// The ends without the last thousandth, so that one odd expert does not squeeze all others into a corner.
const CENTRE = [0.0005, 0.9995];

const scatterData = ({place, run}, a, b, names) => {
  const series = run.facts.projs.map((name) => ({name: clipped(name, 28), points: []}));
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < a.length; ++i) {
    if (!(a[i] === a[i] && b[i] === b[i])) continue;
    series[place.proj[i]].points.push([b[i], a[i]]);
    low = Math.min(low, a[i], b[i]);
    high = Math.max(high, a[i], b[i]);
  }
  const room = (high - low) * 0.04 || high * 0.05 || 1;
  return {series: series.filter(({points}) => points.length), range: [Math.max(0, low - room), high + room].map((v) => Number(v.toPrecision(3))),
    xName: `relative error under ${names.b}`, yName: `under ${names.a}`};
};

const histogramData = (difference, names) => {
  const {at} = overall(difference, () => true, [0, ...CENTRE, 1]);
  const everything = difference.length < 2000;
  let [low, high] = everything ? [at[0], at[3]] : [at[1], at[2]];
  if (low === high) [low, high] = [low - (Math.abs(low) * 0.1 || 1e-6), high + (Math.abs(high) * 0.1 || 1e-6)];
  return {low, high, counts: Array.from(histogram(difference, () => true, low, high, BINS)),
    xName: `error under ${names.a} minus error under ${names.b}`, yName: "matrices", left: difference.filter((d) => d < low || d > high).length};
};

const sentence = (names, difference) => {
  const [below, all] = shareBelowZero(difference);
  const middle = overall(difference, () => true, [0.5]).at[0];
  return `${names.a} has the smaller error in ${percent(below / all)} of ${plural(all, "matrix", "matrices")}; the median difference is ${significant(middle, 3)}.`;
};

const part = (page, delta) => {
  const {run, studio} = page;
  const names = {a: clipped(run.facts.schemes[delta.a]?.name ?? "?", 32), b: clipped(run.facts.schemes[delta.b]?.name ?? "?", 32)};
  const scatter = studio.chart(`${names.a} against ${names.b}`, "medium"), bars = studio.chart(`Difference of ${names.a} and ${names.b}`, "medium");
  const summary = h("p", {role: "status"});
  const element = h("div", {class: "pair"}, h("h3", null, named(clipped(printable(delta.name), 60))), summary,
    h("div", {class: "columns"},
      figure(scatter.element, `A point is a matrix. Below the dashed line ${names.a} has less error than ${names.b}, above it more; a point far from the others is an expert that suits one of them badly.`),
      figure(bars.element, `Left of zero (blue) ${names.a} is better, right of it (red) ${names.b}; a narrow hill means that all experts agree.`)));
  const fillIn = async () => {
    const [a, b] = await Promise.all([run.values(ERROR, delta.a), run.values(ERROR, delta.b)]);
    const difference = differenceOf(a, b);
    if (!difference.some((d) => d === d)) {
      summary.textContent = `No matrix has an error under both ${names.a} and ${names.b}.`;
      element.querySelector(".columns").remove();
      return;
    }
    const bins = histogramData(difference, names);
    summary.textContent = sentence(names, difference) + (bins.left ? ` ${plural(bins.left, "matrix lies", "matrices lie")} beyond the ends of the histogram (${shortNumber(Number(bins.low.toPrecision(3)))} to ${shortNumber(Number(bins.high.toPrecision(3)))}).` : "");
    scatter.update((look) => pairs(scatterData(page, a, b, names), look));
    bars.update((look) => differences(bins, look));
  };
  return {element, fillIn};
};

/** The fifth section; each pair is computed when the reader comes near, or all at once for paper. */
export const pairsSection = (page) => {
  const {run} = page;
  const title = "Scheme against scheme";
  if (!run.facts.deltas.length) return {element: section("pairs", title, h("p", {class: "lead"}, "The configuration names no pair of schemes (delta_pairs) that was simulated, so there is nothing to compare.")), all: async () => {}};
  const parts = run.facts.deltas.map((delta) => part(page, delta));
  const started = new Map();
  const start = (one) => {
    if (!started.has(one)) started.set(one, one.fillIn());
    return started.get(one);
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) start(parts.find(({element}) => element === entry.target));
  }, {rootMargin: "800px 0px"});
  for (const one of parts) seen.observe(one.element);
  return {element: section("pairs", title, h("p", {class: "lead"}, "The pairs of the configuration, matrix by matrix: how much one scheme gains over the other, and for which experts."),
    parts.map(({element}) => element)), all: () => Promise.all(parts.map(start))};
};
