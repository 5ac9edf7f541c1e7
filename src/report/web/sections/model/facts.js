// What is known of the model and of the run, as [term, value] rows.
import {count, coverage, duration, many, moment, printable, shortNumber} from "../../format.js";
import {named} from "../../parts.js";
import {COMPUTED_IN, COVERAGE, ENCODER, PERCENTILES, QUANTIZER} from "../../terms.js";
import {term} from "../../tip.js";

export const sum = (list) => list.reduce((total, value) => total + value, 0);

const distinct = (list) =>
  [...new Set(list)]
    .filter((value) => value)
    .map(printable)
    .join(", ");

const text = (value) => (value ? named(printable(value)) : null);

/** "bfloat16, 16 bits per weight" of each way of storing. */
export const storageText = ({storages}) =>
  storages
    .map(({name, bits}) =>
      bits === null ? printable(name) : `${printable(name)}, ${shortNumber(bits)} bits per weight`,
    )
    .join("; ");

export const modelFacts = ({facts}) => {
  const {family, path, sizes, roles, coverage: read} = facts.model;
  const parameters = Object.values(roles ?? {}).map((role) => role.parameters);
  return [
    ["Family", text(family)],
    ["Layers of the model", count(sizes?.num_hidden_layers)],
    ["Experts in each layer", count(sizes?.num_experts)],
    ["Experts for each token", count(sizes?.num_experts_per_tok)],
    ["Shared experts", count(sizes?.n_shared_experts)],
    ["Hidden size", count(sizes?.hidden_size)],
    ["Size of an expert", count(sizes?.moe_intermediate_size)],
    ["Parameters", parameters.length ? many(sum(parameters)) : null],
    ["Experts stored as", storageText(facts)],
    [
      term("Experts analysed", COVERAGE),
      read ? `${coverage(read.share)} of ${many(read.expert_parameters)} parameters` : null,
    ],
    ["Path", text(path)],
  ];
};

const percentileText = (stats) => {
  if (!stats) return null;
  return stats.percentile_method === "exact"
    ? "exact, over all weights"
    : `from a sample of ${count(stats.sample_per_matrix)} weights of each matrix`;
};

export const runFacts = ({facts}) => {
  const {run, schemes, config} = facts;
  const of = (key) => distinct(schemes.map((scheme) => scheme[key]));
  const isRequantized = schemes.some(({requantized}) => requantized);
  return [
    ["Run", text(run.run_name)],
    [run.collected_at ? "Collected" : "Created", moment(run.collected_at ?? run.created_at)],
    ["Took", duration(run.duration_seconds)],
    ["Schemes", schemes.length ? count(schemes.length) : "none: no quantization was simulated"],
    [term("Computed in", COMPUTED_IN), of("compute_dtype")],
    [term("Encoder that was simulated", ENCODER), of("profile")],
    [term("Quantizer", QUANTIZER), of("backend")],
    [
      "Weights were quantized before",
      isRequantized ? "yes: errors are against the stored weights, decoded" : null,
    ],
    [term("Percentiles", PERCENTILES), percentileText(config?.stats)],
    ["Run directory", text(run.run_dir)],
  ];
};
