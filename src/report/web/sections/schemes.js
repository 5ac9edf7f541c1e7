// Which scheme should I take? Error against size, and the cheapest mixture under a limit.
import {tradeoff} from "../charts/tradeoff.js";
import {plan} from "../charts/plan.js";
import {choice, fill, freshId, h, setChoice} from "../dom.js";
import {bytes, clipped, count, decibels, percent, plural, printable, ranges, shortNumber, significant} from "../format.js";
import {JUDGES, choose, errorOf, gather, limitRange, single, storedSize, wholeError} from "../mix.js";
import {bar, figure, lazyDetails, named, note, section} from "../parts.js";
import {colourAt, inkAt} from "../raster.js";
import {front, overall} from "../stats.js";
import {copyButton, csv, dataTable, save} from "../table.js";
import {hideTip, showTip} from "../tip.js";

const ERROR = "w_rel_fro";
const judgeLabel = (judge) => JUDGES.find(([key]) => key === judge)[1];
const QUANTILES = {median: 0, p90: 1, max: 2};

const mean = (values, weights) => {
  let sum = 0, total = 0;
  for (let g = 0; g < values.length; ++g) {
    sum += values[g] * weights[g];
    total += weights[g];
  }
  return sum / total;
};

const meanBits = (numbers, scheme, wanted) => {
  const picked = [...numbers.groups.proj.keys()].filter((g) => wanted(g) && scheme.bits[g] === scheme.bits[g]);
  return mean(picked.map((g) => scheme.bits[g]), picked.map((g) => numbers.weights[g]));
};

/** Error quantiles of each scheme, by projection and kind of expert. */
const groupPoints = async ({run, place}, numbers) => {
  const groups = [];
  for (let p = 0; p < place.projs.length; ++p) {
    for (const shared of [0, 1]) {
      if (shared ? place.hasShared : place.hasRouted) groups.push({proj: p, shared, points: []});
    }
  }
  for (const scheme of numbers.schemes) {
    const errors = await run.values(ERROR, scheme.index);
    for (const group of groups) {
      const {count: n, at} = overall(errors, (i) => place.proj[i] === group.proj && place.shared[i] === group.shared, [0.5, 0.9, 1]);
      const bits = meanBits(numbers, scheme, (g) => numbers.groups.proj[g] === group.proj && numbers.groups.shared[g] === group.shared);
      if (n && bits === bits) group.points.push({scheme, at, bits, n});
    }
  }
  return groups.filter(({points}) => points.length);
};

const groupName = (place, {proj, shared}) => `${clipped(place.projs[proj], 28)}${shared ? ", shared" : ""}`;

const tradeoffData = (page, numbers, points, {judge, limit}) => {
  const at = QUANTILES[judge];
  const schemes = numbers.schemes.map((scheme) => ({label: clipped(scheme.name, 28), error: wholeError(scheme, judge),
    bits: meanBits(numbers, scheme, () => true)})).filter((p) => p.bits === p.bits && p.error === p.error);
  const best = front(schemes);
  for (const scheme of schemes) scheme.onFront = best.includes(scheme);
  return {
    xName: "bits per weight", yName: `relative error, ${judgeLabel(judge)}`, limit,
    limitLabel: limit ? `limit ${shortNumber(limit)}` : "",
    schemes, front: best,
    groups: points.map((group) => ({name: groupName(page.place, group), shared: group.shared === 1, colour: group.proj,
      points: group.points.map((p) => ({bits: p.bits, error: p.at[at], median: p.at[0], worst: p.at[2], of: p, group}))})),
  };
};

const pointTip = (page, point) => [`${clipped(point.of.scheme.name)} · ${groupName(page.place, point.group)}`, [
  ["bits per weight", significant(point.bits, 4)],
  ["median error", `${significant(point.of.at[0], 4)} · ${decibels(point.of.at[0])}`],
  ["90 % of experts", significant(point.of.at[1], 4)],
  ["worst expert", `${significant(point.of.at[2], 4)} · ${decibels(point.of.at[2])}`],
  ["matrices", count(point.of.n)]]];

const tradeoffFigure = (page) => {
  const chart = page.studio.chart("Error against bits per weight of every scheme", "tall");
  let hooked = false;
  chart.afterDraw.push(() => {
    if (hooked) return;
    hooked = true;
    chart.instance().on("mousemove", ({data, event}) => {
      if (data?.point) showTip({x: event.event.clientX, y: event.event.clientY}, ...pointTip(page, data.point));
    });
    chart.instance().on("mouseout", hideTip);
  });
  const element = figure(chart.element, "Lower and further left is better: less error for fewer bits. Schemes on the dashed line are the best trade-offs, those above it cost more or err more than another one; a stroke reaches from the median to the worst expert, and the ", h("span", {class: "limit-word"}, "red line"), " is the limit chosen below.");
  return {chart, element};
};

const slider = (range, onlimit) => {
  const id = freshId("limit");
  const [low, high] = [Math.log10(range.low), Math.log10(range.high)];
  const rangeInput = h("input", {type: "range", min: String(low), max: String(high), step: "any", "aria-label": "Largest relative error allowed",
    oninput: () => onlimit(Number((10 ** Number(rangeInput.value)).toPrecision(2)), "keep"),
    onchange: () => onlimit(Number((10 ** Number(rangeInput.value)).toPrecision(2)), "replace"),
    onkeydown: (event) => {
      const step = {ArrowRight: 1.05, ArrowUp: 1.05, ArrowLeft: 1 / 1.05, ArrowDown: 1 / 1.05}[event.key];
      if (!step) return;
      event.preventDefault();
      onlimit(Number((Number(number.value) * step).toPrecision(3)), "replace");
    }});
  const number = h("input", {type: "number", id, min: "0", step: "any", class: "limit-number",
    onchange: () => {
      if (Number(number.value) > 0) onlimit(Number(number.value), "replace");
    }});
  const text = h("output", {for: id, class: "decibels"});
  return {
    element: h("div", {class: "limit"}, h("label", {for: id}, "Largest error allowed"), rangeInput, number, text),
    show: (limit) => {
      rangeInput.value = String(Math.log10(limit));
      rangeInput.setAttribute("aria-valuetext", `${shortNumber(limit)}, ${decibels(limit)}`);
      if (document.activeElement !== number || Number(number.value) !== limit) number.value = String(limit);
      text.textContent = `= ${decibels(limit)}`;
    },
  };
};

const MIX = "mix";

const comparison = (page, numbers) => {
  const stored = storedSize(numbers);
  const largest = () => Math.max(...table.rows().map((row) => row.bytes || 0));
  const over = (row) => (row.kind === "stored" ? "–" : row.over || row.missing
    ? [row.over ? count(row.over) : "0", row.missing ? ` (${count(row.missing)} failed)` : ""].join("") : "none");
  const table = dataTable("Sizes of the experts, and what each choice costs in error", [
    {key: "scheme", label: "Scheme", value: (r) => r.name, cell: (r) => (r.kind === MIX ? h("b", null, "Mixture under the limit")
      : r.kind === "stored" ? "As stored now" : named(clipped(r.name)))},
    {key: "bits_per_weight", label: "Bits per weight", number: true, value: (r) => r.bitsPerWeight, cell: (r) => significant(r.bitsPerWeight, 3)},
    {key: "bytes", label: "Size", number: true, value: (r) => r.bytes, cell: (r) => bytes(r.bytes)},
    {key: "size", label: "", value: (r) => r.bytes, cell: (r) => bar(r.bytes / largest())},
    {key: "of_stored", label: "Of stored", number: true, value: (r) => r.bytes / stored.bytes, cell: (r) => percent(r.bytes / stored.bytes)},
    {key: "median", label: "Median error", number: true, value: (r) => r.errors?.[0], cell: (r) => significant(r.errors?.[0], 3)},
    {key: "p90", label: "90 %", number: true, value: (r) => r.errors?.[1], cell: (r) => significant(r.errors?.[1], 3)},
    {key: "worst", label: "Worst", number: true, value: (r) => r.errors?.[2], cell: (r) => significant(r.errors?.[2], 3)},
    {key: "over_limit", label: "Over the limit", number: true, value: (r) => r.over, cell: over},
  ], {rowClass: (r) => (r.kind === MIX ? "mix" : r.kind === "stored" ? "stored" : "")});
  return {
    element: table.element,
    show: (chosen, mixErrors, {judge, limit}) => {
      const schemes = numbers.schemes.map((scheme) => ({kind: "scheme", name: scheme.name, errors: scheme.whole.at, ...single(numbers, scheme, judge, limit)}))
        .sort((a, b) => a.bytes - b.bytes);
      table.show([{kind: MIX, name: "mixture", bytes: chosen.bytes, bitsPerWeight: chosen.bitsPerWeight, errors: mixErrors, over: chosen.notMet, missing: chosen.unmeasured},
        ...schemes, {kind: "stored", name: "stored", ...stored}]);
    },
  };
};

/** Error quantiles of the matrices, each under the scheme chosen for it. */
const errorsOfMix = async (run, numbers, chosen) => {
  const {groups} = numbers;
  const columns = await Promise.all(numbers.schemes.map(({index}) => run.values(ERROR, index)));
  const errors = new Float64Array(run.matrices).fill(NaN);
  for (let g = 0; g < groups.count; ++g) {
    if (chosen.scheme[g] < 0) continue;
    errors.set(columns[chosen.scheme[g]].subarray(groups.begin[g], groups.end[g]), groups.begin[g]);
  }
  return overall(errors, () => true, [0.5, 0.9, 1]).at;
};

/** Colours by scheme: along the ramp by how many bits they take, so that light is expensive. */
const schemeColours = (numbers, look) => {
  const order = numbers.schemes.map((scheme, i) => [i, mean(scheme.bits, numbers.weights)])
    .sort((a, b) => a[1] - b[1]).map(([i]) => i);
  const share = new Map(order.map((i, rank) => [i, order.length > 1 ? rank / (order.length - 1) : 0.5]));
  return {order, colours: numbers.schemes.map((_, i) => colourAt(look.ramp, share.get(i))),
    inks: numbers.schemes.map((_, i) => inkAt(look.ramp, share.get(i)))};
};

// A row of the map for each projection and kind of expert that has matrices.
const mapRows = (place, {groups}) => {
  const keys = [...new Set([...groups.proj.keys()].map((g) => 2 * groups.proj[g] + groups.shared[g]))].sort((a, b) => (a % 2) - (b % 2) || a - b);
  const rowOf = new Map(keys.map((key, row) => [key, row]));
  return {rows: keys.map((key) => ({proj: key >> 1, shared: key % 2})), rowOf: (g) => rowOf.get(2 * groups.proj[g] + groups.shared[g])};
};

const mapFigure = (page, numbers) => {
  const {place} = page;
  const {rows, rowOf} = mapRows(place, numbers);
  const chart = page.studio.chart("Chosen scheme of each layer and projection", "map");
  chart.element.style.setProperty("--rows", rows.length);
  const legend = h("ul", {class: "legend", "aria-label": "Colours of the schemes"});
  let chosen = null, shown = null;
  const groupAt = new Map([...numbers.groups.proj.keys()].map((g) => [rowOf(g) * place.layers.length + numbers.groups.layer[g], g]));

  const data = (look) => {
    const {colours, inks, order} = schemeColours(numbers, look);
    fill(legend, order.filter((i) => chosen.scheme.includes(i)).map((i) => {
      const swatch = h("span", {class: "swatch"});
      swatch.style.backgroundColor = colours[i];
      return h("li", null, swatch, clipped(numbers.schemes[i].name, 32));
    }), chosen.notMet ? h("li", null, h("span", {class: "swatch struck"}), "limit not met") : null,
    chosen.unmeasured ? h("li", null, h("span", {class: "swatch blank"}), "no numbers") : null);
    return {xName: "layer", xLabels: place.layers, yLabels: rows.map((row) => groupName(place, row)), colours, inks,
      cells: [...numbers.groups.proj.keys()].map((g) => ({x: numbers.groups.layer[g], y: rowOf(g), met: chosen.met[g] === 1,
        colour: chosen.scheme[g] < 0 ? null : chosen.scheme[g], label: significant(chosen.bits[g], 3)}))};
  };
  chart.element.addEventListener("pointermove", (event) => {
    const g = groupUnder(chart, event, groupAt, place.layers.length);
    if (g === undefined) return hideTip();
    const scheme = numbers.schemes[chosen.scheme[g]];
    return showTip({x: event.clientX, y: event.clientY}, `layer ${place.layers[numbers.groups.layer[g]]} · ${groupName(place, {proj: numbers.groups.proj[g], shared: numbers.groups.shared[g]})}`,
      scheme ? [["scheme", clipped(scheme.name)], ["bits per weight", significant(chosen.bits[g], 4)],
        ...JUDGES.map(([judge, label]) => [`error, ${label}`, significant(errorOf(scheme, judge, g), 4)]),
        ["limit", `${shortNumber(shown.limit)}${chosen.met[g] ? "" : ", not met"}`]]
        : [["scheme", "none has numbers here"]]);
  });
  chart.element.addEventListener("pointerleave", hideTip);
  return {
    element: figure([legend, chart.element], "One cell is one choice. Dark is cheap and light is expensive: light layers need more bits to stay under the limit; where a stroke crosses a cell no scheme stays under it, and the one with the least error is counted."),
    show: (next, view) => {
      [chosen, shown] = [next, view];
      chart.update((look) => plan(data(look), look));
      chart.label(`Chosen scheme of each layer and projection: ${plural(numbers.groups.count - next.notMet - next.unmeasured, "choice")} under the limit, ${count(next.notMet)} not.`);
    },
  };
};

const groupUnder = (chart, event, groupAt, layers) => {
  const at = chart.instance()?.convertFromPixel({gridIndex: 0}, [event.offsetX, event.offsetY]);
  if (!at || !chart.instance().containPixel({gridIndex: 0}, [event.offsetX, event.offsetY])) return undefined;
  return groupAt.get(at[1] * layers + at[0]);
};

const planColumns = ({place}, numbers, chosen, {judge}) => {
  const scheme = (g) => numbers.schemes[chosen.scheme[g]];
  return [
    {key: "layer", label: "Layer", number: true, value: (g) => place.layers[numbers.groups.layer[g]]},
    {key: "proj", label: "Projection", value: (g) => place.projs[numbers.groups.proj[g]], cell: (g) => named(clipped(place.projs[numbers.groups.proj[g]]))},
    {key: "experts", label: "Experts", value: (g) => (numbers.groups.shared[g] ? "shared" : "routed")},
    {key: "scheme", label: "Scheme", value: (g) => scheme(g)?.name ?? "", cell: (g) => named(scheme(g) ? clipped(scheme(g).name) : "none")},
    {key: "bits_per_weight", label: "Bits per weight", number: true, value: (g) => chosen.bits[g], cell: (g) => significant(chosen.bits[g], 3)},
    {key: "bytes", label: "Size", number: true, value: (g) => chosen.bits[g] * numbers.weights[g] / 8, cell: (g) => bytes(chosen.bits[g] * numbers.weights[g] / 8)},
    ...JUDGES.map(([key, label]) => ({key: `w_rel_fro_${key}`, label: `Error, ${label}`, number: true, value: (g) => (scheme(g) ? errorOf(scheme(g), key, g) : NaN),
      cell: (g) => significant(scheme(g) ? errorOf(scheme(g), key, g) : NaN, 3)})),
    {key: "met", label: "Limit", value: (g) => (scheme(g) ? (chosen.met[g] ? "met" : "not met") : "no numbers"),
      cell: (g) => h("span", {class: chosen.met[g] ? "" : "bad"}, scheme(g) ? (chosen.met[g] ? "met" : "not met") : "no numbers")},
  ].map((column) => ({...column, note: column.key === `w_rel_fro_${judge}` ? h("span", {class: "judged"}, " ▸ judged by") : null}));
};

/** For each projection: which layers take which scheme, and all numbers folded below. */
const planTables = (page, numbers) => {
  const {place} = page;
  const {rows, rowOf} = mapRows(place, numbers);
  let chosen = null, view = null;
  const groupsOf = rows.map((_, row) => [...numbers.groups.proj.keys()].filter((g) => rowOf(g) === row));
  const summary = (groups) => numbers.schemes.map((scheme, i) => [scheme, groups.filter((g) => chosen.scheme[g] === i)])
    .filter(([, mine]) => mine.length).sort((a, b) => b[1].length - a[1].length)
    .map(([scheme, mine]) => h("li", null, named(clipped(scheme.name)), `: layer${mine.length > 1 ? "s" : ""} ${ranges(mine.map((g) => numbers.groups.layer[g]), place.layers)}`));
  const lists = rows.map(() => h("ul", {class: "plain"}));
  const details = groupsOf.map((groups) => lazyDetails("All layers", () => {
    const table = dataTable("The choice, layer by layer", planColumns(page, numbers, chosen, view).filter(({key}) => key !== "proj" && key !== "experts"));
    table.show(groups);
    return table.element;
  }));
  const all = () => csv(planColumns(page, numbers, chosen, view), groupsOf.flat());
  return {
    element: h("div", {class: "plan"}, rows.map((row, i) => h("div", {class: "plan-row"},
      h("h4", null, named(groupName(place, row))), lists[i], details[i])),
    h("p", {class: "buttons"}, h("button", {type: "button", onclick: () => save("moescope-choice.csv", "text/csv", all())}, "Download the choice (CSV)"),
      copyButton("Copy the choice", all))),
    show: (next, nextView) => {
      [chosen, view] = [next, nextView];
      groupsOf.forEach((groups, i) => fill(lists[i], summary(groups)));
      for (const one of details) one.renew();
    },
  };
};

const verdict = (numbers, chosen, {judge, limit}) => {
  const stored = storedSize(numbers);
  const cheaper = numbers.schemes.map((scheme) => ({scheme, ...single(numbers, scheme, judge, limit)}))
    .filter(({over, missing}) => !over && !missing).sort((a, b) => a.bytes - b.bytes)[0];
  const against = !cheaper ? " No single scheme stays under it everywhere."
    : cheaper.bytes - chosen.bytes > 1e-6 * cheaper.bytes ? ` The smallest single scheme that does, ${clipped(cheaper.scheme.name)}, takes ${bytes(cheaper.bytes)}: the mixture saves ${percent(1 - chosen.bytes / cheaper.bytes)}.`
      : ` ${clipped(cheaper.scheme.name)} alone does the same.`;
  return [h("b", null, `${bytes(chosen.bytes)}, ${significant(chosen.bitsPerWeight, 3)} bits per weight`),
    `: the smallest mixture that keeps the error of the ${judge === "p90" ? "90 % best experts" : judgeLabel(judge)} at or below ${shortNumber(limit)} in every layer and projection`,
    stored.bytes === stored.bytes ? `, ${percent(chosen.bytes / stored.bytes)} of the ${bytes(stored.bytes)} stored now.` : ".",
    chosen.notMet ? "" : against];
};

/** What was left out or estimated, in words. */
const caveats = (page, numbers, chosen) => {
  const {groups, schemes, measured} = numbers;
  const size = (g) => groups.end[g] - groups.begin[g];
  let without = 0;
  for (let g = 0; g < groups.count; ++g) without += size(g) - measured[g];
  const partly = schemes.map((scheme) => {
    let lacking = 0;
    for (let g = 0; g < groups.count; ++g) lacking += measured[g] - scheme.counts[g];
    return [scheme, lacking];
  }).filter(([, lacking]) => lacking);
  const byDefinition = schemes.filter((scheme) => scheme.bitsByDefinition);
  const rest = Object.entries(page.run.facts.model?.roles ?? {}).filter(([role]) => !/expert|companion/.test(role));
  const restBytes = rest.reduce((sum, [, role]) => sum + role.bytes, 0);
  return [
    chosen.notMet ? [h("b", null, `No scheme meets the limit in ${plural(chosen.notMet, "of the choices", "of the choices")}`), ` (of ${count(groups.count)}). There the scheme with the least error is counted, and marked.`] : null,
    chosen.unmeasured ? `In ${plural(chosen.unmeasured, "choice")} no scheme has numbers; the size stored now is counted there.` : null,
    ...partly.map(([scheme, lacking]) => [named(clipped(scheme.name)), ` has no error for ${plural(lacking, "matrix", "matrices")} that another scheme could quantize; in their layers and projections it is not chosen.`]),
    without ? `${plural(without, "matrix has", "matrices have")} no error under any scheme, and ${without === 1 ? "counts" : "count"} in no error here; ${without === 1 ? "its" : "their"} size does count.` : null,
    byDefinition.length ? `Bits per weight follow from the definition of ${byDefinition.length === schemes.length ? "each scheme" : byDefinition.map(({name}) => clipped(name)).join(", ")}, since the tables do not have them.` : null,
    restBytes ? `Sizes are those of the experts. The rest of the checkpoint (attention, embeddings and so on, ${bytes(restBytes)} after decoding) comes on top.` : null,
  ].filter(Boolean);
};

const choicePart = (page, numbers, points, scatter) => {
  const {state} = page;
  const range = limitRange(numbers);
  const current = () => ({judge: state.get().judge ?? "p90", limit: state.get().limit ?? range.start});
  const limit = slider(range, (value, address) => state.set({limit: value}, address));
  const judges = choice("Judge a layer by its", JUDGES, current().judge, (judge) => state.set({judge}, "replace"));
  const sentence = h("p", {class: "verdict", role: "status"});
  const remarks = h("ul", {class: "plain remarks"});
  const [table, map, tables] = [comparison(page, numbers), mapFigure(page, numbers), planTables(page, numbers)];

  const show = async () => {
    const view = current();
    const chosen = choose(numbers, view.judge, view.limit);
    limit.show(view.limit);
    setChoice(judges, view.judge);
    fill(sentence, verdict(numbers, chosen, view));
    fill(remarks, caveats(page, numbers, chosen).map((text) => h("li", null, text)));
    scatter.chart.update((look, size) => tradeoff(tradeoffData(page, numbers, points, view), look, size));
    map.show(chosen, view);
    tables.show(chosen, view);
    const errors = await errorsOfMix(page.run, numbers, chosen);
    if (view.limit === current().limit && view.judge === current().judge) table.show(chosen, errors, view);
  };
  state.listen((changed) => {
    if (changed.has("limit") || changed.has("judge")) show();
  });
  show();
  return [h("h3", null, "The fewest bits under a limit"),
    h("p", null, "Say how large the error of the weights may become; for each layer and projection this takes the scheme with the fewest bits that stays below. 0.1 means that the error is a tenth as large as the weights."),
    h("div", {class: "controls"}, limit.element, judges), sentence, table.element, remarks,
    map.element, tables.element];
};

const schemeTable = (page) => {
  const table = dataTable("The schemes that were simulated", [
    {key: "scheme", label: "Scheme", value: (s) => s.name, cell: (s) => named(printable(s.name))},
    {key: "mode", label: "Mode", value: (s) => (s.mode ? printable(s.mode) : "")},
    {key: "bits", label: "Bits of a code", number: true, value: (s) => s.bits},
    {key: "group_size", label: "Group size", number: true, value: (s) => s.group_size},
    {key: "compute_dtype", label: "Computed in", value: (s) => (s.compute_dtype ? printable(s.compute_dtype) : "")},
    {key: "backend", label: "Quantizer", value: (s) => (s.backend ? printable(s.backend) : "")},
    {key: "profile", label: "Encoder", value: (s) => (s.profile ? printable(s.profile) : "")},
  ]);
  table.show(page.run.facts.schemes);
  return table.element;
};

const gpuCaveat = ({facts}) => (facts.schemes.some(({profile}) => String(profile).startsWith("mlx-gpu"))
  ? note("note", h("p", null, "The profile mlx-gpu follows the source of MLX's GPU kernels and has not been compared with a Mac's GPU: at 6 bits and more its affine errors may be up to a fifth smaller than shown.")) : null);

/** The second section; it fills itself once the numbers are there. */
export const schemesSection = (page) => {
  const {run} = page;
  const title = "Which scheme should I take?";
  if (!run.facts.schemes.length) return {element: section("schemes", title, h("p", {class: "lead"}, "No scheme was simulated in this run, so there is nothing to choose from. Set quant_schemes in the configuration and run collect-data again.")), ready: null};
  const body = h("div", null);
  const element = section("schemes", title, schemeTable(page), gpuCaveat(run), body);
  const fillIn = async () => {
    const numbers = await gather(run, page.place);
    const points = await groupPoints(page, numbers);
    const scatter = tradeoffFigure(page);
    if (!points.length || !limitRange(numbers)) {
      fill(body, h("p", {class: "lead"}, "No scheme has an error above zero for any matrix (w_rel_fro is missing), so schemes can't be compared here."));
      return null;
    }
    fill(body, scatter.element, choicePart(page, numbers, points, scatter));
    return scatter.chart;
  };
  return {element, ready: fillIn()};
};
