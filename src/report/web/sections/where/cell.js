// What the box by the pointer, and the voice of a screen reader, say of a cell.
import {clipped, significant} from "../../format.js";
import {deviationIn, medianOf} from "../../stats.js";

/** "layer 3 · expert 5 · up_proj" */
export const placeWords = ({run, place}, i) =>
  `layer ${place.layers[place.layer[i]]} · ` +
  `${place.expert(place.slot[i])} · ${clipped(run.facts.projs[place.proj[i]], 40)}`;

/** {title, value, median: of its layer, away: in robust deviations, isShared: with other matrices} */
export const cellFacts = (page, {values, scale}, i) => {
  const {place} = page;
  const [begin, end] = place.neighbours(i);
  return {
    title: placeWords(page, i),
    value: values[i],
    median: medianOf(values, begin, end),
    away: deviationIn(values, begin, end, scale)(values[i]),
    isShared: place.goesOn(i),
    isFlattered: place.fewHuge[i] === 1,
  };
};

/** +12.3, -0.4 */
export const signed = (value, digits) => `${value > 0 ? "+" : ""}${significant(value, digits)}`;

export const tipLines = ({metric}, {value, median, away, isShared, isFlattered}) => [
  [metric.label, significant(value, 5)],
  ["median of its layer", significant(median, 5)],
  ...(away === away ? [["robust deviations", signed(away, 3)]] : []),
  ...(isFlattered ? [["few huge weights", "errors look better than they are"]] : []),
  ...(isShared ? [["note", "more matrices share this cell"]] : []),
];

export const spoken = ({metric}, {title, value, median}) =>
  `${title}: ${metric.label} ` + `${significant(value, 4)}, median of its layer ${significant(median, 4)}`;
