// What parts of the model are called in this section.
import {clipped, count, plural} from "../../format.js";

/** A projection, and whose: "up_proj", "up_proj, shared". */
export const groupName = ({run}, {proj, shared}) =>
  `${clipped(run.facts.projs[proj], 28)}${shared ? ", shared" : ""}`;

/** The rows of the map: projections and kinds of experts that there are, routed ones first. */
export const rowsOf = ({proj, shared}) => {
  const keys = [...new Set(proj.map((p, g) => 2 * p + shared[g]))];
  keys.sort((a, b) => (a % 2) - (b % 2) || a - b);
  const rows = keys.map((key) => ({proj: key >> 1, shared: key % 2}));
  return {rows, rowOf: (g) => keys.indexOf(2 * proj[g] + shared[g])};
};

export const matrices = (n) => plural(n, "matrix", "matrices");

export const ofGroups = (n, total) => `${count(n)} of ${plural(total, "choice")}`;
