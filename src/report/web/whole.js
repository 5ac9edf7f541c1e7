// How large the whole model becomes: the experts under a choice, and the rest of the checkpoint as it is
// stored, or with its matrices under a scheme.
import {coverage} from "./format.js";
import {meanBits, storedSize} from "./mix.js";

// What a scheme can be applied to beside experts, and how it is called; norms, routers and all else stay as they are.
const MATRICES = [
  ["attention", "attention"],
  ["embedding", "embeddings"],
  ["other", "other matrices"],
];
// Affine, 8 bits in groups of 64: what is usual for what is not an expert.
const USUAL = {name: "affine_q8_g64", bits: 8.5};
// Scales beside the rest's matrices that are more than this part of them: they are quantized already,
// as is what takes fewer bits than this.
const QUANTIZED_FROM = 0.01;
const PLAIN_BITS = 16;

export const AS_STORED = "stored";

const sum = (list) => list.reduce((total, value) => total + value, 0);

/** [{name, bits}] of what the rest may be counted at. */
const schemesFor = (numbers) => {
  const known = numbers.schemes
    .map((scheme) => ({name: scheme.name, bits: meanBits(numbers, scheme, () => true)}))
    .filter(({bits}) => bits === bits);
  return known.some(({name}) => name === USUAL.name) ? known : [USUAL, ...known];
};

const UNKNOWN = {
  roles:
    "The logs of this run do not tell how large the rest of the model is, so sizes are those of the experts.",
  stored:
    "It is not known what the experts take as stored, so the rest of the model can't be told from them; sizes are those of the experts.",
};

const NAMES = {
  whole: ["Whole model", "the whole model"],
  experts: ["All experts", "the experts"],
  readWhole: ["What was read", "what was read"],
  readExperts: ["Experts that were read", "the experts that were read"],
};

const unknown = (reason, isAll) => ({
  isKnown: false,
  isAll,
  names: isAll ? NAMES.experts : NAMES.readExperts,
  remark: UNKNOWN[reason],
  schemes: [],
  first: AS_STORED,
  bytesOf: (experts) => experts,
});

/** The share of the experts that was read and measured; null where that is not known. */
export const shareRead = ({model}) => model.coverage?.share ?? null;

/** "50 % of the experts were read.", or that some were not; null of a run that has all. */
export const missingText = (facts) => {
  const share = shareRead(facts);
  if (share !== null && share < 1) return `${coverage(share)} of the experts were read.`;
  return facts.run.incomplete ? "Not all of this model was read." : null;
};

/**
 * {isKnown; isAll: nothing is missing; names: what the sizes are of, as a label and in a sentence; remark: what a reader must know, or null; schemes: [{name, bits}] that the rest can be counted
 * at beside AS_STORED; counted: the words for what is; first: the name to begin with; bytesOf(experts, name): bytes of all}. Where the
 * rest is not known bytes are the experts'.
 */
export const wholeOf = ({facts}, numbers) => {
  const {roles} = facts.model;
  const isAll = missingText(facts) === null;
  if (!roles) return unknown("roles", isAll);
  const stored = storedSize(numbers).bytes;
  const experts = (roles.routed_expert?.bytes ?? 0) + (roles.shared_expert?.bytes ?? 0);
  const refused = isAll ? 0 : Math.max(0, experts - stored);
  const all = sum(Object.values(roles).map(({bytes}) => bytes)) - refused;
  if (!(stored <= all)) return unknown("stored", isAll);
  const scales = (roles.companion?.bytes ?? 0) - Math.max(0, stored - experts);
  const ofMatrices = sum(MATRICES.map(([role]) => roles[role]?.bytes ?? 0));
  const isPlain = ([role]) =>
    roles[role]?.parameters > 0 &&
    8 * roles[role].bytes >= PLAIN_BITS * roles[role].parameters &&
    scales <= QUANTIZED_FROM * ofMatrices;
  const plain = MATRICES.filter(isPlain);
  const bytes = sum(plain.map(([role]) => roles[role].bytes)),
    parameters = sum(plain.map(([role]) => roles[role].parameters));
  const schemes = plain.length ? schemesFor(numbers) : [];
  const matricesAt = (name) => {
    const scheme = schemes.find((one) => one.name === name);
    return scheme ? (parameters * scheme.bits) / 8 : bytes;
  };
  return {
    isKnown: true,
    isAll,
    names: isAll ? NAMES.whole : NAMES.readWhole,
    remark: isAll ? null : "This run is incomplete: sizes and errors are those of what was read.",
    schemes,
    counted: plain.map(([, words]) => words),
    first: plain.length ? USUAL.name : AS_STORED,
    bytesOf: (own, name) => own + (all - stored - bytes) + matricesAt(name),
  };
};
