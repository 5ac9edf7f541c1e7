// Pictures of the report for README and docs: node scripts/screenshots.mjs REPORT.html FOLDER
//
// Those in docs/images are of the demo model: python scripts/make_demo_model.py demo/model, then
// moescope analyze demo/model --out demo/runs --model-id demo --run-name first
import {mkdirSync} from "node:fs";
import {join, resolve} from "node:path";
import {hover, launch, withPage} from "../tests/report/page/browser.mjs";

const [report, folder] = process.argv.slice(2);
if (!folder) {
  console.error("usage: node scripts/screenshots.mjs REPORT.html FOLDER");
  process.exit(2);
}
mkdirSync(folder, {recursive: true});

const WINDOW = {viewport: {width: 1200, height: 860}, deviceScaleFactor: 1.5};

const areDrawn = () =>
  [...document.querySelectorAll(".chart")].every((chart) => {
    const {top, bottom} = chart.getBoundingClientRect();
    return bottom < 0 || top > window.innerHeight || (chart.dataset.drawn > 0 && !chart.dataset.stale);
  });

/** The window, with `selector` at its top, after `act`. */
const shoot = async (page, name, selector, act = () => {}) => {
  const scroll = (top) => document.querySelector(top).scrollIntoView({behavior: "instant"});
  await page.evaluate(scroll, selector);
  await page.waitForFunction(areDrawn);
  // What was drawn may have become higher.
  await page.evaluate(scroll, selector);
  await act();
  await page.waitForFunction(areDrawn);
  await page.screenshot({path: join(folder, `${name}.png`)});
};

const browser = await launch();
const show = (options, use) => withPage(browser, resolve(report), {...WINDOW, ...options}, use);
try {
  await show({}, (page) => shoot(page, "report-overview", ".title"));
  await show({hash: "#size=25000000"}, (page) => shoot(page, "report-schemes", "#schemes figure"));
  await show({hash: "#metric=outlier_max_over_mean"}, (page) =>
    shoot(page, "report-where", ".where-controls", () =>
      hover(page, {proj: "gate_proj", layer: 3, expert: 5}),
    ),
  );
  const opened = "#metric=w_rel_fro&scheme=mxfp4_g32&proj=down_proj&layer=0&slot=3&open=1";
  await show({colorScheme: "dark", hash: opened}, (page) =>
    shoot(page, "report-dark", ".where-controls", () =>
      page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix),
    ),
  );
} finally {
  await browser.close();
}
