// What the reader types to find matrices: layer=3, expert<8, proj!="up proj", or a part of the name.

const CONDITION = /(?:(layer|expert|proj)\s*(<=|>=|!=|=|<|>)\s*)?(?:"([^"]*)"?|([^\s,"]+))/g;

/** [{key, sign, value}] of text whose conditions are parted by spaces or commas. */
export const parseFilter = (text) =>
  [...text.toLowerCase().matchAll(CONDITION)].map(([, key = "name", sign = "=", quoted, bare]) => ({
    key,
    sign,
    value: quoted ?? bare,
  }));

const isOneOf = (...texts) => {
  const known = texts.filter((text) => text !== null).map((text) => String(text).toLowerCase());
  return (value) => known.includes(value);
};

const isPartOf = (text) => (value) => text.toLowerCase().includes(value);

// By key what matrix i has: {is(value), number}.
const FIELDS = {
  layer: ({facts}, place, names, i) => {
    const {label, layer, stack} = facts.layers[place.layer[i]];
    return {is: isOneOf(label, layer, stack), number: layer};
  },
  expert: ({facts}, place, names, i) => {
    const {label, expert, shared} = facts.slots[place.slot[i]];
    return {is: isOneOf(label, expert, shared ? "shared" : null), number: expert ?? NaN};
  },
  proj: ({facts}, place, names, i) => ({is: isPartOf(facts.projs[place.proj[i]]), number: NaN}),
  name: (run, place, names, i) => ({is: isPartOf(names[i]), number: NaN}),
};

const SIGNS = {
  "=": ({is}, value) => is(value),
  "!=": ({is}, value) => !is(value),
  "<": ({number}, value) => number < Number(value),
  "<=": ({number}, value) => number <= Number(value),
  ">": ({number}, value) => number > Number(value),
  ">=": ({number}, value) => number >= Number(value),
};

/** Whether matrix i meets a condition. */
export const fits =
  (run, place, names, i) =>
  ({key, sign, value}) =>
    SIGNS[sign](FIELDS[key](run, place, names, i), value);
