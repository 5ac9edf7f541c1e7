// From what the reader has chosen to what is shown.
import {coloursOf, firstRange} from "../../colours.js";
import {count, plural, significant} from "../../format.js";
import {ERROR} from "../../mix.js";
import {filterOf} from "../../place.js";
import {distanceScale, hasValue} from "../../stats.js";
import {curvesOf, spanOf} from "./curves.js";

/** The metric and scheme to begin with: the relative error under the `chosen` scheme, if any has one. */
export const defaultsOf = async (run, chosen) => {
  for (const scheme of [chosen, ...run.facts.schemes.keys()]) {
    if (scheme === null) continue;
    if (hasValue(await run.values(ERROR, scheme))) return {metric: ERROR, scheme};
  }
  const ofWeights = run.metrics.filter(({of}) => of === "weights").map(({name}) => name);
  for (const metric of ["rms", ...ofWeights]) {
    if (hasValue(await run.values(metric))) return {metric, scheme: 0};
  }
  return {metric: run.metrics[0]?.name, scheme: 0};
};

/** The state with what it leaves open. */
export const viewOf = ({state, place, metric}, defaults) => {
  const chosen = state.get();
  return {
    metric: metric(chosen.metric) ?? metric(defaults.metric),
    scheme: chosen.scheme ?? defaults.scheme,
    kind: chosen.kind ?? "all",
    projs: chosen.show ?? [...place.projs.keys()],
    scale: chosen.scale,
  };
};

/** Rows of the heatmap, shared experts stand last. */
const rowsOf = ({facts}, kind) => {
  const last = facts.slots.length - 1;
  const routed = facts.slots.filter(({shared}) => !shared).length;
  if (kind === "shared") return [routed, last];
  return [0, kind === "routed" ? routed - 1 : last];
};

/** Everything that the pictures of a view are made of. */
export const gatherShown = async ({run, place}, view) => {
  const {metric, scheme, kind, projs} = view;
  const values = await run.values(metric.name, scheme);
  const isWanted = filterOf(place, kind, projs);
  const colours = coloursOf(values, isWanted, view.scale, metric.unit);
  const range = colours ? firstRange(colours, values, isWanted, metric.worse) : [0, 1];
  const isLog = Boolean(colours?.isLog);
  const curves = curvesOf(place, metric, values, kind);
  return {
    metric,
    scheme,
    projs,
    values,
    isWanted,
    colours,
    range,
    curves,
    isLog,
    scale: distanceScale(values, metric.unit),
    span: spanOf(curves, projs, isLog),
    rows: rowsOf(run, kind),
  };
};

/** What there is to say of the values as a whole. */
export const statusText = (shown) => [missingText(shown), alikeText(shown)].filter((text) => text).join(" ");

const alikeText = ({colours: {areAlike, median}}) =>
  areAlike ? `All within 3 % of the median, ${significant(median, 3)}: nothing stands out.` : null;

/** "12 of 70,455 matrices have no value.", or null if all have one. */
const missingText = ({values, isWanted}) => {
  let all = 0,
    missing = 0;
  for (let i = 0; i < values.length; ++i) {
    if (!isWanted(i)) continue;
    ++all;
    if (values[i] !== values[i]) ++missing;
  }
  if (!missing) return null;
  return (
    `${count(missing)} of ${plural(all, "matrix", "matrices")} ` +
    `${missing === 1 ? "has" : "have"} no value.`
  );
};
