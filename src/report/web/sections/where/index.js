// Where does it hurt? One set of controls for the heatmaps, the lines and the worst matrices.
import {fill, h, latest} from "../../dom.js";
import {clipped} from "../../format.js";
import {mostTaken} from "../../mix.js";
import {definition} from "../../metrics.js";
import {figure, section} from "../../parts.js";
import {term} from "../../tip.js";
import {whereControls} from "./controls.js";
import {curveLegend} from "./curves.js";
import {mapsOf} from "./maps.js";
import {matrixPanel} from "./matrix.js";
import {colourScale} from "./scale.js";
import {defaultsOf, gatherShown, statusText, viewOf} from "./view.js";
import {worstTable} from "./worst.js";

const TITLE = "Where does it hurt?";

const meaning = (metric) => [
  h("b", null, metric.label),
  " ",
  h("code", null, clipped(metric.name, 60)),
  ". ",
  metric.plain,
  " ",
  metric.advice,
  " ",
  term("How it is computed", definition(metric)),
];

const BAD = {
  high: "Bright cells are bad",
  low: "Dark cells are bad",
  far: "Cells that stand out from their column are worth a look",
};

const READING =
  "; grey is no value. A damaged expert is a cell unlike its column, a bad layer is a column unlike " +
  "the others. The lines count over the experts of each layer: the wider they part, the more a few " +
  "experts differ from the rest. Drag over cells to enlarge them in all projections; click one for " +
  "everything about it.";

const zoomButtons = (maps) =>
  h(
    "div",
    {class: "zoom", role: "group", "aria-label": "Zoom"},
    h("button", {type: "button", "aria-label": "Zoom in", onclick: maps.zoomIn}, "+"),
    h("button", {type: "button", "aria-label": "Zoom out", onclick: maps.zoomOut}, "−"),
    h("button", {type: "button", onclick: maps.reset}, "Show all"),
  );

const nothingText = ({metric}) =>
  `${metric.label} has no value for any of these matrices` +
  `${metric.of === "quant" ? " under this scheme" : ""}, so there is nothing to colour.`;

/** What the view's matrices look like: {elements, show(shown), mark(place)}. */
const picturesOf = (page, onopen) => {
  const live = h("p", {class: "offscreen", "aria-live": "polite"});
  const [explanation, legend, bad] = [h("p", {class: "definition"}), h("div", null), h("span", null)];
  const status = h("p", {class: "quiet", role: "status"});
  const maps = mapsOf(page, live, onopen);
  const scale = colourScale(page, maps.range);
  return {
    elements: [
      explanation,
      status,
      h("div", {class: "scale-row"}, scale.element, zoomButtons(maps)),
      legend,
      figure([maps.element, live], bad, READING),
    ],
    mark: maps.mark,
    scrollTo: maps.scrollTo,
    show: (shown) => {
      fill(explanation, meaning(shown.metric));
      fill(legend, curveLegend(shown.metric));
      bad.textContent = BAD[shown.metric.worse];
      status.textContent = shown.colours ? statusText(shown) : nothingText(shown);
      scale.element.hidden = !shown.colours;
      if (shown.colours) scale.show(shown);
      maps.show(shown);
    },
  };
};

const OF_VIEW = ["metric", "scheme", "kind", "show", "scale"];
const OF_MARK = ["proj", "layer", "slot"];

const markOf = ({proj, layer, slot}) => (layer === null && slot === null ? null : {proj, layer, slot});

/** Opens and closes the panel of one matrix as the state says. */
const openerOf = (page, panel) => {
  const {state, place} = page;
  return () => {
    const {open, proj, layer, slot} = state.get();
    const isPlace = open && proj !== null && layer !== null && slot !== null;
    const matrix = isPlace ? place.at(proj, layer, slot) : -1;
    if (matrix >= 0) panel.open(matrix);
    else panel.close();
  };
};

/** {element, show(behavior): scrolls to the picture that is marked, open(matrix)} */
export const whereSection = async (page) => {
  const {run, place, state} = page;
  if (!run.matrices || !run.metrics.length) {
    return {
      element: section(
        "where",
        TITLE,
        h("p", {class: "lead"}, "There are no matrices with numbers to show."),
      ),
      show: () => {},
      open: () => {},
    };
  }
  const chosen = page.decision.chosen();
  const defaults = await defaultsOf(run, chosen && mostTaken(page.decision.numbers, chosen));
  const open = (i) =>
    state.set({proj: place.proj[i], layer: place.layer[i], slot: place.slot[i], open: true});
  const controls = whereControls(page, state.set);
  const pictures = picturesOf(page, open);
  const worst = worstTable(page, open);
  const panel = matrixPanel(page, () => state.set({open: null}));
  const openOrClose = openerOf(page, panel);

  const refresh = latest(async (isCurrent) => {
    const view = viewOf(page, defaults);
    const shown = await gatherShown(page, view);
    if (!isCurrent()) return;
    controls.show(view, shown.colours);
    pictures.show(shown);
    pictures.mark(markOf(state.get()));
    await worst.show(shown);
  });
  state.listen((changed) => {
    const isAbout = (keys) => keys.some((key) => changed.has(key));
    if (isAbout(OF_VIEW)) refresh();
    if (isAbout(OF_MARK)) pictures.mark(markOf(state.get()));
    if (isAbout([...OF_MARK, "open"])) openOrClose();
  });
  await refresh();
  openOrClose();
  return {
    show: pictures.scrollTo,
    open,
    element: section(
      "where",
      TITLE,
      h(
        "p",
        {class: "lead"},
        "Every matrix is a cell. Choose what to look at; the pictures and the table below follow.",
      ),
      controls.element,
      pictures.elements,
      worst.element,
      panel.element,
    ),
  };
};
