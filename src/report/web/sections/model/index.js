// What is this model, and what was run on it?
import {h} from "../../dom.js";
import {count, many, plural} from "../../format.js";
import {factList, section} from "../../parts.js";
import {modelFacts, runFacts, storageText, sum} from "./facts.js";
import {configDetails, expertTable, roleTable, schemeTable} from "./tables.js";
import {troubles} from "./troubles.js";

const EMPTY =
  "This run holds no expert matrices, so there is nothing to draw. What it tells of itself stands " +
  "below; its warnings and unmatched tensors say why.";

/** [fewest, most] experts of a layer, routed (0) or shared (1) ones. */
const expertsPerLayer = ({facts}, place, shared) => {
  const slots = facts.layers.map(() => new Set());
  for (let i = 0; i < place.layer.length; ++i) {
    if (place.shared[i] === shared) slots[place.layer[i]].add(place.slot[i]);
  }
  const sizes = slots.map((set) => set.size);
  return [Math.min(...sizes), Math.max(...sizes)];
};

const expertsText = ([fewest, most], kind) =>
  most ? `${fewest < most ? "up to " : ""}${count(most)} ${kind}` : null;

/** "3 of 4 layers have experts: 16 routed and 1 shared in each." */
const layersText = ({run, place}) => {
  const {layers, model} = run.facts;
  const n = layers.length;
  const all = model.sizes?.num_hidden_layers;
  const isPart = all > n && layers.every(({stack}) => stack === null);
  const kinds = ["routed", "shared"].map((kind, shared) =>
    expertsText(expertsPerLayer(run, place, shared), kind),
  );
  return (
    `${isPart ? `${count(n)} of ${plural(all, "layer")}` : plural(n, "layer")} ${n === 1 ? "has" : "have"} ` +
    `experts: ${kinds.filter((text) => text).join(" and ")}${n === 1 ? "" : " in each"}.`
  );
};

const schemesText = ({schemes}) =>
  schemes.length
    ? `${plural(schemes.length, "quantization scheme was", "quantization schemes were")} tried on each.`
    : "No quantization was simulated, so only the weights themselves are described.";

const oddLink = ({findings, findings_left_out: leftOut}) => {
  const n = findings.length + sum(Object.values(leftOut));
  return n ? [" ", h("a", {href: "#odd"}, `${plural(n, "thing is", "things are")} odd.`)] : null;
};

const lead = ({run, place}) => {
  const {facts, matrices} = run;
  if (!matrices) return h("p", {class: "lead"}, EMPTY);
  return h(
    "p",
    {class: "lead"},
    `${layersText({run, place})} ` +
      `${plural(matrices, "matrix", "matrices")} of ${plural(facts.projs.length, "projection")}, ` +
      `${many(sum(Array.from(place.weights)))} weights in all, stored as ${storageText(facts)}. ` +
      `${schemesText(facts)}`,
    oddLink(facts),
  );
};

const UNKNOWN =
  "The run has no logs/run_health.json that tells of the model, so its family, sizes and coverage are " +
  "not known here.";

/** The first section: facts of the model and of the run, and what went wrong. */
export const modelSection = (page) => {
  const {run} = page,
    {facts} = run;
  const {experts, roles} = facts.model;
  return section(
    "model",
    "What is this, and what was run?",
    lead(page),
    troubles(facts),
    h(
      "details",
      {class: "printed facts-fold"},
      h("summary", null, "Facts of the model and of the run"),
      h(
        "div",
        {class: "columns"},
        h(
          "div",
          null,
          h("h3", null, "The model"),
          facts.model.family ? null : h("p", {class: "quiet"}, UNKNOWN),
          factList(modelFacts(run)),
        ),
        h("div", null, h("h3", null, "The run"), factList(runFacts(run))),
      ),
      experts?.length ? expertTable(experts) : null,
      roles ? roleTable(roles) : null,
      facts.schemes.length ? schemeTable(facts.schemes) : null,
    ),
    facts.config ? configDetails(facts.config) : null,
  );
};
