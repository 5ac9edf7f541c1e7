// What the mixture and every single scheme take and cost, beside what is stored now.
import {h} from "../../dom.js";
import {bytes, clipped, count, percent, significant} from "../../format.js";
import {definition} from "../../metrics.js";
import {ERROR, JUDGES, single, storedSize} from "../../mix.js";
import {bar, named} from "../../parts.js";
import {dataTable} from "../../table.js";
import {OF_STORED, OVER_LIMIT, SIZE} from "../../terms.js";

const NAMES = {
  mix: () => h("b", null, "Mixture under the limit"),
  stored: () => "As stored now",
  scheme: ({name}) => named(clipped(name)),
};

const overText = ({kind, over, failed, unmeasured, total}) => {
  if (kind === "stored") return "–";
  const parts = [
    over ? `${count(over)} of ${count(total)}` : null,
    failed ? `${count(failed)} failed` : null,
    unmeasured ? `${count(unmeasured)} without numbers` : null,
  ];
  return parts.filter((part) => part).join(", ") || "none";
};

const columnsOf = ({metric}, stored, largest) => [
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

/** {element, show(chosen, errors of the choice by judge, {judge, limit})} */
export const sizeTable = (page, numbers) => {
  const stored = storedSize(numbers);
  const largest = () => Math.max(...table.rows().map((row) => row.bytes || 0));
  const table = dataTable(
    "Size of all experts, and the error that it costs",
    columnsOf(page, stored, largest),
    {
      rowClass: (row) => row.kind,
    },
  );
  const schemeRow = (scheme, {judge, limit}) => ({
    kind: "scheme",
    name: scheme.name,
    errors: scheme.whole,
    ...single(numbers, scheme, judge, limit),
  });
  return {
    element: table.element,
    show: (chosen, errors, view) => {
      const {bytes: size, bitsPerWeight, notMet, unmeasured} = chosen;
      const schemes = numbers.schemes
        .map((scheme) => schemeRow(scheme, view))
        // Without a size last.
        .sort((a, b) => (a.bytes || Infinity) - (b.bytes || Infinity) || 0);
      const rows = [
        {kind: "mix", name: "mixture", bytes: size, bitsPerWeight, errors, over: notMet},
        ...schemes,
        {kind: "stored", name: "stored", ...stored},
      ];
      table.show(rows.map((row) => ({...row, unmeasured, total: numbers.groups.count})));
    },
  };
};
