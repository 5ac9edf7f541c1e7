// The page's section about recipes, on a run that has two and a torn one, compared with their files.
import assert from "node:assert/strict";
import {spawnSync} from "node:child_process";
import {readFileSync} from "node:fs";
import {join} from "node:path";
import {after, before, describe, test} from "node:test";
import {drawAll, drawn, inkOf, launch, makeRun, placesWithTips, tipOf, withPage} from "./browser.mjs";

const PROJS = ["down_proj", "gate_proj+up_proj"];
const PHONE = {viewport: {width: 360, height: 740}, hasTouch: true, isMobile: true};

/** Cells of the table with this caption, row by row. */
const tableOf = (page, caption, nth = 0) =>
  page
    .locator("#recipes table", {has: page.getByText(caption, {exact: true})})
    .nth(nth)
    .evaluate((table) =>
      [...table.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent)),
    );

const factsOf = (page, nth) =>
  page
    .locator("#recipes dl.facts")
    .nth(nth)
    .evaluate((list) =>
      Object.fromEntries(
        [...list.querySelectorAll("dt")].map((dt) => [dt.textContent, dt.nextElementSibling.textContent]),
      ),
    );

describe("the report of a run with recipes", () => {
  let browser, run, small, good;
  const open = (options, use) => withPage(browser, run.page, options, use);
  const read = (name) => JSON.parse(readFileSync(join(run.runDir, "recipes", `${name}.json`), "utf8"));

  before(async () => {
    [run, browser] = [makeRun("recipes"), await launch()];
    [small, good] = [read("small"), read("good")];
  });
  after(async () => {
    await browser?.close();
    run?.remove();
  });

  test("each recipe is told by name with its budget, size and relative objective", () =>
    open({}, async (page) => {
      const titles = await page.locator("#recipes h3").allTextContents();
      assert.deepEqual(titles, ["good", "small", "torn"]);
      const [first, second] = [await factsOf(page, 0), await factsOf(page, 1)];
      assert.equal(first.Budget, "as good as q4 for all");
      assert.equal(second.Budget, "4.6 bits per quantized weight");
      for (const [facts, {coverage, objective}] of [
        [first, good],
        [second, small],
      ]) {
        assert.ok(facts.Size.includes(`${coverage.bytes.toLocaleString("en")} bytes`), facts.Size);
        assert.equal(
          Number(facts["Bits per quantized weight"]),
          Number(coverage.bits_per_weight.toPrecision(4)),
        );
        const share = Number((objective.value / objective.reference_value).toPrecision(3));
        assert.equal(Number.parseFloat(facts.Objective), share);
        assert.match(facts.Objective, /times that of q4 for all$/);
      }
      assert.equal(first.Pinned, undefined);
      assert.equal(second.Pinned, "layers.0.mlp.switch_mlp.down_proj to q8");
      assert.match(await page.locator("#recipes").textContent(), /Confirm with a KL run/);
      for (const sentence of small.not_known) {
        assert.ok((await page.locator("#recipes").textContent()).includes(sentence));
      }
      assert.match(await page.locator("#recipes .warning").textContent(), /can't be read.*torn\.json/);
      assert.deepEqual(
        (await tableOf(page, "All recipes")).map(([name]) => name),
        ["good", "small"],
      );
    }));

  test("tables say what each role takes, and which units are furthest from the mean", () =>
    open({}, async (page) => {
      const rows = await tableOf(page, "By role and projection", 1);
      for (const proj of PROJS) {
        const units = small.units.filter((unit) => unit.role === "routed_expert" && unit.proj === proj);
        const sum = (of) => units.reduce((total, unit) => total + of(unit), 0);
        const row = rows.find((cells) => cells[1] === proj);
        assert.equal(row[0], "routed expert");
        const bits = (8 * sum((unit) => unit.chosen.bytes)) / sum((unit) => unit.weights);
        assert.equal(Number(row[4]), Number(bits.toPrecision(4)));
        const counted = [...row[5].matchAll(/(\d+) × /g)].reduce((n, [, units]) => n + Number(units), 0);
        assert.equal(counted, units.length);
      }
      const furthest = await tableOf(page, "Units furthest from the mean", 1);
      const pinned = furthest.find(([module]) => module === "model.layers.0.mlp.switch_mlp.down_proj");
      assert.deepEqual(pinned.slice(1), ["q8", "8.500", "pinned"]);
    }));

  /** Title of the tip -> bits, of every cell of a map. */
  const bitsOfMap = async (page, map) => {
    await drawn(map);
    const shown = new Map();
    for (const {x, y} of await placesWithTips(map)) {
      await page.mouse.move(x, y);
      const {title, numbers} = await tipOf(page);
      shown.set(title, Number(numbers["bits per weight"]));
    }
    return shown;
  };

  const assertBits = (shown, recipe) => {
    const units = recipe.units.filter((unit) => unit.role === "routed_expert");
    assert.equal(shown.size, units.length);
    for (const {layer, proj, weights, chosen} of units) {
      const bits = Number(((8 * chosen.bytes) / weights).toPrecision(4));
      assert.equal(shown.get(`layer ${layer} · ${proj}`), bits);
    }
  };

  test("the map shows the scheme of each layer and projection", () =>
    open({}, async (page) =>
      assertBits(await bitsOfMap(page, page.locator("#recipes .chart.map").nth(1)), small),
    ));

  test("the slider shows what the command chooses for another size", () =>
    open({}, async (page) => {
      const figure = page.locator("#recipes figure", {has: page.getByRole("slider")}).first();
      const [slider, map] = [figure.getByRole("slider"), page.locator("#recipes .chart.map").first()];
      assert.match(await figure.textContent(), /This recipe: /);
      await slider.fill(String(Math.round(Number(await slider.getAttribute("max")) / 2)));
      const [, size] = /--size (\d+)/.exec(await figure.locator("code").textContent());
      const file = join(run.runDir, "sized.json");
      const flags = ["recipe", run.runDir, "--size", size, "-o", file];
      assert.equal(spawnSync(process.env.MOESCOPE, flags).status, 0);
      const sized = JSON.parse(readFileSync(file, "utf8"));
      assert.equal(sized.coverage.bytes, Number(size));
      assertBits(await bitsOfMap(page, map), sized);
      await figure.getByRole("button", {name: "This recipe"}).click();
      assertBits(await bitsOfMap(page, map), good);
    }));

  test("other ways to quantize stand beside the best recipe of no more bytes", () =>
    open({}, async (page) => {
      const rows = await tableOf(page, "Beside other ways to quantize");
      assert.equal(rows[0][0], "q4 for all");
      assert.equal(Number(rows[0][2]), 1);
      for (const [, , value, best] of rows) assert.ok(Number(best) <= Number(value));
    }));

  test("the front tells the best in each size", () =>
    open({}, async (page) => {
      const chart = page.locator("#recipes .chart.medium").first();
      await drawn(chart);
      const ink = await inkOf(chart);
      assert.ok(ink.colours >= 8 && ink.share > 0.005, JSON.stringify(ink));
      const {x, y, width, height} = await chart.boundingBox();
      const values = [];
      for (const share of [0.3, 0.5, 0.7, 0.9]) {
        await page.mouse.move(x + share * width, y + height / 2);
        const {numbers} = await tipOf(page);
        values.push(Number(numbers["objective, relative"]));
      }
      assert.deepEqual(
        values,
        [...values].sort((a, b) => b - a),
      );
      assert.ok(values[0] > values.at(-1));
    }));

  test("the bar leads there, dark draws, and a phone needs no sideways scrolling", async () => {
    await open({colorScheme: "dark"}, async (page) => {
      await page.getByRole("link", {name: "Recipes", exact: true}).click();
      assert.equal(await page.evaluate(() => document.activeElement.id), "recipes-title");
      await drawAll(page);
    });
    await open(PHONE, async (page) => {
      await drawAll(page);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    });
  });
});

describe("the report of a run without recipes", () => {
  test("has no such section, nor a link to it", async () => {
    const [run, browser] = [makeRun("half"), await launch()];
    try {
      await withPage(browser, run.page, {}, async (page) => {
        assert.equal(await page.locator("#recipes").count(), 0);
        assert.equal(await page.getByRole("link", {name: "Recipes", exact: true}).count(), 0);
      });
    } finally {
      await browser.close();
      run.remove();
    }
  });
});
