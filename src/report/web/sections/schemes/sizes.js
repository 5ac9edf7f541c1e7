// What the mixture and every single scheme take and cost, beside what is stored now.
import {h} from "../../dom.js";
import {bytes, count, percent, significant} from "../../format.js";
import {definition} from "../../metrics.js";
import {ERROR, JUDGES, single, storedSize} from "../../mix.js";
import {bar, schemeName} from "../../parts.js";
import {dataTable} from "../../table.js";
import {AS_STORED} from "../../whole.js";
import {OF_STORED, OVER_LIMIT, SIZE} from "../../terms.js";

const sum = (list) => list.reduce((total, value) => total + value, 0);

const NAMES = {
  mix: () => h("b", null, "The choice"),
  stored: () => "As stored now",
  scheme: ({name, fitted, all}) => schemeName(name, fitted, all),
};

const FITS =
  "The size of the model, as far as it was read: experts, and the rest as the select above counts it.";

const overText = ({kind, over, failed, unmeasured, total}) => {
  if (kind === "stored") return "–";
  const parts = [
    over ? `${count(over)} of ${count(total)}` : null,
    failed ? `${count(failed)} failed` : null,
    unmeasured ? `${count(unmeasured)} without numbers` : null,
  ];
  return parts.filter((part) => part).join(", ") || "none";
};

const columnsOf = ({metric, decision: {whole}}, stored, largest) => [
  {key: "scheme", label: "Scheme", value: (row) => row.name, cell: (row) => NAMES[row.kind](row)},
  {
    key: "bits_per_weight",
    label: "Bits per weight",
    number: true,
    meaning: definition(metric("bits_per_weight")),
    value: (row) => row.bitsPerWeight,
    cell: (row) => significant(row.bitsPerWeight, 3),
  },
  {
    key: "bytes",
    label: "Size",
    number: true,
    meaning: SIZE,
    value: (row) => row.bytes,
    cell: (row) => bytes(row.bytes),
  },
  ...(whole.isKnown
    ? [
        {
          key: "whole_bytes",
          label: whole.names[0],
          number: true,
          meaning: [whole.names[0], FITS],
          value: (row) => row.whole,
          cell: (row) => bytes(row.whole),
        },
      ]
    : []),
  {key: "bar", label: "", value: (row) => row.bytes, cell: (row) => bar(row.bytes / largest())},
  {
    key: "of_stored",
    label: "Of stored",
    number: true,
    meaning: OF_STORED,
    value: (row) => row.bytes / stored.bytes,
    cell: (row) => percent(row.bytes / stored.bytes),
  },
  ...JUDGES.map(([key, words], k) => ({
    key,
    label: `Error, ${words}`,
    number: true,
    meaning: definition(metric(ERROR)),
    value: (row) => row.errors?.[k],
    cell: (row) => significant(row.errors?.[k], 3),
  })),
  {
    key: "over_limit",
    label: "Choices over the limit",
    number: true,
    meaning: OVER_LIMIT,
    value: (row) => row.over,
    cell: overText,
  },
];

// What is stored now is counted so altogether.
const restOf = ({kind}, {rest}) => (kind === "stored" ? AS_STORED : rest);

/** {element, show(chosen, errors of the choice by judge, {judge, limit})} */
export const sizeTable = (page) => {
  const {numbers, whole} = page.decision;
  const stored = storedSize(numbers);
  const largest = () => Math.max(...table.rows().map((row) => row.bytes || 0));
  const columns = columnsOf(page, stored, largest);
  const table = dataTable("Size of the experts, and the error that it costs", columns, {
    rowClass: (row) => row.kind,
  });
  const schemeRow = (scheme, {judge, limit}) => ({
    kind: "scheme",
    name: scheme.name,
    errors: scheme.whole,
    fitted: sum(scheme.counts),
    all: page.run.matrices,
    ...single(numbers, scheme, judge, limit),
  });
  return {
    element: table.element,
    show: (chosen, errors, view) => {
      const {bytes: size, bitsPerWeight, notMet, unmeasured} = chosen;
      const isLimited = view.goal === "limit";
      const schemes = numbers.schemes
        .map((scheme) => schemeRow(scheme, view))
        // Without a size last.
        .sort((a, b) => (a.bytes || Infinity) - (b.bytes || Infinity) || 0);
      const rows = [
        {kind: "mix", name: "choice", bytes: size, bitsPerWeight, errors, over: notMet},
        ...schemes,
        {kind: "stored", name: "stored", ...stored},
      ];
      const total = numbers.groups.count;
      const shown = columns.filter(({key}) => isLimited || key !== "over_limit");
      table.show(
        rows.map((row) => ({...row, unmeasured, total, whole: whole.bytesOf(row.bytes, restOf(row, view))})),
        shown,
      );
    },
  };
};
