// What `moescope recipe` chose: each recipe of the run, what it makes of the model, and what else there
// was to choose.
import {front, unitOf} from "../charts/front.js";
import {plan} from "../charts/plan.js";
import {fill, h} from "../dom.js";
import {bytes, clipped, count, plural, printable, significant} from "../format.js";
import {factList, figure, named, note, section, swatch} from "../parts.js";
import {colourAt, inkAt} from "../raster.js";
import {dataTable, numberColumn} from "../table.js";
import {hideTip, showTip, tellOver} from "../tip.js";

const BITS_DIGITS = 4;

const words = (role) => printable(role).replaceAll("_", " ");

const BUDGETS = {
  bits: (value) => `${value} bits per quantized weight`,
  size: (value) => `${value} for the whole checkpoint`,
  max_error: (value) => `at most ${value} times the objective of q4 for all`,
  as_good_as: (value) => `as good as ${value} for all`,
};
const budgetText = ({kind, value}) =>
  (Object.hasOwn(BUDGETS, kind) ? BUDGETS[kind] : (text) => `${clipped(kind)} ${text}`)(clipped(value));

const relative = ({objective, reference}) =>
  objective === null ? null : `${significant(objective, 3)} times that of ${clipped(reference)} for all`;

// ---- facts ----

const sizeText = (recipe) =>
  `${bytes(recipe.bytes)}, instead of ${bytes(recipe.source_bytes)}: ` +
  `${count(recipe.bytes)} bytes and the headers of files`;

const each = (list, of) => (list.length ? list.map(of).join("; ") : null);

const kept = ({held}) =>
  each(
    held.filter(({by}) => by === "keep"),
    ({role, units}) => `${words(role)} (${plural(units, "unit")})`,
  );

const recipeFacts = (recipe) =>
  factList([
    ["Budget", budgetText(recipe.budget)],
    ["Size", sizeText(recipe)],
    ["Bits per quantized weight", significant(recipe.bits, BITS_DIGITS)],
    ["Objective", relative(recipe)],
    ["Pinned", each(recipe.pins, ({what, scheme}) => `${clipped(what, 200)} to ${scheme}`)],
    ["Kept as mlx-lm has them", kept(recipe)],
    ["Floors", each(recipe.floors, ({what, scheme}) => `${words(what)} at least ${scheme}`)],
  ]);

const confirm = ({name}) =>
  note(
    "note",
    h("b", null, "Confirm with a KL run."),
    " The objective ranks recipes; it is no KL divergence and says nothing of answers. ",
    h("code", null, `moescope export RUN/recipes/${clipped(name, 60)}.json --to mlx-lm -o convert.py`),
    " writes what converts the model; then compare the answers of both models on text that you care for " +
      "(docs/recipes.md).",
  );

const notKnown = ({not_known: sentences}) =>
  sentences.length
    ? [
        h("h4", null, "Not known"),
        h(
          "ul",
          {class: "plain"},
          sentences.map((text) => h("li", null, printable(text))),
        ),
      ]
    : null;

// ---- tables ----

const bitsColumn = (value) => numberColumn("bits", "Bits", value, (bits) => significant(bits, BITS_DIGITS));

const GROUP_COLUMNS = [
  {key: "role", label: "Role", value: ({role}) => role, cell: ({role}) => words(role)},
  {key: "proj", label: "Projection", value: ({proj}) => proj, cell: ({proj}) => named(clipped(proj, 60))},
  numberColumn("plain_bytes", "At 16 bits", ({weights}) => 2 * weights, bytes),
  numberColumn("bytes", "Here", (group) => group.bytes, bytes),
  bitsColumn((group) => (8 * group.bytes) / group.weights),
  {
    key: "schemes",
    label: "Units of each scheme",
    value: ({parts}) => parts.map(({scheme, units}) => `${units} × ${printable(scheme)}`).join(", "),
  },
];

const times = (value) => significant(value, 3);

const BESIDE_COLUMNS = [
  {key: "name", label: "Instead", value: ({name}) => name, cell: ({name}) => named(clipped(name, 60))},
  numberColumn("bytes", "Size", ({bytes: size}) => size, bytes),
  numberColumn("value", "Its objective", ({value}) => value, times),
  numberColumn("best", "Best of no more bytes", ({best}) => best, times),
  numberColumn("share", "Share", ({value, best}) => best / value, times),
];

const HELD = {budget: "chosen freely", pin: "pinned", floor: "no lower than its floor", keep: "kept"};

const moduleText = ({module, more}) => [
  h("bdi", null, clipped(module, 60)),
  more ? ` and ${plural(more, "more module", "more modules")}` : "",
];

const FURTHEST_COLUMNS = [
  {key: "module", label: "Module", value: ({module}) => module, cell: moduleText},
  {key: "scheme", label: "Scheme", value: ({scheme}) => printable(scheme)},
  bitsColumn((unit) => unit.bits),
  {key: "by", label: "Why", value: ({by}) => HELD[by] ?? printable(by)},
];

const RECIPE_COLUMNS = [
  {key: "name", label: "Recipe", value: ({name}) => name, cell: ({name}) => named(clipped(name))},
  {key: "budget", label: "Budget", value: ({budget}) => budgetText(budget)},
  numberColumn("bytes", "Size", (recipe) => recipe.bytes, bytes),
  bitsColumn((recipe) => recipe.bits),
  numberColumn(
    "objective",
    "Objective, relative",
    (recipe) => recipe.objective,
    (value) => significant(value, 3),
  ),
];

const tableOf = (title, columns, rows) => {
  const table = dataTable(title, columns);
  table.show(rows);
  return table.element;
};

// ---- bits by layer ----

/** Names of schemes, from the fewest bits to the most, and where on the ramp each stands. */
const ranksOf = (cells, schemes) => {
  const bits = new Map([
    ...cells.map((cell) => [cell.scheme, cell.bits]),
    ...schemes.map(({name, bits: one}) => [name, one]),
  ]);
  const order = [...bits.keys()].sort((a, b) => bits.get(a) - bits.get(b));
  return {order, shares: order.map((_, i) => i / Math.max(1, order.length - 1))};
};

/** {element, show(cells)}; null where no unit is a projection of one layer. */
const layerMap = ({studio}, {name, cells, choices}) => {
  if (!cells.length) return null;
  let shown = cells;
  const layers = [...new Set(cells.map(({layer}) => layer))].sort((a, b) => a - b);
  const projs = [...new Set(cells.map(({proj}) => proj))].sort();
  const {order, shares} = ranksOf(cells, choices?.schemes ?? []);
  const legend = h("ul", {class: "legend", "aria-label": "Colours of the schemes"});
  const chart = studio.chart(`Bits of each layer and projection in ${clipped(name)}`, "map");
  chart.element.style.setProperty("--rows", projs.length);
  const at = (cell) => ({x: layers.indexOf(cell.layer), y: projs.indexOf(cell.proj)});
  const draw = (look, size) => {
    const colours = shares.map((share) => colourAt(look.ramp, share));
    const used = order.map((scheme, i) => [scheme, colours[i]]);
    fill(
      legend,
      used
        .filter(([scheme]) => shown.some((cell) => cell.scheme === scheme))
        .map(([scheme, colour]) => h("li", null, swatch(colour), printable(scheme))),
    );
    return plan(
      {
        xName: "layer",
        xLabels: layers.map(String),
        yLabels: projs.map((proj) => clipped(proj, 60)),
        colours,
        inks: shares.map((share) => inkAt(look.ramp, share)),
        cells: shown.map((cell) => ({
          ...at(cell),
          met: true,
          colour: order.indexOf(cell.scheme),
          label: significant(cell.bits, 2),
        })),
      },
      look,
      size,
    );
  };
  chart.update(draw);
  tellOver(chart.element, (event) => {
    const place = chart.under(event);
    const cell = place && shown.find((one) => at(one).x === place[0] && at(one).y === place[1]);
    if (!cell) return hideTip();
    return showTip(event, `layer ${cell.layer} · ${clipped(cell.proj, 60)}`, [
      ["scheme", printable(cell.scheme)],
      ["bits per weight", significant(cell.bits, BITS_DIGITS)],
    ]);
  });
  return {
    element: figure(
      [legend, chart.element],
      "Routed experts by layer and projection. Dark is cheap, bright is expensive.",
    ),
    show: (now) => {
      shown = now;
      chart.update(draw);
    },
  };
};

// ---- all sizes ----

/** The number of the best choice of at most so many bytes; -1: none is so small. */
const bestIn = (points, size) => points.findLastIndex(([least]) => least <= size);

/** What cells get in a point of the front. */
const cellsAt = ({cells, choices: {schemes, changes}}, point) => {
  const taken = cells.map(() => 0);
  for (const change of changes.slice(0, point + 1)) {
    for (let i = 0; i < change.length; i += 2) taken[change[i]] = change[i + 1];
  }
  return cells.map((cell, i) => {
    const {name, bits} = schemes[taken[i]];
    return {...cell, scheme: name, bits};
  });
};

/** A slider over the points of the front: {element}. onmove(point), null: the recipe itself. */
const sizeSlider = (recipe, onmove) => {
  const {points} = recipe.front;
  const own = String(Math.max(0, bestIn(points, recipe.bytes)));
  const text = h("p", {class: "quiet", "aria-live": "polite"});
  const show = (point) => {
    const [size, value, bits] =
      point === null ? [recipe.bytes, recipe.objective, recipe.bits] : points[point];
    const told =
      `${bytes(size, BITS_DIGITS)}, ${significant(bits, BITS_DIGITS)} bits per quantized weight, ` +
      `${times(value)} times the objective of ${clipped(recipe.reference)} for all`;
    bar.setAttribute("aria-valuetext", told);
    back.hidden = point === null;
    fill(
      text,
      point === null
        ? `This recipe: ${told}.`
        : [`${told}: `, h("code", null, `moescope recipe RUN --size ${size}`), " with the same flags. "],
      back,
    );
    onmove(point);
  };
  const bar = h("input", {
    type: "range",
    min: "0",
    max: String(points.length - 1),
    step: "1",
    value: own,
    "aria-label": "Size of the best choice",
    oninput: () => show(Number(bar.value)),
  });
  const back = h(
    "button",
    {
      type: "button",
      onclick: () => {
        bar.value = own;
        show(null);
      },
    },
    "This recipe",
  );
  show(null);
  return h(
    "div",
    {class: "controls"},
    h("div", {class: "control grow"}, h("label", null, "Size"), h("div", {class: "limit"}, bar), text),
  );
};

const frontFigure = ({studio}, recipe, map) => {
  if (!(recipe.front?.points.length > 1)) return null;
  const {points} = recipe.front;
  const marks = recipe.front.marks.map((mark) => ({...mark, name: clipped(mark.name, 24)}));
  const data = {...recipe.front, marks};
  const [, unit] = unitOf(data);
  const chart = studio.chart(
    `The least objective for every size, and the recipe ${clipped(recipe.name)}`,
    "medium",
  );
  tellOver(chart.element, (event) => {
    const place = chart.under(event);
    const point = place ? bestIn(points, place[0] * unit) : -1;
    if (point < 0) return hideTip();
    const [size, value, bits] = points[point];
    return showTip(event, `the best in ${bytes(place[0] * unit)}`, [
      ["size", bytes(size, BITS_DIGITS)],
      ["bits per quantized weight", significant(bits, BITS_DIGITS)],
      ["objective, relative", times(value)],
    ]);
  });
  const slider = sizeSlider(recipe, (point) => {
    chart.update((look) => front({...data, at: point === null ? null : points[point]}, look));
    map?.show(point === null ? recipe.cells : cellsAt(recipe, point));
  });
  return figure(
    [chart.element, slider],
    "The least objective for every size, under the same pins, floors and candidates. The line is exact at ",
    `${plural(points.length, "size")}; between two of them there may be better choices. `,
    map ? "The schemes of the size that the slider says stand below." : null,
  );
};

const recipePart = (page, recipe) => {
  if (recipe.error) {
    return [
      h("h3", null, named(clipped(recipe.name))),
      note("warning", "This recipe can't be read: ", named(clipped(recipe.error, 400))),
    ];
  }
  const map = layerMap(page, recipe);
  return [
    h("h3", null, named(clipped(recipe.name))),
    recipeFacts(recipe),
    tableOf("By role and projection", GROUP_COLUMNS, recipe.groups),
    recipe.beside?.length ? tableOf("Beside other ways to quantize", BESIDE_COLUMNS, recipe.beside) : null,
    frontFigure(page, recipe, map),
    map?.element,
    tableOf("Units furthest from the mean", FURTHEST_COLUMNS, recipe.furthest),
    notKnown(recipe),
    confirm(recipe),
  ];
};

/** null of a run without a recipe. */
export const recipesSection = (page) => {
  const {recipes} = page.run.facts;
  if (!recipes) return null;
  const read = recipes.filter(({error}) => !error);
  return section(
    "recipes",
    "Recipes",
    h(
      "p",
      {class: "lead"},
      `${plural(recipes.length, "recipe")} of this run: a scheme for each layer and projection, the best in ` +
        "the budget that was given.",
    ),
    read.length > 1 ? tableOf("All recipes", RECIPE_COLUMNS, read) : null,
    recipes.map((recipe) => recipePart(page, recipe)),
  );
};
