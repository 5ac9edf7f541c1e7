// The answer first: what to take, how large the whole model becomes, and what is odd.
import {fill, h} from "../dom.js";
import {bytes, clipped, count, inWords, percent, plural, significant} from "../format.js";
import {alone, bitsTaken, errorWhere, fittedBy, isMixed, isUsual, knownSchemes, storedSize} from "../mix.js";
import {bar, named, note, schemeName} from "../parts.js";
import {dataTable, numberColumn} from "../table.js";
import {missingText} from "../whole.js";
import {nothingRead} from "./model/troubles.js";
import {goalControls, restControl} from "./schemes/goal.js";
import {ofGroups} from "./schemes/names.js";
import {byItself} from "./schemes/words.js";

const sum = (list) => list.reduce((total, value) => total + value, 0);

/** The scheme that all groups take, or null. */
const onlyScheme = ({schemes}, {scheme}) => {
  const taken = new Set(scheme.filter((index) => index >= 0));
  return taken.size === 1 ? schemes[[...taken][0]] : null;
};

const ofMatrices = (n, {run: {matrices}}) => `${count(n)} of ${plural(matrices, "matrix", "matrices")}`;

/** What the choice is for: "all experts" only where it is. */
const forWhom = (page, chosen) => {
  const {numbers, whole} = page.decision;
  const fitted = fittedBy(numbers, chosen);
  if (fitted < page.run.matrices) return ofMatrices(fitted, page);
  return whole.isAll ? "all experts" : "the experts that were read";
};

const isQuantizedAlready = ({run: {facts}}) => facts.schemes.some(({requantized}) => requantized);

/** Whether the choice would spoil weights that are quantized already, and save nothing real. */
const isForNothing = (page, chosen) =>
  isQuantizedAlready(page) &&
  chosen.bytes > (1 - page.decision.numbers.realSaving) * storedSize(page.decision.numbers).bytes;

const headline = (page, chosen) => {
  const {numbers} = page.decision;
  const only = onlyScheme(numbers, chosen);
  const take = isForNothing(page, chosen) ? "If quantized again: " : "Take ";
  if (only) return [take, named(clipped(only.name)), ` for ${forWhom(page, chosen)}`];
  const parts = numbers.schemes
    .map(({name, index}) => ({name, groups: chosen.scheme.filter((one) => one === index).length}))
    .filter(({groups}) => groups)
    .sort((a, b) => b.groups - a.groups);
  return [
    take,
    chosen.unmeasured ? `a mixture for ${forWhom(page, chosen)}: ` : "a mixture: ",
    parts.map(({name, groups}, i) => [
      i ? ", " : "",
      named(clipped(name)),
      ` in ${i ? count(groups) : ofGroups(groups, numbers.groups.count)}`,
    ]),
  ];
};

const why = (text) => h("a", {href: "#model"}, text);

/** Of weights that are quantized already. */
const quantizedBefore = (page, chosen) => {
  const stored = storedSize(page.decision.numbers);
  const now = `${bytes(stored.bytes)}, ${significant(stored.bitsPerWeight, 3)} bits per weight`;
  return note(
    "warning",
    h(
      "b",
      null,
      isForNothing(page, chosen)
        ? `Keep the experts as they are stored: ${now}, without a further error.`
        : `The experts are quantized already: ${now}.`,
    ),
    " Errors are against what is stored, and come on top of those of the earlier quantization.",
  );
};

/** What the reader must know before the numbers: what was not read, and what no scheme fits. */
const reservations = (page, chosen) => {
  const {run, decision} = page;
  const missing = missingText(run.facts);
  const left = run.matrices - fittedBy(decision.numbers, chosen);
  return [
    missing
      ? note(
          "warning",
          h("b", null, missing),
          " All figures here are of what was read. ",
          why("What is missing"),
        )
      : null,
    left
      ? note(
          "warning",
          h("b", null, `No scheme could be applied to ${ofMatrices(left, page)}.`),
          " Sizes count them as they are stored; errors leave them out. ",
          why("Why"),
        )
      : null,
    isQuantizedAlready(page) ? quantizedBefore(page, chosen) : null,
  ];
};

const beside = (share, name) =>
  Math.abs(share) < 0.0005
    ? `the same as ${name}`
    : `${percent(Math.abs(share))} ${share > 0 ? "more" : "less"} than ${name}`;

const tile = (label, value, more) =>
  h("div", {class: "tile"}, h("dt", null, label), h("dd", null, h("b", null, value), h("span", null, more)));

const isReference = ({base}, {scheme}) => scheme.every((one, g) => one === base.scheme[g]);

const tiles = (page, chosen, {rest}) => {
  const {decision, run} = page,
    {numbers, whole, base, reference} = decision;
  const {findings, findings_left_out: leftOut} = run.facts;
  const odd = findings.length + sum(Object.values(leftOut));
  const other = byItself(reference, base);
  const isSame = isReference(decision, chosen);
  const itself = isUsual(reference) && !isMixed(base) ? "uniform 4-bit" : other;
  const fitted = fittedBy(numbers, chosen);
  const ofFitted = fitted < run.matrices ? `, of ${ofMatrices(fitted, page)}` : "";
  return [
    tile(
      whole.names[0],
      bytes(whole.bytesOf(chosen.bytes, rest)),
      whole.isKnown ? `${bytes(chosen.bytes)} of it experts` : "the rest of the model is not known",
    ),
    tile(
      "Experts' bits per weight",
      significant(chosen.bitsPerWeight, 3),
      chosen.unmeasured
        ? `${significant(bitsTaken(numbers, chosen), 3)} where quantized`
        : isSame
          ? itself
          : beside(chosen.bytes / base.bytes - 1, other),
    ),
    tile(
      "Relative error",
      significant(chosen.error, 3),
      (isSame ? itself : beside(chosen.error / base.error - 1, other)) + ofFitted,
    ),
    tile(
      "What is odd",
      odd ? count(odd) : "nothing",
      h("a", {href: "#odd"}, odd ? "see what" : "what was looked for"),
    ),
  ];
};

const timesText = ({times, isShared}) => {
  if (times !== times) return "–";
  return [`× ${significant(times, 2)}`, isShared ? null : h("span", {class: "fits"}, " where both fit")];
};

const fitColumns = ({whole, reference}, {matrices}) => [
  {
    key: "scheme",
    label: "Scheme alone",
    value: (row) => row.name,
    cell: (row) => schemeName(row.name, row.fitted, matrices),
  },
  numberColumn("bytes", whole.names[0], (row) => row.bytes, bytes),
  {key: "bar", label: "", value: (row) => row.share, cell: (row) => bar(row.share)},
  numberColumn(
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
    cell: (row) => (row.name === reference.name ? "=" : timesText(row)),
  },
];

/** Every scheme wherever it fits, by size, and the choice where it is none of them. */
const fitRows = ({numbers, whole, reference}, chosen, {rest}) => {
  const only = onlyScheme(numbers, chosen);
  const other = alone(numbers, reference);
  const rows = knownSchemes(numbers).map((scheme) => ({
    name: scheme.name,
    isTaken: scheme === only,
    ...alone(numbers, scheme),
  }));
  if (!only) rows.push({name: "the choice", isTaken: true, ...chosen});
  rows.sort((a, b) => a.bytes - b.bytes);
  const sized = rows.map((row) => ({
    ...row,
    bytes: whole.bytesOf(row.bytes, rest),
    fitted: fittedBy(numbers, row),
    times: errorWhere(numbers, row, other) / errorWhere(numbers, other, row),
    isShared: row.scheme.every((index, g) => index < 0 === other.scheme[g] < 0),
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
    ? `${inWords(whole.counted)} at ${significant(bits, 3)} bits per weight, all else as stored`
    : "the rest as it is stored now";
  return `Sizes are of the experts under a scheme, and ${how}.${whole.remark ? ` ${whole.remark}` : ""}`;
};

const referenceText = ({numbers, reference, base}) => {
  const name = clipped(reference.name, 40);
  const usual = numbers.schemes.find(isUsual);
  const why = usual ? `${clipped(usual.name, 40)} fits too little, so` : "Without affine_q4_g64 in this run";
  return [
    isUsual(reference) ? "" : ` ${why} ${name}, the scheme nearest to it, stands for uniform 4-bit.`,
    isMixed(base) ? ` Where ${name} does not fit, the scheme nearest to it in bits takes its place.` : "",
  ].join("");
};

const NOTHING = {
  schemes: "No quantization scheme was simulated, so there is nothing to recommend.",
  errors: "No scheme has an error to compare, so there is nothing to recommend.",
};

/** The card of a run without a choice; null where there was nothing to look at. */
const nothing = ({run: {facts, matrices}}) => {
  const missing = missingText(facts);
  if (!matrices && !missing) return null;
  const text = facts.schemes.length ? NOTHING.errors : NOTHING.schemes;
  return h(
    "div",
    {class: "answer"},
    missing ? note("warning", h("b", null, missing), " ", why("What is missing")) : null,
    h("p", {class: "lead"}, matrices ? text : nothingRead(facts)),
  );
};

/** The card at the top, null where there is nothing to say. */
export const answerCard = (page) => {
  const {decision, state} = page;
  if (!decision.range) return nothing(page);
  const before = h("div", null);
  const title = h("h2", {id: "answer-title"});
  const grid = h("dl", {class: "tiles"});
  const note = h("p", {class: "quiet"});
  const controls = goalControls(decision, ["good", "size"], state.set);
  const rest = restControl(decision, state.set);
  const table = dataTable("What fits", fitColumns(decision, page.run), {
    rowClass: (row) => (row.isTaken ? "mix" : null),
  });
  const show = () => {
    const view = decision.view(),
      chosen = decision.chosen();
    fill(before, reservations(page, chosen));
    fill(title, headline(page, chosen));
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
    before,
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
