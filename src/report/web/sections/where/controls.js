// What the reader can choose for the heatmaps, the lines and the table of the worst.
import {choice, h, setChoice} from "../../dom.js";
import {clipped} from "../../format.js";
import {labelled, schemeSelect} from "../../parts.js";

const optionText = ({label, name}) =>
  label === name ? clipped(name, 60) : `${label} (${clipped(name, 40)})`;

const metricSelect = (metrics, onchange) => {
  const group = (of, label) => {
    const mine = metrics.filter((metric) => metric.of === of);
    return mine.length
      ? h(
          "optgroup",
          {label},
          mine.map((metric) => h("option", {value: metric.name}, optionText(metric))),
        )
      : null;
  };
  return h(
    "select",
    {onchange: ({target}) => onchange(target.value)},
    group("quant", "Of the quantization"),
    group("weights", "Of the weights"),
  );
};

/** {element, show(projections)}; onchange(projections, null for all) */
const projectionChoice = (projs, onchange) => {
  const pick = (p) => {
    const picked = inputs.flatMap((input, i) => (input.checked ? [i] : []));
    // None is no choice: the last one stays.
    if (picked.length) onchange(picked.length === inputs.length ? null : picked);
    else inputs[p].checked = true;
  };
  const inputs = projs.map((_, p) =>
    h("input", {type: "checkbox", value: String(p), onchange: () => pick(p)}),
  );
  return {
    element: h(
      "fieldset",
      {class: "choice projections"},
      h("legend", null, "Projections"),
      h(
        "div",
        {class: "segments"},
        inputs.map((input, p) => h("label", null, input, h("span", null, clipped(projs[p], 24)))),
      ),
    ),
    show: (picked) =>
      inputs.forEach((input, p) => {
        input.checked = picked.includes(p);
      }),
  };
};

const KINDS = [
  ["all", "all"],
  ["routed", "routed"],
  ["shared", "shared"],
];
const SCALES = [
  ["linear", "linear"],
  ["log", "logarithmic"],
];

/** {element, show(view, colours)}; onchange(patch of the state). */
export const whereControls = ({run, place, metrics}, onchange) => {
  const {projs, schemes} = run.facts;
  const metric = metricSelect(metrics, (name) => onchange({metric: name, scale: null}));
  const scheme = schemeSelect(schemes, (s) => onchange({scheme: s}));
  const shown = projectionChoice(projs, (show) => onchange({show}));
  const kinds = choice("Experts", KINDS, "all", (kind) => onchange({kind}));
  const scale = choice("Colours", SCALES, "linear", (value) => onchange({scale: value}));
  return {
    element: h(
      "div",
      {class: "controls where-controls"},
      labelled("Metric", metric),
      schemes.length ? labelled("Scheme", scheme) : null,
      projs.length > 1 ? shown.element : null,
      place.hasShared && place.hasRouted ? kinds : null,
      scale,
    ),
    show: (view, colours) => {
      metric.value = view.metric.name;
      scheme.value = String(view.scheme);
      scheme.disabled = view.metric.of !== "quant";
      shown.show(view.projs);
      setChoice(kinds, view.kind);
      setChoice(scale, colours?.isLog ? "log" : "linear");
      for (const input of scale.querySelectorAll("input")) input.disabled = !colours?.canLog;
    },
  };
};
