// The choice in words and numbers: which layers of a projection take which scheme.
import {fill, h} from "../../dom.js";
import {bytes, clipped, ranges, significant} from "../../format.js";
import {JUDGES, errorOf} from "../../mix.js";
import {lazyDetails, named} from "../../parts.js";
import {copyButton, csv, dataTable, save} from "../../table.js";
import {groupName, rowsOf} from "./names.js";

const columnsOf = ({run}, {groups, schemes, weights}, chosen, {goal}) => {
  const scheme = (g) => schemes[chosen.scheme[g]];
  const size = (g) => (chosen.bits[g] * weights[g]) / 8;
  const error = (judge) => (g) => (scheme(g) ? errorOf(scheme(g), judge, g) : NaN);
  const ofLimit = ({key}) => goal === "limit" || key !== "limit";
  const limit = (g) => (!scheme(g) ? "no numbers" : chosen.met[g] ? "met" : "not met");
  return [
    {key: "layer", label: "Layer", number: true, value: (g) => run.facts.layers[groups.layer[g]].label},
    {key: "proj", label: "Projection", value: (g) => run.facts.projs[groups.proj[g]]},
    {key: "experts", label: "Experts", value: (g) => (groups.shared[g] ? "shared" : "routed")},
    {
      key: "scheme",
      label: "Scheme",
      value: (g) => scheme(g)?.name ?? "",
      cell: (g) => (scheme(g) ? named(clipped(scheme(g).name)) : "none"),
    },
    {
      key: "bits_per_weight",
      label: "Bits per weight",
      number: true,
      value: (g) => chosen.bits[g],
      cell: (g) => significant(chosen.bits[g], 3),
    },
    {key: "bytes", label: "Size", number: true, value: size, cell: (g) => bytes(size(g))},
    ...JUDGES.map(([judge, words]) => ({
      key: `w_rel_fro_${judge}`,
      label: `Error, ${words}`,
      number: true,
      value: error(judge),
      cell: (g) => significant(error(judge)(g), 3),
    })),
    {
      key: "limit",
      label: "Limit",
      value: limit,
      cell: (g) => h("span", {class: chosen.met[g] ? "" : "bad"}, limit(g)),
    },
  ].filter(ofLimit);
};

// Where a choice has no scheme.
const AS_STORED = {name: "as stored, since no scheme fits,", index: -1};

/** "affine_q4_g32 in layers 0–3, 7", the scheme of most layers first. */
const summaryOf = ({place}, {groups, schemes}, chosen, mine) =>
  [...schemes, AS_STORED]
    .map((scheme) => ({scheme, taken: mine.filter((g) => chosen.scheme[g] === scheme.index)}))
    .filter(({taken}) => taken.length)
    .sort((a, b) => b.taken.length - a.taken.length)
    .map(({scheme, taken}) =>
      h(
        "li",
        null,
        named(clipped(scheme.name)),
        ` in ${taken.length > 1 ? "layers" : "layer"} ` +
          ranges(
            taken.map((g) => groups.layer[g]),
            place.layers,
          ),
      ),
    );

/** {element, show(chosen, view)} */
export const choiceTables = (page, numbers) => {
  const {rows, rowOf} = rowsOf(numbers.groups);
  const groupsOf = rows.map((_, row) => [...numbers.groups.proj.keys()].filter((g) => rowOf(g) === row));
  let chosen = null,
    view = null;
  const lists = rows.map(() => h("ul", {class: "plain"}));
  const details = rows.map((row, i) =>
    lazyDetails("Layer by layer", () => {
      const columns = columnsOf(page, numbers, chosen, view).filter(
        ({key}) => key !== "proj" && key !== "experts",
      );
      const table = dataTable(`The choice for ${groupName(page, row)}`, columns, {isSortable: true});
      table.show(groupsOf[i]);
      return table.element;
    }),
  );
  const text = () => csv(columnsOf(page, numbers, chosen, view), groupsOf.flat());
  return {
    element: h(
      "div",
      {class: "choice-tables"},
      rows.map((row, i) =>
        h("div", {class: "choice-row"}, h("h4", null, named(groupName(page, row))), lists[i], details[i]),
      ),
      h(
        "p",
        {class: "buttons"},
        h(
          "button",
          {type: "button", onclick: () => save("moescope-choice.csv", "text/csv", text())},
          "Download the choice (CSV)",
        ),
        copyButton("Copy the choice", text),
      ),
    ),
    show: (next, nextView) => {
      [chosen, view] = [next, nextView];
      groupsOf.forEach((mine, i) => fill(lists[i], summaryOf(page, numbers, chosen, mine)));
      for (const one of details) one.renew();
    },
  };
};
