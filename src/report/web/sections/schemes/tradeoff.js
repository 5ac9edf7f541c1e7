// The scatter of all schemes: error against bits per weight.
import {isNarrowChart, tradeoff} from "../../charts/tradeoff.js";
import {fill, h} from "../../dom.js";
import {clipped, count, decibels, shortNumber, significant} from "../../format.js";
import {definition} from "../../metrics.js";
import {ERROR, JUDGES, SHARES, judgeIndex, judgeWords, meanBits} from "../../mix.js";
import {figure, lazyDetails, named} from "../../parts.js";
import {front, overall} from "../../stats.js";
import {dataTable} from "../../table.js";
import {hideTip, showTip, tellOver} from "../../tip.js";
import {groupName} from "./names.js";

const kindsOf = ({hasRouted, hasShared}) => [...(hasRouted ? [0] : []), ...(hasShared ? [1] : [])];

const pointsOf = (numbers, columns, place, proj, shared) =>
  numbers.schemes
    .map((scheme) => {
      const isMine = (i) => place.proj[i] === proj && place.shared[i] === shared;
      const {count: n, at} = overall(columns[scheme.index], isMine, SHARES);
      const isMineToo = (g) => numbers.groups.proj[g] === proj && numbers.groups.shared[g] === shared;
      return {scheme, n, at, bits: meanBits(numbers, scheme, isMineToo)};
    })
    .filter(({n, bits}) => n && bits === bits);

/** By projection and kind of expert a point for each scheme: [{proj, shared, points}]. */
export const gatherPoints = async ({run, place}, numbers) => {
  const columns = await Promise.all(numbers.schemes.map(({index}) => run.values(ERROR, index)));
  return place.projs
    .flatMap((_, proj) =>
      kindsOf(place).map((shared) => ({
        proj,
        shared,
        points: pointsOf(numbers, columns, place, proj, shared),
      })),
    )
    .filter(({points}) => points.length);
};

/** As the command line takes it: affine_q4_g64 is q4. */
const shortName = (name) =>
  name
    .replace(/^affine_q(\d+)_g64$/, "q$1")
    .replace(/^affine_q(\d+)_g(\d+)$/, "q$1g$2")
    .replace(/^(mxfp[48])_g32$/, "$1")
    .replace(/^nvfp4_g16$/, "nvfp4");

/** "q4 is affine_q4_g64", for the first name that is shortened in another way than the ones before. */
const shortNames = (points) => {
  const kinds = new Map();
  for (const {label, short} of points) {
    const kind = short.replace(/\d+/g, "");
    if (label !== short && !kinds.has(kind)) kinds.set(kind, `${short} is ${label}`);
  }
  return kinds.size ? ` Names are short here: ${[...kinds.values()].join(", ")}.` : "";
};

const wholeSchemes = (numbers, judge) => {
  const points = numbers.schemes
    .map((scheme) => ({
      label: clipped(scheme.name, 28),
      short: shortName(clipped(scheme.name, 28)),
      error: scheme.whole[judgeIndex(judge)],
      worst: scheme.whole[2],
      bits: meanBits(numbers, scheme, () => true),
    }))
    .filter(({bits, error}) => bits === bits && error === error);
  const best = front(points);
  return {best, points: points.map((point) => ({...point, onFront: best.includes(point)}))};
};

/** "limit 0.1", and where it lies if that is beyond the picture. */
const limitText = (limit, {low, high}) => {
  const where = limit < low ? ", below all of this" : limit > high ? ", above all of this" : "";
  return `limit ${shortNumber(limit)}${where}`;
};

const chartData = (numbers, groups, {goal, judge, limit}, range) => {
  const {best, points} = wholeSchemes(numbers, judge);
  const shown = ({points: all, ...group}) => ({
    shared: group.shared === 1,
    colour: group.proj,
    points: all.map((point) => ({
      bits: point.bits,
      error: point.at[judgeIndex(judge)],
      median: point.at[0],
      worst: point.at[2],
      point,
      group,
    })),
  });
  return {
    xName: "bits per weight",
    yName: `relative error, ${judgeWords(judge)}`,
    limit: goal === "limit" ? Math.max(range.low, Math.min(range.high, limit)) : null,
    limitLabel: limitText(limit, range),
    schemes: points,
    front: best,
    groups: groups.map(shown),
  };
};

const withDecibels = (error) => `${significant(error, 4)} = ${decibels(error)}`;

const tellPoint = (page, chart) => (event) => {
  const of = chart.hovered()?.of;
  if (!of) return hideTip();
  const {scheme, bits, at, n} = of.point;
  return showTip(event, `${clipped(scheme.name)} · ${groupName(page, of.group)}`, [
    ["bits per weight", significant(bits, 4)],
    ...JUDGES.map(([, words], k) => [`error, ${words}`, withDecibels(at[k])]),
    ["matrices", count(n)],
  ]);
};

const sign = (className, colour) => {
  const node = h("span", {class: className});
  node.style.color = colour;
  return node;
};

const legendItems = (page, groups, hasFront, look) => [
  ...groups.map((group) =>
    h(
      "li",
      null,
      sign(group.shared ? "dot shared" : "dot", look.series[group.proj % look.series.length]),
      groupName(page, group),
    ),
  ),
  hasFront ? h("li", null, sign("stroke dashed", look.muted), "best trade-off") : null,
];

/** All that the points tell, for those who can't hover them. */
const pointsTable = (page, groups) =>
  lazyDetails("The numbers of this figure", () => {
    const column = (key, label, value, metric) => ({
      key,
      label,
      number: true,
      meaning: definition(page.metric(metric)),
      value,
      cell: (row) => significant(value(row), 4),
    });
    const table = dataTable(
      "Every scheme, by projection and kind of expert",
      [
        {key: "proj", label: "Projection", value: ({group}) => groupName(page, group)},
        {
          key: "scheme",
          label: "Scheme",
          value: ({scheme}) => scheme.name,
          cell: ({scheme}) => named(clipped(scheme.name)),
        },
        column("bits_per_weight", "Bits per weight", ({bits}) => bits, "bits_per_weight"),
        ...JUDGES.map(([key, words], k) =>
          column(`w_rel_fro_${key}`, `Error, ${words}`, ({at}) => at[k], ERROR),
        ),
      ],
      {isSortable: true},
    );
    table.show(groups.flatMap(({points, ...group}) => points.map((point) => ({...point, group}))));
    return table.element;
  });

const FRONT =
  "Schemes on the dashed line are the best trade-offs; one above it costs more, or errs more, than another. ";

const SIDE_BY_SIDE =
  " Projections of one scheme stand side by side though they have the same bits; names and line are for all " +
  "matrices together.";

/** {element, show(view)}; `range` of the limit's slider. */
export const tradeoffFigure = (page, numbers, groups, range) => {
  const legend = h("ul", {class: "legend"});
  const front = h("span", null);
  const names = h("span", null);
  const limitLine = h(
    "span",
    null,
    "The ",
    h("span", {class: "limit-word"}, "orange line"),
    " is the limit that you choose below.",
  );
  const chart = page.studio.chart("Error against bits per weight of every scheme", "tall");
  tellOver(chart.element, tellPoint(page, chart));
  return {
    element: [
      figure(
        [legend, chart.element],
        "Lower and further left is better: less error for fewer bits. ",
        front,
        "A stroke reaches from the median expert to the worst. ",
        limitLine,
        groups.length > 1 ? SIDE_BY_SIDE : null,
        names,
      ),
      pointsTable(page, groups),
    ],
    show: (view) => {
      const data = chartData(numbers, groups, view, range);
      const hasFront = data.front.length > 1;
      limitLine.hidden = view.goal !== "limit";
      front.textContent = hasFront ? FRONT : "";
      chart.update((look, size) => {
        fill(legend, legendItems(page, groups, hasFront, look));
        names.textContent = isNarrowChart(size) ? shortNames(data.schemes) : "";
        return tradeoff(data, look, size);
      });
    },
  };
};
