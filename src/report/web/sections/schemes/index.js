// Which scheme should I take? Error against size, and the choice for each layer and projection.
import {fill, h, latest} from "../../dom.js";
import {errorsOfChoice} from "../../mix.js";
import {note, section} from "../../parts.js";
import {goalControls, restControl} from "./goal.js";
import {choiceMap} from "./map.js";
import {sizeTable} from "./sizes.js";
import {choiceTables} from "./tables.js";
import {gatherPoints, tradeoffFigure} from "./tradeoff.js";
import {remarks, stepTexts, verdict} from "./words.js";

const TITLE = "Which scheme should I take?";

const lead = (text) => h("p", {class: "lead"}, text);

const gpuCaveat = ({facts}) =>
  facts.schemes.some(({profile}) => `${profile}`.startsWith("mlx-gpu"))
    ? note(
        "note",
        "The profile mlx-gpu follows the source of MLX's GPU kernels and has not been compared with a " +
          "Mac's GPU: at 6 bits and more its affine errors may be up to a fifth smaller than shown.",
      )
    : null;

const nothingToCompare = ({facts}, {measured}) => {
  if (measured.some((n) => n > 0)) {
    return lead("No matrix has an error above zero under any scheme, so there is nothing to choose.");
  }
  const reasons = facts.failures.length
    ? [" ", h("a", {href: "#model"}, "The first section"), " says why."]
    : null;
  return lead(["No scheme could be applied to any matrix, so there are no errors to compare.", reasons]);
};

const MLX_MISSING = "mlx is not importable";

/** Why no scheme has a row in this run. */
const noSchemes = ({facts, matrices}) => {
  if (!matrices)
    return [
      "No expert matrix could be measured, so no scheme could be tried. ",
      h("a", {href: "#model"}, "The first section"),
      " says why.",
    ];
  if (facts.config?.mlx?.enabled === false)
    return "The configuration says mlx.enabled: false, so no quantization was simulated. Say true and run analyze again.";
  if (facts.warnings.some((text) => text.includes(MLX_MISSING)))
    return "The configuration asks for the real MLX, which could not be opened, so no quantization was simulated. Take mlx.backend: native and run analyze again.";
  return (
    "No quantization scheme was simulated in this run, so there is nothing to choose from. Name " +
    "some under quant_schemes in the configuration and run analyze again."
  );
};

const GOALS = ["good", "size", "limit"];

/** The choice: everything that moves with the goal, the scatter above too. */
const choicePart = (page, scatter) => {
  const {decision, state} = page,
    {numbers} = decision;
  const controls = goalControls(decision, GOALS, state.set);
  const rest = restControl(decision, state.set);
  const sentence = h("p", {class: "verdict", role: "status"});
  const [steps, list] = [h("ul", {class: "plain steps"}), h("ul", {class: "plain remarks"})];
  const [sizes, map, tables] = [sizeTable(page), choiceMap(page, numbers), choiceTables(page, numbers)];

  const show = latest(async (isCurrent) => {
    const view = decision.view(),
      chosen = decision.chosen();
    controls.show(view);
    rest.show(view);
    scatter.show(view);
    fill(sentence, verdict(decision, chosen, view));
    fill(
      steps,
      stepTexts(decision, chosen).map((text) => h("li", null, text)),
    );
    fill(
      list,
      remarks(page, decision, chosen, view).map((text) => h("li", null, text)),
    );
    map.show(chosen, view);
    tables.show(chosen, view);
    const errors = await errorsOfChoice(page.run, numbers, chosen);
    if (isCurrent()) sizes.show(chosen, errors, view);
  });
  decision.listen(show);
  show();
  return [
    h("h3", null, "The choice"),
    h(
      "p",
      null,
      "Say what it shall be: as good as one 4-bit scheme for all in fewer bits, a size with the least error, or a " +
        "limit of the error. Each layer and projection then takes a scheme of its own, where that gains something real.",
    ),
    controls.element,
    h("div", {class: "controls"}, rest.element),
    sentence,
    steps,
    sizes.element,
    list,
    map.element,
    tables.element,
  ];
};

/** {element, ready: when it is filled} */
export const schemesSection = (page) => {
  const {run, decision} = page;
  if (!run.facts.schemes.length) {
    return {
      ready: Promise.resolve(),
      element: section("schemes", TITLE, lead(noSchemes(run))),
    };
  }
  const {numbers, range} = decision;
  const body = h("div", null);
  const fillIn = async () => {
    if (!range) {
      fill(body, nothingToCompare(run, numbers));
      return;
    }
    const scatter = tradeoffFigure(page, numbers, await gatherPoints(page, numbers), range);
    fill(
      body,
      lead(
        "Every scheme trades bits for error. The picture shows all that were tried; below it you say what " +
          "you want and see what it takes.",
      ),
      gpuCaveat(run),
      scatter.element,
      choicePart(page, scatter),
    );
  };
  return {element: section("schemes", TITLE, body), ready: fillIn()};
};
