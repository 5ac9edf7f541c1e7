// The card that the page opens with, and the choice that it shows, compared with the run's tables.
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {after, before, describe, test} from "node:test";
import {coverage} from "../../../src/report/web/format.js";
import {drawAll, launch, makeRun, parseCsv, rowsOf, withPage} from "./browser.mjs";

// What attention, embeddings and so on are counted at: affine, 8 bits in groups of 64.
const REST_BITS = 8.5;

const inMegabytes = (bytes) => `${Number((bytes / 1e6).toPrecision(3))} MB`;

/** Of rows of quant_sim: bytes, and the root of the mean of squared errors, by weights. */
const sumsOf = (rows) => {
  let [weights, bits, squares] = [0, 0, 0];
  for (const row of rows) {
    const n = row.rows * row.cols;
    [weights, bits, squares] = [
      weights + n,
      bits + n * row.bits_per_weight,
      squares + n * row.w_rel_fro ** 2,
    ];
  }
  return {bytes: bits / 8, error: Math.sqrt(squares / weights)};
};

const threeDigits = (value) => Number(value.toPrecision(3));

/** The rows of quant_sim that the page's choice takes, by its CSV. */
const chosenRows = async (page, quant) => {
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", {name: "Download the choice (CSV)"}).click(),
  ]);
  const choice = parseCsv(readFileSync(await download.path(), "utf8"));
  const schemeOf = new Map(choice.map(({layer, proj, scheme}) => [`${layer} ${proj}`, scheme]));
  return quant.filter((row) => schemeOf.get(`${row.layer} ${row.proj}`) === row.scheme);
};

const cardOf = async (page) => {
  const card = page.locator(".answer");
  const tiles = await card
    .locator(".tile")
    .evaluateAll((all) =>
      Object.fromEntries(
        all.map((tile) => [tile.querySelector("dt").textContent, tile.querySelector("b").textContent]),
      ),
    );
  return {title: await card.locator("h2").textContent(), text: await card.textContent(), tiles};
};

describe("the answer of a run of nine schemes", () => {
  let browser, run, quant, roles;
  const open = (options, use) => withPage(browser, run.page, options, use);
  before(async () => {
    [run, browser] = [makeRun("nine"), await launch()];
    quant = rowsOf(run.quant_sim);
    ({roles} = JSON.parse(readFileSync(`${run.runDir}/logs/run_health.json`, "utf8")));
  });
  after(async () => {
    await browser?.close();
    run?.remove();
  });
  const under = (scheme) => sumsOf(quant.filter((row) => row.scheme === scheme));
  /** The rest of the model by hand: matrices at some bits, norms and routers as stored. */
  const restAt = (bits) => {
    const {attention, embedding, other, norm, router} = roles;
    const parameters = attention.parameters + embedding.parameters + other.parameters;
    return (parameters * bits) / 8 + norm.bytes + router.bytes;
  };

  test("the card tells the choice, sizes of the whole model, the error and the oddities", () =>
    open({}, async (page) => {
      const {title, tiles} = await cardOf(page);
      assert.equal(title, "Take affine_q4_g64 for all experts");
      const {bytes, error} = under("affine_q4_g64");
      assert.equal(tiles["Whole model"], inMegabytes(bytes + restAt(REST_BITS)));
      assert.equal(Number(tiles["Relative error"]), threeDigits(error));
      const odd = await page.locator("#odd .kind .count").allTextContents();
      assert.equal(
        Number(tiles["What is odd"]),
        odd.reduce((sum, n) => sum + Number(n), 0),
      );
      const rows = await page
        .locator(".answer tbody tr")
        .evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
      assert.equal(rows.length, 9);
      const base = under("affine_q4_g64");
      for (const [scheme, size, , shown, times] of rows) {
        const alone = under(scheme);
        assert.equal(size, inMegabytes(alone.bytes + restAt(REST_BITS)), scheme);
        assert.equal(Number(shown), threeDigits(alone.error), scheme);
        if (scheme !== "affine_q4_g64") {
          assert.equal(Number(times.slice(2)), Number((alone.error / base.error).toPrecision(2)), scheme);
        }
      }
    }));

  test("the rest of the model is counted as the reader says", () =>
    open({}, async (page) => {
      const {bytes} = under("affine_q4_g64");
      const select = page.locator(".answer").getByLabel("Rest of the model counted at");
      await select.selectOption({label: "as stored now"});
      assert.equal((await cardOf(page)).tiles["Whole model"], inMegabytes(bytes + restAt(16)));
      assert.match(page.url(), /rest=stored/);
      await select.selectOption({label: "affine_q4_g64"});
      assert.equal((await cardOf(page)).tiles["Whole model"], inMegabytes(bytes + restAt(4.5)));
    }));

  test("a size is filled with the least error, which no single scheme of that size has", () =>
    open({}, async (page) => {
      const card = page.locator(".answer");
      await card.getByLabel("by size").check();
      for (const megabytes of [19, 23, 30]) {
        await card.getByRole("spinbutton").fill(String(megabytes));
        await card.getByRole("spinbutton").press("Enter");
        const taken = sumsOf(await chosenRows(page, quant));
        const whole = taken.bytes + restAt(REST_BITS);
        assert.ok(threeDigits(whole) <= megabytes * 1e6, `${whole} in ${megabytes} MB`);
        const {tiles} = await cardOf(page);
        assert.equal(tiles["Whole model"], inMegabytes(whole));
        assert.equal(Number(tiles["Relative error"]), threeDigits(taken.error));
        const fitting = [...new Set(quant.map(({scheme}) => scheme))]
          .map(under)
          .filter(({bytes}) => threeDigits(bytes + restAt(REST_BITS)) <= megabytes * 1e6);
        const best = Math.min(...fitting.map(({error}) => error));
        assert.ok(taken.error <= 0.99 * best, String(megabytes));
        const [, gain] = (await page.locator(".verdict").textContent()).match(
          /, ([\d.]+) % less than \w+ alone/,
        );
        assert.equal(Number(gain), threeDigits(100 * (1 - taken.error / best)));
      }
      assert.match(page.url(), /goal=size/);
      await card.getByRole("spinbutton").fill("10");
      await card.getByRole("spinbutton").press("Enter");
      assert.match(await page.locator(".verdict").textContent(), /even the fewest bits take more than 10 MB/);
    }));

  test("a scheme's size typed as it is shown gives that scheme, or less error in as much", () =>
    open({hash: "#goal=size"}, async (page) => {
      const rows = await page
        .locator(".answer tbody tr")
        .evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
      for (const [scheme, size] of rows) {
        const box = page.locator(".answer").getByRole("spinbutton");
        await box.fill(size.replace(" MB", ""));
        await box.press("Enter");
        const {title, tiles} = await cardOf(page);
        assert.ok(Number.parseFloat(tiles["Whole model"]) <= Number.parseFloat(size), `${scheme}: ${size}`);
        const {error} = under(scheme);
        const gain = 1 - Number(tiles["Relative error"]) / error;
        if (title.startsWith("Take a mixture")) assert.ok(gain > 0.009, `${scheme}: ${gain}`);
        else assert.ok(gain > -0.005, `${scheme}: ${gain}`);
      }
    }));

  test("a size that is none leaves what was there", () =>
    open({hash: "#size=23000000"}, async (page) => {
      const box = page.locator(".answer").getByRole("spinbutton");
      const {title} = await cardOf(page);
      for (const none of ["0", "-5", ""]) {
        await box.fill(none);
        await box.press("Enter");
        assert.equal(await box.inputValue(), "23", none);
        assert.equal((await cardOf(page)).title, title);
      }
    }));

  test("the slider's ends are the smallest and the largest scheme", () =>
    open({hash: "#goal=size"}, async (page) => {
      const slider = page.locator(".answer").getByRole("slider");
      for (const [key, scheme] of [
        ["Home", "affine_q3_g64"],
        ["End", "affine_q8_g64"],
      ]) {
        await slider.press(key);
        const {title} = await cardOf(page);
        assert.equal(title, `Take ${scheme} for all experts`);
      }
    }));

  test("the heatmaps open on the chosen scheme", () =>
    open({hash: "#size=30000000"}, async (page) => {
      const scheme = page.getByLabel("Scheme", {exact: true});
      assert.equal(await scheme.evaluate((select) => select.selectedOptions[0].textContent), "affine_q6_g64");
    }));

  test("a miss of some percent of a limit takes no more bits", () =>
    open({hash: "#limit=0.0905&judge=p90"}, async (page) => {
      // affine_q4_g64 has 0.0911 or so in each layer: 5.5 bits instead of 4.5 would be the next step.
      assert.match(
        await page.locator(".verdict").textContent(),
        /4\.50 bits per weight.*a miss of up to 3 %/,
      );
    }));

  test("an expert with a few huge weights, which looks better than it is, is marked where it is listed", () =>
    open({hash: "#proj=up_proj&layer=3&slot=5&open=1"}, async (page) => {
      await page.waitForFunction(() => document.querySelector(".matrix").dataset.matrix);
      assert.match(await page.locator(".matrix .note").textContent(), /look better than they are/);
      await page.keyboard.press("Escape");
      await page.getByLabel(/^Filter/).fill("layer=3");
      const notes = page.locator(".worst tbody tr", {hasText: "few huge weights"});
      await page.waitForFunction(() => document.querySelectorAll(".worst tbody tr").length === 48);
      const marked = await notes.evaluateAll((all) =>
        all.map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent)),
      );
      assert.deepEqual(
        marked.map(([layer, expert]) => `${layer} ${expert}`),
        ["3 5", "3 5", "3 5"],
      );
      const odd = await page.locator("#odd").textContent();
      assert.match(odd, /Layer 3, expert 5: one weight in a thousand of \w+ holds over 9\d\.?\d* %/);
      assert.match(odd, /Layer 3, expert 5: the relative error .* which a few huge weights make look better/);
    }));

  test("values that hardly differ look alike, and the page says that nothing stands out", () =>
    open({hash: "#metric=bits_per_weight"}, async (page) => {
      const status = page.locator("#where p[role=status]").first();
      assert.equal(await status.textContent(), "All within 3 % of the median, 4.50: nothing stands out.");
      assert.equal(await page.locator(".range-text").textContent(), "4.5 to 4.5");
      await page.getByLabel("Metric", {exact: true}).selectOption("w_rel_fro");
      await page.waitForFunction(() => !document.querySelector("#where p[role=status]").textContent);
    }));

  test("no label is cut and nothing needs sideways scrolling on a phone", () =>
    open({viewport: {width: 360, height: 740}, hasTouch: true, isMobile: true}, async (page) => {
      await drawAll(page);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
      const {isCut} = await page
        .locator(".answer .table-box")
        .evaluate((box) => ({isCut: box.scrollWidth > box.clientWidth}));
      assert.ok(!isCut);
      for (const box of [page.locator("#schemes .table-box").first(), page.locator(".worst .table-box")]) {
        const hint = () =>
          box.evaluate((node) => getComputedStyle(node.querySelector("caption span"), "::after").content);
        assert.match(await hint(), /Scroll sideways/);
        await box.evaluate((node) => node.scrollTo(node.scrollWidth, 0));
        await page.waitForFunction((node) => node.dataset.more === "false", await box.elementHandle());
        assert.equal(await hint(), "none");
      }
    }));
});

test("a share of the experts is never rounded up", () => {
  assert.deepEqual([1, 0.99999, 11 / 12, 0.29, 0].map(coverage), [
    "100.00 %",
    "99.99 %",
    "91.66 %",
    "29.00 %",
    "0.00 %",
  ]);
});

describe("the answer of other runs", () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());
  const inspect = (kind, use) => async () => {
    const run = makeRun(kind);
    try {
      await withPage(browser, run.page, {}, (page) => use(page, rowsOf(run.quant_sim), run));
    } finally {
      run.remove();
    }
  };

  test(
    "a mixture is taken where it saves something, and each step says what",
    inspect("uneven", async (page, quant) => {
      const alone = sumsOf(quant.filter(({scheme}) => scheme === "affine_q4_g32"));
      const rows = await chosenRows(page, quant);
      const taken = sumsOf(rows);
      assert.ok(taken.bytes < 0.995 * alone.bytes && taken.error <= alone.error, JSON.stringify(taken));
      const {title, text} = await cardOf(page);
      assert.match(title, /^Take a mixture: /);
      assert.match(text, /less than affine_q4_g32/);
      const steps = await page.locator("#schemes .steps li").allTextContents();
      const others = new Set(rows.map(({scheme}) => scheme));
      others.delete("affine_q4_g32");
      assert.equal(steps.length, others.size);
      for (const step of steps) {
        assert.match(
          step,
          /instead of affine_q4_g32 in \d of 9 choices (saves|costs) [\d.]+ .B, for [\d.]+ % (more|less)/,
        );
      }
    }),
  );

  test(
    "without logs the rest of the model is said to be unknown",
    inspect("shared", async (page) => {
      const {text, tiles} = await cardOf(page);
      assert.match(text, /do not tell how large the rest of the model is/);
      assert.ok("All experts" in tiles && !("Whole model" in tiles));
    }),
  );

  const rowsOfCard = (page) =>
    page
      .locator(".answer tbody tr")
      .evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
  /** Bytes of the experts where the scheme fits, and of the others at 16 bits. */
  const bytesWith = (rows) =>
    sumsOf(rows.map((row) => ({...row, bits_per_weight: row.error ? 16 : row.bits_per_weight}))).bytes;

  test(
    "a scheme that fits a part says so, is sized with the rest as stored, and is not recommended for all",
    inspect("partly", async (page, quant) => {
      const {title} = await cardOf(page);
      assert.doesNotMatch(title, /^Take affine_q\d_g64/);
      const rest = 2 * 64 * 64 * (8.5 / 8);
      const shown = await rowsOfCard(page);
      const schemes = new Set(quant.map(({scheme}) => scheme));
      assert.equal(shown.length, schemes.size + (title.startsWith("Take a mixture") ? 1 : 0));
      for (const scheme of schemes) {
        const own = quant.filter((row) => row.scheme === scheme);
        const fitting = own.filter(({error}) => !error);
        const row = shown.find(([name]) => name.startsWith(scheme));
        assert.equal(row[0], `${scheme}${fitting.length < 48 ? " fits 32 of 48 matrices" : ""}`);
        const bytes = bytesWith(own) + rest;
        assert.equal(
          row[1],
          bytes < 1e5 ? `${threeDigits(bytes / 1e3)} kB` : `${Math.round(bytes / 1e3)} kB`,
        );
        assert.equal(Number(row[3]), threeDigits(sumsOf(fitting).error), scheme);
        // Against uniform 4-bit where both fit: in gate_proj and up_proj.
        const both = (rows) => sumsOf(rows.filter(({proj}) => proj !== "down_proj")).error;
        const times = both(own) / both(quant.filter((one) => one.scheme === "affine_q4_g64"));
        const where = fitting.length < 48 ? "" : " where both fit";
        const expected = scheme === "affine_q4_g64" ? "=" : `× ${times.toPrecision(2)}${where}`;
        assert.equal(row[4], expected, scheme);
      }
      const lacking = await page.locator("#schemes .remarks li", {hasText: "no error for"}).allTextContents();
      assert.equal(lacking.length, 1);
      assert.match(lacking[0], /affine_q6_g64 and affine_q8_g64 have no error for 16 matrices each /);
      const {text} = await cardOf(page);
      assert.match(
        text,
        /Where affine_q4_g64 does not fit, the scheme nearest to it in bits takes its place/,
      );
      assert.doesNotMatch(text, /Without affine_q4_g64/);
      const sizes = await page.locator("#schemes .table-box").first().textContent();
      assert.match(sizes, /affine_q4_g64 fits 32 of 48 matrices/);
    }),
  );

  test(
    "where no scheme fits all, the card opens with that and says for how many it speaks",
    inspect("nowhere", async (page) => {
      const {title, text} = await cardOf(page);
      assert.equal(title, "Take affine_q4_g64 for 32 of 48 matrices");
      assert.ok(text.startsWith("No scheme could be applied to 16 of 48 matrices."), text);
      assert.match(text, /4\.50 where quantized/);
      assert.match(text, /uniform 4-bit, of 32 of 48 matrices/);
      assert.match(await page.locator(".verdict").textContent(), /affine_q4_g64 wherever a scheme fits/);
      assert.match(
        await page.locator(".choice-row").first().textContent(),
        /down_proj.*as stored, since no scheme fits, in layers 0/,
      );
      const warnings = await page.locator("#model").textContent();
      assert.match(warnings, /affine_q8_g64.* failed for 16 of 48 matrices/);
      assert.doesNotMatch(warnings, /\d+ warnings/);
    }),
  );

  for (const kind of ["half", "refused_half"]) {
    test(
      `of a run that read half of the experts (${kind}) the card says so first, and what its figures are of`,
      inspect(kind, async (page, quant) => {
        const {title, text, tiles} = await cardOf(page);
        assert.ok(text.startsWith("50.00 % of the experts were read."), text);
        assert.equal(title, "Take affine_q4_g64 for the experts that were read");
        const {bytes} = sumsOf(quant.filter(({scheme}) => scheme === "affine_q4_g64"));
        assert.equal(tiles["What was read"], `${threeDigits((bytes + 2 * 64 * 64 * (8.5 / 8)) / 1e3)} kB`);
        for (const part of await page.locator(".answer, #schemes").allTextContents()) {
          assert.doesNotMatch(part, /.{30}(whole model|all experts).{30}/i);
        }
        await page.locator(".answer").getByLabel("by size").check();
        assert.ok(await page.locator(".answer").getByText("Largest size of what was read").isVisible());
      }),
    );
  }

  test(
    "of a run whose experts were all refused the page says why there is nothing",
    inspect("refused", async (page) => {
      const text = await page.locator(".answer").textContent();
      assert.ok(text.startsWith("0.00 % of the experts were read."), text);
      assert.match(text, /None of the experts could be read.* 48 tensors were refused.*int16/);
      const schemes = await page.locator("#schemes").textContent();
      assert.match(schemes, /No expert matrix could be measured/);
      assert.doesNotMatch(schemes, /quant_schemes|was simulated/);
    }),
  );

  test(
    "weights that are quantized already are to be kept where no scheme makes them smaller",
    inspect("quantized", async (page) => {
      const {title, text} = await cardOf(page);
      assert.match(text, /^Keep the experts as they are stored: [\d.]+ kB, 4\.\d+ bits per weight/);
      assert.match(text, /come on top of those of the earlier quantization/);
      assert.match(title, /^If quantized again: /);
    }),
  );

  test(
    "what of the rest is quantized already counts as it is stored",
    inspect("fp8", async (page, quant, {runDir}) => {
      const {roles} = JSON.parse(readFileSync(`${runDir}/logs/run_health.json`, "utf8"));
      const sum = (list) => list.reduce((total, value) => total + value, 0);
      const all = sum(Object.values(roles).map(({bytes}) => bytes));
      // Only the embeddings are in 16 bits.
      const saved = roles.embedding.bytes - (roles.embedding.parameters * REST_BITS) / 8;
      const read = (text) => Number(/([\d.]+) kB/.exec(text)[1]);
      const rest = all - roles.routed_expert.bytes - roles.shared_expert.bytes;
      const remark = await page.locator(".remarks li", {hasText: "With the rest of the model"}).textContent();
      assert.match(remark, /, embeddings counted at affine_q8_g64, all else as stored/);
      assert.ok(Math.abs(read(remark) * 1e3 - (rest - saved)) < 500, remark);
      assert.match(
        (await cardOf(page)).text,
        /, and embeddings at 8\.50 bits per weight, all else as stored/,
      );
    }),
  );

  test(
    "where there is nothing to choose the card says so",
    inspect("no_schemes", async (page) => {
      assert.match(await page.locator(".answer").textContent(), /nothing to recommend/);
    }),
  );
});
