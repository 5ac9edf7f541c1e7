// The answer first: what to take, how large the whole model becomes, and what is odd.
import {fill, h} from "../dom.js";
import {bytes, clipped, count, percent, significant} from "../format.js";
import {isUsual, uniform, usableSchemes} from "../mix.js";
import {bar, named} from "../parts.js";
import {dataTable} from "../table.js";
import {goalControls, restControl} from "./schemes/goal.js";
import {ofGroups} from "./schemes/names.js";

const sum = (list) => list.reduce((total, value) => total + value, 0);

/** The scheme that all groups take, or null. */
const onlyScheme = ({schemes}, {scheme}) => {
  const taken = new Set(scheme.filter((index) => index >= 0));
  return taken.size === 1 ? schemes[[...taken][0]] : null;
};

const headline = ({numbers}, chosen) => {
  const only = onlyScheme(numbers, chosen);
  if (only) return ["Take ", named(clipped(only.name)), " for all experts"];
  const parts = numbers.schemes
    .map(({name, index}) => ({name, groups: chosen.scheme.filter((one) => one === index).length}))
    .filter(({groups}) => groups)
    .sort((a, b) => b.groups - a.groups);
  return [
    "Take a mixture: ",
    parts.map(({name, groups}, i) => [
      i ? ", " : "",
      named(clipped(name)),
      ` in ${i ? count(groups) : ofGroups(groups, numbers.groups.count)}`,
    ]),
  ];
};

const change = (share) =>
  Math.abs(share) < 0.0005 ? "the same" : `${percent(Math.abs(share))} ${share > 0 ? "more" : "less"}`;

const tile = (label, value, more) =>
  h("div", {class: "tile"}, h("dt", null, label), h("dd", null, h("b", null, value), h("span", null, more)));

const isReference = ({base}, {scheme}) => scheme.every((one, g) => one === base.scheme[g]);

const tiles = (page, chosen, {rest}) => {
  const {decision, run} = page,
    {whole, base, reference} = decision;
  const {findings, findings_left_out: leftOut} = run.facts;
  const odd = findings.length + sum(Object.values(leftOut));
  const name = clipped(reference.name, 24);
  const isSame = isReference(decision, chosen);
  const alone = isUsual(reference) ? "uniform 4-bit" : `${name} alone`;
  return [
    tile(
      whole.isKnown ? "Whole model" : "All experts",
      bytes(whole.bytesOf(chosen.bytes, rest)),
      whole.isKnown ? `${bytes(chosen.bytes)} of it experts` : "the rest of the model is not known",
    ),
    tile(
      "Experts' bits per weight",
      significant(chosen.bitsPerWeight, 3),
      isSame ? alone : `${change(chosen.bytes / base.bytes - 1)} than ${name}`,
    ),
    tile(
      "Relative error",
      significant(chosen.error, 3),
      isSame ? alone : `${change(chosen.error / base.error - 1)} than ${name} alone`,
    ),
    tile(
      "What is odd",
      odd ? count(odd) : "nothing",
      h("a", {href: "#odd"}, odd ? "see what" : "what was looked for"),
    ),
  ];
};

const column = (key, label, value, text) => ({
  key,
  label,
  number: true,
  value,
  cell: (row) => text(value(row)),
});

const fitColumns = ({whole, reference}) => [
  {
    key: "scheme",
    label: "Scheme for all experts",
    value: (row) => row.name,
    cell: (row) => named(clipped(row.name, 40)),
  },
  column("bytes", whole.isKnown ? "Whole model" : "All experts", (row) => row.bytes, bytes),
  {key: "bar", label: "", value: (row) => row.share, cell: (row) => bar(row.share)},
  column(
    "error",
    "Error",
    (row) => row.error,
    (value) => significant(value, 3),
  ),
  {
    key: "times",
    label: isUsual(reference) ? "Against 4-bit" : `Against ${clipped(reference.name, 20)}`,
    number: true,
    value: (row) => row.times,
    cell: (row) => (row.name === reference.name ? "=" : `× ${significant(row.times, 2)}`),
  },
];

/** Every scheme for all experts, by size, and the choice where it is none of them. */
const fitRows = ({numbers, whole, base}, chosen, {rest}) => {
  const only = onlyScheme(numbers, chosen);
  const rows = usableSchemes(numbers).map((scheme) => ({
    name: scheme.name,
    isTaken: scheme === only,
    ...uniform(numbers, scheme),
  }));
  if (!only) rows.push({name: "the choice", isTaken: true, ...chosen});
  rows.sort((a, b) => a.bytes - b.bytes);
  const sized = rows.map((row) => ({
    ...row,
    bytes: whole.bytesOf(row.bytes, rest),
    times: row.error / base.error,
  }));
  const largest = Math.max(...sized.map((row) => row.bytes));
  return sized.map((row) => ({...row, share: row.bytes / largest}));
};

const ERROR_WORDS =
  "The error is the root of the mean squared relative error over all expert weights; it tells of weights, not of " +
  "the model's answers.";

const howCounted = ({whole}, {rest}) => {
  if (!whole.isKnown) return whole.remark;
  const bits = whole.schemes.find(({name}) => name === rest)?.bits;
  const how = bits
    ? `attention, embeddings and other matrices at ${significant(bits, 3)} bits per weight, norms and routers as stored`
    : "the rest as it is stored now";
  return `Sizes are of the experts under a scheme, and ${how}.${whole.remark ? ` ${whole.remark}` : ""}`;
};

const referenceText = ({reference}) =>
  isUsual(reference)
    ? ""
    : ` Without affine_q4_g64 in this run ${clipped(reference.name, 40)} stands for uniform 4-bit, the scheme nearest to it.`;

const NOTHING = {
  schemes: "No quantization scheme was simulated, so there is nothing to recommend.",
  errors: "No scheme has an error to compare, so there is nothing to recommend.",
};

const nothing = ({run: {facts, matrices}}) =>
  matrices ? h("p", {class: "lead"}, facts.schemes.length ? NOTHING.errors : NOTHING.schemes) : null;

/** The card at the top, null where there is nothing to say. */
export const answerCard = (page) => {
  const {decision, state} = page;
  if (!decision.range) {
    const text = nothing(page);
    return text ? h("div", {class: "answer"}, text) : null;
  }
  const title = h("h2", {id: "answer-title"});
  const grid = h("dl", {class: "tiles"});
  const note = h("p", {class: "quiet"});
  const controls = goalControls(decision, ["good", "size"], state.set);
  const rest = restControl(decision, state.set);
  const table = dataTable("What fits", fitColumns(decision), {
    rowClass: (row) => (row.isTaken ? "mix" : null),
  });
  const show = () => {
    const view = decision.view(),
      chosen = decision.chosen();
    fill(title, headline(decision, chosen));
    fill(grid, tiles(page, chosen, view));
    controls.show(view);
    rest.show(view);
    note.textContent = `${howCounted(decision, view)} ${ERROR_WORDS}${referenceText(decision)}`;
    table.show(fitRows(decision, chosen, view));
  };
  decision.listen(show);
  show();
  return h(
    "div",
    {class: "answer", role: "region", "aria-labelledby": "answer-title"},
    title,
    grid,
    h("div", {class: "answer-controls"}, controls.element, rest.element),
    table.element,
    note,
    h(
      "p",
      {class: "quiet"},
      h("a", {href: "#schemes"}, "Which layer takes what, and how all schemes compare"),
    ),
  );
};
