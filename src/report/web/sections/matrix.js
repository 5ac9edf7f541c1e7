// The panel of one matrix: all of its statistics, and every scheme's numbers.
import {fill, h, latest} from "../dom.js";
import {clipped, count, printable, shortNumber, significant} from "../format.js";
import {definition} from "../metrics.js";
import {factList, named} from "../parts.js";
import {copyButton, dataTable} from "../table.js";
import {robust} from "../stats.js";
import {term} from "../tip.js";

const weightRows = async ({run, place, metrics}, i) => {
  const [begin, end] = place.neighbours(i);
  const rows = await Promise.all(metrics.filter(({of}) => of === "weights").map(async (metric) => {
    const values = await run.values(metric.name, null);
    const {middle, spread} = robust(values, begin, end);
    return {metric, value: values[i], middle, away: spread > 0 ? (values[i] - middle) / spread : NaN};
  }));
  return rows;
};

const weightTable = (rows) => {
  const table = dataTable("The weights", [
    {key: "statistic", value: ({metric}) => metric.name, label: "Statistic", cell: ({metric}) => term(metric.label, definition(metric))},
    {key: "value", label: "Value", number: true, value: ({value}) => value, cell: ({value}) => significant(value, 5)},
    {key: "median", label: "Median of its layer", number: true, value: ({middle}) => middle, cell: ({middle}) => significant(middle, 4)},
    {key: "away", label: "Robust deviations", number: true, value: ({away}) => away, cell: ({away}) => h("span", {class: Math.abs(away) > 5 ? "bad" : ""}, significant(away, 3))},
  ]);
  table.show(rows);
  return table.element;
};

const schemeRows = async ({run, metrics}, i) => {
  const quant = metrics.filter(({of}) => of === "quant");
  return Promise.all(run.facts.schemes.map(async (scheme, s) => ({scheme,
    values: await Promise.all(quant.map(({name}) => run.valueAt(name, s, i)))})));
};

const schemeTable = ({metrics, run}, rows) => {
  const quant = metrics.filter(({of}) => of === "quant");
  const failed = new Set(run.facts.failures.map(({scheme}) => scheme));
  const table = dataTable("Under every scheme", [
    {key: "scheme", label: "Scheme", value: ({scheme}) => scheme.name, cell: ({scheme}) => named(clipped(scheme.name, 32))},
    ...quant.map((metric, k) => ({key: metric.name, number: true, label: metric.label, head: term(metric.label, definition(metric)),
      value: ({values}) => values[k], cell: ({values}) => significant(values[k], 5)})),
  ].filter((column, k) => k === 0 || rows.some(({values}) => values[k - 1] === values[k - 1])), {});
  table.show(rows);
  return [table.element, rows.some(({values}) => values.every((value) => !(value === value))) && failed.size
    ? h("p", {class: "quiet"}, "A scheme without numbers could not be applied to this matrix; the first section says why.") : null];
};

const placeFacts = ({run, place}, i, name) => {
  const {facts} = run;
  const shape = facts.shapes[place.shape[i]], storage = facts.storages[place.storage[i]];
  return factList([
    ["Tensor", h("span", {class: "scrolled"}, named(printable(name)), " ", copyButton("Copy", () => name))],
    ["File", facts.files[place.file[i]] === undefined ? null : h("span", {class: "scrolled"}, named(printable(facts.files[place.file[i]])))],
    ["Shape", shape ? `${shape.map(count).join(" × ")} = ${count(place.weights[i])} weights` : null],
    ["Stored as", storage ? `${printable(storage.name)}${storage.bits ? `, ${shortNumber(storage.bits)} bits per weight` : ""}` : null],
  ]);
};

const sharing = ({place, run}, i, onopen) => {
  const others = [];
  for (let j = i; place.continues(j); ++j) others.push(j + 1);
  for (let j = i - 1; j >= 0 && place.continues(j); --j) others.unshift(j);
  return others.length ? h("p", null, `${count(others.length)} more in the same cell: `,
    others.slice(0, 50).map((j) => h("button", {type: "button", onclick: () => onopen(j)}, `#${j}`)), others.length > 50 ? " …" : null) : null;
};

/** {element, open(matrix), close()}; onclose() when the reader closes it, onopen(matrix) when another is wanted. */
export const matrixPanel = (page, onclose, onopen) => {
  const {run, place} = page;
  const title = h("h3", {tabindex: "-1"});
  const body = h("div", {class: "matrix-body"});
  const element = h("aside", {class: "matrix", role: "dialog", "aria-label": "One matrix", hidden: true,
    onkeydown: (event) => {
      if (event.key === "Escape") onclose();
    }}, h("header", null, title, h("button", {type: "button", class: "close", "aria-label": "Close", onclick: () => onclose()}, "×")), body);
  let back = null;

  const show = latest(async (current, i) => {
    const [names, weights, schemes] = await Promise.all([run.names(), weightRows(page, i), schemeRows(page, i)]);
    if (!current()) return;
    fill(body, placeFacts(page, i, names[i]), sharing(page, i, onopen),
      run.facts.schemes.length ? schemeTable(page, schemes) : null, weights.length ? weightTable(weights) : null);
    element.dataset.matrix = String(i);
  });
  return {
    element,
    open: (i, {focus = true} = {}) => {
      if (element.hidden) back = document.activeElement;
      title.textContent = `Layer ${place.layers[place.layer[i]]}, ${place.expert(place.slot[i])}, ${clipped(run.facts.projs[place.proj[i]], 40)}`;
      element.hidden = false;
      delete element.dataset.matrix;
      if (focus) title.focus({preventScroll: true});
      return show(i);
    },
    close: () => {
      if (element.hidden) return;
      element.hidden = true;
      delete element.dataset.matrix;
      back?.focus?.({preventScroll: true});
    },
  };
};

