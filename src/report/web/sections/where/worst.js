// The worst matrices under the shown metric, as a table to sort, filter, copy and save.
import {h, latest} from "../../dom.js";
import {clipped, plural, significant} from "../../format.js";
import {definition} from "../../metrics.js";
import {named} from "../../parts.js";
import {deviations, hasValue, largest} from "../../stats.js";
import {copyButton, dataTable, save} from "../../table.js";
import {FEW_HUGE, robustDeviations} from "../../terms.js";
import {term} from "../../tip.js";
import {signed} from "./cell.js";
import {fits, parseFilter} from "./filter.js";

const MOST = 50;
// Beside the shown metric, those that tell why.
const BESIDE = {
  weights: ["rms", "max_abs", "outlier_max_over_mean", "w_rel_fro"],
  quant: ["w_rel_fro", "w_rel_max", "zero_share", "outlier_max_over_mean"],
};

const scoreOf = ({worse}, values, away) => {
  if (worse === "low") return (i) => -values[i];
  return worse === "far" ? (i) => Math.abs(away[i]) : (i) => values[i];
};

const metricColumn = ([metric, values]) => ({
  key: metric.name,
  label: metric.label,
  number: true,
  meaning: definition(metric),
  value: (i) => values[i],
  cell: (i) => significant(values[i], 4),
});

const noteColumn = ({place}) => ({
  key: "note",
  label: "Note",
  value: (i) => (place.fewHuge[i] ? "few huge weights" : ""),
  cell: (i) => (place.fewHuge[i] ? term("few huge weights", FEW_HUGE) : ""),
});

const columnsOf = ({run, place}, rows, metrics, names, away, onopen) => [
  {key: "layer", label: "Layer", number: true, value: (i) => run.facts.layers[place.layer[i]].label},
  {key: "expert", label: "Expert", number: true, value: (i) => run.facts.slots[place.slot[i]].label},
  {
    key: "proj",
    label: "Projection",
    value: (i) => run.facts.projs[place.proj[i]],
    cell: (i) => named(clipped(run.facts.projs[place.proj[i]], 32)),
  },
  ...metrics.map(metricColumn),
  {
    key: "robust_deviations",
    label: "Robust deviations",
    number: true,
    meaning: robustDeviations(run.facts.far),
    value: (i) => away[i],
    cell: (i) => signed(away[i], 3),
  },
  ...(rows.some((i) => place.fewHuge[i]) ? [noteColumn({place})] : []),
  {
    key: "tensor",
    label: "Tensor",
    isLong: true,
    value: (i) => names[i],
    cell: (i) =>
      h(
        "button",
        {
          type: "button",
          class: "link",
          onclick: (event) => {
            event.stopPropagation();
            onopen(i);
          },
        },
        named(clipped(names[i], 120)),
      ),
  },
];

/** [metric, column] of those beside the shown one that have values. */
const besideOf = async ({run, metric}, shown) => {
  const names = BESIDE[shown.metric.of].filter((name) => name !== shown.metric.name && metric(name));
  const columns = await Promise.all(names.map((name) => run.values(name, shown.scheme)));
  return names.map((name, k) => [metric(name), columns[k]]).filter(([, values]) => hasValue(values));
};

const titleOf = ({facts}, {metric, scheme}, n, isFiltered) => {
  if (isFiltered && !n) return "No matrix passes the filter";
  const passing = isFiltered ? ", of those that pass the filter" : "";
  const under = metric.of === "quant" ? ` under ${clipped(facts.schemes[scheme].name)}` : "";
  return `${plural(n, "matrix", "matrices")} ${metric.worst}${under}${passing}`;
};

/** {element, show(shown)}; onopen(matrix). */
export const worstTable = (page, onopen) => {
  const {run, place} = page;
  const table = dataTable("The worst matrices", [], {isSortable: true, onrow: onopen});
  const status = h("p", {class: "offscreen", role: "status"});
  const filter = h("input", {
    type: "search",
    id: "worst-filter",
    placeholder: "layer>=3, proj=down, experts.7.",
    oninput: () => refresh(),
  });
  let shown = null,
    extremes = null;

  const refresh = latest(async (isCurrent) => {
    const now = shown;
    const [names, beside] = await Promise.all([run.names(), besideOf(page, now)]);
    if (!isCurrent()) return;
    extremes ??= deviations(now.values, place.groups("each"), now.scale);
    const away = extremes;
    const conditions = parseFilter(filter.value);
    const score = scoreOf(now.metric, now.values, away);
    const passes = (i) => now.isWanted(i) && conditions.every(fits(run, place, names, i));
    const rows = largest(run.matrices, (i) => (passes(i) ? score(i) : NaN), MOST);
    const title = titleOf(run, now, rows.length, conditions.length > 0);
    table.show(
      rows,
      columnsOf(page, rows, [[now.metric, now.values], ...beside], names, away, onopen),
      title,
    );
    status.textContent = `${title}.`;
  });
  const fileName = () => `moescope-worst-${shown.metric.name.replace(/\W+/g, "_")}.csv`;
  return {
    element: h(
      "div",
      {class: "worst"},
      h("h3", null, `The worst ${MOST} matrices`),
      h(
        "p",
        null,
        "Sort by a column's head; a click on a row opens the matrix. The filter looks at all " +
          "matrices, and the worst of those that pass are shown. It takes =, !=, <, <=, >, >= and several conditions; " +
          'a name with a space stands in quotes: expert="shared 1".',
      ),
      h(
        "div",
        {class: "controls"},
        h(
          "div",
          {class: "control grow"},
          h("label", {for: "worst-filter"}, "Filter: layer, expert, proj, or a part of the name"),
          filter,
        ),
        h(
          "button",
          {type: "button", onclick: () => save(fileName(), "text/csv", table.csv())},
          "Download CSV",
        ),
        copyButton("Copy", table.text),
      ),
      status,
      table.element,
    ),
    show: (next) => {
      [shown, extremes] = [next, null];
      return refresh();
    },
  };
};
