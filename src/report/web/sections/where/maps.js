// Heatmaps expert x layer, one for each projection: one zoom, one cursor and one mark for all.
import {h} from "../../dom.js";
import {cellFacts, spoken} from "./cell.js";
import {panelOf} from "./panel.js";
import {clamp, following, isInside, isSameView, scaledView} from "./zoom.js";

const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
const ZOOM = 2;

/**
 * All panels: {element, show(shown), range(part), mark(place or null), scrollTo(behavior), zoomIn(),
 * zoomOut(), reset()}.
 * `live` is spoken when the cursor moves by keys; onopen(matrix).
 */
export const mapsOf = (page, live, onopen) => {
  const {place} = page;
  const panels = new Map();
  const element = h("div", {class: "panels"});
  const each = (task) => {
    for (const panel of panels.values()) if (!panel.element.hidden) task(panel);
  };
  const drawMaps = () => each((panel) => panel.drawMap());
  const drawCurves = () => each((panel) => panel.drawCurves());

  // What the panels share. view, full: cells shown, and all; cell: [layer, slot] of the cursor;
  // mark: {proj, layer, slot} of a finding; range: the part of the colour scale that is coloured.
  const grid = {
    shown: null,
    range: [0, 1],
    view: null,
    full: null,
    cell: null,
    mark: null,
    moveTo: (cell) => {
      grid.cell = cell;
      each((panel) => panel.showCursor());
    },
    zoomTo: (view) => {
      if (isSameView(view, grid.view)) return;
      grid.view = view;
      drawMaps();
      drawCurves();
    },
    open: (proj, cell) => {
      const matrix = place.at(proj, ...cell);
      if (matrix >= 0) onopen(matrix);
    },
    focus: (proj) => {
      const {x, y} = grid.view;
      if (!grid.cell)
        grid.moveTo([clamp(grid.mark?.layer ?? x[0], ...x), clamp(grid.mark?.slot ?? y[0], ...y)]);
      say(proj);
    },
    key: (event, proj) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !grid.cell) return;
      const action = actionOf(event.key, proj);
      if (!action) return;
      event.preventDefault();
      action();
    },
  };
  const say = (proj) => {
    const [layer, slot] = grid.cell;
    const matrix = place.at(proj, layer, slot);
    live.textContent =
      matrix >= 0
        ? spoken(grid.shown, cellFacts(page, grid.shown, matrix))
        : `layer ${place.layers[layer]}, ${place.expert(slot)}: no matrix`;
  };
  const step = ([right, down], proj) => {
    const [layer, slot] = grid.cell;
    grid.moveTo([clamp(layer + right, ...grid.full.x), clamp(slot + down, ...grid.full.y)]);
    grid.zoomTo(following(grid.view, grid.cell));
    say(proj);
  };
  const zoomBy = (factor) => grid.zoomTo(scaledView(grid.view, factor, grid.cell, grid.full));
  const reset = () => grid.zoomTo(grid.full);
  const actionOf = (key, proj) => {
    if (STEPS[key]) return () => step(STEPS[key], proj);
    return {
      Enter: () => grid.open(proj, grid.cell),
      "+": () => zoomBy(1 / ZOOM),
      "=": () => zoomBy(1 / ZOOM),
      "-": () => zoomBy(ZOOM),
      0: reset,
    }[key];
  };

  const addPanels = (projs) => {
    for (const proj of projs) if (!panels.has(proj)) panels.set(proj, panelOf(page, grid, proj));
    const inOrder = [...panels.values()].sort((a, b) => a.proj - b.proj);
    element.replaceChildren(...inOrder.map((panel) => panel.element));
    for (const panel of inOrder) panel.element.hidden = !projs.includes(panel.proj);
  };
  return {
    element,
    /** shown: what gatherShown() of view.js gives. */
    show: (shown) => {
      const full = {x: [0, place.layers.length - 1], y: shown.rows};
      const view = isSameView(full, grid.full) ? grid.view : full;
      Object.assign(grid, {shown, range: shown.range, full, view});
      addPanels(shown.projs);
      drawMaps();
      drawCurves();
    },
    range: (range) => {
      grid.range = range;
      drawMaps();
    },
    mark: (mark) => {
      grid.mark = mark;
      if (mark && grid.view && !isInside(grid.view, mark)) reset();
      each((panel) => panel.showMark());
    },
    /** Scrolls to the marked heatmap, or the first one. */
    scrollTo: (behavior) => {
      const shown = [...panels.values()].filter((panel) => !panel.element.hidden);
      const marked = shown.find(({proj}) => proj === grid.mark?.proj) ?? shown[0];
      marked?.element.scrollIntoView({block: "center", behavior});
    },
    zoomIn: () => zoomBy(1 / ZOOM),
    zoomOut: () => zoomBy(ZOOM),
    reset,
  };
};
