// The choice in one sentence, and what it leaves out.
import {h} from "../../dom.js";
import {bytes, clipped, inWords, percent, shortNumber, significant} from "../../format.js";
import {TOLERANCE, isMixed, judgeWords, single, stepsFrom, storedSize, uniform} from "../../mix.js";
import {named} from "../../parts.js";
import {grouped} from "../../stats.js";
import {AS_STORED} from "../../whole.js";
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

const sizeText = ({bytes: size, bitsPerWeight}) =>
  h("b", null, `${bytes(size)}, ${significant(bitsPerWeight, 3)} bits per weight`);

const underLimit = ({numbers}, chosen, view) => {
  const who = `of the ${judgeWords(view.judge)}`.replace("the 90 %", "90 %");
  const where = `in every layer and projection${chosen.unmeasured ? " that has numbers" : ""}`;
  return [
    sizeText(chosen),
    chosen.notMet
      ? `: as near as these schemes come to an error ${who} of at most ${shortNumber(view.limit)}`
      : `: the fewest that keep the error ${who} at or below ${shortNumber(view.limit)} ${where}, where a miss ` +
        `of up to ${percent(TOLERANCE)} is let pass`,
    besideStored(chosen, storedSize(numbers)),
    chosen.notMet ? "" : comparedWith(bestSingle(numbers, view), chosen),
  ];
};

const nameOf = ({name}) => clipped(name, 32);

/** What uniform() gave of a scheme: "NAME alone", or that others stand in for it. */
export const byItself = ({name}, base) =>
  `${clipped(name, 32)} ${isMixed(base) ? "wherever it fits" : "alone"}`;

/** Size, and error beside the reference's. */
const besideReference = ({reference, base}, {bytes: size, error}) =>
  `error ${significant(error, 3)} against ${significant(base.error, 3)} of ${byItself(reference, base)}, ` +
  `${bytes(size)} against ${bytes(base.bytes)}`;

/** What the mixture that was not taken would have saved. */
const notWorth = ({saves}, of) =>
  saves > 0
    ? ` The best mixture would save ${percent(saves)} of ${of}: not worth its trouble.`
    : ` No mixture of these schemes saves any of ${of}.`;

const forAll = (base) => {
  if (isMixed(base)) return "wherever it fits, elsewhere the scheme nearest to it in bits";
  return base.unmeasured ? "wherever a scheme fits" : "for all";
};

const asGood = (decision, chosen) => {
  const {numbers, reference, base} = decision;
  if (isSame(chosen, base)) {
    return [
      sizeText(chosen),
      `: ${nameOf(reference)} ${forAll(chosen)}. No choice that is as good is smaller by ${percent(numbers.realSaving)} or more.`,
      notWorth(chosen, "the size"),
      besideStored(chosen, storedSize(numbers))
        .replace(/^, (.*)\.$/, " That is $1.")
        .replace(/^\./, ""),
    ];
  }
  return [
    sizeText(chosen),
    `: as good as ${byItself(reference, base)} and ${percent(1 - chosen.bytes / base.bytes)} smaller: ` +
      `${besideReference(decision, chosen)}.`,
  ];
};

/** What a mixture gains over the best scheme by itself that fits, if one does. */
const gainText = ({schemes}, {error}, base) =>
  base
    ? `, ${percent(1 - error / base.error)} less than ${byItself(schemes[base.base], base)}, the best that fits`
    : "";

const inSize = (decision, chosen, view) => {
  const {numbers, whole} = decision;
  const limit = `${bytes(view.size, 4)}${whole.isKnown ? ` for ${whole.names[1]}` : ""}`;
  if (chosen.isTooLarge) {
    const all = bytes(whole.bytesOf(chosen.bytes, view.rest));
    return [sizeText(chosen), `: even the fewest bits take more than ${limit}: ${all}.`];
  }
  const base = chosen.base === null ? null : uniform(numbers, numbers.schemes[chosen.base]);
  const alone = base && isSame(chosen, base);
  return [
    sizeText(chosen),
    `: the least error within ${limit}`,
    alone
      ? `, by ${nameOf(numbers.schemes[chosen.base])} ${forAll(chosen)}`
      : gainText(numbers, chosen, base),
    `: ${besideReference(decision, chosen)}.`,
    alone ? notWorth(chosen, "the error") : "",
  ];
};

const isSame = (a, b) => a.scheme.every((scheme, g) => scheme === b.scheme[g]);

const BY_GOAL = {good: asGood, size: inSize, limit: underLimit};

export const verdict = (decision, chosen, view) => BY_GOAL[view.goal](decision, chosen, view);

const signedShare = (share) => `${percent(Math.abs(share))} ${share > 0 ? "more" : "less"}`;

/** What each scheme of a mixture does, against its base for all. */
export const stepTexts = ({numbers}, chosen) => {
  const steps = stepsFrom(numbers, chosen);
  const base = steps.length ? numbers.schemes[chosen.base] : null;
  return steps.map(({scheme, groups, bytes: change, error}) => [
    named(nameOf(scheme)),
    ` instead of ${nameOf(base)} in ${ofGroups(groups, numbers.groups.count)} `,
    change > 0
      ? `costs ${bytes(change)}, for ${signedShare(error)} error.`
      : `saves ${bytes(-change)}, for ${signedShare(error)} error.`,
  ]);
};

const sum = (list) => list.reduce((total, value) => total + value, 0);

/** How many matrices have an error under another scheme, but none under this one. */
const lackingOf = ({measured}, {counts}) => sum(Array.from(measured, (n, g) => n - counts[g]));

/** A sentence for all schemes that lack as many. */
const lackingTexts = (numbers) => {
  const lacking = grouped(numbers.schemes, (scheme) => lackingOf(numbers, scheme));
  return [...lacking]
    .filter(([n]) => n)
    .map(([n, schemes]) => [
      named(inWords(schemes.map(({name}) => clipped(name)))),
      schemes.length === 1
        ? ` has no error for ${matrices(n)} that another scheme could quantize, and is`
        : ` have no error for ${matrices(n)} each that another scheme could quantize, and are`,
      " not chosen in their layers and projections.",
    ]);
};

/** How the whole model is counted. */
const wholeText = ({whole}, chosen, {rest}) => {
  if (!whole.isKnown) return whole.remark;
  const beside = whole.bytesOf(0, rest);
  const how =
    rest === AS_STORED
      ? "as stored"
      : `${inWords(whole.counted)} counted at ${clipped(rest, 32)}, all else as stored`;
  return (
    `With the rest of the model (attention, embeddings and so on: ${bytes(beside)}, ${how}) that makes ${bytes(whole.bytesOf(chosen.bytes, rest))}.` +
    (whole.remark ? ` ${whole.remark}` : "")
  );
};

/** What was left out or estimated. */
export const remarks = ({run}, decision, chosen, view) => {
  const {numbers} = decision;
  const {groups, measured} = numbers;
  const without = run.matrices - sum(measured);
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
    ...lackingTexts(numbers),
    without
      ? `${matrices(without)} ${without === 1 ? "has" : "have"} no error under any scheme: ` +
        "counted in the sizes, not in the errors."
      : null,
    wholeText(decision, chosen, view),
  ].filter((text) => text !== null);
};
