// How long the report's page takes in Chromium, on the largest run there is: a table.
//
// usage: MOESCOPE=build/release/moescope PYTHON=.venv/bin/python node bench/report_page.mjs
//
// Ready: from the navigation until all parts are there and the first chart is drawn. A switch: from
// the choice to the frame after the last chart in view was drawn, each the median and the worst of
// several.
import {statSync} from "node:fs";
import {launch, makeRun, panelOf, withPage} from "../tests/report/page/browser.mjs";

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const row = (what, times) =>
  console.log(`| ${what} | ${Math.round(median(times))} | ${Math.round(Math.max(...times))} |`);

// Runs `change` in the page; resolves when every chart near the window is drawn again.
const timed = (page, change, value) =>
  page.evaluate(
    async ([source, argument]) => {
      const counts = new Map(
        [...document.querySelectorAll("#where .chart")].map((c) => [c, c.dataset.drawn]),
      );
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      const started = performance.now();
      new Function("value", source)(argument);
      const isDrawn = (c) => c.dataset.drawn !== counts.get(c) && !c.dataset.stale;
      do await frame();
      while (![...document.querySelectorAll(".panel:not([hidden]) .heatmap")].every(isDrawn));
      await frame();
      return performance.now() - started;
    },
    [change, value],
  );

const SELECT = (label) => `
  const select = [...document.querySelectorAll(".where-controls select")][${label === "Metric" ? 0 : 1}];
  select.value = value;
  select.dispatchEvent(new Event("change", {bubbles: true}));`;

const run = makeRun("large");
const browser = await launch();
try {
  const first = [];
  for (let i = 0; i < 3; ++i) {
    await withPage(browser, run.page, {bypassCSP: true}, async (page) => {
      first.push(await page.evaluate(() => performance.now()));
    });
  }
  console.log(
    `${(statSync(run.page).size / 1e6).toFixed(1)} MB\n\n| | median ms | worst ms |\n| --- | --- | --- |`,
  );
  row("ready", first);
  await withPage(browser, run.page, {bypassCSP: true}, async (page) => {
    await panelOf(page, "gate_proj").locator(".heatmap").scrollIntoViewIfNeeded();
    const metrics = ["rms", "w_rel_max", "sqnr_db", "outlier_max_over_mean", "zero_share", "w_rel_fro"];
    const switched = [];
    for (const metric of metrics) switched.push(await timed(page, SELECT("Metric"), metric));
    row("another metric", switched);
    const schemes = [];
    for (let scheme = 1; scheme < 10; ++scheme)
      schemes.push(await timed(page, SELECT("Scheme"), String(scheme)));
    row("another scheme", schemes);
    const boxes = [];
    for (const proj of ["1", "1", "2", "2"]) {
      boxes.push(
        await timed(
          page,
          `document.querySelector(".projections input[value='" + value + "']").click()`,
          proj,
        ),
      );
    }
    row("projections", boxes);
  });
  await withPage(browser, run.page, {bypassCSP: true}, async (page) => {
    await page.locator(".limit").scrollIntoViewIfNeeded();
    const limits = [];
    for (const limit of [0.3, 0.2, 0.1, 0.05, 0.02]) {
      limits.push(
        await page.evaluate(async (value) => {
          const number = document.querySelector(".limit-number"),
            map = document.querySelector(".chart.map");
          const before = map.dataset.drawn,
            started = performance.now();
          number.value = String(value);
          number.dispatchEvent(new Event("change", {bubbles: true}));
          while (map.dataset.drawn === before || map.dataset.stale) await new Promise(requestAnimationFrame);
          await new Promise(requestAnimationFrame);
          return performance.now() - started;
        }, limit),
      );
    }
    row("another limit", limits);
  });
} finally {
  await browser.close();
  run.remove();
}
