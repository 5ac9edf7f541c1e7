// What is this model, and what was run on it?
import {h} from "../dom.js";
import {bytes, count, duration, many, moment, percent, plural, printable, shortNumber} from "../format.js";
import {bar, factList, foldedList, named, note, section} from "../parts.js";
import {dataTable} from "../table.js";

const distinct = (list) => [...new Set(list.filter((x) => x !== null && x !== undefined && x !== ""))];
const listed = (list) => distinct(list).map(printable).join(", ");

const sum = (list) => list.reduce((total, value) => total + value, 0);

const storageText = ({storages}) => storages.map(({name, bits}) => (bits === null || bits === undefined
  ? printable(name) : `${printable(name)} (${shortNumber(bits)} bits per weight)`)).join(", ");

const shapeText = (shapes) => (shapes ?? []).map((shape) => shape.join(" × ")).join(", ");

const lead = ({run, place}) => {
  const {facts} = run;
  if (!run.matrices) return h("p", {class: "lead"}, "This run holds no expert matrices, so there is nothing to draw. What the run says about itself stands below; its warnings and unmatched tensors tell why.");
  const routed = facts.slots.filter((slot) => !slot.shared).length;
  const shared = facts.slots.length - routed;
  const experts = [routed ? `up to ${plural(routed, "routed expert")}` : null,
    shared ? plural(shared, "shared expert") : null].filter(Boolean).join(" and ");
  const tried = facts.schemes.length ? ` ${plural(facts.schemes.length, "quantization scheme was", "quantization schemes were")} tried on each matrix.`
    : " No quantization was simulated, so only the weights themselves are described.";
  const odd = facts.findings.length + sum(Object.values(facts.findings_left_out ?? {}));
  return h("p", {class: "lead"}, `${plural(facts.layers.length, "layer")} with ${experts} each: ` +
    `${plural(run.matrices, "matrix", "matrices")} of ${plural(place.projs.length, "projection")}, ` +
    `${many(sum(place.weights))} weights in all, stored as ${storageText(facts) || "an unknown type"}.${tried}`,
  odd ? [" ", h("a", {href: "#odd"}, `${plural(odd, "thing is", "things are")} odd.`)] : null);
};

const modelFacts = ({run}) => {
  const {facts} = run;
  const model = facts.model ?? {}, sizes = model.sizes ?? {}, coverage = model.coverage ?? {};
  const roles = Object.values(model.roles ?? {});
  return [
    ["Family", model.family ? printable(model.family) : null],
    ["Path", model.path ? named(printable(model.path)) : null],
    ["Layers of the model", count(sizes.num_hidden_layers)],
    ["Experts per layer", count(sizes.num_experts)],
    ["Experts per token", count(sizes.num_experts_per_tok)],
    ["Shared experts", count(sizes.n_shared_experts)],
    ["Hidden size", count(sizes.hidden_size)],
    ["Expert size", count(sizes.moe_intermediate_size)],
    ["Parameters", roles.length ? many(sum(roles.map((role) => role.parameters))) : null],
    ["Stored as", storageText(facts)],
    ["Experts analysed", typeof coverage.share === "number" ? `${percent(coverage.share)} of ${many(coverage.expert_parameters)} parameters` : null],
  ];
};

const percentileText = (stats) => (stats?.percentile_method === "exact" ? "exact, over all weights"
  : stats ? `from a sample of ${count(stats.sample_per_matrix)} weights per matrix` : null);

const runFacts = ({run}) => {
  const {facts} = run;
  const told = facts.run ?? {}, config = facts.config ?? {};
  return [
    ["Run", told.run_name ? named(printable(told.run_name)) : null],
    ["Folder", told.run_dir ? named(printable(told.run_dir)) : null],
    ["Collected", moment(told.collected_at ?? told.created_at)],
    ["Took", duration(told.duration_seconds)],
    ["Simulated encoder", listed(facts.schemes.map(({profile}) => profile))],
    ["Quantizer", listed(facts.schemes.map(({backend}) => backend))],
    ["Computed in", listed(facts.schemes.map((scheme) => scheme.compute_dtype))],
    ["Percentiles", percentileText(config.stats)],
    ["Already quantized before", facts.schemes.some(({requantized}) => requantized) ? "yes: errors are against the stored weights, decoded" : null],
  ];
};

const bankTable = (experts) => {
  const table = dataTable("Expert matrices in the checkpoint", [
    {key: "projection", label: "Projection", value: (e) => e.proj, cell: (e) => named(printable(e.proj))},
    {key: "kind", label: "Kind", value: (e) => (e.shared ? "shared" : "routed") + (e.stack ? `, ${printable(e.stack)}` : "")},
    {key: "shape", label: "Shape", number: true, value: (e) => shapeText(e.shapes)},
    {key: "layers", label: "Layers", number: true, value: (e) => e.layer_ranges ?? e.layers},
    {key: "experts", label: "Experts per layer", number: true, value: (e) => (e.experts_per_layer_min === e.experts_per_layer_max
      ? count(e.experts_per_layer_max) : `${count(e.experts_per_layer_min)}–${count(e.experts_per_layer_max)}`)},
    {key: "matrices", label: "Matrices", number: true, value: (e) => e.matrices, cell: (e) => count(e.matrices)},
    {key: "storage", label: "Stored as", value: (e) => (e.storage ?? []).map((s) => `${printable(s.scheme)}, ${shortNumber(s.bits_per_weight)} bits`).join("; ")},
  ]);
  table.show(experts);
  return table.element;
};

const ROLES = {routed_expert: "Routed experts", shared_expert: "Shared experts", router: "Routers",
  attention: "Attention", embedding: "Embeddings", norm: "Norms", companion: "Scales and zero points", other: "Other"};

const roleTable = (roles) => {
  const rows = Object.entries(roles).filter(([, role]) => role.tensors > 0)
    .map(([name, role]) => ({name: ROLES[name] ?? printable(name), ...role}))
    .sort((a, b) => b.bytes - a.bytes);
  const all = sum(rows.map((row) => row.bytes));
  const table = dataTable("Everything in the checkpoint, by role (sizes after decoding)", [
    {key: "role", label: "Role", value: (r) => r.name},
    {key: "tensors", label: "Tensors", number: true, value: (r) => r.tensors, cell: (r) => count(r.tensors)},
    {key: "parameters", label: "Parameters", number: true, value: (r) => r.parameters, cell: (r) => many(r.parameters)},
    {key: "bytes", label: "Size", number: true, value: (r) => r.bytes, cell: (r) => bytes(r.bytes)},
    {key: "share", label: "Share", value: (r) => r.bytes / all, cell: (r) => [bar(r.bytes / all), h("span", {class: "beside-bar"}, percent(r.bytes / all))]},
  ]);
  table.show(rows);
  return table.element;
};

const warnings = ({facts}) => (facts.warnings.length
  ? note("warning", h("h3", null, plural(facts.warnings.length, "warning")),
    foldedList(facts.warnings.map((text) => named(printable(text))), "Show all warnings"))
  : h("p", {class: "quiet"}, "The run gave no warning."));

const failures = ({facts}) => (facts.failures.length
  ? note("warning", h("h3", null, "Schemes that could not be applied everywhere"),
    h("ul", {class: "plain"}, facts.failures.map(({scheme, error, count: n}) => h("li", null,
      named(printable(facts.schemes[scheme]?.name ?? "?")), `: ${plural(n, "matrix", "matrices")}: `, named(printable(error))))))
  : null);

const unmatched = ({facts}) => {
  const {count: n, tensors} = facts.unmatched;
  if (!n) return null;
  const rest = n - tensors.length;
  return note("warning", h("h3", null, `${plural(n, "tensor looks", "tensors look")} like an expert and ${n === 1 ? "was" : "were"} not analysed`),
    foldedList([...tensors.map((t) => [named(printable(t.tensor_name)), ": ", named(printable(t.reason))]),
      rest > 0 ? `and ${count(rest)} more, in data/unmatched_tensors` : null].filter(Boolean), "Show these tensors"));
};

const orphans = ({facts}) => (facts.orphans
  ? note("warning", h("p", null, `${plural(facts.orphans, "row")} of quant_sim belong to no matrix of matrix_stats, and are not shown.`)) : null);

/** The first section: facts of the model and of the run, and everything that did not go as it should. */
export const modelSection = (page) => {
  const {run} = page;
  const {facts} = run;
  const model = facts.model ?? {};
  return section("model", "What is this, and what was run?", lead(page),
    facts.run?.incomplete ? note("warning", h("p", null, "This run is incomplete: some input was refused or skipped, or fewer experts were analysed than demanded. The warnings say what.")) : null,
    h("div", {class: "columns"}, h("div", null, h("h3", null, "The model"), factList(modelFacts(page))),
      h("div", null, h("h3", null, "The run"), factList(runFacts(page)))),
    model.experts?.length ? bankTable(model.experts) : null,
    model.roles ? roleTable(model.roles) : null,
    warnings(run), failures(run), unmatched(run), orphans(run),
    facts.config ? h("details", null, h("summary", null, "The configuration as it was used"),
      h("pre", null, printableJson(facts.config))) : null);
};

const printableJson = (value) => JSON.stringify(value, null, 2).split("\n").map(printable).join("\n");
