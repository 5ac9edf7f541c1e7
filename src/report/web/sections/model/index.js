// What is this model, and what was run on it?
import {h} from "../../dom.js";
import {many, plural} from "../../format.js";
import {factList, section} from "../../parts.js";
import {modelFacts, runFacts, storageText, sum} from "./facts.js";
import {configDetails, expertTable, roleTable, schemeTable} from "./tables.js";
import {troubles} from "./troubles.js";

const EMPTY =
  "This run holds no expert matrices, so there is nothing to draw. What it tells of itself stands " +
  "below; its warnings and unmatched tensors say why.";

const expertsText = ({slots}) => {
  const routed = slots.filter(({shared}) => !shared).length,
    shared = slots.length - routed;
  return [
    routed ? `up to ${plural(routed, "routed expert")}` : null,
    shared ? plural(shared, "shared expert") : null,
  ]
    .filter((text) => text)
    .join(" and ");
};

const schemesText = ({schemes}) =>
  schemes.length
    ? `${plural(schemes.length, "quantization scheme was", "quantization schemes were")} tried on each.`
    : "No quantization was simulated, so only the weights themselves are described.";

const oddLink = ({findings, findings_left_out: leftOut}) => {
  const n = findings.length + sum(Object.values(leftOut));
  return n ? [" ", h("a", {href: "#odd"}, `${plural(n, "thing is", "things are")} odd.`)] : null;
};

const lead = ({run: {facts, matrices}, place}) => {
  if (!matrices) return h("p", {class: "lead"}, EMPTY);
  return h(
    "p",
    {class: "lead"},
    `${plural(facts.layers.length, "layer")} with ${expertsText(facts)} each: ` +
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
    troubles(facts),
    facts.config ? configDetails(facts.config) : null,
  );
};
