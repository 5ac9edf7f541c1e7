// The weights outside the experts: errors by role and scheme, and of attention layer by layer.
import {h} from "../dom.js";
import {bytes, clipped, count, many, plural, printable, significant} from "../format.js";
import {named, section} from "../parts.js";
import {dataTable, numberColumn} from "../table.js";

const ROLES = {
  router: "Routers",
  attention: "Attention",
  embedding: "Embeddings, head",
  other: "Other",
};

const roleOf = ({role}) => ROLES[role] ?? printable(role);

const filled = (title, columns, rows) => {
  const table = dataTable(title, columns, {isSortable: true});
  table.show(rows);
  return table.element;
};

const error = (value) => significant(value, 3);

/** Of each role under each scheme. */
const roleTable = ({roles, schemes}) =>
  filled(
    "Relative errors of the weights outside the experts, by role and scheme",
    [
      {key: "role", label: "Role", value: roleOf},
      {
        key: "scheme",
        label: "Scheme",
        value: (row) => row.scheme,
        cell: (row) => named(clipped(row.scheme, 40)),
      },
      numberColumn("median", "Median error", (row) => row.median, error),
      numberColumn("worst", "Worst error", (row) => row.worst, error),
      numberColumn("matrices", "Matrices", (row) => row.matrices, count),
      numberColumn("weights", "Weights", (row) => row.weights, many),
      numberColumn("bytes", "Size as stored", (row) => row.bytes, bytes),
      numberColumn("failed", "Does not fit", (row) => row.failed, count),
      {
        key: "worst_module",
        label: "Worst weight",
        isLong: true,
        value: (row) => row.worst_module ?? "",
        cell: (row) => named(clipped(row.worst_module ?? "–", 80)),
      },
    ],
    roles.flatMap((role) => role.errors.map((errors, s) => ({...role, ...errors, scheme: schemes[s]}))),
  );

/** The worst error of each layer's attention under each scheme. */
const attentionTable = ({attention, schemes}) =>
  filled(
    "Worst relative error of the attention of each layer",
    [
      {key: "layer", label: "Layer", number: true, value: (row) => row.layer},
      numberColumn("weights", "Weights", (row) => row.weights, many),
      ...schemes.map((scheme, s) =>
        numberColumn(scheme, clipped(scheme, 40), (row) => row.errors[s]?.worst, error),
      ),
    ],
    attention,
  );

const sum = (list) => list.reduce((total, value) => total + value, 0);

/** null for a run that did not measure them. */
export const restSection = ({facts}) => {
  const {rest} = facts;
  if (!rest) return null;
  const {roles, attention, schemes} = rest;
  return section(
    "rest",
    "What of the rest of the model?",
    h(
      "p",
      {class: "lead"},
      `${plural(sum(roles.map((role) => role.matrices)), "weight")} outside the experts, ` +
        `${many(sum(roles.map((role) => role.weights)))} numbers in all, which runtimes quantize too. `,
      "Every token passes them, so an error here is likely to cost more than the same error of an expert.",
    ),
    schemes.length ? roleTable(rest) : h("p", null, "No quantization was simulated."),
    schemes.length && attention.length
      ? h(
          "details",
          {class: "printed"},
          h("summary", null, "Attention, layer by layer"),
          attentionTable(rest),
        )
      : null,
  );
};
