// The pages of verify and compare, compared with the files beside them.
import assert from "node:assert/strict";
import {spawnSync} from "node:child_process";
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from "node:fs";
import {tmpdir} from "node:os";
import {dirname, join, resolve} from "node:path";
import {after, before, describe, test} from "node:test";
import {fileURLToPath} from "node:url";
import {assertClose, drawAll, hover, launch, panelOf, drawn, withPage} from "./browser.mjs";

const ZOO = resolve(dirname(fileURLToPath(import.meta.url)), "../../data/zoo");
const PHONE = {viewport: {width: 360, height: 740}, hasTouch: true, isMobile: true};
const FAULT = {layer: 1, expert: 2, proj: "up_proj"};

const moescope = (expect, ...words) => {
  const done = spawnSync(process.env.MOESCOPE, words, {encoding: "utf8"});
  assert.equal(done.status, expect, done.stderr + done.stdout);
};

/** Flips a bit of the first code of an expert's matrix in an MLX checkpoint of one file. */
const flip = (file, tensor, expert) => {
  const bytes = readFileSync(file);
  const size = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + size).toString());
  const {shape, data_offsets: at} = header[tensor];
  bytes[8 + size + at[0] + (expert * (at[1] - at[0])) / shape[0]] ^= 1;
  writeFileSync(file, bytes);
};

const rowsOf = (page, caption) =>
  page
    .locator("table", {has: page.getByText(caption, {exact: true})})
    .evaluate((table) =>
      [...table.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent)),
    );

describe("the pages of two checkpoints", () => {
  let browser, folder, verified, compared;
  const read = (name) => JSON.parse(readFileSync(join(folder, name)));

  before(async () => {
    browser = await launch();
    folder = mkdtempSync(join(tmpdir(), "moescope-pair-"));
    const [source, made] = [join(ZOO, "hf4_qwen3_moe"), join(folder, "<q4> & more")];
    moescope(0, "quantize", source, "--scheme", "q4g32", "--out", made, "-q");
    flip(
      join(made, "model.safetensors"),
      `model.layers.${FAULT.layer}.mlp.switch_mlp.${FAULT.proj}.weight`,
      FAULT.expert,
    );
    moescope(4, "verify", made, "--against", source, "--out", join(folder, "out"), "-q");
    moescope(4, "compare", source, made, "--out", join(folder, "out"), "-q");
    [verified, compared] = [read("out/verify.json"), read("out/compare.json")];
  });
  after(async () => {
    await browser.close();
    rmSync(folder, {recursive: true, force: true});
  });

  test("verify: the verdict, every role, the fault and its cell", () =>
    withPage(browser, join(folder, "out/verify.html"), {}, async (page) => {
      const weights = Object.values(verified.roles).reduce((sum, role) => sum + role.weights, 0);
      assert.equal(
        await page.locator("#verdict .lead").textContent(),
        `Differs: 1 of ${weights} weights are not what they should be.`,
      );
      assert.deepEqual(
        await rowsOf(page, "By role"),
        Object.entries(verified.roles).map(([role, {weights, attested, copy, within, differs, unread}]) =>
          [role, weights, attested, copy, within, differs, unread].map(String),
        ),
      );
      const [weight, finding] = (await rowsOf(page, "Furthest first"))[0];
      assert.deepEqual(
        [weight, finding],
        [`layer ${FAULT.layer} expert ${FAULT.expert} ${FAULT.proj}`, "codes_differ"],
      );
      const tip = await hover(page, FAULT);
      const [worst] = verified.worst;
      assertClose(tip.numbers["Error against expected"], worst.error / worst.expected_error, "ratio");
      await page.getByLabel("Metric").selectOption("codes_differ");
      await drawn(panelOf(page, FAULT.proj).locator(".heatmap"));
      assert.equal((await hover(page, FAULT)).numbers["Codes that differ"], "1.0000");
      await drawAll(page);
    }));

  test("compare: the distance of a cell, and which experts changed", () =>
    withPage(browser, join(folder, "out/compare.html"), {colorScheme: "dark"}, async (page) => {
      assert.match(await page.title(), /compare$/);
      const of = /^layer (\d+) expert (\d+) (\w+)$/;
      const row = compared.worst.find(({weight}) => of.test(weight));
      const [, layer, expert, proj] = of.exec(row.weight);
      const tip = await hover(page, {layer, expert, proj});
      assertClose(tip.numbers["Relative distance"], row.rel_distance, "distance");
      const experts = compared.changed_experts.reduce((sum, {experts: list}) => sum + list.length, 0);
      assert.equal(
        await page.locator("#verdict h3 + p").textContent(),
        `${experts} of ${compared.routed_experts} routed experts.`,
      );
      assert.equal((await rowsOf(page, "Furthest first")).length, compared.worst.length);
    }));

  test("a phone needs no scrolling to the side", () =>
    withPage(browser, join(folder, "out/verify.html"), PHONE, async (page) => {
      await drawAll(page);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    }));
});
