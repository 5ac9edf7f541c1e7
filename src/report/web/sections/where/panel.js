// One projection: its heatmap, and its lines over layers below.
import {heatmap, leftOf} from "../../charts/heatmap.js";
import {rampOf, shareIn} from "../../colours.js";
import {h} from "../../dom.js";
import {clipped, significant} from "../../format.js";
import {named} from "../../parts.js";
import {cellImage, enlarged} from "../../raster.js";
import {hideTip, showTip, tellOver} from "../../tip.js";
import {cellFacts, tipLines} from "./cell.js";
import {curveOption, labelRoom} from "./curves.js";
import {overlay} from "./overlay.js";
import {boxOf, clamp, sizeOf} from "./zoom.js";

const KEYS = "Arrow keys move, Enter opens the matrix, + and − zoom, 0 shows all.";

// A row of cells gets so many pixels, within these bounds, but never less than one.
const ROW_PIXELS = 14,
  LEAST_HEIGHT = 190,
  MOST_HEIGHT = 400;
const FRAME_PIXELS = 48;

const heightFor = (rows) =>
  FRAME_PIXELS + Math.max(rows, clamp(rows * ROW_PIXELS, LEAST_HEIGHT, MOST_HEIGHT));

/** Where the pictures of a view begin, one above the other, so that no label is cut. */
const leftFor = ({place}, {shown, full: {y}}) =>
  Math.max(leftOf(place.slots.slice(y[0], y[1] + 1)), labelRoom(shown));

const mapOption = ({place}, {shown, range, view}, proj, left, look) => {
  const ramp = shown.colours ? rampOf(shown.colours, look) : look.ramp;
  const shareOf = shown.colours ? shareIn(shown.colours, range) : () => NaN;
  const cells = cellImage(
    place.layers.length,
    place.slots.length,
    (layer, slot) => place.at(proj, layer, slot),
    shown.values,
    shareOf,
    ramp,
    look.missing,
  );
  const ratio = window.devicePixelRatio || 1;
  return heatmap({xName: "layer", yName: "expert", xLabels: place.layers, yLabels: place.slots}, look, {
    view,
    left,
    image: (width, height) => enlarged(cells, view, width, height, ratio),
  });
};

// A pointer that moves less than this with its button down has clicked.
const DRAG_FROM = 6;

/** Tells the grid what the pointer does over a heatmap. */
const hookPointer = (page, grid, proj, map, lasso) => {
  let pressed = null;
  const cellUnder = (event) => {
    const at = map.under(event);
    return at && [clamp(Math.round(at[0]), ...grid.view.x), clamp(Math.round(at[1]), ...grid.view.y)];
  };
  const tell = (cell, event) => {
    const matrix = cell ? page.place.at(proj, ...cell) : -1;
    if (matrix < 0) return hideTip();
    const facts = cellFacts(page, grid.shown, matrix);
    return showTip(event, facts.title, tipLines(grid.shown, facts));
  };
  const isDrag = (event) =>
    pressed?.from && Math.hypot(event.offsetX - pressed.x, event.offsetY - pressed.y) > DRAG_FROM;
  const on = (name, listener) => map.element.addEventListener(name, listener);
  on("pointerdown", (event) => {
    const canDrag = event.pointerType === "mouse" && event.button === 0;
    pressed = canDrag ? {x: event.offsetX, y: event.offsetY, from: cellUnder(event), to: null} : null;
  });
  on("pointermove", (event) => {
    const cell = cellUnder(event);
    if (!cell || !isDrag(event)) {
      grid.moveTo(cell);
      return tell(cell, event);
    }
    pressed.to = cell;
    lasso.coverCells(boxOf(pressed.from, cell));
    return hideTip();
  });
  on("pointerleave", () => {
    hideTip();
    pressed = null;
    lasso.hide();
    if (document.activeElement !== map.element) grid.moveTo(null);
  });
  on("pointerup", () => {
    lasso.hide();
    if (pressed?.to) grid.zoomTo(boxOf(pressed.from, pressed.to));
  });
  // The last event of a tap: what opened earlier would be clicked itself. A drag ends with one too.
  on("click", (event) => {
    const cell = pressed?.to ? null : cellUnder(event);
    pressed = null;
    if (cell) grid.open(proj, cell);
  });
};

const hookCurves = ({place}, grid, proj, name, curves) => {
  const tell = (event) => {
    const at = curves.under(event);
    if (!at) return hideTip();
    const layer = grid.view.x[0] + at[0];
    return showTip(
      event,
      `layer ${place.layers[layer]} · ${name}`,
      [...grid.shown.curves]
        .reverse()
        .map(({label, byProj}) => [label, significant(byProj[proj][layer] ?? NaN, 5)]),
    );
  };
  tellOver(curves.element, tell);
};

/** {proj, element, drawMap(), drawCurves(), showCursor(), showMark()}; `grid` is mapsOf()'s. */
export const panelOf = (page, grid, proj) => {
  const {place, studio} = page;
  const name = clipped(page.run.facts.projs[proj], 60);
  const map = studio.chart("", "heatmap"),
    curves = studio.chart("", "lines");
  const cursor = overlay(map, "cell-cursor", {least: 4, rim: 1});
  const mark = overlay(map, "cell-mark", {least: 14, rim: 3});
  const lasso = overlay(map, "cell-lasso");
  map.element.setAttribute("role", "application");
  map.element.setAttribute("aria-roledescription", "heatmap");
  map.element.tabIndex = 0;

  const title = h("h4", null, named(name));
  const showCursor = () =>
    cursor.cover(grid.view, grid.cell ? {layer: grid.cell[0], slot: grid.cell[1]} : null);
  const isMarked = () => grid.mark && (grid.mark.proj ?? proj) === proj;
  const showMark = () => mark.cover(grid.view, isMarked() ? grid.mark : null);
  map.ondraw(() => {
    showCursor();
    showMark();
  });
  hookPointer(page, grid, proj, map, lasso);
  hookCurves(page, grid, proj, name, curves);
  map.element.addEventListener("keydown", (event) => grid.key(event, proj));
  map.element.addEventListener("focus", () => grid.focus(proj));
  return {
    proj,
    showCursor,
    showMark,
    element: h(
      "div",
      {class: "panel", data: {proj}},
      title,
      h("div", {class: "chart-box"}, map.element, mark.node, cursor.node, lasso.node),
      curves.element,
    ),
    drawMap: () => {
      map.element.style.height = `${heightFor(sizeOf(grid.full.y))}px`;
      map.label(`Heatmap of ${name}: ${grid.shown.metric.label} of every expert and layer. ${KEYS}`);
      const left = leftFor(page, grid);
      title.style.setProperty("--left", `${left}px`);
      map.update((look) => mapOption(page, grid, proj, left, look));
    },
    drawCurves: () => {
      const labels = grid.shown.curves.map(({label}) => label).join(", ");
      curves.label(`${labels} of ${grid.shown.metric.label} over the layers of ${name}`);
      curves.update((look) =>
        curveOption(grid.shown, proj, place.layers, grid.view, leftFor(page, grid), look),
      );
    },
  };
};
