// How metrics are spoken of. What each is called, what it means to a reader and which end is bad comes
// with the data: "high", "low", or "far", where neither is bad in itself, but far from the neighbours
// is a sign.

const ADVICE = {
  high: "Lower is better.",
  low: "Higher is better.",
  far: "Neither end is bad in itself: look for experts far from the others of their layer.",
};

const WORST = {
  high: (label) => `with the highest ${label}`,
  low: (label) => `with the lowest ${label}`,
  far: (label) => `whose ${label} is farthest from its layer's median`,
};

// RMS and NaN stay as they are.
const inSentence = (label) =>
  /^.[A-Z]|^NaN/.test(label) ? label : label.charAt(0).toLowerCase() + label.slice(1);

/**
 * A metric of the data with what a reader needs beside it: {label, advice, worst}, the last the
 * words for its worst matrices.
 */
export const explained = (metric) => {
  const {worse} = metric;
  const label = metric.label || metric.name;
  return {...metric, label, advice: ADVICE[worse], worst: WORST[worse](inSentence(label))};
};

/** Paragraphs that define a metric. */
export const definition = ({label, name, plain, doc, unit, advice}) => {
  const title = label === name ? name : `${label} (${name})`;
  const exact = doc ? `Exactly: ${doc}.` : "";
  const inUnit = unit ? `Unit: ${unit}.` : "";
  return [title, plain, `${exact} ${inUnit}`.trim(), advice].filter((text) => text);
};
