// Where each matrix stands: its layer, projection, expert, and the cell of the heatmap that shows it.
import {printable} from "./format.js";
import {groupsOf} from "./stats.js";

/** By (projection, layer, slot) the first matrix, -1 for none. Further ones follow that one. */
const cellsOf = ({layer, slot, proj}, {projs, layers, slots}) => {
  const cells = new Int32Array(projs.length * layers.length * slots.length).fill(-1);
  for (let i = layer.length - 1; i >= 0; --i) {
    cells[(proj[i] * layers.length + layer[i]) * slots.length + slot[i]] = i;
  }
  return cells;
};

/** The range of the group that holds matrix i, by bisection. */
const rangeAround = ({begin, end}, i) => {
  let low = 0,
    high = begin.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (begin[middle] <= i) low = middle;
    else high = middle - 1;
  }
  return [begin[low], end[low]];
};

/** Columns of indices by matrix, typed arrays all, and what follows from them. */
export const placeOf = async (run) => {
  const {facts} = run;
  const names = ["layer", "slot", "proj", "shape", "storage", "file", "few_huge"];
  const [layer, slot, proj, shape, storage, file, fewHuge] = await Promise.all(
    names.map((name) => run.indices(name)),
  );
  const shared = Uint8Array.from(slot, (s) => (facts.slots[s].shared ? 1 : 0));
  const weights = Float64Array.from(shape, (s) => facts.shapes[s][0] * facts.shapes[s][1]);
  const columns = {layer, slot, proj, shape, storage, file, fewHuge, shared, weights};
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
    neighbours: (i) => rangeAround(groupsOfKind("each"), i),
    /** The first matrix of that cell, -1 if there is none. */
    at: (p, l, s) => cells[(p * facts.layers.length + l) * facts.slots.length + s] ?? -1,
    /** Whether the next matrix stands in the same cell. */
    goesOn: (i) =>
      i + 1 < layer.length && layer[i + 1] === layer[i] && slot[i + 1] === slot[i] && proj[i + 1] === proj[i],
    /** "expert 5" or "shared 1". */
    expert: (s) => `${facts.slots[s].shared ? "" : "expert "}${printable(facts.slots[s].label)}`,
  };
};

/** Whether matrix i is of that kind ("all", "routed", "shared") and one of the projections. */
export const filterOf = (place, kind, projections) => {
  const isShown = place.projs.map((_, p) => projections.includes(p));
  if (kind === "all") return (i) => isShown[place.proj[i]];
  const side = kind === "shared" ? 1 : 0;
  return (i) => isShown[place.proj[i]] && place.shared[i] === side;
};
