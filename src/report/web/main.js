// The page of `moescope report`: reads the run that stands in it, and builds one section after the other.
import {studioOf} from "./chart.js";
import {runOf} from "./data.js";
import {fill, h} from "./dom.js";
import {clipped, moment, printable} from "./format.js";
import {explained} from "./metrics.js";
import {placeOf} from "./place.js";
import {limitsSection} from "./sections/limits.js";
import {modelSection} from "./sections/model.js";
import {oddSection} from "./sections/odd.js";
import {pairsSection} from "./sections/pairs.js";
import {schemesSection} from "./sections/schemes.js";
import {defaultsOf, whereSection} from "./sections/where.js";
import {stateOf} from "./state.js";
import {themeOf} from "./theme.js";

const NAVIGATION = [["model", "Model"], ["schemes", "Schemes"], ["where", "Where"], ["odd", "Odd"], ["pairs", "Pairs"], ["limits", "Limits"]];

const titleOf = ({facts}) => facts.run?.model_id || facts.model?.path?.split("/").filter(Boolean).at(-1) || facts.run?.run_dir || "A run";

const header = (run) => {
  const told = run.facts.run ?? {};
  const title = printable(titleOf(run));
  document.title = `${clipped(title, 60)} · moescope`;
  return h("header", {class: "title"}, h("p", {class: "eyebrow"}, "moescope report"), h("h1", null, h("bdi", null, clipped(title, 200))),
    h("p", {class: "quiet"}, [told.run_name ? `run ${clipped(told.run_name, 60)}` : null, told.collected_at || told.created_at ? moment(told.collected_at ?? told.created_at) : null]
      .filter(Boolean).join(" · ")));
};

const THEME_WORDS = {auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark"};

const navigation = (theme) => {
  const button = h("button", {type: "button", class: "theme", onclick: () => {
    theme.next();
    button.textContent = THEME_WORDS[theme.choice()];
  }}, THEME_WORDS[theme.choice()]);
  return h("nav", {"aria-label": "Sections"}, h("ul", null, NAVIGATION.map(([id, label]) => h("li", null, h("a", {href: `#${id}`}, label)))), button);
};

// Paper is light, as wide as it is, and shows what a window would draw only when scrolled to.
const hookPrinting = (page, everything) => {
  const root = document.documentElement;
  let opened = [];
  const begin = () => {
    if (root.dataset.paper) return;
    root.dataset.paper = "1";
    opened = [...document.querySelectorAll("details.printed:not([open])")];
    for (const details of opened) details.open = true;
    page.theme.paper(true);
    page.studio.drawAll();
  };
  const end = () => {
    if (!root.dataset.paper) return;
    delete root.dataset.paper;
    for (const details of opened) details.open = false;
    page.theme.paper(false);
  };
  window.addEventListener("beforeprint", begin);
  window.addEventListener("afterprint", end);
  window.matchMedia("print").addEventListener("change", (event) => (event.matches ? begin() : end()));
  // What is computed late can't be computed while the printer waits, so it is done when all else is.
  const idle = window.requestIdleCallback ?? ((task) => setTimeout(task, 500));
  idle(() => everything());
};

const waitForDrawing = (chart) => new Promise((resolve) => {
  if (!chart || chart.element.dataset.drawn !== "0") resolve();
  else chart.afterDraw.push(resolve);
});

const start = async () => {
  const run = runOf(document);
  const theme = themeOf(window);
  const main = document.querySelector("main");
  document.querySelector("footer .made").textContent = `Made by moescope ${printable(run.facts.version)}, ${moment(run.facts.generated_at)}.`;
  document.body.prepend(navigation(theme));

  const metrics = run.metrics.map(explained);
  const page = {run, theme, metrics, studio: studioOf(theme, window), place: await placeOf(run), state: stateOf(run.facts, window),
    metric: (name) => metrics.find((metric) => metric.name === name), defaults: null, showWhere: () => where.showWhere()};
  page.defaults = await defaultsOf(run, metrics);
  const schemes = schemesSection(page);
  fill(main, header(run), modelSection(page), schemes.element);
  const scatter = await schemes.ready;
  const where = whereSection(page);
  const pairs = pairsSection(page);
  main.append(where.element, oddSection(page), pairs.element, limitsSection());
  await where.ready;
  hookPrinting(page, pairs.all);
  await waitForDrawing(scatter ?? null);
  document.documentElement.dataset.ready = "1";
  if (where.hasMark?.()) where.showWhere();
};

start().catch((error) => {
  document.querySelector("main").prepend(h("p", {class: "note warning", role: "alert"},
    `This page could not be drawn: ${error?.message ?? error}. It needs a browser of 2023 or later (DecompressionStream).`));
  throw error;
});
