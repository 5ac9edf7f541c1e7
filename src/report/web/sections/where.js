// Where does it hurt? One set of controls for the heatmaps, the lines over layers and the worst matrices.
import {coloursOf} from "../colours.js";
import {choice, fill, freshId, h, latest, setChoice} from "../dom.js";
import {clipped} from "../format.js";
import {definition} from "../metrics.js";
import {figure, section} from "../parts.js";
import {wantedBy} from "../place.js";
import {summarise} from "../stats.js";
import {term} from "../tip.js";
import {mapsOf} from "./maps.js";
import {matrixPanel} from "./matrix.js";
import {colourScale} from "./scale.js";
import {missingText, worstTable} from "./worst.js";

const CURVES = {
  high: [["median", 0.5], ["90 %", 0.9], ["99 %", 0.99], ["max", 1]],
  low: [["median", 0.5], ["10 %", 0.1], ["1 %", 0.01], ["min", 0]],
  far: [["median", 0.5], ["90 %", 0.9], ["99 %", 0.99], ["max", 1], ["min", 0]],
};

// By projection the quantiles of each layer, null where there are no matrices.
const curvesOf = (place, metric, values, kind) => {
  const groups = place.groups(kind);
  const wanted = CURVES[metric.worse];
  const {rows, counts} = summarise(values, groups, wanted.map(([, share]) => share));
  return wanted.map(([label], k) => {
    const byProj = place.projs.map(() => new Array(place.layers.length).fill(null));
    for (let g = 0; g < groups.count; ++g) if (counts[g]) byProj[groups.proj[g]][groups.layer[g]] = rows[k][g];
    return {label, byProj};
  });
};

const spanOf = (curves, projs, log) => {
  const all = curves.flatMap(({byProj}) => projs.flatMap((p) => byProj[p])).filter((v) => v !== null && (!log || v > 0));
  if (!all.length) return [0, 1];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  if (log) return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.0001))];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
  // Not below zero only to make room.
  return [low >= 0 ? Math.max(0, low - room) : low - room, high + room].map((v) => Number(v.toPrecision(4)));
};

const rowsShown = ({facts}, kind) => {
  const routed = facts.slots.filter((slot) => !slot.shared).length;
  if (kind === "shared") return [routed, facts.slots.length - 1];
  return [0, kind === "routed" ? routed - 1 : facts.slots.length - 1];
};

const hasValue = (values) => values.some((value) => value === value);

/** The metric and scheme to begin with: the relative error, if any scheme has one. */
export const defaultsOf = async (run, metrics) => {
  for (let s = 0; s < run.facts.schemes.length; ++s) {
    if (run.metric("w_rel_fro") && hasValue(await run.values("w_rel_fro", s))) return {metric: "w_rel_fro", scheme: s};
  }
  for (const name of ["rms", "std", ...metrics.filter(({of}) => of === "weights").map((metric) => metric.name)]) {
    if (run.metric(name) && hasValue(await run.values(name, null))) return {metric: name, scheme: 0};
  }
  return {metric: metrics[0]?.name ?? null, scheme: 0};
};

const metricSelect = (metrics, onchange) => {
  const group = (of, label) => {
    const mine = metrics.filter((metric) => metric.of === of);
    return mine.length ? h("optgroup", {label}, mine.map((metric) => h("option", {value: metric.name}, metric.label === metric.name ? clipped(metric.name, 60) : `${metric.label} (${clipped(metric.name, 40)})`))) : null;
  };
  return h("select", {onchange: (event) => onchange(event.target.value)}, group("quant", "Of the quantization"), group("weights", "Of the weights"));
};

const labelled = (text, control) => {
  control.id = freshId("control");
  return h("div", {class: "control"}, h("label", {for: control.id}, text), control);
};

const projectionChoice = (page, onchange) => {
  const inputs = page.place.projs.map((name, p) => h("input", {type: "checkbox", value: String(p), onchange: () => {
    const picked = inputs.filter((input) => input.checked).map((input) => Number(input.value));
    // None is no choice: the last one stays.
    if (picked.length) onchange(picked.length === inputs.length ? null : picked);
    else inputs[p].checked = true;
  }}));
  const element = h("fieldset", {class: "choice projections"}, h("legend", null, "Projections"),
    h("div", {class: "segments"}, inputs.map((input, p) => h("label", null, input, h("span", null, clipped(page.run.facts.projs[p], 24))))));
  return {element, show: (picked) => inputs.forEach((input, p) => {
    input.checked = picked.includes(p);
  })};
};

const controlsOf = (page, current) => {
  const {run, place, state, metrics} = page;
  const set = (patch) => state.set(patch);
  const metric = metricSelect(metrics, (name) => set({metric: name, scale: null}));
  const scheme = h("select", {onchange: () => set({scheme: Number(scheme.value)})}, run.facts.schemes.map(({name}, s) => h("option", {value: String(s)}, clipped(name, 60))));
  const projections = place.projs.length > 1 ? projectionChoice(page, (show) => set({show})) : null;
  const kinds = place.hasShared && place.hasRouted ? choice("Experts", [["all", "all"], ["routed", "routed"], ["shared", "shared"]], "all", (kind) => set({kind})) : null;
  const scale = choice("Colours", [["linear", "linear"], ["log", "logarithmic"]], "linear", (value) => set({scale: value}));
  return {
    element: h("div", {class: "controls where-controls"}, labelled("Metric", metric), run.facts.schemes.length ? labelled("Scheme", scheme) : null,
      projections?.element, kinds, scale),
    show: (colours) => {
      const view = current();
      metric.value = view.metric.name;
      scheme.value = String(view.scheme);
      scheme.disabled = view.metric.of !== "quant";
      projections?.show(view.projs);
      if (kinds) setChoice(kinds, view.kind);
      setChoice(scale, colours?.log ? "log" : "linear");
      for (const input of scale.querySelectorAll("input")) input.disabled = !colours?.canLog;
    },
  };
};

const definitionText = (metric) => h("p", {class: "definition"}, h("b", null, metric.label), " ", h("code", null, clipped(metric.name, 60)), ". ",
  metric.plain, metric.plain ? " " : "", metric.advice, " ", metric.doc ? term("How it is computed", definition(metric)) : null);

const curveLegend = (metric) => h("ul", {class: "legend curves"}, CURVES[metric.worse].map(([label], k) => h("li", null, h("span", {class: `stroke q${k}`}), label)));

const badWords = {high: "Bright cells are bad", low: "Dark cells are bad", far: "Cells that stand out from their column are worth a look"};

/** The third section: {element, ready: the promise of its first chart, showWhere()}. */
export const whereSection = (page) => {
  const {run, place, state, metrics, theme} = page;
  const title = "Where does it hurt?";
  if (!run.matrices || !metrics.length) return {element: section("where", title, h("p", {class: "lead"}, "There are no matrices with numbers to show.")), ready: null, showWhere: () => {}};

  const current = () => {
    const chosen = state.get();
    const metric = page.metric(chosen.metric) ?? page.metric(page.defaults.metric);
    return {metric, scheme: chosen.scheme ?? page.defaults.scheme, kind: chosen.kind ?? "all",
      projs: chosen.show ?? [...place.projs.keys()], scale: chosen.scale};
  };
  const markOf = () => {
    const {proj, layer, slot} = state.get();
    return layer === null && slot === null ? null : {proj, layer, slot};
  };

  const live = h("p", {class: "offscreen", "aria-live": "polite"});
  const controls = controlsOf(page, current);
  const explanation = h("div", {class: "explanation"});
  const empty = h("p", {class: "note", role: "status", hidden: true});
  const open = (i) => state.set({proj: place.proj[i], layer: place.layer[i], slot: place.slot[i], open: true});
  const maps = mapsOf(page, live, open);
  const scale = colourScale(page, (range) => maps.range(range));
  const legend = h("div", null);
  const bad = h("span", null);
  const worst = worstTable(page, open);
  // Of several matrices in one cell the address names the cell; the one that was picked is known here.
  let picked = null;
  const panel = matrixPanel(page, () => state.set({open: null}), (i) => {
    picked = i;
    panel.open(i);
  });

  const showMatrix = () => {
    const {open: isOpen, proj, layer, slot} = state.get();
    const first = isOpen && proj !== null && layer !== null && slot !== null ? place.at(proj, layer, slot) : -1;
    if (first < 0) panel.close();
    else if (panel.element.hidden || picked !== first) {
      picked = first;
      panel.open(first);
    }
  };

  const refresh = latest(async (isCurrent) => {
    const {metric, scheme, kind, projs, scale: wish} = current();
    const values = await run.values(metric.name, scheme);
    if (!isCurrent()) return;
    const wanted = wantedBy(place, kind, projs);
    const colours = coloursOf(values, wanted, wish);
    const curves = curvesOf(place, metric, values, kind);
    const logAxis = Boolean(colours?.log);
    const shown = {metric, scheme, values, wanted, colours, curves, logAxis, span: spanOf(curves, projs, logAxis), projs, slots: rowsShown(run.facts, kind)};
    controls.show(colours);
    fill(explanation, definitionText(metric), missing(values, wanted));
    fill(legend, curveLegend(metric));
    bad.textContent = badWords[metric.worse];
    empty.hidden = colours !== null;
    if (!colours) empty.textContent = `${metric.label} has no value for any of these matrices${metric.of === "quant" ? " under this scheme" : ""}, so there is nothing to colour.`;
    scale.element.hidden = !colours;
    if (colours) scale.show(colours, values, wanted);
    maps.show(shown);
    maps.mark(markOf());
    await worst.show(shown);
  });
  const missing = (values, wanted) => {
    const text = missingText(values, wanted);
    return text ? h("p", {class: "quiet"}, text) : null;
  };

  state.listen((changed) => {
    if (["metric", "scheme", "kind", "show", "scale"].some((key) => changed.has(key))) refresh();
    if (["proj", "layer", "slot"].some((key) => changed.has(key))) maps.mark(markOf());
    if (["proj", "layer", "slot", "open"].some((key) => changed.has(key))) showMatrix();
  });

  const zoom = h("div", {class: "zoom", role: "group", "aria-label": "Zoom of the heatmaps"},
    h("button", {type: "button", "aria-label": "Zoom in", onclick: maps.zoomIn}, "+"), h("button", {type: "button", "aria-label": "Zoom out", onclick: maps.zoomOut}, "−"),
    h("button", {type: "button", onclick: maps.reset}, "Show all"));
  const element = section("where", title, h("p", {class: "lead"}, "Every matrix is a cell. Pick what to look at; the pictures, the lines and the table below follow."),
    controls.element, explanation, empty,
    h("div", {class: "scale-row"}, scale.element, zoom), legend,
    figure([maps.element, live], bad, "; grey is no value, or a value outside the coloured range. A dead or damaged expert shows as a cell unlike its column, a bad layer as a column. The lines below count over the experts of each layer: the wider they part, the more a few experts differ from the rest. Drag over cells to enlarge them in all projections, click one for everything about it."),
    worst.element, panel.element);
  const ready = refresh().then(() => showMatrix());
  return {element, ready, refresh, theme, showWhere: () => maps.element.scrollIntoView({block: "center"}),
    firstChart: () => maps.panelAt(current().projs[0])?.map ?? null, hasMark: () => markOf() !== null};
};
