// The report in a real browser, on a small run whose numbers are all compared with its tables.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {after, before, describe, test} from "node:test";
import {
  assertClose,
  cellMiddle,
  drawAll,
  drawn,
  hover,
  inkOf,
  launch,
  makeRun,
  panelOf,
  parseCsv,
  pixelAt,
  placesWithTips,
  quantileOf,
  rowsOf,
  tipOf,
  withPage,
} from "./browser.mjs";

const PROJS = ["down_proj", "gate_proj", "up_proj"];
const SCHEMES = ["affine_q4_g32", "mxfp4_g32", "affine_q8_g32"];
const LAYERS = 4;
// What scripts/make_demo_model.py says.
const DEAD = {layer: 1, expert: 7};
const LARGE = {layer: 2, expert: 11};
const USUAL = {layer: 0, expert: 0};

describe("the report of a small run", () => {
  let browser, run, stats, quant;
  const open = (options, use) => withPage(browser, run.page, options, use);
  const rows = ({proj, layer, expert, scheme}) =>
    (scheme ? quant : stats).filter(
      (row) =>
        (proj === undefined || row.proj === proj) &&
        (layer === undefined || row.layer === layer) &&
        (expert === undefined || row.expert_id === expert) &&
        (!scheme || row.scheme === scheme),
    );
  const numberOf = (metric, place) => rows(place)[0][metric];
  const show = async (page, metric, scheme) => {
    await page.getByLabel("Metric", {exact: true}).selectOption(metric);
    if (scheme) await page.getByLabel("Scheme", {exact: true}).selectOption({label: scheme});
  };
  const mapOf = (page, proj) => panelOf(page, proj).locator(".heatmap");

  before(async () => {
    [run, browser] = [makeRun("small"), await launch()];
    [stats, quant] = [rowsOf(run.matrix_stats), rowsOf(run.quant_sim)];
  });
  after(async () => {
    await browser?.close();
    run?.remove();
  });

  // ---- all of it ----

  test("every chart draws, in pixels", () =>
    open({}, async (page) => {
      const charts = await page.locator(".chart").all();
      // Trade-off, choice, colour scale, 3 heatmaps, 3 lines, scatter and histogram of a pair.
      assert.equal(charts.length, 11);
      for (const chart of charts) {
        await drawn(chart);
        const ink = await inkOf(chart);
        const name = await chart.getAttribute("aria-label");
        assert.ok(ink.colours >= 8 && ink.share > 0.005, `${name}: ${JSON.stringify(ink)}`);
      }
    }));

  test("facts of the model and the run, and all seven parts, are there", () =>
    open({}, async (page) => {
      const model = await page.locator("#model").textContent();
      for (const part of [
        "qwen3_moe",
        "bfloat16, 16 bits per weight",
        "4 layers have experts: 16 routed in each. 192 matrices of 3 projections, 25.2 million weights",
        "512 × 256",
        "mlx-cpu",
        "bf16",
        "100.00 % of 25.2 million",
        ...SCHEMES,
      ])
        assert.ok(model.includes(part), part);
      assert.equal(await page.locator("main > section").count(), 7);
      for (const caption of await page.locator("figcaption").allTextContents()) {
        assert.ok(caption.length > 60, caption);
      }
      assert.match(await page.locator("#limits").textContent(), /KL divergence/);
      assert.match(await page.locator("footer").textContent(), /Apache License/);
    }));

  // ---- which scheme ----

  test("a point of the trade-off tells its scheme's errors", () =>
    open({}, async (page) => {
      const chart = page.locator(".chart.tall");
      await drawn(chart);
      // Where a point lies is the chart's business, what it tells is not: so look everywhere.
      const told = new Map();
      for (const at of await placesWithTips(chart)) {
        await page.mouse.move(at.x, at.y);
        const {title, numbers} = await tipOf(page);
        told.set(title, numbers);
      }
      assert.equal(told.size, SCHEMES.length * PROJS.length);
      for (const scheme of SCHEMES)
        for (const proj of PROJS) {
          const errors = rows({proj, scheme}).map((row) => row.w_rel_fro);
          const [bits, median, most, worst] = Object.values(told.get(`${scheme} · ${proj}`)).map(parseFloat);
          assertClose(bits, numberOf("bits_per_weight", {proj, scheme}), `bits of ${scheme}`);
          for (const [shown, share] of [
            [median, 0.5],
            [most, 0.9],
            [worst, 1],
          ]) {
            assertClose(shown, quantileOf(errors, share), `${share} of ${scheme} ${proj}`);
          }
        }
    }));

  /** By hand from the table: the cheapest scheme of each layer and projection within 3 % of the limit. */
  const choiceUnder = (limit, share) => {
    const choices = PROJS.flatMap((proj) =>
      [...Array(LAYERS).keys()].map((layer) => {
        const candidates = SCHEMES.map((scheme) => ({
          scheme,
          error: quantileOf(
            rows({proj, layer, scheme}).map((row) => row.w_rel_fro),
            share,
          ),
          bits: numberOf("bits_per_weight", {proj, layer, scheme}),
        }));
        const met = candidates.filter(({error}) => error <= 1.03 * limit).sort((a, b) => a.bits - b.bits)[0];
        const weights = rows({proj, layer}).reduce((sum, row) => sum + row.rows * row.cols, 0);
        return {
          proj,
          layer,
          weights,
          ...(met ?? candidates.sort((a, b) => a.error - b.error)[0]),
        };
      }),
    );
    const bits = choices.reduce((sum, one) => sum + one.bits * one.weights, 0);
    return {
      choices,
      bytes: bits / 8,
      perWeight: bits / choices.reduce((sum, {weights}) => sum + weights, 0),
    };
  };
  const judge = (page, key, limit) =>
    page.evaluate(
      ([value, number]) => {
        document.querySelector(`.limit-controls input[value="${value}"]`).click();
        const input = document.querySelector(".limit-number");
        input.value = number;
        input.dispatchEvent(new Event("change"));
      },
      [key, String(limit)],
    );

  test("the choice takes the fewest bits under the limit", () =>
    open({}, async (page) => {
      for (const [key, share, limit] of [
        ["max", 1, 0.09],
        ["median", 0.5, 0.1],
        ["p90", 0.9, 0.08],
      ]) {
        const {choices, bytes, perWeight} = choiceUnder(limit, share);
        await judge(page, key, limit);
        const verdict = await page.locator(".verdict").textContent();
        const [, megabytes, shown] = /^([\d.]+) MB, ([\d.]+) bits per weight/.exec(verdict);
        assert.equal(Number(megabytes), Number((bytes / 1e6).toPrecision(3)), verdict);
        assert.equal(Number(shown), Number(perWeight.toPrecision(3)), verdict);
        const [download] = await Promise.all([
          page.waitForEvent("download"),
          page.getByRole("button", {name: "Download the choice (CSV)"}).click(),
        ]);
        const saved = parseCsv(readFileSync(await download.path(), "utf8"));
        assert.deepEqual(
          saved.map((row) => [row.proj, row.layer, row.scheme]),
          choices.map(({proj, layer, scheme}) => [proj, String(layer), scheme]),
        );
      }
      // One of them is a mixture indeed.
      assert.ok(new Set(choiceUnder(0.09, 1).choices.map(({scheme}) => scheme)).size > 1);
    }));

  test("sizes of all schemes stand beside the mixture's", () =>
    open({}, async (page) => {
      const table = page.locator("#schemes table", {hasText: "The choice"});
      await table.waitFor();
      const text = await table.textContent();
      const weights = stats.reduce((sum, row) => sum + row.rows * row.cols, 0);
      for (const scheme of SCHEMES) {
        const megabytes = ((weights * numberOf("bits_per_weight", {scheme})) / 8e6).toPrecision(3);
        assert.ok(text.includes(`${Number(megabytes)} MB`), `${scheme}: ${megabytes} in ${text}`);
      }
      assert.ok(text.includes(`${Number(((weights * 2) / 1e6).toPrecision(3))} MB`)); // stored as bfloat16
    }));

  test("the map of the choice tells each cell's scheme", () =>
    open({hash: "#limit=0.09&judge=max"}, async (page) => {
      const chart = page.locator(".chart.map");
      await drawn(chart);
      const {x, y, width, height} = await chart.boundingBox();
      const told = new Map();
      for (let at = y + 8; at < y + height - 45; at += 12) {
        for (let across = x + 130; across < x + width - 10; across += 60) {
          await page.mouse.move(across, at);
          const tip = await tipOf(page);
          if (tip) told.set(tip.title, tip.numbers.scheme);
        }
      }
      const {choices} = choiceUnder(0.09, 1);
      assert.equal(told.size, choices.length);
      for (const {proj, layer, scheme} of choices) assert.equal(told.get(`layer ${layer} · ${proj}`), scheme);
    }));

  test("where no scheme meets the limit the page says so", () =>
    open({hash: "#limit=0.001&judge=max"}, async (page) => {
      // Only the dead expert has no error, so no layer and projection is under it.
      assert.match(await page.locator(".remarks").textContent(), /No scheme meets the limit in 12 of 12/);
    }));

  // ---- where ----

  test("a hovered cell tells the table's number, whatever metric, scheme and projection", () =>
    open({}, async (page) => {
      for (const [metric, scheme] of [
        ["w_rel_fro", "affine_q4_g32"],
        ["w_rel_fro", "mxfp4_g32"],
        ["sqnr_db", "affine_q8_g32"],
        ["max_abs_err", "mxfp4_g32"],
        ["clip_share", "affine_q4_g32"],
        ["rms", null],
        ["outlier_p999_over_median", null],
        ["g64_max_outlier", null],
      ]) {
        await show(page, metric, scheme);
        for (const place of [
          {proj: "down_proj", layer: 0, expert: 3},
          {proj: "gate_proj", layer: 3, expert: 15},
          {proj: "up_proj", layer: 2, expert: 0},
        ]) {
          const {title, numbers} = await hover(page, place);
          assert.equal(title, `layer ${place.layer} · expert ${place.expert} · ${place.proj}`);
          const [value, median] = Object.values(numbers);
          assertClose(value, numberOf(metric, {...place, scheme}), `${metric} ${scheme} ${title}`);
          const layer = rows({...place, expert: undefined, scheme}).map((row) => row[metric]);
          assertClose(median, quantileOf(layer, 0.5), `median of ${metric} ${scheme} ${title}`);
        }
      }
    }));

  test("colours follow the values", () =>
    open({hash: "#metric=rms"}, async (page) => {
      const top = stats.reduce((a, b) => (b.rms > a.rms ? b : a));
      const colourOf = async (layer, expert) =>
        pixelAt(mapOf(page, top.proj), await cellMiddle(page, {proj: top.proj, layer, expert}));
      const dead = await colourOf(DEAD.layer, DEAD.expert),
        usual = await colourOf(USUAL.layer, USUAL.expert);
      assert.equal(numberOf("rms", {proj: top.proj, ...DEAD}), 0);
      assert.equal(dead, "68,1,84"); // the ends of viridis
      assert.equal(await colourOf(top.layer, top.expert_id), "253,231,37");
      assert.notEqual(usual, dead);
      // The dead expert has no error; colours begin at the others, of which it keeps the lowest one.
      await show(page, "w_rel_fro", "affine_q4_g32");
      await drawn(mapOf(page, top.proj));
      assert.match(await page.locator(".range-text").textContent(), /^coloured from 0\.0[78]/);
      assert.equal(await colourOf(DEAD.layer, DEAD.expert), "68,1,84");
      await page.getByRole("button", {name: "Whole range"}).click();
      await drawn(mapOf(page, top.proj));
      const green = await colourOf(USUAL.layer, USUAL.expert);
      assert.ok(Number(green.split(",")[1]) > 150, green); // 0.08 of 0.1 is near the upper end
      await page.getByLabel("logarithmic", {exact: true}).check();
      assert.match(page.url(), /scale=log/);
    }));

  test("the handles of the colour scale stretch the colours", () =>
    open({hash: "#metric=rms"}, async (page) => {
      const gate = mapOf(page, "gate_proj");
      const at = await cellMiddle(page, {proj: "gate_proj", ...USUAL});
      const handle = page.getByLabel("Highest value that is coloured");
      const before = await pixelAt(gate, at);
      // As many of 500 steps from 0 to the largest value reach the cell's own.
      const share = numberOf("rms", {proj: "gate_proj", ...USUAL}) / Math.max(...stats.map((row) => row.rms));
      await handle.fill(String(Math.floor(500 * share)));
      await drawn(gate);
      assert.equal(await pixelAt(gate, at), "253,231,37");
      await page.getByRole("button", {name: "Whole range"}).click();
      await drawn(gate);
      assert.equal(await pixelAt(gate, at), before);
    }));

  test("lines over layers are the quantiles of the table", () =>
    open({hash: "#metric=w_rel_fro&scheme=mxfp4_g32"}, async (page) => {
      const errors = rows({proj: "gate_proj", layer: 2, scheme: "mxfp4_g32"}).map((row) => row.w_rel_fro);
      const at = await cellMiddle(page, {proj: "gate_proj", layer: 2, expert: 0});
      const lines = panelOf(page, "gate_proj").locator(".lines");
      await drawn(lines);
      const box = await lines.boundingBox();
      await page.mouse.move(at.x, box.y + 40);
      const {title, numbers} = await tipOf(page);
      assert.equal(title, "layer 2 · gate_proj");
      for (const [label, share] of [
        ["max", 1],
        ["99 %", 0.99],
        ["90 %", 0.9],
        ["median", 0.5],
      ]) {
        assertClose(numbers[label], quantileOf(errors, share), label);
      }
    }));

  test("the worst matrices are the table's, sorted, filtered, copied and saved", () =>
    open({}, async (page, context) => {
      await context.grantPermissions(["clipboard-read", "clipboard-write"]);
      await show(page, "w_rel_fro", "mxfp4_g32");
      const worst = rows({scheme: "mxfp4_g32"})
        .sort((a, b) => b.w_rel_fro - a.w_rel_fro)
        .slice(0, 50);
      const table = page.locator(".worst table");
      const cells = () =>
        table
          .locator("tbody tr")
          .evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
      await table.locator("caption", {hasText: "mxfp4_g32"}).waitFor();
      const shown = await cells();
      assert.equal(shown.length, 50);
      shown.forEach((row, i) => assertClose(row[3], worst[i].w_rel_fro, `row ${i}`));
      assert.deepEqual(
        shown.slice(0, 3).map((row) => row.slice(0, 3)),
        worst.slice(0, 3).map((row) => [String(row.layer), String(row.expert_id), row.proj]),
      );

      const error = table.getByRole("button", {name: "Relative error"});
      await error.click();
      const falling = (await cells()).map((row) => Number(row[3]));
      await error.click();
      const rising = (await cells()).map((row) => Number(row[3]));
      assert.deepEqual(
        falling,
        [...falling].sort((a, b) => b - a),
      );
      assert.deepEqual(
        rising,
        [...rising].sort((a, b) => a - b),
      );
      assert.equal(await table.locator("th[aria-sort=ascending]").textContent(), "Relative error");

      await page.getByLabel(/^Filter/).fill("layer=3 proj=down experts.1");
      await page.waitForFunction(() => document.querySelectorAll(".worst tbody tr").length === 7); // 1, 10 to 15
      for (const row of await cells()) assert.deepEqual([row[0], row[2]], ["3", "down_proj"]);

      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", {name: "Download CSV"}).click(),
      ]);
      const saved = parseCsv(readFileSync(await download.path(), "utf8"));
      assert.equal(saved.length, 7);
      for (const {proj, layer, expert, tensor, w_rel_fro: value} of saved) {
        const [row] = rows({
          proj,
          layer: Number(layer),
          expert: Number(expert),
          scheme: "mxfp4_g32",
        });
        assertClose(value, row.w_rel_fro, tensor);
        assert.equal(tensor, row.derived_tensor);
      }
      await page.locator(".worst").getByRole("button", {name: "Copy"}).click();
      await page.locator(".worst").getByRole("button", {name: "Copied"}).waitFor();
      const copied = (await page.evaluate(() => navigator.clipboard.readText())).split("\n");
      assert.equal(copied.length, 8);
      assert.match(copied[0], /^layer\texpert\tproj\tw_rel_fro/);

      for (const [text, layers, experts] of [
        ["layer>=2,layer!=3 expert<=1", [2], [0, 1]],
        ['layer="1", expert>13', [1], [14, 15]],
        ["layer<1 expert=7", [0], [7]],
      ]) {
        await page.getByLabel(/^Filter/).fill(text);
        await page.waitForFunction(
          (n) => document.querySelectorAll(".worst tbody tr").length === n,
          layers.length * experts.length * PROJS.length,
        );
        for (const [layer, expert] of await cells()) {
          assert.ok(layers.includes(Number(layer)) && experts.includes(Number(expert)), text);
        }
      }

      await page.getByLabel(/^Filter/).fill("layer=99");
      await page.waitForFunction(() => document.querySelectorAll(".worst tbody tr").length === 0);
      assert.equal(await table.locator("caption").textContent(), "No matrix passes the filter");
    }));

  test("a click opens the matrix's row with every scheme's numbers", () =>
    open({hash: "#metric=rms"}, async (page) => {
      const place = {proj: "gate_proj", ...LARGE};
      const at = await cellMiddle(page, place);
      await page.mouse.click(at.x, at.y);
      const panel = page.getByRole("dialog");
      await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
      assert.ok((await panel.textContent()).includes(rows(place)[0].derived_tensor));
      const tableOf = (title) =>
        panel.getByRole("table", {name: title}).evaluate((table) => ({
          heads: [...table.tHead.rows[0].cells].map((cell) => cell.textContent),
          rows: [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent)),
        }));
      const schemes = await tableOf(/every scheme/);
      assert.deepEqual(
        schemes.rows.map(([name]) => name),
        SCHEMES,
      );
      for (const [name, ...values] of schemes.rows) {
        for (const [label, metric] of [
          ["Relative error", "w_rel_fro"],
          ["Signal to noise", "sqnr_db"],
          ["Bits per weight", "bits_per_weight"],
          ["Weights that become zero", "zero_share"],
        ]) {
          assertClose(
            values[schemes.heads.indexOf(label) - 1],
            numberOf(metric, {...place, scheme: name}),
            `${label} of ${name}`,
          );
        }
      }
      const weights = await tableOf(/weights/);
      for (const [label, metric] of [
        ["RMS", "rms"],
        ["Largest weight", "max_abs"],
        ["99.9 % percentile over median", "outlier_p999_over_median"],
      ]) {
        const row = weights.rows.find(([statistic]) => statistic === label);
        assertClose(row[1], numberOf(metric, place), label);
        const layer = rows({...place, expert: undefined}).map((one) => one[metric]);
        assertClose(row[2], quantileOf(layer, 0.5), `median of ${label}`);
      }
      await page.keyboard.press("Escape");
      assert.ok(await panel.isHidden());
    }));

  test("the keyboard walks the heatmap, opens a matrix and comes back", () =>
    open({hash: "#metric=rms"}, async (page) => {
      const heatmap = mapOf(page, "down_proj");
      await drawn(heatmap);
      await heatmap.focus();
      const steps = ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft"];
      for (const key of steps) await page.keyboard.press(key);
      const spoken = await page.locator("[aria-live=polite]").textContent();
      assert.match(spoken, /^layer 1 · expert 2 · down_proj: RMS/);
      assertClose(
        /RMS ([\d.e-]+)/.exec(spoken)[1],
        numberOf("rms", {proj: "down_proj", layer: 1, expert: 2}),
        spoken,
      );
      await page.keyboard.press("Enter");
      await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
      assert.equal(await page.locator(".matrix h3").textContent(), "Layer 1, expert 2, down_proj");
      await page.keyboard.press("Escape");
      assert.ok(await heatmap.evaluate((node) => node === document.activeElement));
    }));

  test("every control is reached by the tabulator, and shows it", () =>
    open({hash: "#limit=0.09"}, async (page) => {
      const seen = new Set();
      for (let i = 0; i < 180; ++i) {
        await page.keyboard.press("Tab");
        const {kind, isOutlined} = await page.evaluate(() => {
          const at = document.activeElement;
          // A segment's ring is around its label.
          const ring = at.matches(".segments input") ? at.nextElementSibling : at;
          const what = at.type === "radio" ? `radio ${at.value}` : at.type || at.tagName.toLowerCase();
          return {
            kind: at.classList.contains("heatmap") ? "heatmap" : what,
            isOutlined: at === document.body || getComputedStyle(ring).outlineStyle !== "none",
          };
        });
        assert.ok(isOutlined, kind);
        seen.add(kind);
      }
      for (const kind of ["heatmap", "range", "number", "select-one", "checkbox", "search", "a", "button"]) {
        assert.ok(seen.has(kind), `${kind}: ${[...seen]}`);
      }
    }));

  test("zooming one heatmap zooms all", () =>
    open({}, async (page) => {
      const corner = async (proj) => {
        await drawn(mapOf(page, proj));
        const {x, y} = await mapOf(page, proj).boundingBox();
        await page.mouse.move(x + 60, y + 16);
        return (await tipOf(page)).title;
      };
      const from = await cellMiddle(page, {proj: "down_proj", layer: 1, expert: 4});
      const to = await cellMiddle(page, {proj: "down_proj", layer: 2, expert: 8});
      await page.mouse.move(from.x, from.y);
      await page.mouse.down();
      await page.mouse.move(to.x, to.y, {steps: 4});
      await page.mouse.up();
      for (const proj of PROJS) {
        assert.equal(await corner(proj), `layer 1 · expert 4 · ${proj}`);
        // Experts 4 to 8 share the height now, so the fourth of them is seven tenths down.
        const {x, y, width, height} = await mapOf(page, proj).boundingBox();
        await page.mouse.move(x + 0.8 * width, y + 8 + 0.7 * (height - 48));
        assert.equal((await tipOf(page)).title, `layer 2 · expert 7 · ${proj}`);
      }
      await page.getByRole("button", {name: "Show all"}).click();
      assert.equal(await corner("up_proj"), "layer 0 · expert 0 · up_proj");
      await page.getByRole("button", {name: "Zoom in"}).click();
      assert.notEqual(await corner("up_proj"), "layer 0 · expert 0 · up_proj");
      await mapOf(page, "up_proj").focus();
      await page.keyboard.press("0");
      assert.equal(await corner("up_proj"), "layer 0 · expert 0 · up_proj");
    }));

  test("projections can be left out, but for one", () =>
    open({}, async (page) => {
      await drawn(mapOf(page, "up_proj"));
      const box = (proj) => page.getByRole("group", {name: "Projections"}).getByLabel(proj);
      await box("gate_proj").uncheck();
      await panelOf(page, "gate_proj").waitFor({state: "hidden"});
      assert.ok(await panelOf(page, "up_proj").isVisible());
      assert.match(page.url(), /show=down_proj%2Cup_proj/);
      await page.waitForFunction(
        () =>
          ![...document.querySelectorAll(".worst tbody td")].some((cell) => cell.textContent === "gate_proj"),
      );
      await box("up_proj").uncheck();
      await box("down_proj").click(); // the last one
      assert.ok(await box("down_proj").isChecked());
    }));

  test("each metric tells what it means", () =>
    open({}, async (page) => {
      const word = page.getByRole("button", {name: "How it is computed"});
      for (const [metric, part] of [
        ["w_rel_fro", "sqrt(sum d^2)"],
        ["rms", "sqrt(sum w^2 / N)"],
      ]) {
        await show(page, metric, null);
        await page.locator(".definition code", {hasText: new RegExp(`^${metric}$`)}).waitFor();
        await word.scrollIntoViewIfNeeded();
        await word.hover();
        assert.ok((await page.locator("#tip").textContent()).includes(part), part);
        await page.mouse.move(0, 0);
        assert.ok(await page.locator("#tip").isHidden());
        await word.focus();
        assert.ok((await page.locator("#tip").textContent()).includes(part), part);
        await word.blur();
      }
    }));

  test("words outside of the heatmaps tell what they mean too", () =>
    open({hash: "#limit=0.1"}, async (page) => {
      await page.getByText("Facts of the model and of the run").click();
      for (const [place, word, part] of [
        ["#model .facts", "Computed in", "The type in which weights"],
        ["#model .facts", "Encoder that was simulated", "mlx-cpu"],
        ["#model table", "Weights that share a scale", "consecutive weights of a row"],
        ["#schemes table", "Bits per weight", "bytes of codes, scales and biases"],
        ["#schemes table", "Error, worst expert", "sqrt(sum d^2)"],
        ["#schemes table", "Choices over the limit", "one projection of one layer"],
        ["#odd", "Robust deviations", "1.4826"],
        ["#pairs", "relative error", "sqrt(sum d^2)"],
      ]) {
        await page.locator(place).getByRole("button", {name: word, exact: true}).first().hover();
        const told = await page.locator("#tip").textContent();
        assert.ok(told.includes(part), `${word}: ${told}`);
      }
    }));

  // ---- odd, pairs ----

  test("each finding leads to its place, and the back button back", () =>
    open({}, async (page) => {
      const metric = page.getByLabel("Metric", {exact: true});
      await page.evaluate(() =>
        document.querySelectorAll("#odd details").forEach((more) => {
          more.open = true;
        }),
      );
      const findings = await page.locator(".findings li").all();
      assert.ok(findings.length >= 4, String(findings.length)); // one for each odd expert at least
      for (const finding of findings) {
        const text = await finding.textContent();
        await finding.getByRole("link", {name: "Show"}).click();
        const view = new URLSearchParams(new URL(page.url()).hash.slice(1));
        const told = `Layer ${view.get("layer")}${view.has("slot") ? `, expert ${view.get("slot")}` : ""}:`;
        assert.ok(text.startsWith(told) && text.includes(view.get("proj")), `${told} of ${text}`);
        if (view.has("metric")) assert.equal(await metric.inputValue(), view.get("metric"));
        const mark = panelOf(page, view.get("proj")).locator(".cell-mark");
        await mark.waitFor({state: "visible"});
        if (view.has("slot")) {
          const {x, y, width, height} = await mark.boundingBox();
          await page.mouse.move(x + width / 2, y + height / 2);
          const place = `layer ${view.get("layer")} · expert ${view.get("slot")} · ${view.get("proj")}`;
          assert.equal((await tipOf(page)).title, place);
        }
      }
      for (let i = findings.length; i > 0; --i) await page.goBack();
      await page.waitForFunction(() => location.hash === "");
      assert.equal(await metric.inputValue(), "w_rel_fro");
      assert.ok(await page.locator(".cell-mark").first().isHidden());
    }));

  test("an address opens the view that it names", () =>
    open(
      {
        hash: "#metric=zero_share&scheme=affine_q8_g32&show=up_proj&proj=up_proj&layer=3&slot=9&open=1",
      },
      async (page) => {
        assert.equal(await page.getByLabel("Metric", {exact: true}).inputValue(), "zero_share");
        await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
        assert.equal(await page.locator(".matrix h3").textContent(), "Layer 3, expert 9, up_proj");
        assert.equal(await page.locator(".panel:visible").count(), 1);
      },
    ));

  test("an address that names nothing known is the page as it begins", () =>
    open(
      {
        hash: "#metric=nothing&scheme=none&show=x&proj=y&layer=77&slot=-1&open=1&limit=-3&judge=no&%=%",
      },
      async (page) => {
        assert.equal(await page.getByLabel("Metric", {exact: true}).inputValue(), "w_rel_fro");
        assert.equal(await page.locator(".panel:visible").count(), PROJS.length);
        assert.ok(await page.locator(".matrix").isHidden());
      },
    ));

  test("any two schemes are compared matrix by matrix, and the configuration's pairs at a click", () =>
    open({}, async (page) => {
      const part = page.locator("#pairs");
      const agrees = async (a, b) => {
        await part.locator(".pair > p", {hasText: `${a} has less error than ${b}`}).waitFor();
        const difference = rows({scheme: a}).map((row, i) => row.w_rel_fro - rows({scheme: b})[i].w_rel_fro);
        const text = await part.textContent();
        const [, share, median] =
          /in ([\d.]+) % of the 192 matrices; the median difference is ([-\d.e]+)\./.exec(text);
        const below = difference.filter((d) => d < 0).length / difference.length;
        assert.equal(Number(share), Number((100 * below).toPrecision(3)), text);
        assert.equal(Number(median), Number(quantileOf(difference, 0.5).toPrecision(3)), text);
        for (const chart of await part.locator(".chart").all()) {
          await drawn(chart);
          assert.ok((await inkOf(chart)).colours >= 8);
        }
      };
      await part.scrollIntoViewIfNeeded();
      await agrees("mxfp4_g32", "affine_q4_g32");
      await part.getByRole("button", {name: "q8_minus_mxfp4"}).click();
      await agrees("affine_q8_g32", "mxfp4_g32");
      await part.getByLabel("against", {exact: true}).selectOption({label: "affine_q4_g32"});
      await agrees("affine_q8_g32", "affine_q4_g32");
      assert.match(page.url(), /a=affine_q8_g32&b=affine_q4_g32/);
      await page.goBack();
      await agrees("affine_q8_g32", "mxfp4_g32");
      // A scheme is not compared with itself: the two trade places.
      await part.getByLabel("against", {exact: true}).selectOption({label: "affine_q8_g32"});
      await agrees("mxfp4_g32", "affine_q8_g32");
      await page.evaluate(() => {
        location.hash = "#a=mxfp4_g32&b=mxfp4_g32";
      });
      await agrees("mxfp4_g32", "affine_q4_g32");
    }));

  test("a point of a pair tells its matrix and opens it; the largest differences are named", () =>
    open({}, async (page) => {
      const [a, b] = ["mxfp4_g32", "affine_q4_g32"];
      const part = page.locator(".pair").first();
      const scatter = part.locator(".chart").first();
      await part.scrollIntoViewIfNeeded();
      await part.getByText("They differ most about").waitFor();
      await drawn(scatter);
      const placeOf = (row) => `layer ${row.layer} · expert ${row.expert_id} · ${row.proj}`;
      const others = rows({scheme: b});
      const farthest = rows({scheme: a})
        .map((row, i) => ({row, other: others[i], by: Math.abs(row.w_rel_fro - others[i].w_rel_fro)}))
        .sort((x, y) => y.by - x.by)
        .slice(0, 3);
      const items = await part.locator("li").allTextContents();
      items.forEach((text, i) => {
        const {row, other} = farthest[i];
        const [, place, underA, underB] = /^(.*): ([\d.]+) under mxfp4_g32, ([\d.]+) under/.exec(text);
        assert.equal(place, placeOf(row));
        assertClose(underA, row.w_rel_fro, text);
        assertClose(underB, other.w_rel_fro, text);
      });
      assert.equal(items.length, 3);

      // Somewhere on the canvas is a point, and what it tells is the table's.
      await scatter.scrollIntoViewIfNeeded();
      const at = (await placesWithTips(scatter))[0];
      await page.mouse.move(at.x, at.y);
      const {title, numbers} = await tipOf(page);
      const row = rows({scheme: a}).find((one) => placeOf(one) === title);
      assertClose(numbers[`under ${a}`], row.w_rel_fro, title);
      await page.mouse.click(at.x, at.y);
      await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
      const heading = `Layer ${row.layer}, expert ${row.expert_id}, ${row.proj}`;
      assert.equal(await page.locator(".matrix h3").textContent(), heading);
      await page.keyboard.press("Escape");
      await part.locator("li button").first().click();
      await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
    }));

  // ---- dark, paper, phone ----

  test("dark is dark, light is light, and the button changes it", async () => {
    const brightness = (page) =>
      page.evaluate(() => {
        const parts = getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).slice(0, 3);
        return parts.reduce((sum, part) => sum + Number(part), 0) / 3;
      });
    for (const [colorScheme, isDark] of [
      ["dark", true],
      ["light", false],
    ]) {
      await open({colorScheme}, async (page) => {
        const chart = page.locator(".chart.tall");
        const corner = async () => {
          await drawn(chart);
          const {x, y} = await chart.boundingBox();
          return Number((await pixelAt(chart, {x: x + 2, y: y + 2})).split(",")[0]);
        };
        assert.equal((await brightness(page)) < 60, isDark);
        assert.equal((await corner()) < 60, isDark);
        await page.getByRole("button", {name: "Theme: auto"}).click();
        assert.ok((await brightness(page)) > 200 && (await corner()) > 200);
        await page.getByRole("button", {name: "Theme: light"}).click();
        assert.ok((await brightness(page)) < 60 && (await corner()) < 60);
      });
    }
  });

  test("paper is light and has every chart", () =>
    open({colorScheme: "dark"}, async (page) => {
      await page.waitForFunction(() =>
        [...document.querySelectorAll(".pair > p")].every((summary) => summary.textContent),
      ); // computed when the page had time, though no one came near
      await page.emulateMedia({media: "print"});
      await page.waitForFunction(() =>
        [...document.querySelectorAll(".chart")].every(
          (chart) => chart.dataset.drawn > 0 && !chart.dataset.stale,
        ),
      );
      for (const chart of await page.locator(".chart").all()) {
        const ink = await inkOf(chart);
        assert.ok(ink.colours >= 8 && ink.share > 0.005, await chart.getAttribute("aria-label"));
      }
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
      assert.ok(await page.locator("nav").isHidden());
      assert.ok(
        await page.evaluate(() =>
          [...document.querySelectorAll(".chart")].every(
            (chart) => chart.getBoundingClientRect().width <= 681,
          ),
        ),
      ); // 180 mm
      // Colours that are read, not seen only; long names whole; no page left empty before the heatmaps.
      const styleOf = (selector, key) =>
        page
          .locator(selector)
          .first()
          .evaluate((node, name) => getComputedStyle(node)[name], key);
      for (const coloured of [".swatch", ".dot", "#schemes .bar"]) {
        assert.equal(await styleOf(coloured, "printColorAdjust"), "exact", coloured);
      }
      assert.equal(await styleOf("figure:has(.panels)", "breakInside"), "auto");
      for (const name of await page.locator(".worst td.long .name").all()) {
        const {cut, right} = await name.evaluate((node) => ({
          cut: node.scrollWidth - node.clientWidth,
          right:
            node.getBoundingClientRect().right - document.querySelector("main").getBoundingClientRect().right,
        }));
        assert.ok(cut <= 0 && right <= 1, `${cut} ${right}: ${await name.textContent()}`);
      }
      const pdf = await page.pdf({format: "A4"});
      assert.ok(pdf.subarray(0, 5).toString() === "%PDF-" && pdf.length > 50_000);
      await page.emulateMedia({media: "screen"});
      await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
    }));

  test("a phone needs no sideways scrolling", () =>
    open({viewport: {width: 360, height: 740}, hasTouch: true, isMobile: true}, async (page) => {
      await drawAll(page);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
      const {width} = await mapOf(page, "up_proj").boundingBox();
      assert.ok(width > 280 && width <= 360, String(width));
      const at = await cellMiddle(page, {proj: "up_proj", layer: 1, expert: 2});
      await page.touchscreen.tap(at.x, at.y);
      await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
      assert.equal(await page.locator(".matrix h3").textContent(), "Layer 1, expert 2, up_proj");
    }));

  test("a tap on a heatmap presses nothing of what opens under the finger", () =>
    open({viewport: {width: 360, height: 740}, hasTouch: true, isMobile: true}, async (page) => {
      const panel = page.locator(".matrix");
      const isOpen = () => page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
      const at = await cellMiddle(page, {proj: "up_proj", layer: 3, expert: 8});
      await page.touchscreen.tap(at.x, at.y);
      await isOpen();
      const cross = await panel.getByRole("button", {name: "Close"}).boundingBox();
      const [x, y] = [cross.x + cross.width / 2, cross.y + cross.height / 2];
      await page.keyboard.press("Escape");
      // The same heatmap, moved to where the cross will be.
      await page.evaluate((down) => window.scrollBy({top: down, behavior: "instant"}), at.y - y);
      await page.touchscreen.tap(x, y);
      await isOpen();
      await page.waitForTimeout(400);
      assert.ok(await panel.isVisible());
      assert.equal(await page.locator(".matrix h3").textContent(), "Layer 3, expert 8, up_proj");
    }));

  test("the trade-off's numbers are told to a finger, and stand in a table", () =>
    open({viewport: {width: 390, height: 800}, hasTouch: true, isMobile: true}, async (page) => {
      const chart = page.locator("#schemes .chart.tall");
      await drawn(chart);
      const [at] = await placesWithTips(chart);
      await page.touchscreen.tap(5, 400);
      assert.equal(await tipOf(page), null);
      await page.touchscreen.tap(at.x, at.y);
      await page.waitForFunction(() => document.querySelector("#tip")?.hidden === false);
      const {title, numbers} = await tipOf(page);
      await page.waitForTimeout(300);
      assert.ok(await page.locator("#tip").isVisible());
      await page.getByText("The numbers of this figure").click();
      // Folded tables have no number, which would shift those behind.
      const numbered = await page.locator("caption").evaluateAll((all) =>
        all.flatMap((caption) => {
          const isNumbered = getComputedStyle(caption, "::before").content !== "none";
          return isNumbered ? [caption.textContent] : [];
        }),
      );
      assert.equal(numbered.length, 3, numbered.join()); // the sizes, the worst matrices, the rest
      const heads = page.locator("#schemes table", {hasText: "Every scheme, by projection"}).locator("tr");
      const told = new Map();
      await heads.nth(1).waitFor();
      for (const row of (await heads.all()).slice(1)) {
        const [proj, scheme, ...cells] = await row.locator("th, td").allTextContents();
        told.set(`${scheme} · ${proj}`, cells);
        const errors = rows({proj, scheme}).map((one) => one.w_rel_fro);
        [0.5, 0.9, 1].forEach((share, k) =>
          assertClose(cells[k + 1], quantileOf(errors, share), `${share} of ${scheme} ${proj}`),
        );
      }
      assert.equal(told.size, SCHEMES.length * PROJS.length);
      assert.equal(told.get(title)[1], numbers["error, median expert"].split(" ")[0]);
    }));

  test("a limit far outside leaves the trade-off's points where they were", () =>
    open({hash: "#limit=1e-30"}, async (page) => {
      const chart = page.locator("#schemes .chart.tall");
      await drawn(chart);
      const heights = (await placesWithTips(chart)).map(({y}) => y);
      const {height} = await chart.boundingBox();
      assert.ok(Math.max(...heights) - Math.min(...heights) > height / 2, String(heights));
    }));

  test("on a phone all sections are in sight at the top, or fade where they go on", () =>
    open({viewport: {width: 390, height: 800}, hasTouch: true, isMobile: true}, async (page) => {
      const button = await page.getByRole("button", {name: "Theme: auto"}).boundingBox();
      for (const link of await page.locator("nav a").all()) {
        const {x, width} = await link.boundingBox();
        assert.ok(x >= 0 && x + width <= button.x - 16, await link.textContent());
      }
      await page.setViewportSize({width: 320, height: 800});
      const {isCut, mask} = await page.locator("nav ul").evaluate((list) => ({
        isCut: list.scrollWidth > list.clientWidth,
        mask: getComputedStyle(list).maskImage,
      }));
      assert.ok(isCut && mask.startsWith("linear-gradient"), mask);
    }));
});
