// The worst matrices under the shown metric, as a table to sort, filter, copy and save.
import {h, latest} from "../dom.js";
import {clipped, count, plural, significant} from "../format.js";
import {named} from "../parts.js";
import {deviations, largest} from "../stats.js";
import {copyButton, dataTable, save} from "../table.js";
import {term} from "../tip.js";
import {definition} from "../metrics.js";

const LIMIT = 50;
// Beside the shown metric, those that tell why: of the weights, and of the scheme.
const BESIDE = {weights: ["rms", "max_abs", "outlier_max_over_mean", "w_rel_fro"],
  quant: ["w_rel_fro", "sqnr_db", "w_rel_max", "zero_share", "outlier_max_over_mean"]};

/** Words of a filter: "layer=3" is a condition, others are parts of the tensor's name. */
export const parseFilter = (text) => text.trim().split(/\s+/).filter(Boolean).map((word) => {
  const match = /^(layer|expert|proj|projection|slot)=(.*)$/i.exec(word);
  return match ? {key: match[1].toLowerCase().slice(0, 4), value: match[2].toLowerCase()} : {key: "name", value: word.toLowerCase()};
});

const fits = ({facts}, place, names, conditions, i) => conditions.every(({key, value}) => {
  if (key === "laye") return facts.layers[place.layer[i]].label.toLowerCase() === value;
  if (key === "expe" || key === "slot") return facts.slots[place.slot[i]].label.toLowerCase() === value;
  if (key === "proj") return facts.projs[place.proj[i]].toLowerCase().includes(value);
  return names[i].toLowerCase().includes(value);
});

const scoreOf = (metric, values, away) => {
  if (metric.worse === "low") return (i) => -values[i];
  if (metric.worse === "far") return (i) => Math.abs(away[i]);
  return (i) => values[i];
};

const columnsOf = ({place, run}, shown, beside, names, away) => [
  {key: "layer", label: "Layer", number: true, value: (i) => run.facts.layers[place.layer[i]].label, cell: (i) => place.layers[place.layer[i]]},
  {key: "expert", label: "Expert", number: true, value: (i) => run.facts.slots[place.slot[i]].label, cell: (i) => place.slots[place.slot[i]]},
  {key: "proj", label: "Projection", value: (i) => run.facts.projs[place.proj[i]], cell: (i) => named(clipped(run.facts.projs[place.proj[i]], 32))},
  ...[[shown.metric, shown.values], ...beside].map(([metric, values]) => ({key: metric.name, number: true,
    label: metric.label, head: metric.label, note: term("?", definition(metric)), value: (i) => values[i], cell: (i) => significant(values[i], 4)})),
  {key: "robust_deviations", number: true, label: "Robust deviations", note: term("?", ["Robust deviations", "How far the value lies from the median of its layer and projection, in robust standard deviations: 1.4826 times the median distance from that median. Above 5 or so is unusual."]),
    value: (i) => away[i], cell: (i) => significant(away[i], 3)},
  {key: "tensor", label: "Tensor", long: true, value: (i) => names[i], cell: (i) => named(clipped(names[i], 90))},
];

/** {element, show(shown)}; onopen(matrix). */
export const worstTable = (page, onopen) => {
  const {run, place} = page;
  const table = dataTable("Worst matrices", [], {sortable: true, onrow: (i) => onopen(i)});
  let shown = null;
  const status = h("p", {class: "quiet", role: "status"});
  const filter = h("input", {type: "search", class: "filter", placeholder: "layer=3 proj=down experts.7.", "aria-label": "Filter: layer=, expert=, proj=, or a part of the tensor's name",
    oninput: () => refresh()});

  const refresh = latest(async (current) => {
    const now = shown;
    const others = BESIDE[now.metric.of].filter((name) => name !== now.metric.name && run.metric(name))
      .filter((name) => run.metric(name).of === "weights" || run.facts.schemes.length);
    const [names, ...columns] = await Promise.all([run.names(), ...others.map((name) => run.values(name, now.scheme))]);
    if (!current()) return;
    const beside = others.map((name, k) => [page.metric(name), columns[k]]).filter(([, values]) => values.some((v) => v === v));
    const away = deviations(now.values, place.groups("each"));
    const conditions = parseFilter(filter.value);
    const score = scoreOf(now.metric, now.values, away);
    const rows = largest(run.matrices, (i) => (now.wanted(i) && fits(run, place, names, conditions, i) ? score(i) : NaN), LIMIT);
    const caption = `${plural(rows.length, "matrix", "matrices")} with the ${now.metric.worst} ${now.metric.label}${now.metric.of === "quant" ? ` under ${clipped(run.facts.schemes[now.scheme].name)}` : ""}`;
    table.show(rows, {newColumns: columnsOf(page, now, beside, names, away), newCaption: caption, sort: null});
    status.textContent = rows.length ? `${caption}${conditions.length ? ", of those that pass the filter" : ""}.` : "No matrix with a value passes the filter.";
  });
  const fileName = () => `moescope-worst-${shown.metric.name.replace(/\W+/g, "_")}.csv`;
  return {
    element: h("div", {class: "worst"}, h("h3", null, `The worst ${LIMIT} matrices`),
      h("p", null, "Sort by a click on a column's head; a click on a row opens the matrix. The filter looks at all matrices, and the worst of those that pass are shown."),
      h("div", {class: "controls"}, h("label", {class: "grow"}, h("span", null, "Filter"), filter),
        h("button", {type: "button", onclick: () => save(fileName(), "text/csv", table.csv())}, "Download CSV"),
        copyButton("Copy", () => table.text())), status, table.element),
    show: (next) => {
      shown = next;
      return refresh();
    },
  };
};

/** "12 of 70,455 have no value", or null if all have one. */
export const missingText = (values, wanted) => {
  let all = 0, missing = 0;
  for (let i = 0; i < values.length; ++i) {
    if (!wanted(i)) continue;
    ++all;
    if (!(values[i] === values[i])) ++missing;
  }
  return missing ? `${count(missing)} of ${plural(all, "matrix", "matrices")} ${missing === 1 ? "has" : "have"} no value.` : null;
};

