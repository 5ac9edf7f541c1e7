// The page of `moescope verify` or `moescope compare`: what came of two checkpoints, and heatmaps of
// their experts as a run's page has them.
import {h} from "./dom.js";
import {clipped, count, plural, printable, ranges, significant} from "./format.js";
import {navigationOf} from "./navigation.js";
import {hookPrinting} from "./print.js";
import {pageOf, showPage} from "./page.js";
import {factList, foldedList, named, note, section} from "./parts.js";
import {whereSection} from "./sections/where/index.js";
import {dataTable, numberColumn} from "./table.js";

const SECTIONS = [
  ["verdict", "Verdict"],
  ["where", "Where"],
  ["worst", "Weights"],
  ["unpaired", "Unpaired"],
];

const VERDICTS = {
  attested: "Attested: all codes and scales are what the encoder makes of the original, or copies of it.",
  within: "Within what is expected: no weight is farther off than its scheme makes it.",
  equal: "Equal: all weights have the same values.",
  incomplete: "Incomplete: none is wrong, but not all could be compared.",
};

const sumOf = (roles, key) => Object.values(roles).reduce((sum, role) => sum + role[key], 0);

const verdictText = ({differing, differs}, {verdict, roles}) => {
  const off = sumOf(roles, differing);
  if (verdict !== "differs" || !off) return VERDICTS[verdict] ?? "Differs beside the weights.";
  return `Differs: ${count(off)} of ${plural(sumOf(roles, "weights"), "weight")} ${differs}.`;
};

const numeric = (key, label = key) => numberColumn(key, label, (row) => row[key], count);
const number4 = (key, label) =>
  numberColumn(
    key,
    label,
    (row) => row[key] ?? NaN,
    (value) => significant(value, 4),
  );
const text = (key, label, isLong = false) => ({
  key,
  label,
  isLong,
  value: (row) => row[key] ?? "",
  cell: (row) => named(clipped(row[key] ?? "", 200)),
});

// By command: the two sides, and the columns of its tables.
const COMMANDS = {
  verify: {
    differing: "differs",
    differs: "are not what they should be",
    sides: [
      ["Quantized", "quantized"],
      ["Original", "original"],
    ],
    roles: ["weights", "attested", "copy", "within", "differs", "unread"].map((key) => numeric(key)),
    worst: [
      text("finding", "Finding"),
      text("detail", "In words", true),
      number4("error", "Error"),
      number4("expected_error", "Expected"),
      text("tensor", "Tensor", true),
    ],
    lists: [
      ["Only in the original", "only_original"],
      ["Only in the quantized", "only_quantized"],
      ["Not read in the original", "unread_original"],
      ["Not read in the quantized", "unread_quantized"],
    ],
  },
  compare: {
    differing: "changed",
    differs: "have other values",
    sides: [
      ["A", "a"],
      ["B", "b"],
    ],
    roles: [
      ...["weights", "identical", "changed", "unread"].map((key) => numeric(key)),
      number4("rel_distance", "distance"),
      number4("largest_rel_distance", "furthest"),
    ],
    worst: [
      text("status", "Status"),
      number4("rel_distance", "Distance"),
      number4("cosine", "Cosine"),
      text("tensor_a", "Tensor of A", true),
      text("tensor_b", "Tensor of B", true),
    ],
    lists: [
      ["Only in A", "only_a"],
      ["Only in B", "only_b"],
      ["Not read in A", "unread_a"],
      ["Not read in B", "unread_b"],
    ],
  },
};

const tableOf = (title, columns, rows) => {
  const table = dataTable(title, columns, {isSortable: true});
  table.show(rows);
  return table.element;
};

const header = (command, sides, summary) => {
  const title = sides.map(([, key]) => printable(summary[key].split("/").at(-1))).join(" · ");
  document.title = `${clipped(title, 60)} · moescope ${command}`;
  return h(
    "header",
    {class: "title"},
    h("p", {class: "eyebrow"}, `moescope ${command}`),
    h("h1", null, h("bdi", null, clipped(title, 200))),
  );
};

/** "layer 3: experts 0–2, 5" for each layer in which some changed. */
const changedList = ({changed_experts: changed, routed_experts: all}) => {
  if (changed === undefined || !all) return null;
  const experts = changed.reduce((sum, one) => sum + one.experts.length, 0);
  const lines = changed.map(({layer, experts: list}) => {
    const labels = Array.from({length: list.at(-1) + 1}, (_, i) => String(i));
    return `layer ${layer}: ${ranges(list, labels)}`;
  });
  return [
    h("h3", null, "Experts that changed"),
    h("p", null, `${count(experts)} of ${plural(all, "routed expert")}.`),
    foldedList(lines, "By layer", 12),
  ];
};

const findingList = (findings) =>
  findings?.length
    ? note(
        findings.some(({fault}) => fault) ? "warning" : "note",
        h("h3", null, "Beside the weights"),
        foldedList(
          findings.map(({tensor, finding, detail}) => [
            named(clipped(tensor, 120)),
            `: ${finding}: ${printable(detail)}`,
          ]),
          `All ${count(findings.length)}`,
        ),
      )
    : null;

const verdictSection = (words, summary) => {
  const {sides, roles} = words;
  return section(
    "verdict",
    "What came of it",
    h("p", {class: "lead"}, verdictText(words, summary)),
    factList(sides.map(([label, key]) => [label, named(printable(summary[key]))])),
    tableOf(
      "By role",
      [{key: "role", label: "Role", value: ({role}) => role}, ...roles],
      Object.entries(summary.roles).map(([role, numbers]) => ({role, ...numbers})),
    ),
    findingList(summary.findings),
    changedList(summary),
  );
};

const worstSection = ({worst}, summary) =>
  section(
    "worst",
    "The weights that are furthest off",
    summary.worst.length
      ? tableOf("Furthest first", [text("weight", "Weight"), ...worst], summary.worst)
      : h("p", null, "None is off at all."),
  );

const unpairedSection = ({lists}, summary) => {
  const parts = [
    [
      "Of different shapes",
      (summary.misshapen ?? []).map(({weight, shape_a: a, shape_b: b}) => ({
        tensor: weight,
        reason: `${a.join(" × ")} and ${b.join(" × ")}`,
      })),
    ],
    ...lists.map(([label, key]) => [label, summary[key]]),
  ].filter(([, list]) => list.length);
  return section(
    "unpaired",
    "What has no partner",
    parts.length
      ? parts.map(([label, list]) => [
          h("h3", null, `${label}: ${count(list.length)}`),
          foldedList(
            list.map(({tensor, reason}) => [named(clipped(tensor, 120)), `: ${printable(reason)}`]),
            `All ${count(list.length)}`,
          ),
        ])
      : h("p", null, "Every weight of both was compared."),
  );
};

/** Builds the page of a pair. */
export const showPair = async (run, theme) => {
  const {command, summary} = run.facts.pair;
  const words = COMMANDS[command];
  const main = document.querySelector("main");
  const navigation = navigationOf(theme, SECTIONS);
  document.body.prepend(navigation.element);
  const page = await pageOf(run, theme);
  page.decision = {chosen: () => null};
  main.replaceChildren(header(command, words.sides, summary), verdictSection(words, summary));
  const where = await whereSection(page);
  main.append(where.element, worstSection(words, summary), unpairedSection(words, summary));
  navigation.begin();
  hookPrinting(theme, () => []);
  showPage(page, where);
};
