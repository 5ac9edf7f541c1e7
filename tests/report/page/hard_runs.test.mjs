// The report of runs that are hard to show: as large as they come, and with hostile names.
import assert from "node:assert/strict";
import {after, before, describe, test} from "node:test";
import {askTable, assertClose, drawn, hover, inkOf, launch, makeRun, panelOf, withPage} from "./browser.mjs";

describe("the report of 384 experts x 61 layers x 3 projections x 10 schemes", () => {
  let browser, run;
  before(async () => {
    [run, browser] = [makeRun("large"), await launch()];
  });
  after(async () => {
    await browser?.close();
    run?.remove();
  });

  test("draws, and its cells tell the table's numbers after every switch", () =>
    withPage(browser, run.page, {}, async (page) => {
      for (const [metric, scheme, proj, layer, expert] of [
        ["w_rel_fro", "affine_q4_g32", "down_proj", 60, 383],
        ["sqnr_db", "nvfp4_g16", "gate_proj", 0, 0],
        ["zero_share", "mxfp8_g32", "up_proj", 31, 200],
        ["rms", null, "gate_proj", 12, 77],
      ]) {
        await page.getByLabel("Metric", {exact: true}).selectOption(metric);
        if (scheme) await page.getByLabel("Scheme", {exact: true}).selectOption({label: scheme});
        const {title, numbers} = await hover(page, {proj, layer, expert});
        assert.equal(title, `layer ${layer} · expert ${expert} · ${proj}`);
        const row = {proj, layer, expert_id: expert, ...(scheme ? {scheme} : {})};
        const expected = askTable(run.runDir, scheme ? "quant_sim" : "matrix_stats", row, metric);
        assertClose(Object.values(numbers)[0], expected, `${metric} ${scheme} ${title}`);
        const ink = await inkOf(panelOf(page, proj).locator(".heatmap"));
        assert.ok(ink.colours > 30 && ink.share > 0.5, JSON.stringify(ink));
      }
      for (const chart of await page.locator(".chart").all()) await drawn(chart);
      assert.doesNotMatch(await page.locator("#odd").textContent(), /Too few/);
    }));
});

describe("the report of hostile names", () => {
  let browser, run;
  before(async () => {
    [run, browser] = [makeRun("hostile"), await launch()];
  });
  after(async () => {
    await browser?.close();
    run?.remove();
  });

  test("shows them as text and runs nothing", () =>
    withPage(browser, run.page, {}, async (page) => {
      for (const chart of await page.locator(".chart").all()) await drawn(chart);
      assert.ok((await page.title()).startsWith("<script>document.title='run'</script>"));
      assert.equal(await page.locator("main img, main script, main iframe").count(), 0);
      const warnings = await page.locator("#model .note.warning").first().textContent();
      for (const part of [
        "<script>document.title='run'</script>",
        "onerror=document.title='run'",
        "line\\u000d\\u000abreak\\u0009and\\u0000null",
        "abc\\u202edef\\u2066ghi",
        "x".repeat(10_000),
      ])
        assert.ok(warnings.includes(part), part.slice(0, 40));
      for (const [expert, part] of [
        [0, "<script>"],
        [1, "<img src=x"],
        [2, "\\u0000"],
        [3, "\\u202e"],
        [4, "x".repeat(10_000)],
      ]) {
        await page.evaluate((slot) => {
          location.hash = `proj=up_proj&layer=1&slot=${slot}&open=1`;
        }, expert);
        await page.waitForFunction(
          (text) => document.querySelector(".matrix").textContent.includes(text),
          part,
        );
      }
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 1280);
    }));
});
