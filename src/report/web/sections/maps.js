// Heatmaps expert x layer, one for each projection, and lines over layers below each; one zoom for all.
import {heatmap} from "../charts/heatmap.js";
import {lines} from "../charts/lines.js";
import {rampOf, shareIn} from "../colours.js";
import {h} from "../dom.js";
import {clipped, significant} from "../format.js";
import {named} from "../parts.js";
import {cellImage, enlarged} from "../raster.js";
import {robust} from "../stats.js";
import {hideTip, showTip} from "../tip.js";

// A row of cells gets so many pixels, within these bounds, but never less than one.
const ROW_PIXELS = 14, LEAST_HEIGHT = 190, MOST_HEIGHT = 400;
const FRAME_PIXELS = 48;
// A pointer that moves less than this with its button down has clicked.
const DRAG_FROM = 6;

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

const heightFor = (rows) => FRAME_PIXELS + Math.max(rows, clamp(rows * ROW_PIXELS, LEAST_HEIGHT, MOST_HEIGHT));

/** Words and numbers of matrix i under the shown metric. */
export const cellFacts = (page, shown, i) => {
  const {place} = page;
  const [begin, end] = place.neighbours(i);
  const {middle, spread} = robust(shown.values, begin, end);
  const away = spread > 0 ? (shown.values[i] - middle) / spread : NaN;
  return {
    title: `layer ${place.layers[place.layer[i]]} · ${place.expert(place.slot[i])} · ${clipped(place.projs[place.proj[i]], 40)}`,
    value: shown.values[i], median: middle, away,
    others: place.continues(i),
  };
};

const tipLines = (shown, facts) => [
  [shown.metric.label, significant(facts.value, 5)],
  ["median of its layer", significant(facts.median, 5)],
  ...(facts.away === facts.away ? [["robust deviations", `${facts.away >= 0 ? "+" : "−"}${significant(Math.abs(facts.away), 3)}`]] : []),
  ...(facts.others ? [["note", "more matrices share this cell"]] : []),
];

const spoken = (shown, facts) => `${facts.title}: ${shown.metric.label} ${significant(facts.value, 4)}, median of its layer ${significant(facts.median, 4)}`;

/** A rectangle over cells of a chart; null as a column or row means all of them. */
const overlay = (className) => {
  const node = h("div", {class: className, hidden: true});
  return {
    node,
    hide: () => {
      node.hidden = true;
    },
    cover: (chart, view, layer, slot) => {
      const instance = chart.instance();
      const outside = (value, [first, last]) => value !== null && (value < first || value > last);
      if (!instance || outside(layer, view.x) || outside(slot, view.y)) return void (node.hidden = true);
      const [left, right] = layer === null ? [view.x[0], view.x[1]] : [layer, layer];
      const [top, bottom] = slot === null ? [view.y[0], view.y[1]] : [slot, slot];
      const [x0, y0] = instance.convertToPixel({gridIndex: 0}, [left - 0.5, top - 0.5]);
      const [x1, y1] = instance.convertToPixel({gridIndex: 0}, [right + 0.5, bottom + 0.5]);
      Object.assign(node.style, {left: `${x0}px`, top: `${y0}px`, width: `${x1 - x0}px`, height: `${y1 - y0}px`});
      node.hidden = false;
      return undefined;
    },
  };
};

const QUANTILE_COLOURS = [0, 5, 4, 1, 3];

/** The panel of one projection. `shared` is what all panels have in common: see mapsOf. */
const panelOf = (page, proj, common) => {
  const {place, studio} = page;
  const name = clipped(page.run.facts.projs[proj], 60);
  const map = studio.chart(`Heatmap of ${name}`, "heatmap");
  const curves = studio.chart(`Lines over layers of ${name}`, "lines");
  const cursor = overlay("cell-cursor"), mark = overlay("cell-mark"), lasso = overlay("cell-lasso");
  const line = overlay("layer-cursor");
  const title = h("h4", null, named(name));
  const help = "Arrow keys move, Enter opens the matrix, + and − zoom, 0 shows all.";
  map.element.setAttribute("role", "application");
  map.element.setAttribute("aria-roledescription", "heatmap");
  map.element.tabIndex = 0;

  const matrixUnder = (cell) => (cell ? place.at(proj, cell[0], cell[1]) : -1);
  const cellUnder = (event) => {
    const instance = map.instance();
    const at = [event.offsetX, event.offsetY];
    if (!instance?.containPixel({gridIndex: 0}, at)) return null;
    const [x, y] = instance.convertFromPixel({gridIndex: 0}, at).map(Math.round);
    return [clamp(x, ...common.view.x), clamp(y, ...common.view.y)];
  };
  const option = (look) => {
    const {shown, view} = common;
    const shareOf = shown.colours ? shareIn(shown.colours, common.range) : () => NaN;
    const ramp = shown.colours ? rampOf(shown.colours, look) : look.ramp;
    const cells = cellImage(place.layers.length, place.slots.length, (x, y) => place.at(proj, x, y), shown.values, shareOf, ramp, look.missing);
    return heatmap({xName: "layer", yName: "expert", xLabels: place.layers, yLabels: place.slots}, look,
      {view, image: (width, height) => enlarged(cells, view, width, height, window.devicePixelRatio || 1)});
  };
  const curveOption = (look) => {
    const {shown, view} = common;
    const part = (list) => list.slice(view.x[0], view.x[1] + 1);
    const base = lines({xName: "layer", yName: "", x: part(place.layers),
      series: shown.curves.map(({label, byProj}) => ({name: label, y: part(byProj[proj])}))}, look);
    const value = {min: shown.span[0], max: shown.span[1], name: "", splitNumber: 4, splitLine: {show: true, lineStyle: {color: look.line, opacity: 0.5}}};
    return {...base, legend: undefined, color: QUANTILE_COLOURS.map((i) => look.series[i]),
      grid: {left: 52, right: 8, top: 10, bottom: 40}, xAxis: {...base.xAxis, nameGap: 24, boundaryGap: true},
      yAxis: {...base.yAxis, ...value, type: shown.logAxis ? "log" : "value"}};
  };

  const showCursor = () => {
    const {cell} = common;
    if (!cell) return [cursor, line].forEach((one) => one.hide());
    cursor.cover(map, common.view, cell[0], cell[1]);
    return undefined;
  };
  const showMark = () => {
    const at = common.mark;
    if (at && (at.proj === null || at.proj === proj) && (at.layer !== null || at.slot !== null)) mark.cover(map, common.view, at.layer, at.slot);
    else mark.hide();
  };
  map.afterDraw.push(() => {
    showCursor();
    showMark();
  });

  let pressed = null;
  map.element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) pressed = {x: event.offsetX, y: event.offsetY, from: cellUnder(event), to: null};
  });
  map.element.addEventListener("pointermove", (event) => {
    const cell = cellUnder(event);
    if (pressed?.from && cell && Math.hypot(event.offsetX - pressed.x, event.offsetY - pressed.y) > DRAG_FROM) {
      pressed.to = cell;
      lasso.cover(map, box(pressed.from, cell), null, null);
      return hideTip();
    }
    common.moveTo(cell, proj);
    const matrix = matrixUnder(cell);
    if (matrix < 0) return hideTip();
    const facts = cellFacts(page, common.shown, matrix);
    return showTip({x: event.clientX, y: event.clientY}, facts.title, tipLines(common.shown, facts));
  });
  map.element.addEventListener("pointerleave", () => {
    hideTip();
    if (document.activeElement !== map.element) common.moveTo(null);
  });
  map.element.addEventListener("pointerup", (event) => {
    const drag = pressed;
    pressed = null;
    lasso.hide();
    if (drag?.to) return common.zoomTo(box(drag.from, drag.to));
    const cell = cellUnder(event);
    if (cell) common.open(proj, cell);
    return undefined;
  });
  map.element.addEventListener("keydown", (event) => common.key(event, proj));
  map.element.addEventListener("focus", () => common.focus(proj));

  curves.element.addEventListener("pointermove", (event) => {
    const instance = curves.instance();
    const at = [event.offsetX, event.offsetY];
    if (!instance?.containPixel({gridIndex: 0}, at)) return hideTip();
    const layer = common.view.x[0] + instance.convertFromPixel({gridIndex: 0}, at)[0];
    return showTip({x: event.clientX, y: event.clientY}, `layer ${place.layers[layer]} · ${name}`,
      [...common.shown.curves].reverse().map(({label, byProj}) => [label, significant(byProj[proj][layer] ?? NaN, 5)]));
  });
  curves.element.addEventListener("pointerleave", hideTip);

  return {
    proj, map, curves,
    element: h("div", {class: "panel", data: {proj: String(proj)}}, title,
      h("div", {class: "chart-box"}, map.element, mark.node, cursor.node, lasso.node),
      h("div", {class: "chart-box"}, curves.element)),
    drawMap: () => {
      map.element.style.height = `${heightFor(common.full.y[1] - common.full.y[0] + 1)}px`;
      map.label(`Heatmap of ${name}: ${common.shown.metric.label} of every expert and layer. ${help}`);
      map.update(option);
    },
    drawCurves: () => {
      curves.label(`${common.shown.curves.map(({label}) => label).join(", ")} of ${common.shown.metric.label} over the layers of ${name}`);
      curves.update(curveOption);
    },
    showCursor, showMark, cellUnder, matrixUnder,
  };
};

const box = (a, b) => ({x: [Math.min(a[0], b[0]), Math.max(a[0], b[0])], y: [Math.min(a[1], b[1]), Math.max(a[1], b[1])]});

const STEP = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

/** `size` cells around `middle`, within `full`. */
const around = (middle, size, full) => {
  const first = clamp(Math.round(middle - (size - 1) / 2), full[0], Math.max(full[0], full[1] - size + 1));
  return [first, Math.min(full[1], first + size - 1)];
};

const scaled = ([first, last], factor, middle, full) => around(middle ?? (first + last) / 2,
  clamp(Math.round((last - first + 1) * factor), Math.min(2, full[1] - full[0] + 1), full[1] - full[0] + 1), full);

/** All panels: {element, show(shown), range(r), mark(m), zoomIn(), zoomOut(), reset()}; onopen(matrix). */
export const mapsOf = (page, live, onopen) => {
  const {place} = page;
  const common = {shown: null, range: [0, 1], view: null, full: null, cell: null, mark: null};
  const panels = new Map();
  const element = h("div", {class: "panels"});
  const visible = () => [...panels.values()].filter((panel) => !panel.element.hidden);

  const drawMaps = () => visible().forEach((panel) => panel.drawMap());
  const drawCurves = () => visible().forEach((panel) => panel.drawCurves());
  const say = (proj) => {
    const matrix = common.cell ? place.at(proj, ...common.cell) : -1;
    live.textContent = matrix >= 0 ? spoken(common.shown, cellFacts(page, common.shown, matrix))
      : common.cell ? `layer ${place.layers[common.cell[0]]}, ${place.expert(common.cell[1])}: no matrix` : "";
  };

  common.moveTo = (cell) => {
    common.cell = cell;
    for (const panel of visible()) panel.showCursor();
  };
  common.focus = (proj) => {
    if (!common.cell) {
      const at = common.mark;
      common.moveTo([clamp(at?.layer ?? common.view.x[0], ...common.view.x), clamp(at?.slot ?? common.view.y[0], ...common.view.y)]);
    }
    say(proj);
  };
  common.open = (proj, cell) => {
    const matrix = place.at(proj, ...cell);
    if (matrix >= 0) onopen(matrix);
  };
  common.zoomTo = (view) => {
    common.view = view;
    drawMaps();
    drawCurves();
    element.dispatchEvent(new CustomEvent("zoomed"));
  };
  const zoomBy = (factor) => common.zoomTo({x: scaled(common.view.x, factor, common.cell?.[0], common.full.x),
    y: scaled(common.view.y, factor, common.cell?.[1], common.full.y)});
  const reset = () => common.zoomTo(common.full);

  // The cursor takes the view along when it leaves it.
  const follow = ([x, y]) => {
    const moved = (value, [first, last]) => (value < first ? [value, last - first + value] : value > last ? [first - last + value, value] : [first, last]);
    const view = {x: moved(x, common.view.x), y: moved(y, common.view.y)};
    if (view.x[0] !== common.view.x[0] || view.y[0] !== common.view.y[0]) common.zoomTo(view);
  };
  common.key = (event, proj) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = STEP[event.key];
    if (step && common.cell) {
      const [x, y] = [clamp(common.cell[0] + step[0], ...common.full.x), clamp(common.cell[1] + step[1], ...common.full.y)];
      common.moveTo([x, y]);
      follow([x, y]);
      say(proj);
    } else if (event.key === "Enter" && common.cell) common.open(proj, common.cell);
    else if (event.key === "+" || event.key === "=") zoomBy(0.5);
    else if (event.key === "-") zoomBy(2);
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
  };

  const panel = (proj) => {
    if (!panels.has(proj)) {
      panels.set(proj, panelOf(page, proj, common));
      // In the order of the projections, whichever was shown first.
      element.replaceChildren(...[...panels.values()].sort((a, b) => a.proj - b.proj).map((one) => one.element));
    }
    return panels.get(proj);
  };
  return {
    element,
    /** shown: {metric, values, colours, curves, span, logAxis, projs, slots: [first, last]}. */
    show: (shown) => {
      const full = {x: [0, place.layers.length - 1], y: shown.slots};
      const sameRows = common.full && String(common.full.y) === String(full.y);
      Object.assign(common, {shown, range: [0, 1], full, view: sameRows ? common.view : full});
      for (const one of panels.values()) one.element.hidden = !shown.projs.includes(one.proj);
      for (const proj of shown.projs) panel(proj).element.hidden = false;
      drawMaps();
      drawCurves();
    },
    range: (range) => {
      common.range = range;
      drawMaps();
    },
    mark: (mark) => {
      common.mark = mark;
      const outside = (value, [first, last]) => value !== null && (value < first || value > last);
      if (mark && common.view && (outside(mark.layer, common.view.x) || outside(mark.slot, common.view.y))) reset();
      for (const one of visible()) one.showMark();
    },
    zoomIn: () => zoomBy(0.5),
    zoomOut: () => zoomBy(2),
    reset,
    isWhole: () => String(common.view?.x) === String(common.full?.x) && String(common.view?.y) === String(common.full?.y),
    panelAt: (proj) => panels.get(proj),
  };
};
