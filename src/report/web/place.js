// Where each matrix stands: its layer, projection, expert, and the cell of the heatmap that shows it.
import {groupsOf} from "./stats.js";
import {printable} from "./format.js";

const productOf = (shape) => (shape ? shape[0] * shape[1] : NaN);

/** Int32Array by (projection, layer, slot): its first matrix, -1 for none. Further ones follow that one. */
const cellsOf = ({layer, slot, proj}, facts) => {
  const cells = new Int32Array(facts.projs.length * facts.layers.length * facts.slots.length).fill(-1);
  for (let i = layer.length - 1; i >= 0; --i) {
    cells[(proj[i] * facts.layers.length + layer[i]) * facts.slots.length + slot[i]] = i;
  }
  return cells;
};

/** The range of the group that holds matrix i. */
const neighboursOf = ({begin, end}, i) => {
  let low = 0, high = begin.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (begin[middle] <= i) low = middle;
    else high = middle - 1;
  }
  return [begin[low], end[low]];
};

/** Columns of small numbers, typed arrays all, and what follows from them. */
export const placeOf = async (run) => {
  const {facts} = run;
  const [layer, slot, proj, shape, storage, file] = await Promise.all(
    ["layer", "slot", "proj", "shape", "storage", "file"].map((name) => run.indices(name)));
  const shared = Uint8Array.from(slot, (s) => (facts.slots[s]?.shared ? 1 : 0));
  const weights = Float64Array.from(shape, (s) => productOf(facts.shapes[s]));
  const columns = {layer, slot, proj, shape, storage, file, shared, weights};
  const cells = cellsOf(columns, facts);
  const groups = {};
  const groupsOfKind = (kind) => (groups[kind] ??= groupsOf(columns, kind));
  return {
    ...columns,
    hasShared: shared.includes(1),
    hasRouted: shared.includes(0),
    layers: facts.layers.map(({label}) => printable(label)),
    slots: facts.slots.map(({label}) => printable(label)),
    projs: facts.projs.map((name) => printable(name)),
    /** groupsOf() of a kind, made once. */
    groups: groupsOfKind,
    /** Matrices of i's projection, layer and kind: [begin, end). */
    neighbours: (i) => neighboursOf(groupsOfKind("each"), i),
    /** The first matrix of that cell, -1 if there is none. */
    at: (p, l, s) => cells[(p * facts.layers.length + l) * facts.slots.length + s] ?? -1,
    /** Whether the next matrix stands in the same cell. */
    continues: (i) => i + 1 < layer.length && layer[i + 1] === layer[i] && slot[i + 1] === slot[i] &&
      proj[i + 1] === proj[i],
    /** "expert 5" or "shared 1". */
    expert: (s) => (facts.slots[s]?.shared ? printable(facts.slots[s].label)
      : `expert ${printable(facts.slots[s]?.label ?? "?")}`),
  };
};

/** By kind of expert: whether matrix i is looked at. */
export const wantedBy = (place, kind, projections) => {
  const shown = new Uint8Array(place.projs.length);
  for (const p of projections) shown[p] = 1;
  if (kind === "all") return (i) => shown[place.proj[i]] === 1;
  const side = kind === "shared" ? 1 : 0;
  return (i) => shown[place.proj[i]] === 1 && place.shared[i] === side;
};
