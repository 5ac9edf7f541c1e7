// The choice as a map: a row for each projection and kind of expert, a column for each layer.
import {plan} from "../../charts/plan.js";
import {fill, h} from "../../dom.js";
import {clipped, count, plural, shortNumber, significant} from "../../format.js";
import {JUDGES, errorOf} from "../../mix.js";
import {figure, swatch} from "../../parts.js";
import {colourAt, inkAt} from "../../raster.js";
import {hideTip, showTip, tellOver} from "../../tip.js";
import {groupName, rowsOf} from "./names.js";

/** Schemes from the fewest bits to the most, and where on the ramp each stands, by index. */
const rankOf = ({schemes, weights}) => {
  const bits = schemes.map((scheme) => scheme.bits.reduce((sum, b, g) => sum + b * weights[g], 0));
  const order = schemes.map((_, i) => i).sort((a, b) => bits[a] - bits[b]);
  const last = Math.max(1, order.length - 1);
  return {order, shares: schemes.map((_, i) => order.indexOf(i) / last)};
};

const legendItems = ({schemes}, chosen, {order, shares}, look) => [
  ...order
    .filter((i) => chosen.scheme.includes(i))
    .map((i) => h("li", null, swatch(colourAt(look.ramp, shares[i])), clipped(schemes[i].name, 32))),
  chosen.notMet ? h("li", null, swatch(null, "struck"), "limit not met") : null,
  chosen.unmeasured ? h("li", null, swatch(null, "blank"), "no numbers") : null,
];

const tipLines = (scheme, chosen, {goal, limit}, g) =>
  scheme
    ? [
        ["scheme", clipped(scheme.name)],
        ["bits per weight", significant(chosen.bits[g], 4)],
        ...JUDGES.map(([judge, words]) => [`error, ${words}`, significant(errorOf(scheme, judge, g), 4)]),
        ...(goal === "limit" ? [["limit", `${shortNumber(limit)}${chosen.met[g] ? "" : ", not met"}`]] : []),
      ]
    : [["scheme", "none has numbers here"]];

const UNDER_LIMIT =
  "Where a stroke crosses a cell no scheme stays under the limit, and the one with the least error is counted.";

/** {element, show(chosen, view)} */
export const choiceMap = (page, numbers) => {
  const {place} = page,
    {groups} = numbers;
  const {rows, rowOf} = rowsOf(groups);
  const rank = rankOf(numbers);
  const numbersOf = [...groups.proj.keys()];
  const chart = page.studio.chart("Chosen scheme of each layer and projection", "map");
  chart.element.style.setProperty("--rows", rows.length);
  const legend = h("ul", {class: "legend", "aria-label": "Colours of the schemes"});
  const underLimit = h("span", null);
  let chosen = null,
    view = null;

  const data = (look) => ({
    xName: "layer",
    xLabels: place.layers,
    yLabels: rows.map((row) => groupName(page, row)),
    colours: rank.shares.map((share) => colourAt(look.ramp, share)),
    inks: rank.shares.map((share) => inkAt(look.ramp, share)),
    cells: numbersOf.map((g) => ({
      x: groups.layer[g],
      y: rowOf(g),
      met: chosen.met[g] === 1,
      colour: chosen.scheme[g] < 0 ? null : chosen.scheme[g],
      label: significant(chosen.bits[g], 3),
    })),
  });
  const tell = (event) => {
    const at = chart.under(event);
    const g = at ? numbersOf.find((one) => groups.layer[one] === at[0] && rowOf(one) === at[1]) : -1;
    if (!(g >= 0)) return hideTip();
    const row = {proj: groups.proj[g], shared: groups.shared[g]};
    return showTip(
      event,
      `layer ${place.layers[groups.layer[g]]} · ${groupName(page, row)}`,
      tipLines(numbers.schemes[chosen.scheme[g]], chosen, view, g),
    );
  };
  tellOver(chart.element, tell);
  return {
    element: figure(
      [legend, chart.element],
      "A cell is one choice. Dark is cheap, bright is expensive: bright layers take more bits. ",
      underLimit,
    ),
    show: (next, nextView) => {
      [chosen, view] = [next, nextView];
      chart.update((look, size) => {
        fill(legend, legendItems(numbers, chosen, rank, look));
        return plan(data(look), look, size);
      });
      underLimit.textContent = view.goal === "limit" ? UNDER_LIMIT : "";
      const met = groups.count - chosen.notMet - chosen.unmeasured;
      chart.label(
        view.goal === "limit"
          ? `Chosen scheme of each layer and projection: ${plural(met, "choice")} under the limit, ` +
              `${count(chosen.notMet)} not.`
          : "Chosen scheme of each layer and projection",
      );
    },
  };
};
