// What is odd? The findings that the program made, as sentences with a link to the picture.
import {h} from "../dom.js";
import {count, plural, printable} from "../format.js";
import {named, section} from "../parts.js";
import {robustDeviations} from "../terms.js";
import {term} from "../tip.js";

// By FindingKindName() of findings.h: a heading, and why it matters.
const kindsOf = ({far}) => ({
  nonfinite: [
    "Weights that are no number",
    "NaN or infinite weights: such a matrix has no other statistics, and can't be quantized.",
  ],
  dead: [
    "Experts that look dead",
    "All weights are zero, or a thousand times smaller than the neighbours': the expert was probably " +
      "never trained, or was pruned.",
  ],
  duplicate: [
    "Experts that look alike",
    "Their statistics agree to the last bit: these may be copies of one expert.",
  ],
  outlier_expert: [
    "Experts unlike their neighbours",
    [
      "Half as much, or twice, is not bad in itself. But what suits the others of the layer may not suit this " +
        "expert. ",
      term("Robust deviations", robustDeviations(far)),
      " tell how far off it is.",
    ],
  ],
  heavy_tail: [
    "Heavy tails",
    "A few weights are far larger than the rest. They stretch the scale of their group, and their " +
      "neighbours in it pay for it.",
  ],
  layer_trend: [
    "Layers off the trend",
    "The layer's median differs from that of the layers before and after it.",
  ],
  few_huge: [
    "A few huge weights",
    "They hold most of the sum of squares, which relative errors are measured against: such a matrix looks better " +
      "than it is, and is marked wherever it is listed.",
  ],
  vanishing: [
    "Weights that vanish",
    "The scale of this scheme is too coarse for these matrices: most of their weights become zero.",
  ],
});

const headingOf = (facts, kind) => {
  const kinds = kindsOf(facts);
  return Object.hasOwn(kinds, kind) ? kinds[kind] : [printable(kind).replaceAll("_", " "), ""];
};

const groupsOf = (findings, leftOut) => {
  const groups = new Map();
  for (const {kind} of findings)
    groups.set(
      kind,
      findings.filter((one) => one.kind === kind),
    );
  for (const kind of Object.keys(leftOut)) if (!groups.has(kind)) groups.set(kind, []);
  return [...groups];
};

/** The view of "Where does it hurt?" that shows a finding. */
const viewOf = ({metric, scheme, proj, layer, slot}) => ({
  metric,
  scheme,
  proj,
  layer,
  slot,
  kind: null,
  show: null,
  scale: null,
  open: null,
});

const link = ({state, showWhere}, finding) => {
  const view = viewOf(finding);
  return h(
    "a",
    {
      class: "show",
      href: state.link(view),
      onclick: (event) => {
        // With Ctrl or another button it opens elsewhere, as links do.
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        state.set(view);
        showWhere("auto");
      },
    },
    "Show",
  );
};

const item = (page, finding) => {
  const isAbout = [finding.metric, finding.proj, finding.layer, finding.slot].some((x) => x !== null);
  return h("li", null, named(printable(finding.text)), " ", isAbout ? link(page, finding) : null);
};

// More than these are folded, so that one kind does not bury the others.
const OPEN = 6;

const kindPart = (page, kind, findings, leftOut) => {
  const [title, explanation] = headingOf(page.run.facts, kind);
  const items = findings.map((finding) => item(page, finding));
  const list = (part) => h("ul", {class: "findings"}, part);
  return h(
    "div",
    {class: "kind"},
    h("h3", null, title, " ", h("span", {class: "count"}, count(findings.length + leftOut))),
    explanation ? h("p", {class: "quiet"}, explanation) : null,
    list(items.slice(0, OPEN)),
    items.length > OPEN
      ? h(
          "details",
          {class: "printed"},
          h("summary", null, `Show ${count(items.length - OPEN)} more`),
          list(items.slice(OPEN)),
        )
      : null,
    leftOut
      ? h(
          "p",
          {class: "quiet"},
          `${plural(leftOut, "less striking one is", "less striking ones are")} left out here.`,
        )
      : null,
  );
};

const LEAD = [
  "Each sentence is a reason to look, not a verdict. ",
  h("b", null, "Show"),
  " leads to the heatmap above and marks the place.",
];

/** Whether some layer has enough routed experts to be compared, and some stack enough layers. */
const comparedOf = ({run: {facts}, place}) => {
  const {experts: leastExperts, layers: leastLayers} = facts.findings_need;
  const {begin, end, proj, layer} = place.groups("routed");
  const layersOf = new Map();
  for (let g = 0; g < begin.length; ++g) {
    const {layer: number, stack} = facts.layers[layer[g]];
    const key = `${proj[g]} ${stack}`;
    if (number >= 0) layersOf.set(key, (layersOf.get(key) ?? 0) + 1);
  }
  return {
    experts: begin.some((first, g) => end[g] - first >= leastExperts),
    layers: [...layersOf.values()].some((n) => n >= leastLayers),
  };
};

const nothingText = (compared) => {
  const parts = [
    compared.experts ? "no expert is far from its neighbours" : null,
    "no expert looks dead or copied",
    compared.layers ? "no layer leaves the trend" : null,
  ];
  return `Nothing stands out: ${parts.filter((part) => part).join(", ")}.`;
};

/** What nobody could look for. */
const untoldText = ({findings_need: {experts, layers}}, compared) =>
  [
    compared.experts
      ? null
      : `Too few experts in each layer (fewer than ${experts}) to tell whether one is unlike the others.`,
    compared.layers ? null : `Too few layers (fewer than ${layers}) to tell whether one leaves the trend.`,
  ]
    .filter((text) => text)
    .join(" ");

export const oddSection = (page) => {
  const {facts} = page.run;
  const {findings, findings_left_out: leftOut, matrices} = facts;
  const groups = groupsOf(findings, leftOut);
  const compared = comparedOf(page);
  const untold = matrices ? untoldText(facts, compared) : "";
  const nothing = matrices ? nothingText(compared) : "There are no matrices to look at.";
  return section(
    "odd",
    "What is odd?",
    h("p", {class: "lead"}, groups.length ? LEAD : nothing),
    untold ? h("p", {class: "quiet"}, untold) : null,
    groups.map(([kind, list]) => kindPart(page, kind, list, leftOut[kind] ?? 0)),
  );
};
