// Everything that did not go as it should.
import {h} from "../../dom.js";
import {count, plural, printable} from "../../format.js";
import {foldedList, named, note} from "../../parts.js";

const matrices = (n) => plural(n, "matrix", "matrices");

const incomplete = ({run}) =>
  run.incomplete
    ? note(
        "warning",
        h(
          "p",
          null,
          "This run is incomplete: some input was refused or skipped, or fewer experts were analysed " +
            "than demanded. The warnings say what.",
        ),
      )
    : null;

const warnings = ({warnings: list}) =>
  list.length
    ? note(
        "warning",
        h("h3", null, plural(list.length, "warning")),
        foldedList(
          list.map((text) => named(printable(text))),
          `Show all ${count(list.length)} warnings`,
        ),
      )
    : h("p", {class: "quiet"}, "The run gave no warning.");

const failures = ({failures: list, schemes}) =>
  list.length
    ? note(
        "warning",
        h("h3", null, "Schemes that could not be applied everywhere"),
        foldedList(
          list.map(({scheme, error, count: n}) => [
            named(printable(schemes[scheme].name)),
            ` failed for ${matrices(n)}: `,
            named(printable(error)),
          ]),
          "Show all failures",
        ),
      )
    : null;

const unmatchedTitle = (n) =>
  n === 1
    ? "1 tensor looks like an expert's and was not analysed"
    : `${count(n)} tensors look like experts' and were not analysed`;

const unmatched = ({unmatched: {count: n, tensors}}) => {
  if (!n) return null;
  const items = tensors.map(({tensor_name: name, reason}) => [
    named(printable(name)),
    ": ",
    named(printable(reason)),
  ]);
  if (n > tensors.length) items.push(`and ${count(n - tensors.length)} more, in data/unmatched_tensors`);
  return note("warning", h("h3", null, unmatchedTitle(n)), foldedList(items, "Show these tensors"));
};

const orphans = ({orphans: n}) =>
  n
    ? note(
        "warning",
        h(
          "p",
          null,
          `${plural(n, "row")} of quant_sim ${n === 1 ? "belongs" : "belong"} to no matrix of matrix_stats, and ` +
            `${n === 1 ? "is" : "are"} not shown.`,
        ),
      )
    : null;

export const troubles = (facts) =>
  [incomplete, warnings, failures, unmatched, orphans].map((part) => part(facts));
