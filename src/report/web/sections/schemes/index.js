// Which scheme should I take? Error against size, and the cheapest mixture under a limit.
import {fill, h, latest} from "../../dom.js";
import {choose, errorsOfChoice, gather, limitRange} from "../../mix.js";
import {note, section} from "../../parts.js";
import {limitControls} from "./limit.js";
import {choiceMap} from "./map.js";
import {sizeTable} from "./sizes.js";
import {choiceTables} from "./tables.js";
import {gatherPoints, tradeoffFigure} from "./tradeoff.js";
import {remarks, verdict} from "./words.js";

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

/** The choice under a limit: everything that moves with the slider, the scatter above too. */
const choicePart = (page, numbers, scatter, range) => {
  const {state} = page;
  const current = () => ({judge: state.get().judge ?? "p90", limit: state.get().limit ?? range.start});
  const controls = limitControls(range, current, state.set);
  const sentence = h("p", {class: "verdict", role: "status"});
  const list = h("ul", {class: "plain remarks"});
  const [sizes, map, tables] = [
    sizeTable(page, numbers),
    choiceMap(page, numbers),
    choiceTables(page, numbers),
  ];

  const show = latest(async (isCurrent) => {
    const view = current();
    const chosen = choose(numbers, view.judge, view.limit);
    controls.show(view);
    scatter.show(view);
    fill(sentence, verdict(numbers, chosen, view));
    fill(
      list,
      remarks(page, numbers, chosen).map((text) => h("li", null, text)),
    );
    map.show(chosen, view);
    tables.show(chosen);
    const errors = await errorsOfChoice(page.run, numbers, chosen);
    if (isCurrent()) sizes.show(chosen, errors, view);
  });
  state.listen((changed) => {
    if (changed.has("limit") || changed.has("judge")) show();
  });
  show();
  return [
    h("h3", null, "The fewest bits under a limit"),
    h(
      "p",
      null,
      "Say how large the error may become: 0.1 means a tenth of the weights' size. Each layer and " +
        "projection then takes the scheme with the fewest bits that stays below.",
    ),
    controls.element,
    sentence,
    sizes.element,
    list,
    map.element,
    tables.element,
  ];
};

/** {element, ready: when it is filled} */
export const schemesSection = (page) => {
  const {run} = page;
  if (!run.facts.schemes.length) {
    return {
      ready: Promise.resolve(),
      element: section(
        "schemes",
        TITLE,
        lead(
          "No quantization scheme was simulated in this run, so there is nothing to choose from. Name " +
            "some under quant_schemes in the configuration and run analyze again.",
        ),
      ),
    };
  }
  const body = h("div", null);
  const fillIn = async () => {
    const numbers = await gather(run, page.place);
    const range = limitRange(numbers);
    if (!range) {
      fill(body, nothingToCompare(run, numbers));
      return;
    }
    const scatter = tradeoffFigure(page, numbers, await gatherPoints(page, numbers), range);
    fill(
      body,
      lead(
        "Every scheme trades bits for error. The picture shows all that were tried; below it you set " +
          "a limit and see what it takes.",
      ),
      gpuCaveat(run),
      scatter.element,
      choicePart(page, numbers, scatter, range),
    );
  };
  return {element: section("schemes", TITLE, body), ready: fillIn()};
};
