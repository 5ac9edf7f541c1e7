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
  max_error: (value) => `an objective of at most ${value}`,
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

const referenceText = ({reference, front: all}) =>
  all ? `${bytes(all.reference.bytes)} under ${clipped(reference)} for all that may choose` : null;

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
    ["To compare", referenceText(recipe)],
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
const ranksOf = (cells) => {
  const bits = new Map(cells.map((cell) => [cell.scheme, cell.bits]));
  const order = [...bits.keys()].sort((a, b) => bits.get(a) - bits.get(b));
  return {order, shares: order.map((_, i) => i / Math.max(1, order.length - 1))};
};

const layerMap = ({studio}, {name, cells}) => {
  if (!cells.length) return null;
  const layers = [...new Set(cells.map(({layer}) => layer))].sort((a, b) => a - b);
  const projs = [...new Set(cells.map(({proj}) => proj))].sort();
  const {order, shares} = ranksOf(cells);
  const legend = h("ul", {class: "legend", "aria-label": "Colours of the schemes"});
  const chart = studio.chart(`Bits of each layer and projection in ${clipped(name)}`, "map");
  chart.element.style.setProperty("--rows", projs.length);
  const at = (cell) => ({x: layers.indexOf(cell.layer), y: projs.indexOf(cell.proj)});
  chart.update((look, size) => {
    const colours = shares.map((share) => colourAt(look.ramp, share));
    fill(
      legend,
      order.map((scheme, i) => h("li", null, swatch(colours[i]), printable(scheme))),
    );
    return plan(
      {
        xName: "layer",
        xLabels: layers.map(String),
        yLabels: projs.map((proj) => clipped(proj, 60)),
        colours,
        inks: shares.map((share) => inkAt(look.ramp, share)),
        cells: cells.map((cell) => ({
          ...at(cell),
          met: true,
          colour: order.indexOf(cell.scheme),
          label: significant(cell.bits, 2),
        })),
      },
      look,
      size,
    );
  });
  tellOver(chart.element, (event) => {
    const place = chart.under(event);
    const cell = place && cells.find((one) => at(one).x === place[0] && at(one).y === place[1]);
    if (!cell) return hideTip();
    return showTip(event, `layer ${cell.layer} · ${clipped(cell.proj, 60)}`, [
      ["scheme", printable(cell.scheme)],
      ["bits per weight", significant(cell.bits, BITS_DIGITS)],
    ]);
  });
  return figure(
    [legend, chart.element],
    "Routed experts by layer and projection. Dark is cheap, bright is expensive.",
  );
};

// ---- all sizes ----

/** What the chart shows, with names as short as a legend has room for. */
const frontData = (data) => {
  const named = (mark) => ({...mark, name: clipped(mark.name, 24)});
  return {...data, chosen: named(data.chosen), reference: named(data.reference)};
};

/** The best choice of at most so many bytes. */
const bestIn = (points, size) => points.filter(([least]) => least <= size).at(-1);

const frontFigure = ({studio}, recipe) => {
  if (!(recipe.front?.points.length > 1)) return null;
  const data = frontData(recipe.front);
  const [, unit] = unitOf(data);
  const chart = studio.chart(
    `The least objective for every size, and the recipe ${clipped(recipe.name)}`,
    "medium",
  );
  chart.update((look) => front(data, look));
  tellOver(chart.element, (event) => {
    const at = chart.under(event);
    const best = at && bestIn(data.points, at[0] * unit);
    if (!best) return hideTip();
    const [size, value, bits] = best;
    return showTip(event, `the best in ${bytes(at[0] * unit)}`, [
      ["size", bytes(size, BITS_DIGITS)],
      ["bits per quantized weight", significant(bits, BITS_DIGITS)],
      ["objective, relative", significant(value, 3)],
    ]);
  });
  return figure(
    chart.element,
    "The least objective for every size, under the same pins, floors and candidates. The line is exact at ",
    `${plural(data.points.length, "size")}; between two of them there may be better choices.`,
  );
};

const recipePart = (page, recipe) => {
  if (recipe.error) {
    return [
      h("h3", null, named(clipped(recipe.name))),
      note("warning", "This recipe can't be read: ", named(clipped(recipe.error, 400))),
    ];
  }
  return [
    h("h3", null, named(clipped(recipe.name))),
    recipeFacts(recipe),
    tableOf("By role and projection", GROUP_COLUMNS, recipe.groups),
    layerMap(page, recipe),
    frontFigure(page, recipe),
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
