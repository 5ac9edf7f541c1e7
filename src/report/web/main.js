// The page of `moescope report`: reads the run that stands in it, and builds one section after the
// other.
import {runOf} from "./data.js";
import {decisionOf} from "./decision.js";
import {h} from "./dom.js";
import {clipped, moment, printable} from "./format.js";
import {SECTIONS, navigationOf} from "./navigation.js";
import {pageOf, showPage} from "./page.js";
import {showPair} from "./pair.js";
import {hookPrinting} from "./print.js";
import {answerCard} from "./sections/answer.js";
import {limitsSection} from "./sections/limits.js";
import {modelSection} from "./sections/model/index.js";
import {oddSection} from "./sections/odd.js";
import {pairsSection} from "./sections/pairs.js";
import {recipesSection} from "./sections/recipes.js";
import {restSection} from "./sections/rest.js";
import {schemesSection} from "./sections/schemes/index.js";
import {whereSection} from "./sections/where/index.js";
import {themeOf} from "./theme.js";

const lastPart = (path) => path?.split("/").filter(Boolean).at(-1);

const titleOf = ({run, model}) =>
  printable(run.model_id || lastPart(model.path) || lastPart(run.run_dir) || "A run");

const header = ({facts}) => {
  const {run_name: name, collected_at: collected, created_at: created} = facts.run;
  const title = titleOf(facts);
  document.title = `${clipped(title, 60)} · moescope`;
  const parts = [
    name ? `run ${clipped(name, 60)}` : null,
    collected || created ? moment(collected ?? created) : null,
  ].filter((part) => part);
  return h(
    "header",
    {class: "title"},
    h("p", {class: "eyebrow"}, "moescope report"),
    h("h1", null, h("bdi", null, clipped(title, 200))),
    h("p", {class: "quiet"}, parts.join(" · ")),
  );
};

const start = async () => {
  const run = runOf(document);
  const theme = themeOf();
  const {version, generated_at: generated} = run.facts;
  document.querySelector("footer .made").textContent =
    `Made by moescope ${printable(version)}${generated ? `, ${moment(generated)}` : ""}.`;
  if (run.facts.pair) return showPair(run, theme);
  const without = ["recipes", "rest"].filter((part) => !run.facts[part]);
  const navigation = navigationOf(
    theme,
    SECTIONS.filter(([id]) => !without.includes(id)),
  );
  const main = document.querySelector("main");
  document.body.prepend(navigation.element);

  const page = await pageOf(run, theme);
  page.decision = await decisionOf(page);
  const schemes = schemesSection(page);
  const card = answerCard(page);
  main.replaceChildren(header(run), ...(card ? [card] : []), modelSection(page), schemes.element);
  await schemes.ready;
  const where = await whereSection(page);
  page.showWhere = where.show;
  page.open = where.open;
  const pairs = pairsSection(page);
  const recipes = recipesSection(page),
    rest = restSection(run);
  main.append(
    ...(recipes ? [recipes] : []),
    where.element,
    ...(rest ? [rest] : []),
    oddSection(page),
    pairs.element,
    limitsSection(),
  );
  navigation.begin();
  hookPrinting(theme, pairs.all);
  showPage(page, where);
};

const tellReady = () => {
  document.documentElement.dataset.ready = "1";
};

start().then(tellReady, (error) => {
  document
    .querySelector("main")
    .prepend(
      h(
        "p",
        {class: "note warning", role: "alert"},
        `This page could not be drawn: ${error?.message ?? error}. It needs a browser of 2023 or later.`,
      ),
    );
  throw error;
});
