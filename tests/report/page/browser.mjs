// What the browser tests share: a run, Chromium, a page that is watched, numbers and pixels.
import assert from "node:assert/strict";
import {execFileSync} from "node:child_process";
import {mkdtempSync, rmSync} from "node:fs";
import {createRequire} from "node:module";
import {tmpdir} from "node:os";
import {dirname, join, resolve} from "node:path";
import {fileURLToPath} from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const web = resolve(here, "../../../src/report/web/package.json");
const {chromium} = createRequire(web)("playwright-core");

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

export const launch = () =>
  chromium.launch({executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS});

/** {page, runDir, matrix_stats, quant_sim, hostile, remove()} of make_run.py. */
export const makeRun = (kind) => {
  const folder = mkdtempSync(join(tmpdir(), "moescope-page-"));
  const made = execFileSync(
    process.env.PYTHON ?? "python3",
    ["-B", join(here, "make_run.py"), kind, folder],
    {maxBuffer: 1 << 28},
  );
  return {...JSON.parse(made), remove: () => rmSync(folder, {recursive: true, force: true})};
};

/** The column's value in the row of a run's table that has all of `row`; for tables too large to bring here. */
export const askTable = (runDir, table, row, column) => {
  const script = [
    "import json, sys, pyarrow.parquet",
    "path, row, column = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]",
    "filters = [(name, '=', value) for name, value in row.items()]",
    "[value] = pyarrow.parquet.read_table(path, columns=[column], filters=filters)[column].to_pylist()",
    "print(json.dumps(value))",
  ].join("\n");
  const args = ["-c", script, `${runDir}/data/${table}.parquet`, JSON.stringify(row), column];
  return JSON.parse(execFileSync(process.env.PYTHON ?? "python3", args));
};

/** Rows of a table of makeRun() as objects. */
export const rowsOf = ({columns, data}) =>
  data.map((cells) => Object.fromEntries(columns.map((name, i) => [name, cells[i]])));

/**
 * Opens the report and hands it to `use`. Whatever it did wrong meanwhile fails the test: an error on
 * the console, a request to anything but the file itself, a broken Content-Security-Policy.
 */
export const withPage = async (browser, file, {hash = "", ...options}, use) => {
  const context = await browser.newContext({
    viewport: {width: 1280, height: 1000},
    acceptDownloads: true,
    reducedMotion: "reduce",
    ...options,
  });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => {
    const url = request.url().replace(/#.*/, "");
    if (url !== `file://${file}` && !/^(data|blob):/.test(url)) faults.push(`request: ${url}`);
  });
  await page.addInitScript(() =>
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
    ),
  );
  try {
    await page.goto(`file://${file}${hash}`);
    await page.waitForFunction(() => document.documentElement.dataset.ready === "1");
    await use(page, context);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
  }
};

/** Brings a chart near and waits until nothing of it is due. */
export const drawn = async (chart) => {
  await chart.scrollIntoViewIfNeeded();
  const element = await chart.elementHandle();
  await chart.page().waitForFunction((node) => node.dataset.drawn > 0 && !node.dataset.stale, element);
};

/** How many colours a chart's canvas has, and the share of its pixels that differ from the corner. */
export const inkOf = (chart) =>
  chart.evaluate((node) => {
    const canvas = node.querySelector("canvas");
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const pixels = new Uint32Array(data.buffer);
    const colours = new Set(pixels);
    return {
      colours: colours.size,
      share: pixels.filter((pixel) => pixel !== pixels[0]).length / pixels.length,
    };
  });

/** "r,g,b" of a chart at a point of the window. */
export const pixelAt = (chart, {x, y}) =>
  chart.evaluate(
    (node, at) => {
      const canvas = node.querySelector("canvas");
      const {left, top, width} = canvas.getBoundingClientRect();
      const ratio = canvas.width / width;
      return [
        ...canvas
          .getContext("2d")
          .getImageData(Math.round((at.x - left) * ratio), Math.round((at.y - top) * ratio), 1, 1).data,
      ]
        .slice(0, 3)
        .join();
    },
    {x, y},
  );

/** The panel of a projection. */
export const panelOf = (page, proj) =>
  page.locator(".panel", {has: page.getByRole("heading", {name: proj, exact: true})});

/** Draws every chart of the page that is to be seen. Coming near may show that one has nothing to say. */
export const drawAll = async (page) => {
  const isDone = (node) => !node.checkVisibility() || (node.dataset.drawn > 0 && !node.dataset.stale);
  for (const chart of await page.locator(".chart:visible").elementHandles()) {
    await chart.evaluate((node) => node.scrollIntoView({block: "nearest"}));
    await page.waitForFunction(isDone, chart);
  }
};

/** The middle of a cell in the window, which the page's own link to that cell marks. */
export const cellMiddle = async (page, {proj, layer, expert}) => {
  const panel = panelOf(page, proj);
  await drawn(panel.locator(".heatmap"));
  await page.evaluate(
    (cell) => {
      const state = new URLSearchParams(location.hash.slice(1));
      for (const [key, value] of Object.entries(cell)) state.set(key, value);
      location.hash = [...state].map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
    },
    {proj, layer: String(layer), slot: String(expert)},
  );
  const mark = panel.locator(".cell-mark");
  await mark.waitFor({state: "visible"});
  await mark.scrollIntoViewIfNeeded();
  const {x, y, width, height} = await mark.boundingBox();
  return {x: x + width / 2, y: y + height / 2};
};

/** {title, numbers: by label} of the box by the pointer, null if there is none. */
export const tipOf = (page) =>
  page.evaluate(() => {
    const tip = document.getElementById("tip");
    if (!tip || tip.hidden) return null;
    const [labels, values] = ["dt", "dd"].map((name) =>
      [...tip.querySelectorAll(name)].map((node) => node.textContent),
    );
    return {
      title: tip.querySelector("strong").textContent,
      numbers: Object.fromEntries(labels.map((label, i) => [label, values[i]])),
    };
  });

/** Points of the window where a chart has something to tell, one for each thing. */
export const placesWithTips = (chart) =>
  chart.evaluate((node) => {
    const step = 2;
    const canvas = node.querySelector("canvas");
    const {left, top, right, bottom} = canvas.getBoundingClientRect();
    const places = new Map();
    for (let y = Math.ceil(top); y < bottom; y += step) {
      for (let x = Math.ceil(left); x < right; x += step) {
        canvas.dispatchEvent(new MouseEvent("mousemove", {clientX: x, clientY: y, bubbles: true}));
        const tip = document.getElementById("tip");
        if (tip && !tip.hidden) places.set(tip.querySelector("strong").textContent, {x, y});
      }
    }
    return [...places.values()];
  });

/** Hovers a cell with the mouse: tipOf() then. */
export const hover = async (page, place) => {
  const at = await cellMiddle(page, place);
  await page.mouse.move(at.x, at.y);
  return tipOf(page);
};

/** Objects by head of a CSV text without quotes. */
export const parseCsv = (text) => {
  const [head, ...lines] = text
    .trim()
    .split("\r\n")
    .map((line) => line.split(","));
  return lines.map((cells) => Object.fromEntries(head.map((name, i) => [name, cells[i]])));
};

/** As numpy.quantile of the values that are not null. */
export const quantileOf = (values, share) => {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  const at = share * (sorted.length - 1),
    low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
};

/** Equal to four significant digits. What is shown was rounded to five before, hence the 0.55. */
export const assertClose = (shown, expected, what) => {
  assert.equal(typeof expected, "number", what);
  const unit = expected === 0 ? 0 : 10 ** (Math.floor(Math.log10(Math.abs(expected))) - 3);
  assert.ok(Math.abs(Number(shown) - expected) <= 0.55 * unit, `${what}: ${shown} for ${expected}`);
};
