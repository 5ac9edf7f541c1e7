// How much error is allowed, and of which expert: a slider with a number beside it, and the judges.
import {choice, freshId, h, setChoice} from "../../dom.js";
import {decibels, rounded, shortNumber} from "../../format.js";

// For whom the limit must hold, by JUDGES of mix.js.
const HOLDS = [
  ["median", "half of the experts"],
  ["p90", "90 % of the experts"],
  ["max", "every expert"],
];

// One press of an arrow key.
const STEP = 1.05;
const STEPS = {ArrowRight: STEP, ArrowUp: STEP, ArrowLeft: 1 / STEP, ArrowDown: 1 / STEP};

/** onlimit(limit, address): "keep" the address while the slider moves, "replace" it at the end. */
const slider = ({low, high}, current, onlimit) => {
  const chosen = () => rounded(10 ** Number(range.value), 2);
  const range = h("input", {
    type: "range",
    min: String(Math.log10(low)),
    max: String(Math.log10(high)),
    step: "any",
    "aria-label": "Largest relative error allowed",
    oninput: () => onlimit(chosen(), "keep"),
    onchange: () => onlimit(chosen(), "replace"),
    onkeydown: (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      onlimit(rounded(current() * step, 3), "replace");
    },
  });
  return {
    range,
    show: (limit) => {
      range.value = String(Math.log10(limit));
      range.setAttribute("aria-valuetext", `${shortNumber(limit)}, ${decibels(limit)}`);
    },
  };
};

/** {element, show({judge, limit})}; `current()` is what is shown, onchange(patch, address). */
export const limitControls = (range, current, onchange) => {
  const id = freshId("limit");
  const bar = slider(
    range,
    () => current().limit,
    (limit, address) => onchange({limit}, address),
  );
  const number = h("input", {
    type: "number",
    id,
    min: "0",
    step: "any",
    class: "limit-number",
    onchange: () => {
      if (Number(number.value) > 0) onchange({limit: Number(number.value)}, "replace");
      else number.value = String(current().limit);
    },
  });
  const text = h("output", {for: id, class: "decibels"});
  const judges = choice("It must hold for", HOLDS, current().judge, (judge) => onchange({judge}, "replace"));
  return {
    element: h(
      "div",
      {class: "controls limit-controls"},
      h(
        "div",
        {class: "control grow"},
        h("label", {for: id}, "Largest relative error allowed"),
        h("div", {class: "limit"}, bar.range, number, text),
      ),
      judges,
    ),
    show: ({judge, limit}) => {
      bar.show(limit);
      if (Number(number.value) !== limit) number.value = String(limit);
      text.textContent = `= ${decibels(limit)}`;
      setChoice(judges, judge);
    },
  };
};
