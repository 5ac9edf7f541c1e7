// The report in a real browser, on a small run whose numbers are all compared with its tables.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {after, before, describe, test} from "node:test";
import {assertClose, cellMiddle, drawn, hover, inkOf, launch, makeRun, panelOf, pixelAt, rowsOf, withPage} from "./browser.mjs";

const PROJS = ["down_proj", "gate_proj", "up_proj"];
const DEAD = {layer: 1, expert: 7}; // of the demo model
const parsed = (text) => text.trim().split("\r\n").map((line) => line.split(","));

describe("the report of a small run", () => {
  let browser, run, stats, quant;
  const open = (options, use) => withPage(browser, run.page, options, use);
  const numberOf = (rows, proj, layer, expert, metric, scheme) => rows.find((row) => row.proj === proj && row.layer === layer &&
    row.expert_id === expert && (!scheme || row.scheme === scheme))[metric];
  const show = async (page, metric, scheme) => {
    await page.getByLabel("Metric", {exact: true}).selectOption(metric);
    if (scheme) await page.getByLabel("Scheme", {exact: true}).selectOption({label: scheme});
  };

  before(async () => {
    [run, browser] = [makeRun("small"), await launch()];
    [stats, quant] = [rowsOf(run.matrix_stats), rowsOf(run.quant_sim)];
  });
  after(async () => {
    await browser?.close();
    run?.remove();
  });

  test("every chart draws, in pixels", () => open({}, async (page) => {
    const charts = await page.locator(".chart").all();
    assert.equal(charts.length, 13); // trade-off, plan, scale, 3 heatmaps, 3 lines, 2 x (scatter, histogram)
    for (const chart of charts) {
      await drawn(chart);
      const ink = await inkOf(chart);
      const name = await chart.getAttribute("aria-label");
      assert.ok(ink.colours >= 8 && ink.share > 0.005, `${name}: ${JSON.stringify(ink)}`);
    }
  }));

  test("a hovered cell tells the table's number, whatever metric, scheme and projection", () => open({}, async (page) => {
    for (const [metric, scheme] of [["w_rel_fro", "affine_q4_g32"], ["w_rel_fro", "mxfp4_g32"], ["sqnr_db", "affine_q8_g32"],
      ["max_abs_err", "mxfp4_g32"], ["rms", null], ["outlier_p999_over_median", null], ["g64_max_outlier", null]]) {
      await show(page, metric, scheme);
      for (const [proj, layer, expert] of [["down_proj", 0, 3], ["gate_proj", 3, 15], ["up_proj", 2, 0]]) {
        const {title, numbers} = await hover(page, proj, layer, expert);
        assert.equal(title, `layer ${layer} · expert ${expert} · ${proj}`);
        assertClose(Object.values(numbers)[0], numberOf(scheme ? quant : stats, proj, layer, expert, metric, scheme),
          `${metric} ${scheme} ${title}`);
      }
    }
  }));

  test("colours follow the values", () => open({hash: "#metric=rms"}, async (page) => {
    const top = stats.reduce((a, b) => (b.rms > a.rms ? b : a));
    const heatmap = panelOf(page, top.proj).locator(".heatmap");
    const colourOf = async (layer, expert) => pixelAt(heatmap, await cellMiddle(page, top.proj, layer, expert));
    const dead = await colourOf(DEAD.layer, DEAD.expert), usual = await colourOf(0, 0);
    assert.equal(numberOf(stats, top.proj, DEAD.layer, DEAD.expert, "rms"), 0);
    assert.equal(dead, "68,1,84"); // the ends of viridis
    assert.equal(await colourOf(top.layer, top.expert_id), "253,231,37");
    assert.notEqual(usual, dead);
    await show(page, "w_rel_fro", "affine_q4_g32"); // where the usual expert is near the upper end
    await drawn(heatmap);
    assert.notEqual(await colourOf(0, 0), usual);
  }));

  test("lines over layers are the quantiles of the table", () => open({hash: "#metric=w_rel_fro&scheme=mxfp4_g32"}, async (page) => {
    const values = quant.filter((row) => row.scheme === "mxfp4_g32" && row.proj === "gate_proj" && row.layer === 2)
      .map((row) => row.w_rel_fro).sort((a, b) => a - b);
    const quantile = (share) => {
      const at = share * (values.length - 1), low = Math.floor(at);
      return values[low] + (values[Math.min(low + 1, values.length - 1)] - values[low]) * (at - low);
    };
    const at = await cellMiddle(page, "gate_proj", 2, 0);
    const lines = panelOf(page, "gate_proj").locator(".lines");
    await drawn(lines);
    const box = await lines.boundingBox();
    await page.mouse.move(at.x, box.y + 40);
    const tip = page.locator("#tip");
    assert.equal(await tip.locator("strong").textContent(), "layer 2 · gate_proj");
    const [max, p99, p90, median] = await tip.locator("dd").allTextContents();
    for (const [shown, share] of [[max, 1], [p99, 0.99], [p90, 0.9], [median, 0.5]]) assertClose(shown, quantile(share), `quantile ${share}`);
  }));

  test("the choice takes the fewest bits under the limit", () => open({}, async (page) => {
    // By hand from the table: for each layer and projection the cheapest scheme whose worst expert is under it.
    const limit = 0.09;
    let bits = 0, weights = 0;
    for (const proj of PROJS) for (let layer = 0; layer < 4; ++layer) {
      const schemes = [...new Set(quant.map((row) => row.scheme))].map((scheme) => {
        const rows = quant.filter((row) => row.scheme === scheme && row.proj === proj && row.layer === layer);
        return {worst: Math.max(...rows.map((row) => row.w_rel_fro)), cost: rows[0].bits_per_weight,
          weights: rows.reduce((sum, row) => sum + row.rows * row.cols, 0)};
      });
      const best = schemes.filter(({worst}) => worst <= limit).sort((a, b) => a.cost - b.cost)[0];
      bits += best.cost * best.weights;
      weights += best.weights;
    }
    assert.ok(bits / weights > 5 && bits / weights < 9); // a mixture
    await page.getByLabel("worst expert", {exact: true}).check();
    await page.getByRole("spinbutton").fill(String(limit));
    await page.getByRole("spinbutton").press("Enter");
    const verdict = page.locator(".verdict");
    await page.waitForFunction(() => document.querySelector(".verdict").textContent.includes("at or below 0.09"));
    const [, megabytes, perWeight] = /^([\d.]+) MB, ([\d.]+) bits per weight/.exec(await verdict.textContent());
    assert.equal(Number(megabytes), Number((bits / 8 / 1e6).toPrecision(3)));
    assert.equal(Number(perWeight), Number((bits / weights).toPrecision(3)));
  }));

  test("where no scheme meets the limit the page says so", () => open({hash: "#limit=0.001&judge=max"}, async (page) => {
    // Only layer 1's dead expert has no error, so no layer and projection is under it.
    assert.match(await page.locator(".remarks").textContent(), /No scheme meets the limit in 12 of the choices \(of 12\)/);
  }));

  test("the worst matrices are the table's, sorted, filtered, copied and saved", () => open({}, async (page, context) => {
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await show(page, "w_rel_fro", "mxfp4_g32");
    const worst = quant.filter((row) => row.scheme === "mxfp4_g32").sort((a, b) => b.w_rel_fro - a.w_rel_fro).slice(0, 50);
    const table = page.locator(".worst table");
    const cells = async () => Promise.all((await table.locator("tbody tr").all()).map(async (row) => row.locator("th, td").allTextContents()));
    await page.waitForFunction(() => document.querySelector(".worst caption")?.textContent.includes("mxfp4_g32"));
    const shown = await cells();
    assert.equal(shown.length, 50);
    shown.forEach((row, i) => assertClose(row[3], worst[i].w_rel_fro, `row ${i}`));
    assert.deepEqual(shown.slice(0, 3).map((row) => row.slice(0, 3)), worst.slice(0, 3).map((row) => [String(row.layer), String(row.expert_id), row.proj]));

    await table.getByRole("button", {name: "Relative error"}).click();
    const falling = (await cells()).map((row) => Number(row[3]));
    await table.getByRole("button", {name: "Relative error"}).click();
    const rising = (await cells()).map((row) => Number(row[3]));
    assert.deepEqual(falling, [...falling].sort((a, b) => b - a));
    assert.deepEqual(rising, [...rising].sort((a, b) => a - b));

    await page.getByLabel(/^Filter/).fill("layer=3 proj=down experts.1");
    await page.waitForFunction(() => document.querySelector(".worst .table-box").dataset.rows === "7"); // 1, 10 to 15
    for (const row of await cells()) assert.deepEqual([row[0], row[2]], ["3", "down_proj"]);

    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", {name: "Download CSV"}).click()]);
    const [head, ...lines] = parsed(readFileSync(await download.path(), "utf8"));
    assert.equal(head.slice(0, 4).join(), "layer,expert,proj,w_rel_fro");
    assert.equal(lines.length, 7);
    for (const line of lines) assertClose(line[3], numberOf(quant, line[2], Number(line[0]), Number(line[1]), "w_rel_fro", "mxfp4_g32"), line.join());
    await page.locator(".worst").getByRole("button", {name: "Copy"}).click();
    await page.waitForFunction(() => [...document.querySelectorAll(".worst button")].some((button) => button.textContent === "Copied"));
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(copied.split("\n").length, 8);
    assert.match(copied, /^layer\texpert\tproj\tw_rel_fro/);
  }));

  test("a click opens the matrix's row with every scheme's numbers", () => open({hash: "#metric=rms"}, async (page) => {
    const at = await cellMiddle(page, "gate_proj", 2, 11);
    await page.mouse.click(at.x, at.y);
    const panel = page.getByRole("dialog");
    await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
    assert.match(await panel.textContent(), /model\.layers\.2\.mlp\.experts\.11\.gate_proj\.weight::gate_proj/);
    const scheme = panel.getByRole("row", {name: /^mxfp4_g32/});
    assertClose((await scheme.locator("td").allTextContents())[0], numberOf(quant, "gate_proj", 2, 11, "w_rel_fro", "mxfp4_g32"), "w_rel_fro");
    const weights = panel.getByRole("row", {name: /^RMS/});
    assertClose((await weights.locator("td").allTextContents())[0], numberOf(stats, "gate_proj", 2, 11, "rms"), "rms");
    await page.keyboard.press("Escape");
    assert.ok(await panel.isHidden());
  }));

  test("the keyboard walks the heatmap, opens a matrix and comes back", () => open({hash: "#metric=rms"}, async (page) => {
    const heatmap = panelOf(page, "down_proj").locator(".heatmap");
    await drawn(heatmap);
    await heatmap.focus();
    for (const key of ["ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft"]) await page.keyboard.press(key);
    const spoken = await page.locator("[aria-live=polite]").textContent();
    const expected = numberOf(stats, "down_proj", 1, 2, "rms");
    assert.match(spoken, /^layer 1 · expert 2 · down_proj: RMS/);
    assertClose(/RMS ([\d.e-]+)/.exec(spoken)[1], expected, spoken);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
    assert.equal(await page.locator(".matrix h3").textContent(), "Layer 1, expert 2, down_proj");
    await page.keyboard.press("Escape");
    assert.equal(await heatmap.evaluate((node) => node === document.activeElement), true);
  }));

  test("every control is reached by the tabulator", () => open({}, async (page) => {
    const seen = new Set();
    for (let i = 0; i < 120; ++i) {
      await page.keyboard.press("Tab");
      seen.add(await page.evaluate(() => {
        const at = document.activeElement;
        return at.classList.contains("heatmap") ? "heatmap" : at.type === "radio" ? `radio ${at.value}` : at.type || at.tagName.toLowerCase();
      }));
    }
    for (const kind of ["heatmap", "range", "number", "select-one", "checkbox", "search", "a", "button"]) assert.ok(seen.has(kind), `${kind}: ${[...seen]}`);
  }));

  test("zooming one heatmap zooms all", () => open({}, async (page) => {
    const from = await cellMiddle(page, "down_proj", 1, 4), to = await cellMiddle(page, "down_proj", 2, 8);
    await page.mouse.move(from.x, from.y);
    await page.mouse.down();
    await page.mouse.move(to.x, to.y, {steps: 4});
    await page.mouse.up();
    for (const proj of PROJS) {
      const heatmap = panelOf(page, proj).locator(".heatmap");
      await drawn(heatmap);
      const box = await heatmap.boundingBox();
      await page.mouse.move(box.x + 60, box.y + 16); // just inside of the upper left corner
      assert.equal(await page.locator("#tip strong").textContent(), `layer 1 · expert 4 · ${proj}`);
    }
    await page.getByRole("button", {name: "Show all"}).click();
    const heatmap = panelOf(page, "up_proj").locator(".heatmap");
    await drawn(heatmap);
    const box = await heatmap.boundingBox();
    await page.mouse.move(box.x + 60, box.y + 16);
    assert.equal(await page.locator("#tip strong").textContent(), "layer 0 · expert 0 · up_proj");
  }));

  test("projections can be left out", () => open({}, async (page) => {
    await drawn(panelOf(page, "up_proj").locator(".heatmap"));
    await page.locator(".projections").getByLabel("gate_proj").uncheck();
    await panelOf(page, "gate_proj").waitFor({state: "hidden"});
    assert.ok(await panelOf(page, "up_proj").isVisible());
    assert.match(page.url(), /show=down_proj%2Cup_proj/);
  }));

  test("a finding leads to its cell, and the back button back", () => open({}, async (page) => {
    const finding = page.locator(".findings li", {hasText: "Layer 2, expert 11"});
    await finding.getByRole("link", {name: "Show"}).click();
    await page.waitForFunction(() => document.querySelector(".where-controls select").value === "rms");
    const mark = panelOf(page, "up_proj").locator(".cell-mark");
    await mark.waitFor({state: "visible"});
    const {x, y, width, height} = await mark.boundingBox();
    await page.mouse.move(x + width / 2, y + height / 2);
    assert.equal(await page.locator("#tip strong").textContent(), "layer 2 · expert 11 · up_proj");
    await page.goBack();
    await page.waitForFunction(() => document.querySelector(".where-controls select").value === "w_rel_fro");
  }));

  test("an address opens the view that it names", () => open({hash: "#metric=zero_share&scheme=affine_q8_g32&show=up_proj&proj=up_proj&layer=3&slot=9&open=1"}, async (page) => {
    assert.equal(await page.getByLabel("Metric", {exact: true}).inputValue(), "zero_share");
    await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
    assert.equal(await page.locator(".matrix h3").textContent(), "Layer 3, expert 9, up_proj");
  }));

  test("each metric tells what it means", () => open({}, async (page) => {
    const word = page.getByRole("button", {name: "How it is computed"});
    await word.scrollIntoViewIfNeeded();
    await word.hover();
    assert.match(await page.locator("#tip").textContent(), /sqrt\(sum d\^2\)/);
  }));

  test("facts of the model and the run, and all six parts, are there", () => open({}, async (page) => {
    const model = await page.locator("#model").textContent();
    for (const part of ["qwen3_moe", "bfloat16 (16 bits per weight)", "25.2 million weights", "512 × 256", "mlx-cpu", "bf16", "100 % of 25.2 million"]) {
      assert.ok(model.includes(part), part);
    }
    assert.equal(await page.locator("main > section").count(), 6);
    for (const caption of await page.locator("figcaption").allTextContents()) assert.ok(caption.length > 60, caption);
    assert.match(await page.locator("#limits").textContent(), /KL divergence/);
    assert.match(await page.locator("footer").textContent(), /Apache License/);
  }));

  test("dark is dark, light is light, and the button changes it", async () => {
    const brightness = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3);
    for (const [colorScheme, dark] of [["dark", true], ["light", false]]) {
      await open({colorScheme}, async (page) => {
        const chart = page.locator(".chart.tall");
        await drawn(chart);
        const {x, y} = await chart.boundingBox();
        const corner = (await pixelAt(chart, {x: x + 2, y: y + 2})).split(",").map(Number);
        assert.equal(await brightness(page) < 60, dark);
        assert.equal(corner[0] < 60, dark);
        await page.getByRole("button", {name: "Theme: auto"}).click(); // to light
        await page.getByRole("button", {name: "Theme: light"}).click(); // to dark
        assert.ok(await brightness(page) < 60);
      });
    }
  });

  test("paper is light and has every chart", () => open({colorScheme: "dark"}, async (page) => {
    await page.waitForFunction(() => [...document.querySelectorAll("#pairs .chart")].every((chart) => chart.dataset.drawn !== undefined));
    await page.emulateMedia({media: "print"});
    await page.waitForFunction(() => [...document.querySelectorAll(".chart")].every((chart) => chart.dataset.drawn > 0 && !chart.dataset.stale));
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
    assert.ok(await page.locator("nav").isHidden());
    const pdf = await page.pdf({format: "A4"});
    assert.ok(pdf.subarray(0, 5).toString() === "%PDF-" && pdf.length > 50_000);
    await page.emulateMedia({media: "screen"});
    await page.waitForFunction(() => document.documentElement.dataset.theme === "dark");
  }));

  test("a phone needs no sideways scrolling", () => open({viewport: {width: 360, height: 740}, hasTouch: true, isMobile: true}, async (page) => {
    for (const chart of await page.locator(".chart").all()) await drawn(chart);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    const {width} = await panelOf(page, "up_proj").locator(".heatmap").boundingBox();
    assert.ok(width > 280 && width <= 360, String(width));
  }));
});
