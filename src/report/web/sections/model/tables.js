// The matrices, the roles of all tensors, and the schemes, as tables.
import {h} from "../../dom.js";
import {bytes, count, many, percent, printable, shortNumber} from "../../format.js";
import {bar, named} from "../../parts.js";
import {dataTable} from "../../table.js";
import {CODE_BITS, COMPUTED_IN, ENCODER, GROUP_SIZE, MODE, QUANTIZER} from "../../terms.js";
import {sum} from "./facts.js";

const filled = (title, columns, rows) => {
  const table = dataTable(title, columns);
  table.show(rows);
  return table.element;
};

const textColumn = (key, label, meaning) => ({
  key,
  label,
  meaning,
  value: (row) => row[key],
  cell: (row) => named(printable(row[key] ?? "–")),
});
const countColumn = (key, label, meaning) => ({
  key,
  label,
  meaning,
  number: true,
  value: (row) => row[key],
  cell: (row) => count(row[key]),
});

// ---- the experts ----

const kindOf = ({shared, stack}) => (shared ? "shared" : "routed") + (stack ? `, ${printable(stack)}` : "");
const shapesOf = ({shapes}) => (shapes ?? []).map((shape) => shape.join(" × ")).join(", ");
const rangesOf = ({layer_ranges: ranges}) => printable(ranges ?? "–").replaceAll("-", "–");
const expertsOf = ({experts_per_layer_min: least, experts_per_layer_max: most}) =>
  least === most ? count(most) : `${count(least)}–${count(most)}`;
const storageOf = ({storage}) =>
  (storage ?? [])
    .map(({scheme, bits_per_weight: bits}) => `${printable(scheme)}, ${shortNumber(bits)} bits`)
    .join("; ");

export const expertTable = (experts) =>
  filled(
    "Expert matrices of the checkpoint",
    [
      textColumn("proj", "Projection"),
      {key: "kind", label: "Experts", value: kindOf},
      {key: "shape", label: "Shape", number: true, value: shapesOf},
      countColumn("layers", "Layers"),
      {key: "numbers", label: "Their numbers", value: rangesOf},
      {key: "experts", label: "In each layer", number: true, value: expertsOf},
      countColumn("matrices", "Matrices"),
      {key: "storage", label: "Stored as", value: storageOf},
    ],
    experts,
  );

// ---- all tensors ----

const ROLES = {
  routed_expert: "Routed experts",
  shared_expert: "Shared experts",
  router: "Routers",
  attention: "Attention",
  embedding: "Embeddings",
  norm: "Norms",
  companion: "Scales and zero points",
  other: "Other",
};

export const roleTable = (roles) => {
  const rows = Object.entries(roles)
    .filter(([, {tensors}]) => tensors > 0)
    .map(([name, role]) => ({...role, role: ROLES[name] ?? name}))
    .sort((a, b) => b.bytes - a.bytes);
  const all = sum(rows.map((row) => row.bytes));
  return filled(
    "Everything in the checkpoint, by role; sizes as stored, scales and zero points by themselves",
    [
      textColumn("role", "Role"),
      countColumn("tensors", "Tensors"),
      {
        key: "parameters",
        label: "Parameters",
        number: true,
        value: (row) => row.parameters,
        cell: (row) => many(row.parameters),
      },
      {key: "bytes", label: "Size", number: true, value: (row) => row.bytes, cell: (row) => bytes(row.bytes)},
      {
        key: "share",
        label: "Share",
        number: true,
        value: (row) => row.bytes / all,
        cell: (row) => percent(row.bytes / all),
      },
      {key: "bar", label: "", value: (row) => row.bytes / all, cell: (row) => bar(row.bytes / all)},
    ],
    rows,
  );
};

// ---- the schemes ----

export const schemeTable = (schemes) =>
  filled(
    "Schemes that were simulated",
    [
      textColumn("name", "Scheme"),
      textColumn("mode", "Mode", MODE),
      countColumn("bits", "Bits of a code", CODE_BITS),
      countColumn("group_size", "Weights that share a scale", GROUP_SIZE),
      textColumn("compute_dtype", "Computed in", COMPUTED_IN),
      textColumn("profile", "Encoder", ENCODER),
      textColumn("backend", "Quantizer", QUANTIZER),
    ],
    schemes,
  );

const printableJson = (value) => JSON.stringify(value, null, 2).split("\n").map(printable).join("\n");

export const configDetails = (config) =>
  h(
    "details",
    null,
    h("summary", null, "The configuration as it was used"),
    h("pre", null, printableJson(config)),
  );
