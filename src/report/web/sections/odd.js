// What is odd? The findings that the program made, as sentences with a link to the picture.
import {h} from "../dom.js";
import {count, plural, printable} from "../format.js";
import {named, section} from "../parts.js";

const KINDS = {
  outlier_expert: ["Experts unlike their neighbours", "A number of this expert lies many robust standard deviations (from the median and the median deviation) away from the other experts of its layer and projection."],
  dead_expert: ["Experts that look dead", "All weights are zero, or so small that they do nothing: the expert was probably never trained, or was pruned."],
  duplicate_expert: ["Experts that look alike", "Several statistics agree to the last digit shown: these may be copies of one expert."],
  heavy_tail: ["Heavy tails", "A few weights are far larger than the rest. They stretch the scale of their group, and their neighbours pay for it."],
  nonfinite: ["Weights that are no number", "NaN or infinite weights: such a matrix has no other statistics, and can't be quantized."],
  layer_trend: ["Layers off the trend", "The layer's median lies far from what its neighbouring layers lead to expect."],
};

const kindOf = (kind) => KINDS[kind] ?? [printable(kind).replaceAll("_", " "), ""];

const byKind = (findings) => {
  const groups = new Map();
  for (const finding of findings) {
    if (!groups.has(finding.kind)) groups.set(finding.kind, []);
    groups.get(finding.kind).push(finding);
  }
  return groups;
};

const isAbout = (value) => value !== null && value !== undefined;

/** The view of "Where does it hurt?" that shows a finding. */
const viewOf = ({facts}, finding) => ({
  metric: finding.metric ?? null,
  scheme: isAbout(finding.scheme) ? finding.scheme : null,
  proj: isAbout(finding.proj) ? finding.proj : null,
  layer: isAbout(finding.layer) ? finding.layer : null,
  slot: isAbout(finding.slot) ? finding.slot : null,
  kind: null, show: null, scale: null, open: null,
});

const item = (page, finding) => {
  const view = viewOf(page.run, finding);
  const shows = [view.metric, view.proj, view.layer, view.slot].some(isAbout);
  return h("li", null, named(printable(finding.text)), " ", shows
    ? h("a", {class: "show", href: page.state.link(view), onclick: (event) => {
      event.preventDefault();
      page.state.set(view);
      page.showWhere();
    }}, "Show") : null);
};

// More than these are folded, so that one kind does not bury the others.
const OPEN = 8;

const group = (page, kind, findings, leftOut) => {
  const [title, explanation] = kindOf(kind);
  const more = leftOut ? ` and ${count(leftOut)} more that are not listed` : "";
  const items = findings.map((finding) => item(page, finding));
  return h("div", {class: "kind"}, h("h3", null, title, h("span", {class: "count"}, ` ${count(findings.length)}${more}`)),
    explanation ? h("p", {class: "quiet"}, explanation) : null,
    h("ul", {class: "findings"}, items.slice(0, OPEN)),
    items.length > OPEN ? h("details", {class: "printed"}, h("summary", null, `Show ${count(items.length - OPEN)} more`),
      h("ul", {class: "findings"}, items.slice(OPEN))) : null);
};

export const oddSection = (page) => {
  const {findings, findings_left_out: leftOut} = page.run.facts;
  const groups = byKind(findings);
  for (const kind of Object.keys(leftOut ?? {})) if (!groups.has(kind)) groups.set(kind, []);
  const content = groups.size
    ? [h("p", {class: "lead"}, "Each sentence is a reason to look, not a verdict. ", h("b", null, "Show"), " leads to the heatmap and marks the cell."),
      [...groups].map(([kind, list]) => group(page, kind, list, leftOut?.[kind] ?? 0))]
    : h("p", {class: "lead"}, page.run.matrices ? "Nothing stands out: no expert is far from its neighbours, none looks dead or copied, no layer leaves the trend."
      : "There are no matrices to look at.");
  return section("odd", "What is odd?", content);
};
