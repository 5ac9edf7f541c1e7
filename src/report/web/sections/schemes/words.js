// The choice in one sentence, and what it leaves out.
import {h} from "../../dom.js";
import {bytes, clipped, percent, shortNumber, significant} from "../../format.js";
import {judgeWords, single, storedSize} from "../../mix.js";
import {named} from "../../parts.js";
import {matrices, ofGroups} from "./names.js";

/** The smallest single scheme that meets the limit everywhere, undefined if there is none. */
const bestSingle = (numbers, {judge, limit}) =>
  numbers.schemes
    .map((scheme) => ({scheme, ...single(numbers, scheme, judge, limit)}))
    .filter(({over, failed}) => !over && !failed)
    .sort((a, b) => a.bytes - b.bytes)[0];

const comparedWith = (best, chosen) => {
  if (!best) return " No single scheme does so.";
  const saved = 1 - chosen.bytes / best.bytes;
  const name = clipped(best.scheme.name, 32);
  return saved < 1e-6
    ? ` ${name} alone does so, in as many bits.`
    : ` The smallest single scheme that does so, ${name}, takes ${bytes(best.bytes)}: ` +
        `the mixture saves ${percent(saved)}.`;
};

/** The size beside what is stored; nothing where that is not known. */
const besideStored = ({bytes: size}, {bytes: stored}) => {
  if (stored !== stored) return ".";
  return size > stored
    ? `. That is larger than the ${bytes(stored)} stored now: keeping those costs no further error.`
    : `, ${percent(size / stored)} of the ${bytes(stored)} stored now.`;
};

export const verdict = (numbers, chosen, view) => {
  const who = `of the ${judgeWords(view.judge)}`.replace("the 90 %", "90 %");
  const where = `in every layer and projection${chosen.unmeasured ? " that has numbers" : ""}`;
  const size = `${bytes(chosen.bytes)}, ${significant(chosen.bitsPerWeight, 3)} bits per weight`;
  return [
    h("b", null, size),
    chosen.notMet
      ? `: as near as these schemes come to an error ${who} of at most ${shortNumber(view.limit)}`
      : `: the fewest that keep the error ${who} at or below ${shortNumber(view.limit)} ${where}`,
    besideStored(chosen, storedSize(numbers)),
    chosen.notMet ? "" : comparedWith(bestSingle(numbers, view), chosen),
  ];
};

const sum = (list) => list.reduce((total, value) => total + value, 0);

/** How many matrices have an error under another scheme, but none under this one. */
const lackingOf = ({measured}, {counts}) => sum(Array.from(measured, (n, g) => n - counts[g]));

/** Bytes of the checkpoint beside the experts that were analysed, their scales among those. */
const restOf = ({facts}, numbers) =>
  sum(Object.values(facts.model.roles ?? {}).map((role) => role.bytes)) - storedSize(numbers).bytes;

/** What was left out or estimated. */
export const remarks = ({run}, numbers, chosen) => {
  const {groups, schemes, measured} = numbers;
  const without = run.matrices - sum(measured);
  const rest = restOf(run, numbers);
  return [
    run.facts.schemes.some(({requantized}) => requantized)
      ? "These weights were quantized before. Errors are against them as they are stored, and come on top of " +
        "those of the earlier quantization."
      : null,
    chosen.notMet
      ? [
          h("b", null, `No scheme meets the limit in ${ofGroups(chosen.notMet, groups.count)}.`),
          " There the one with the least error is counted, and marked.",
        ]
      : null,
    chosen.unmeasured
      ? `In ${ofGroups(chosen.unmeasured, groups.count)} no scheme has numbers; the ` +
        "size stored now is counted."
      : null,
    ...schemes
      .map((scheme) => [scheme, lackingOf(numbers, scheme)])
      .filter(([, n]) => n)
      .map(([scheme, n]) => [
        named(clipped(scheme.name)),
        ` has no error for ${matrices(n)} that ` +
          "another scheme could quantize, and is not chosen in their layers and projections.",
      ]),
    without
      ? `${matrices(without)} ${without === 1 ? "has" : "have"} no error under any scheme: ` +
        "counted in the sizes, not in the errors."
      : null,
    rest > 0
      ? `Sizes are those of the experts. The rest of the checkpoint (attention, embeddings and so on, ` +
        `${bytes(rest)} as stored) comes on top.`
      : null,
  ].filter((text) => text !== null);
};
