// What all sections of a page work with.
import {studioOf} from "./chart.js";
import {explained} from "./metrics.js";
import {placeOf} from "./place.js";
import {stateOf} from "./state.js";

export const pageOf = async (run, theme) => {
  const metrics = run.metrics.map(explained);
  return {
    run,
    theme,
    metrics,
    place: await placeOf(run),
    state: stateOf(run.facts),
    studio: studioOf(theme),
    metric: (name) => metrics.find((metric) => metric.name === name),
  };
};

/** Once all sections are there: goes to what the address asks for, and draws what is seen. */
export const showPage = ({state, studio}, where) => {
  const {metric, layer, slot} = state.get();
  if (metric !== null || layer !== null || slot !== null) where.show("instant");
  studio.drawFirst();
};
