// All about one matrix: where it stands, its statistics, and every scheme's numbers.
import {fill, h, latest} from "../../dom.js";
import {clipped, count, plural, printable, shortNumber, significant} from "../../format.js";
import {definition} from "../../metrics.js";
import {factList, named, note} from "../../parts.js";
import {deviationIn, distanceScale, hasValue, medianOf} from "../../stats.js";
import {copyButton, dataTable} from "../../table.js";
import {FEW_HUGE, robustDeviations} from "../../terms.js";
import {term} from "../../tip.js";
import {signed} from "./cell.js";

const storageText = ({name, bits}) =>
  `${printable(name)}${bits === null ? "" : `, ${shortNumber(bits)} bits per weight`}`;

const placeFacts = ({run, place}, i, name) => {
  const {shapes, storages, files} = run.facts;
  return factList([
    ["Tensor", [named(printable(name)), " ", copyButton("Copy", () => name)]],
    ["File", named(printable(files[place.file[i]]))],
    ["Shape", `${shapes[place.shape[i]].map(count).join(" × ")} = ${count(place.weights[i])} weights`],
    ["Stored as", storageText(storages[place.storage[i]])],
  ]);
};

// ---- of the weights ----

const weightRow = async ({run, place}, metric, i) => {
  const values = await run.values(metric.name);
  const [begin, end] = place.neighbours(i);
  const scale = distanceScale(values, metric.unit);
  return {
    metric,
    value: values[i],
    median: medianOf(values, begin, end),
    away: deviationIn(values, begin, end, scale)(values[i]),
  };
};

const weightColumns = (far) => [
  {
    key: "statistic",
    label: "Statistic",
    value: ({metric}) => metric.name,
    cell: ({metric}) => term(metric.label, definition(metric)),
  },
  {
    key: "value",
    label: "Value",
    number: true,
    value: (row) => row.value,
    cell: (row) => significant(row.value, 5),
  },
  {
    key: "median",
    label: "Median of its layer",
    number: true,
    value: (row) => row.median,
    cell: (row) => significant(row.median, 4),
  },
  {
    key: "away",
    label: "Robust deviations",
    number: true,
    meaning: robustDeviations(far),
    value: (row) => row.away,
    cell: (row) => h("span", {class: Math.abs(row.away) > far ? "bad" : ""}, signed(row.away, 3)),
  },
];

const weightTable = async (page, i) => {
  const metrics = page.metrics.filter(({of}) => of === "weights");
  if (!metrics.length) return null;
  const table = dataTable("Its weights", weightColumns(page.run.facts.far));
  table.show(await Promise.all(metrics.map((metric) => weightRow(page, metric, i))));
  return table.element;
};

// ---- under the schemes ----

// What matters most comes first, the rest as the table has it.
const FIRST = [
  "bits_per_weight",
  "w_rel_fro",
  "sqnr_db",
  "w_rel_max",
  "max_abs_err",
  "zero_share",
  "clip_share",
];

const quantMetrics = (metrics) => {
  const quant = metrics.filter(({of}) => of === "quant");
  const first = FIRST.map((name) => quant.find((metric) => metric.name === name)).filter((metric) => metric);
  return [...first, ...quant.filter((metric) => !first.includes(metric))];
};

const schemeColumns = (metrics, rows) => [
  {
    key: "scheme",
    label: "Scheme",
    value: ({scheme}) => scheme.name,
    cell: ({scheme}) => named(clipped(scheme.name, 32)),
  },
  ...metrics
    .map((metric, k) => ({
      key: metric.name,
      number: true,
      label: metric.label,
      meaning: definition(metric),
      value: ({values}) => values[k],
      cell: ({values}) => significant(values[k], 5),
    }))
    .filter((_, k) => rows.some(({values}) => values[k] === values[k])),
];

const schemeTable = async ({run, metrics}, i) => {
  const quant = quantMetrics(metrics);
  if (!run.facts.schemes.length) return null;
  const rows = await Promise.all(
    run.facts.schemes.map(async (scheme, s) => ({
      scheme,
      values: await Promise.all(quant.map(({name}) => run.valueAt(name, s, i))),
    })),
  );
  const table = dataTable("Under every scheme", schemeColumns(quant, rows));
  table.show(rows);
  const isFailed = rows.some(({values}) => !hasValue(values));
  return [
    table.element,
    isFailed
      ? h(
          "p",
          {class: "quiet"},
          "A scheme without numbers could not be applied to this matrix; the first section of the " +
            "page says why.",
        )
      : null,
  ];
};

const flattered = ({place}, i) => (place.fewHuge[i] ? note("warning", FEW_HUGE.slice(1).join(" ")) : null);

/** Other matrices that claim to stand in the same cell. */
const twins = ({place}, i, onopen) => {
  const others = [];
  for (let j = i; place.goesOn(j); ++j) others.push(j + 1);
  for (let j = i - 1; j >= 0 && place.goesOn(j); --j) others.unshift(j);
  if (!others.length) return null;
  return h(
    "p",
    {class: "buttons"},
    `${plural(others.length, "matrix", "matrices")} more in this cell: `,
    others.slice(0, 20).map((j) => h("button", {type: "button", onclick: () => onopen(j)}, `#${j}`)),
  );
};

/** {element, open(matrix), close()}; onclose() when the reader wants it closed. */
export const matrixPanel = (page, onclose) => {
  const {run, place} = page;
  const title = h("h3", {tabindex: "-1", id: "matrix-title"});
  const body = h("div", {class: "matrix-body"});
  const element = h(
    "aside",
    {
      class: "matrix",
      role: "dialog",
      "aria-labelledby": "matrix-title",
      hidden: true,
      onkeydown: ({key}) => {
        if (key === "Escape") onclose();
      },
    },
    h(
      "header",
      null,
      title,
      h("button", {type: "button", class: "close", "aria-label": "Close", onclick: onclose}, "×"),
    ),
    body,
  );
  let back = null;

  const fillIn = latest(async (isCurrent, i) => {
    const names = await run.names();
    if (!isCurrent()) return;
    // What takes long comes when it is there.
    const [schemes, weights] = [h("div", null), h("div", null)];
    fill(body, placeFacts(page, i, names[i]), flattered(page, i), twins(page, i, open), schemes, weights);
    await Promise.all([
      schemeTable(page, i).then((table) => fill(schemes, table)),
      weightTable(page, i).then((table) => fill(weights, table)),
    ]);
    if (isCurrent()) element.dataset.matrix = String(i);
  });
  const open = (i) => {
    if (element.hidden) back = document.activeElement;
    const proj = clipped(run.facts.projs[place.proj[i]], 40);
    title.textContent = `Layer ${place.layers[place.layer[i]]}, ${place.expert(place.slot[i])}, ${proj}`;
    delete element.dataset.matrix;
    element.hidden = false;
    title.focus({preventScroll: true});
    return fillIn(i);
  };
  return {
    element,
    open,
    close: () => {
      if (element.hidden) return;
      element.hidden = true;
      delete element.dataset.matrix;
      back?.focus({preventScroll: true});
    },
  };
};
