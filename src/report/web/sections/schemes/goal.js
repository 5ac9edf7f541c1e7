// Where the choice starts from: as good as uniform 4-bit, a size, or a limit.
import {choice, freshId, h, setChoice} from "../../dom.js";
import {bytes, clipped, rounded} from "../../format.js";
import {labelled} from "../../parts.js";
import {AS_STORED} from "../../whole.js";
import {limitControls} from "./limit.js";

// The unit of the number beside the slider.
const UNITS = [
  [1e9, "GB"],
  [1e6, "MB"],
  [1e3, "kB"],
];

// Of a size that is chosen.
const DIGITS = 4;
// Of a slider's positions.
const STEPS = 200;

/** {element, show(view)}: the largest size of the whole model, as a slider and a number. */
const sizeControls = ({sizes, whole}, onchange) => {
  const id = freshId("size");
  let shown = "";
  const [unit, unitName] = UNITS.find(([one]) => sizes().high >= one) ?? UNITS.at(-1);
  const at = () => {
    const {low, high} = sizes();
    return rounded(low + ((high - low) * Number(bar.value)) / STEPS, DIGITS);
  };
  const bar = h("input", {
    type: "range",
    min: "0",
    max: String(STEPS),
    step: "any",
    "aria-label": "Largest size",
    oninput: () => onchange({size: at(), goal: "size"}, "keep"),
    onchange: () => onchange({size: at(), goal: "size"}, "replace"),
  });
  const number = h("input", {
    type: "number",
    id,
    min: "0",
    step: "any",
    class: "size-number",
    onchange: () => {
      const size = rounded(Number(number.value) * unit, DIGITS);
      if (size > 0) onchange({size, goal: "size"}, "replace");
      else number.value = shown;
    },
  });
  const what = `Largest size of ${whole.names[1]}`;
  return {
    element: h(
      "div",
      {class: "control grow"},
      h("label", {for: id}, what),
      h("div", {class: "limit"}, bar, number, h("span", {class: "quiet"}, unitName)),
    ),
    show: ({size}) => {
      const {low, high} = sizes();
      bar.value = String((STEPS * (size - low)) / (high - low || 1));
      bar.setAttribute("aria-valuetext", bytes(size));
      shown = String(rounded(size / unit, DIGITS));
      if (Number(number.value) !== Number(shown)) number.value = shown;
    },
  };
};

/** {element, show(view)}: what the rest of the model is counted at; no element where there is no choice. */
export const restControl = ({whole}, onchange) => {
  if (!whole.schemes.length) return {element: null, show: () => {}};
  const select = h(
    "select",
    {onchange: ({target}) => onchange({rest: target.value}, "replace")},
    whole.schemes.map(({name}) => h("option", {value: name}, clipped(name, 40))),
    h("option", {value: AS_STORED}, "as stored now"),
  );
  return {
    element: labelled("Rest of the model counted at", select),
    show: ({rest}) => {
      select.value = rest;
    },
  };
};

/** {element, show(view)}; onchange(patch, address). `goals` are of "good", "size" and "limit". */
export const goalControls = (decision, goals, onchange) => {
  const words = {
    good: `as good as ${clipped(decision.reference.name, 24)}`,
    size: "by size",
    limit: "by a limit of the error",
  };
  const which = choice(
    "Choose",
    goals.map((goal) => [goal, words[goal]]),
    null,
    // The other goals' numbers stay, for when the reader comes back.
    (goal) => onchange({goal}, "replace"),
  );
  const size = sizeControls(decision, onchange);
  const limit = goals.includes("limit") ? limitControls(decision.range, decision.view, onchange) : null;
  return {
    element: [h("div", {class: "controls goal-controls"}, which, size.element), limit?.element],
    show: (view) => {
      setChoice(which, view.goal);
      size.element.hidden = view.goal !== "size";
      size.show(view);
      if (limit) {
        limit.element.hidden = view.goal !== "limit";
        limit.show(view);
      }
    },
  };
};
