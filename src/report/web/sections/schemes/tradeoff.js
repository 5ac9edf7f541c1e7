// The scatter of all schemes: error against bits per weight.
import {tradeoff} from "../../charts/tradeoff.js";
import {h} from "../../dom.js";
import {clipped, count, decibels, shortNumber, significant} from "../../format.js";
import {ERROR, JUDGES, SHARES, judgeIndex, judgeWords} from "../../mix.js";
import {figure} from "../../parts.js";
import {front, overall} from "../../stats.js";
import {hideTip, showTip} from "../../tip.js";
import {groupName} from "./names.js";

/** Mean bits per weight of a scheme over the groups that count and where it has them. */
const meanBits = ({groups, weights}, scheme, isWanted) => {
  let sum = 0,
    total = 0;
  for (let g = 0; g < groups.count; ++g) {
    if (!isWanted(g) || scheme.bits[g] !== scheme.bits[g]) continue;
    sum += scheme.bits[g] * weights[g];
    total += weights[g];
  }
  return sum / total;
};

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

const wholeSchemes = (numbers, judge) => {
  const points = numbers.schemes
    .map((scheme) => ({
      label: clipped(scheme.name, 28),
      error: scheme.whole[judgeIndex(judge)],
      worst: scheme.whole[2],
      bits: meanBits(numbers, scheme, () => true),
    }))
    .filter(({bits, error}) => bits === bits && error === error);
  const best = front(points);
  return {best, points: points.map((point) => ({...point, onFront: best.includes(point)}))};
};

const chartData = (page, numbers, groups, {judge, limit}) => {
  const {best, points} = wholeSchemes(numbers, judge);
  const shown = ({points: all, ...group}) => ({
    name: groupName(page, group),
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
    limit,
    limitLabel: `limit ${shortNumber(limit)}`,
    schemes: points,
    front: best,
    groups: groups.map(shown),
  };
};

const withDecibels = (error) => `${significant(error, 4)} = ${decibels(error)}`;

const tellPoint = (page) => (hovered) => {
  const of = hovered?.data?.of;
  if (!of) return hideTip();
  const {scheme, bits, at, n} = of.point;
  return showTip(hovered.event.event, `${clipped(scheme.name)} · ${groupName(page, of.group)}`, [
    ["bits per weight", significant(bits, 4)],
    ...JUDGES.map(([, words], k) => [`error, ${words}`, withDecibels(at[k])]),
    ["matrices", count(n)],
  ]);
};

/** {element, show({judge, limit})} */
export const tradeoffFigure = (page, numbers, groups) => {
  const chart = page.studio.chart("Error against bits per weight of every scheme", "tall", tellPoint(page));
  return {
    element: figure(
      chart.element,
      "Lower and further left is better: less error for fewer bits. Schemes on the dashed line are " +
        "the best trade-offs; one above it costs more, or errs more, than another. A stroke reaches " +
        "from the median expert to the worst, and the ",
      h("span", {class: "limit-word"}, "orange line"),
      " is the limit that you choose below.",
    ),
    show: (view) =>
      chart.update((look, size) => tradeoff(chartData(page, numbers, groups, view), look, size)),
  };
};
