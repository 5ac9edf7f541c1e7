// Everything that did not go as it should.
import {h} from "../../dom.js";
import {clipped, count, coverage, plural, printable} from "../../format.js";
import {foldedList, named, note} from "../../parts.js";
import {grouped} from "../../stats.js";
import {shareRead} from "../../whole.js";

const matrices = (n) => plural(n, "matrix", "matrices");

const missingPart = (facts) => {
  const share = shareRead(facts);
  return share !== null && share < 1 ? `${coverage(share)} of the experts were read; ` : "";
};

const incomplete = (facts) =>
  facts.run.incomplete
    ? note(
        "warning",
        h(
          "p",
          null,
          `This run is incomplete: ${missingPart(facts)}some input was refused or skipped, or fewer experts ` +
            "were analysed than demanded. The warnings say what.",
        ),
      )
    : null;

/** Warnings, without those that failures() tells: one a scheme and tensor. */
const warnings = ({warnings: all, failures: failed, schemes}) => {
  const starts = failed.map(({scheme}) => `[quant_sim] scheme=${schemes[scheme].name} failed: `);
  const list = all.filter((text) => !starts.some((start) => text.startsWith(start)));
  if (!all.length && !failed.length) return h("p", {class: "quiet"}, "The run gave no warning.");
  return list.length
    ? note(
        "warning",
        h("h3", null, plural(list.length, "warning")),
        foldedList(
          list.map((text) => named(printable(text))),
          `Show all ${count(list.length)} warnings`,
        ),
      )
    : null;
};

/** ["q3, q4", " failed for 8 of 24 matrices. "] of all schemes that failed for as many. */
const failedSchemes = ({failures: list, schemes, matrices: all}) => {
  const counts = new Map();
  for (const {scheme, count: n} of list) counts.set(scheme, (counts.get(scheme) ?? 0) + n);
  const byCount = grouped([...counts], ([, n]) => n);
  return [...byCount].map(([n, failed]) => [
    named(failed.map(([scheme]) => clipped(schemes[scheme].name, 40)).join(", ")),
    ` failed for ${n === all ? "all" : `${count(n)} of`} ${matrices(all)}. `,
  ]);
};

const failures = (facts) => {
  const {failures: list, schemes} = facts;
  return list.length
    ? note(
        "warning",
        h("h3", null, "Schemes that could not be applied everywhere"),
        h("p", null, failedSchemes(facts)),
        foldedList(
          list.map(({scheme, error, count: n}) => [
            named(printable(schemes[scheme].name)),
            ` failed for ${matrices(n)}: `,
            named(printable(error)),
          ]),
          "Show why",
          0,
        ),
      )
    : null;
};

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

/** Why there is no matrix to look at. */
export const nothingRead = ({unmatched: {count: n, tensors}}) =>
  n
    ? [
        `None of the experts could be read, so there is nothing to measure: ${plural(n, "tensor was", "tensors were")} refused, the first of them `,
        named(clipped(tensors[0].tensor_name, 120)),
        ": ",
        named(clipped(tensors[0].reason, 240)),
        ".",
      ]
    : "No expert matrix was found, so there is nothing to measure.";

export const troubles = (facts) =>
  [incomplete, warnings, failures, unmatched, orphans].map((part) => part(facts));
