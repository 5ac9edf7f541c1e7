// The report of runs that lack something, or have what most do not.
import assert from "node:assert/strict";
import {existsSync, readFileSync} from "node:fs";
import {after, before, describe, test} from "node:test";
import {
  askTable,
  assertClose,
  drawAll,
  hover,
  inkOf,
  launch,
  makeRun,
  panelOf,
  quantileOf,
  rowsOf,
  withPage,
} from "./browser.mjs";

describe("the report of an odd run", () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  /** Opens the page of a kind of run, draws all of it, and sees that it is a whole page. */
  const inspect = (kind, use) => async () => {
    const run = makeRun(kind);
    try {
      await withPage(browser, run.page, {}, async (page) => {
        await drawAll(page);
        const hasRest = existsSync(`${run.runDir}/data/dense_stats.parquet`);
        assert.equal(await page.locator("main > section > h2").count(), hasRest ? 7 : 6);
        assert.equal(await page.locator("nav li").count(), hasRest ? 7 : 6);
        await use(page, rowsOf(run.matrix_stats), rowsOf(run.quant_sim), run);
      });
    } finally {
      run.remove();
    }
  };
  const section = (page, id) => page.locator(`#${id}`).textContent();
  /** Chooses by a limit, and which one. */
  const limitTo = async (page, limit) => {
    await page.locator("#schemes").getByLabel("by a limit of the error").check();
    await page.locator(".limit-controls .limit-number").fill(String(limit));
    await page.locator(".limit-controls .limit-number").press("Enter");
  };
  const charts = (page, id) => page.locator(`#${id} .chart`).count();

  test(
    "shared experts have rows, points and choices of their own",
    inspect("shared", async (page, stats, quant) => {
      const row = quant.find(
        (one) =>
          one.scheme === "affine_q4_g32" &&
          one.layer === 1 &&
          one.proj === "up_proj" &&
          one.derived_tensor.endsWith("[1]"),
      );
      const {title, numbers} = await hover(page, {
        proj: "up_proj",
        layer: 1,
        expert: "shared 2",
      });
      assert.equal(title, "layer 1 · shared 2 · up_proj");
      assert.match(await section(page, "model"), /3 layers have experts: 6 routed and 2 shared in each\./);
      assertClose(Object.values(numbers)[0], row.w_rel_fro, title);
      assert.match(await page.locator("#schemes .choice-tables").textContent(), /up_proj, shared/);
      await page.getByRole("group", {name: "Experts"}).getByLabel("routed").check();
      await page.waitForFunction(
        () =>
          ![...document.querySelectorAll(".worst tbody td")].some((cell) =>
            cell.textContent.startsWith("shared"),
          ),
      );
      await page.getByRole("group", {name: "Experts"}).getByLabel("shared").check();
      await page.waitForFunction(() => document.querySelectorAll(".worst tbody tr").length === 18);
      await page.getByLabel(/^Filter/).fill('expert="shared 2"');
      await page.waitForFunction(() => document.querySelectorAll(".worst tbody tr").length === 9);
    }),
  );

  test(
    "layers of a second stack have a name of their own",
    inspect("stack", async (page, stats) => {
      const row = stats.find((one) => one.stack === "mtp" && one.proj === "gate_proj" && one.expert_id === 3);
      await page.getByLabel("Metric", {exact: true}).selectOption("rms");
      const {title, numbers} = await hover(page, {
        proj: "gate_proj",
        layer: "mtp 0",
        expert: 3,
      });
      assert.equal(title, "layer mtp 0 · expert 3 · gate_proj");
      assertClose(Object.values(numbers)[0], row.rms, title);
      for (const [filter, labels] of [
        ["layer=0 expert=3", ["0", "mtp 0"]],
        ["layer=mtp expert=3", ["mtp 0"]],
        ['layer="mtp 0" expert=3', ["mtp 0"]],
      ]) {
        await page.getByLabel(/^Filter/).fill(filter);
        await page.waitForFunction(
          (n) => document.querySelectorAll(".worst tbody tr").length === n,
          labels.length * 3,
        );
        const shown = await page.locator(".worst tbody th").allTextContents();
        assert.deepEqual([...new Set(shown)].sort(), labels);
      }
    }),
  );

  test(
    "matrices of unknown layers are all there",
    inspect("unknown_layers", async (page, stats, quant) => {
      const rows = await page
        .locator(".worst tbody tr")
        .evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
      assert.ok(rows.every(([layer]) => layer === "?"));
      const worst = quant
        .filter((row) => row.scheme === "affine_q4_g32")
        .sort((a, b) => b.w_rel_fro - a.w_rel_fro);
      rows.forEach((row, i) => assertClose(row[3], worst[i].w_rel_fro, `row ${i}`));
    }),
  );

  test(
    "one scheme and one projection are enough",
    inspect("single", async (page, stats, quant) => {
      assert.equal(await page.locator(".panel").count(), 1);
      assert.equal(await page.getByRole("group", {name: "Projections"}).count(), 0);
      const {numbers} = await hover(page, {proj: "up_proj", layer: 2, expert: 7});
      const row = quant.find((one) => one.layer === 2 && one.expert_id === 7);
      assertClose(Object.values(numbers)[0], row.w_rel_fro, "up_proj");
      assert.match(await page.locator(".verdict").textContent(), /4\.25 bits per weight/);
    }),
  );

  test(
    "without a simulation the weights are shown",
    inspect("no_schemes", async (page, stats) => {
      assert.match(await section(page, "schemes"), /No quantization scheme was simulated/);
      assert.equal(await charts(page, "schemes"), 0);
      assert.equal(await page.getByLabel("Scheme", {exact: true}).count(), 0);
      const {numbers} = await hover(page, {proj: "gate_proj", layer: 0, expert: 4});
      const row = stats.find((one) => one.proj === "gate_proj" && one.layer === 0 && one.expert_id === 4);
      assertClose(numbers.RMS, row.rms, "rms");
    }),
  );

  test(
    "without matrices each part says so",
    inspect("no_matrices", async (page) => {
      assert.equal(await page.locator(".chart").count(), 0);
      assert.match(await section(page, "model"), /no expert matrices/);
      assert.match(await section(page, "where"), /no matrices/);
      assert.match(await section(page, "odd"), /no matrices/);
    }),
  );

  test(
    "failed schemes and matrices without errors are told, and not chosen",
    inspect("failures", async (page, stats, quant) => {
      assert.match(
        await section(page, "model"),
        /mxfp4_g32 failed for 63 matrices: ValueError: not divisible by 48/,
      );
      const schemes = await section(page, "schemes");
      assert.match(schemes, /mxfp4_g32 has no error for 63 matrices that another scheme could quantize/);
      assert.match(schemes, /affine_q4_g32 has no error for 9 matrices/);
      assert.match(schemes, /9 matrices have no error under any scheme/);
      await limitTo(page, 0.5);
      const sizes = await page.locator("#schemes table", {hasText: "The choice"}).textContent();
      // In each layer and projection another scheme did what these could not.
      assert.match(sizes, /affine_q4_g32 fits 54 of 72 matrices[^a]*9 failed/);
      assert.match(sizes, /mxfp4_g32 fits no matrix–+9 failed/);
      // affine_q4_g32 is cheaper and under this limit, but it failed on an expert of each layer.
      assert.match(
        await page.locator(".choice-tables").textContent(),
        /^(?!.*affine_q4).*affine_q8_g32 in layers 0–2/,
      );
      await page.getByLabel("Scheme", {exact: true}).selectOption({label: "mxfp4_g32"});
      assert.match(await section(page, "where"), /no value for any of these matrices under this scheme/);
      await page.getByLabel("Scheme", {exact: true}).selectOption({label: "affine_q4_g32"});
      assert.match(await section(page, "where"), /18 of 72 matrices have no value/);
      const {numbers} = await hover(page, {proj: "up_proj", layer: 0, expert: 3});
      assert.equal(Object.values(numbers)[0], "–");
      const ink = await inkOf(panelOf(page, "up_proj").locator(".heatmap"));
      assert.ok(ink.colours > 8, JSON.stringify(ink));
    }),
  );

  test(
    "a run of mlx-quant-toolkit is enough",
    inspect("foreign", async (page, stats, quant) => {
      const {numbers} = await hover(page, {proj: "down_proj", layer: 1, expert: 6});
      const row = quant.find(
        (one) =>
          one.proj === "down_proj" &&
          one.layer === 1 &&
          one.expert_id === 6 &&
          one.scheme === "affine_q4_g32",
      );
      assertClose(Object.values(numbers)[0], row.w_rel_fro, "w_rel_fro");
      // Bits by the schemes' definitions: 4 + 32 / 32.
      const sizes = await page.locator("#schemes table", {hasText: "The choice"}).textContent();
      const weights = stats.reduce((sum, one) => sum + one.rows * one.cols, 0);
      assert.ok(sizes.includes(`${Number(((weights * 5) / 8e6).toPrecision(3))} MB`), sizes);
      assert.match(sizes, /stored now–/);
    }),
  );

  test(
    "metrics that the page was not told about work too",
    inspect("unknown_metric", async (page, stats, quant) => {
      const metric = page.getByLabel("Metric", {exact: true});
      await metric.selectOption("<b>glow</b>");
      const {numbers} = await hover(page, {proj: "up_proj", layer: 1, expert: 1});
      const glow = stats.find((one) => one.proj === "up_proj" && one.layer === 1 && one.expert_id === 1)[
        "<b>glow</b>"
      ];
      assertClose(numbers["<b>glow</b>"], glow, "glow");
      assert.equal(await page.locator("main b", {hasText: /^glow$/}).count(), 0);
      await metric.selectOption("w_rel_spectral");
      const layer = quant.filter(
        (one) => one.proj === "up_proj" && one.layer === 1 && one.scheme === "affine_q4_g32",
      );
      const told = await hover(page, {proj: "up_proj", layer: 1, expert: 1});
      assertClose(
        Object.values(told.numbers)[1],
        quantileOf(
          layer.map((one) => one.w_rel_spectral),
          0.5,
        ),
        "median",
      );
      await metric.selectOption("void");
      assert.match(await section(page, "where"), /void has no value for any of these matrices/);
      await metric.selectOption("rms");
      await drawAll(page);
    }),
  );

  test(
    "sizes of a quantized checkpoint are as stored, and add up",
    inspect("quantized", async (page, stats, quant, {runDir}) => {
      const {roles} = JSON.parse(readFileSync(`${runDir}/logs/run_health.json`, "utf8"));
      const all = Object.values(roles).reduce((sum, {bytes}) => sum + bytes, 0);
      const stored =
        stats.reduce((sum, one) => sum + one.rows * one.cols * one.storage_bits_per_weight, 0) / 8;
      const kilobytes = (size) => `${Number((size / 1e3).toPrecision(3))} kB`;
      assert.ok((await section(page, "model")).includes("sizes as stored"));
      const schemes = await section(page, "schemes");
      assert.ok(schemes.includes(`and so on: ${kilobytes(all - stored)}, as stored`), schemes);
      assert.doesNotMatch(schemes, /\.\. /);
      assert.ok((await page.locator(".answer").textContent()).includes(`the rest as it is stored now`));
      assert.equal(await page.getByLabel("Rest of the model counted at").count(), 0);
      const now = page.locator("#schemes tr.stored");
      assert.ok((await now.textContent()).includes(kilobytes(stored)));
      assert.doesNotMatch(await page.locator("main").textContent(), /after decoding/);
    }),
  );

  test(
    "where every scheme failed the page says so, and where the reasons stand",
    inspect("all_failed", async (page) => {
      const schemes = await section(page, "schemes");
      assert.match(schemes, /No scheme could be applied to any matrix/);
      assert.equal(await charts(page, "schemes"), 0);
      await page.locator("#schemes").getByRole("link", {name: "The first section"}).click();
      assert.match(await section(page, "model"), /failed for 72 matrices: ValueError: not divisible by 48/);
      assert.ok(await page.locator("#model-title").evaluate((title) => title === document.activeElement));
    }),
  );

  test(
    "where no scheme errs there is nothing to choose",
    inspect("exact", async (page) => {
      assert.match(await section(page, "schemes"), /No matrix has an error above zero under any scheme/);
    }),
  );

  test(
    "a proposal larger than a quantized checkpoint says that keeping it costs nothing",
    inspect("quantized", async (page) => {
      // affine_q8_g32 alone is under such a limit: 9 bits against the 4.625 that are stored.
      await limitTo(page, 0.006);
      const verdict = await page.locator(".verdict").textContent();
      assert.match(verdict, /larger than the 78\.1 kB stored now: keeping those costs no further error/);
      assert.match(await page.locator(".remarks").textContent(), /come on top of those of the earlier/);
    }),
  );

  test(
    "where a scheme failed, its size counts what is stored; where all did, the limit is not called missed",
    inspect("parts_failed", async (page, stats) => {
      const weights = stats.reduce((sum, one) => sum + one.rows * one.cols, 0);
      await limitTo(page, 0.1);
      const row = page.locator("#schemes tbody tr", {hasText: "mxfp4_g32"});
      const cells = await row.locator("td").allTextContents();
      // By hand: a third of the weights takes 4.25 bits, the rest 16.
      const bits = (4.25 + 2 * 16) / 3;
      const megabytes = Number(((weights * bits) / 8e6).toPrecision(3));
      assert.deepEqual(cells.slice(0, 2), [bits.toPrecision(3), `${megabytes} MB`]);
      assert.equal(cells.at(-1), "3 of 9, 3 failed, 3 without numbers");
      const verdict = await page.locator(".verdict").textContent();
      assert.match(verdict, /: the fewest that keep .* in every layer and projection that has numbers/);
      assert.match(verdict, /affine_q4_g32 alone does so/);
      assert.match(await page.locator(".remarks").textContent(), /In 3 of 9 choices no scheme has numbers/);
    }),
  );

  test(
    "what too few experts and layers can't tell is not called fine",
    inspect("quantized", async (page) => {
      // Four routed experts in one layer.
      const odd = await section(page, "odd");
      assert.match(odd, /Nothing stands out: no expert looks dead or copied\./);
      assert.match(odd, /Too few experts in each layer \(fewer than 6\)/);
      assert.match(odd, /Too few layers \(fewer than 6\)/);
      assert.match(await section(page, "model"), /1 layer has experts: 4 routed and 1 shared\./);
    }),
  );

  test(
    "one best trade-off alone is no line",
    inspect("one_exact", async (page) => {
      const figure = await page.locator("#schemes figure").first().textContent();
      assert.doesNotMatch(figure, /best trade-off|dashed/);
    }),
  );

  test(
    "layers without experts are counted beside those with",
    inspect("dense_layer", async (page) => {
      assert.match(
        await section(page, "model"),
        /1 of 2 layers has experts: 4 routed and 1 shared\. 15 matrices of 3 projections/,
      );
      const row = page.locator("#model tbody tr", {hasText: "down_proj"}).first();
      assert.deepEqual((await row.locator("td").allTextContents()).slice(2, 5), ["1", "1", "4"]);
    }),
  );

  test(
    "the rest of the model stands by role and scheme, and its attention by layer",
    inspect("dense_layer", async (page, stats, quant, run) => {
      const error = (module, scheme) =>
        askTable(run.runDir, "dense_quant_sim", {module, scheme}, "w_rel_fro");
      const heads = ["lm_head", "model.embed_tokens"].map((module) => error(module, "mxfp4_g32"));
      const row = page.locator("#rest tbody tr", {hasText: "Embeddings"}).filter({hasText: "mxfp4_g32"});
      const cells = await row.locator("td").allTextContents();
      assert.deepEqual([cells[0], cells[3]], ["mxfp4_g32", "2"]);
      assert.equal(Number(cells[2]), Number(Math.max(...heads).toPrecision(3)));

      await page.getByText("Attention, layer by layer").click();
      const layers = page.locator("#rest details tbody tr");
      assert.equal(await layers.count(), 2);
      const projections = ["q_proj", "k_proj", "v_proj", "o_proj"].map((proj) =>
        error(`model.layers.1.self_attn.${proj}`, "affine_q8_g32"),
      );
      const last = (await layers.nth(1).locator("td").allTextContents()).at(-1);
      assert.equal(Number(last), Number(Math.max(...projections).toPrecision(3)));

      await page.setViewportSize({width: 390, height: 800});
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
    }),
  );
});
