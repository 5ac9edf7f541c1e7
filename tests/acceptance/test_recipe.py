"""`moescope recipe`: costs computed again from the tables, and every choice tried."""

import itertools
import json
import re

import numpy as np
import pandas as pd
from picture import Picture, pixels_of
from support import DATA, AcceptanceTest, experts, run, write_imatrix

LAYERS, EXPERTS, WIDTH, HIDDEN, PER_TOKEN = 2, 4, 64, 128, 2
SCHEMES = {"affine_q2_g64": 2, "affine_q4_g64": 4, "affine_q8_g64": 8}
CONFIG = {"model_type": "qwen3_moe", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
          "num_experts": EXPERTS, "num_experts_per_tok": PER_TOKEN,
          "moe_intermediate_size": WIDTH, "torch_dtype": "float32"}
ONLY_EXPERTS = ("--pin", "self_attn=bf16", "--pin", "embed=bf16", "--pin", "mlp.gate$=bf16",
                "--pin", "lm_head=bf16")


def affine_bytes(weights, bits):
    """Of float32: codes, and scale and bias of 4 bytes for each 64 weights."""
    return weights * bits // 8 + weights // 64 * 8


class Recipe(AcceptanceTest):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(3)
        self.tensors = experts(EXPERTS, WIDTH, HIDDEN, LAYERS)
        for layer in range(LAYERS):
            at = f"model.layers.{layer}"
            norm = rng.uniform(0.5, 1.5, HIDDEN).astype(np.float32)
            self.tensors[f"{at}.post_attention_layernorm.weight"] = norm
            norm = rng.uniform(0.5, 1.5, HIDDEN).astype(np.float32)
            self.tensors[f"{at}.input_layernorm.weight"] = norm
            self.tensors[f"{at}.mlp.gate.weight"] = self.normal(rng, EXPERTS, HIDDEN)
            for proj in "qkvo":
                self.tensors[f"{at}.self_attn.{proj}_proj.weight"] = self.normal(rng, HIDDEN, HIDDEN)
        for name in ("model.embed_tokens", "lm_head"):
            self.tensors[name + ".weight"] = self.normal(rng, 32, HIDDEN)
        self.folder = self.model(self.tensors, config=CONFIG)
        done = run("analyze", self.folder, "-o", self.tmp / "out", "--schemes", "q2,q4,q8",
                   "--no-report")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.run_dir = self.tmp / "out/model/analysis"

    @staticmethod
    def normal(rng, *shape):
        return (rng.standard_normal(shape) * 0.05).astype(np.float32)

    def recipe(self, *flags, expect=0):
        self.done = run("recipe", self.run_dir, *flags, "-o", self.tmp / "recipe.json")
        self.assertEqual(self.done.returncode, expect, self.done.stderr)
        return json.loads((self.tmp / "recipe.json").read_text()) if expect == 0 else None

    def costs(self):
        """(layer, unit) -> scheme -> (bytes, cost): the formula of docs/recipes.md, from the tables."""
        quant = self.table(self.run_dir, "quant_sim")
        evidence = self.table(self.run_dir, "evidence").drop_duplicates(["layer", "expert_id", "proj"])
        down = evidence[evidence.proj == "down_proj"].set_index(["layer", "expert_id"])
        energy = down.guessed_energy / EXPERTS * PER_TOKEN
        residual, stream = {}, self.embedding()
        for layer in range(LAYERS):
            stream += energy[layer].sum() / PER_TOKEN ** 2 + self.attention(layer)
            residual[layer] = stream
        costs = {}
        for layer, (unit, projs, factor) in itertools.product(range(LAYERS), (
                ("gate_proj+up_proj", ("gate_proj", "up_proj"), 1), ("down_proj", ("down_proj",), 3))):
            for scheme, bits in SCHEMES.items():
                rows = quant[(quant.layer == layer) & quant.proj.isin(projs) & (quant.scheme == scheme)]
                error = sum(factor * row.w_rel_fro ** 2 * energy[(layer, row.expert_id)]
                            for row in rows.itertuples()) / residual[layer]
                weights = len(projs) * EXPERTS * WIDTH * HIDDEN
                costs.setdefault((layer, unit), {})[scheme] = (affine_bytes(weights, bits), error)
        return costs

    def attention(self, layer):
        """Half of the values' mean energy, through the output's weights."""
        at = f"model.layers.{layer}"
        norm, value, output = (self.tensors[f"{at}.{name}.weight"].astype(np.float64) for name in
                               ("input_layernorm", "self_attn.v_proj", "self_attn.o_proj"))
        return 0.5 * (value ** 2 @ norm ** 2).mean() * (output ** 2).sum()

    def embedding(self):
        path = self.run_dir / "data/dense_stats.parquet"
        if not path.exists():
            return 0.0
        stats = pd.read_parquet(path).set_index("module")
        return stats.rms["model.embed_tokens"] ** 2 * HIDDEN

    def test_no_choice_of_the_experts_is_better(self):
        costs = self.costs()
        plans = [dict(zip(costs, plan)) for plan in itertools.product(SCHEMES, repeat=len(costs))]

        def of(plan):
            return tuple(sum(costs[unit][scheme][i] for unit, scheme in plan.items()) for i in (0, 1))

        weights = LAYERS * EXPERTS * 3 * WIDTH * HIDDEN
        for bits in (3.0, 4.2, 5.5, 7.1):
            recipe = self.recipe("--bits", bits, *ONLY_EXPERTS)
            chosen = {(unit["layer"], unit["proj"]): f"affine_q{unit['chosen']['scheme']['bits']}_g64"
                      for unit in recipe["units"] if unit["role"] == "routed_expert"}
            allowed = [of(plan) for plan in plans if 8 * of(plan)[0] <= bits * weights]
            best = min(allowed, key=lambda plan: (plan[1], plan[0]))
            self.assertEqual(of(chosen)[0], best[0])
            np.testing.assert_allclose(of(chosen)[1], best[1], rtol=1e-12)
            np.testing.assert_allclose(recipe["objective"]["value"], best[1], rtol=1e-12)

    def test_sizes_are_those_of_the_files_to_the_byte(self):
        recipe = self.recipe("--bits", "4.5", *ONLY_EXPERTS)
        units = {tuple(m["mlx"] for m in unit["modules"]): unit for unit in recipe["units"]}
        self.assertEqual(len(units), LAYERS * (2 + 4 + 1) + 2)
        unit = units[("model.layers.1.mlp.switch_mlp.gate_proj",
                      "model.layers.1.mlp.switch_mlp.up_proj")]
        self.assertEqual(unit["modules"][0]["hf"], "model.layers.1.mlp.experts.*.gate_proj")
        self.assertEqual(unit["modules"][0]["shape"], [EXPERTS, WIDTH, HIDDEN])
        bits = unit["chosen"]["scheme"]["bits"]
        self.assertEqual(unit["chosen"]["bytes"], affine_bytes(2 * EXPERTS * WIDTH * HIDDEN, bits))
        floats = sum(value.size * 4 for name, value in self.tensors.items() if "experts" not in name)
        experts_bytes = sum(unit["chosen"]["bytes"] for unit in recipe["units"]
                            if unit["role"] == "routed_expert")
        smaller = self.recipe("--size", floats + experts_bytes, *ONLY_EXPERTS)
        self.assertEqual([u["chosen"] for u in smaller["units"]],
                         [u["chosen"] for u in recipe["units"]])

    def test_as_good_as_a_scheme_is_no_larger(self):
        uniform = sum(affine_bytes(2 * EXPERTS * WIDTH * HIDDEN, 4) +
                      affine_bytes(EXPERTS * WIDTH * HIDDEN, 4) for _ in range(LAYERS))
        recipe = self.recipe("--as-good-as", "q4", *ONLY_EXPERTS)
        reference = sum(unit["affine_q4_g64"][1] for unit in self.costs().values())
        self.assertLessEqual(recipe["objective"]["value"], reference * (1 + 1e-12))
        np.testing.assert_allclose(recipe["objective"]["reference_value"], reference, rtol=1e-12)
        self.assertLessEqual(sum(unit["chosen"]["bytes"] for unit in recipe["units"]
                                 if unit["role"] == "routed_expert"), uniform)
        same = self.recipe("--max-error", repr(1 + 1e-12), *ONLY_EXPERTS)
        self.assertEqual(same["units"], recipe["units"])
        half = self.recipe("--max-error", "0.5", *ONLY_EXPERTS)
        self.assertLessEqual(half["objective"]["value"], reference / 2)
        self.assertEqual(half["budget"], {"kind": "max_error", "value": "0.5", "bytes": None,
                                          "cost": half["objective"]["reference_value"] / 2})

    def test_pins_floors_and_kept_routers_hold(self):
        recipe = self.recipe("--bits", "6.5", "--pin", "layers.0.*down=q8", "--pin", "self_attn=bf16",
                             "--floor", "routed_expert=q4")
        by_name = {m["mlx"]: unit for unit in recipe["units"] for m in unit["modules"]}
        down = by_name["model.layers.0.mlp.switch_mlp.down_proj"]
        self.assertEqual((down["chosen"]["scheme"]["bits"], down["chosen_by"]), (8, "pin"))
        self.assertEqual(by_name["model.layers.1.self_attn.v_proj"]["chosen"]["scheme"], "float")
        router = by_name["model.layers.0.mlp.gate"]
        self.assertEqual(router["chosen"]["scheme"],
                         {"mode": "affine", "bits": 8, "group_size": 64})
        self.assertEqual(router["chosen_by"], "keep")
        for unit in recipe["units"]:
            if unit["role"] == "routed_expert":
                self.assertGreaterEqual(unit["chosen"]["scheme"]["bits"], 4)
        few = self.recipe("--bits", "6", "--candidates", "q4")  # no scheme reaches the usual floor
        self.assertEqual({unit["role"]: unit["chosen"]["scheme"] == "float" for unit in few["units"]},
                         {"attention": True, "embedding": True, "lm_head": True, "routed_expert": False, "router": False})

    def test_what_can_not_be_done_is_one_line_and_writes_nothing(self):
        (self.tmp / "other").mkdir()
        other = self.model({name.replace("layers", "blocks"): value
                            for name, value in self.tensors.items()}, name="other", config=CONFIG)
        wider = self.model({name: np.concatenate([value, value], axis=-1) if "down_proj" in name else value
                            for name, value in self.tensors.items()}, name="wider", config=CONFIG)
        cases = [(["--bits", "2"], "fewest bits"), (["--max-error", "0.0001"], "the least is"), (["--size", "1kB"], "fewest"),
                 (["--bits", "4", "--candidates", "q3"], "affine_q3_g64"),
                 (["--bits", "4", "--pin", "nothing=q4"], "nothing"),
                 (["--bits", "4", "--pin", "down=q4", "--pin", "layers.0.*down=q8"], "contradicts"),
                 (["--bits", "4", "--pin", "down=q99"], "q99"), (["--size", "much"], "much"),
                 (["--bits", "4", "--size", "1GB"], "one of"), ([], "one of"),
                 (["--bits", "4", "--objective", "activation"], "calibration"),
                 (["--bits", "4", "--front", self.tmp / "front.png"], "CSV"),
                 (["--bits", "6", "--floor", "atention=q8"], 'did you mean "attention"'),
                 (["--bits", "6", "--floor", "router=q8"], "router stays"),
                 (["--bits", "6", "--candidates", "q4", "--floor", "attention=q8"], "no candidate for attention"),
                 (["--bits", "6", "--keep", "ruoter"], 'did you mean "router"'),
                 (["--as-good-as", "q3"], "affine 3 bits in groups of 64: no unit has numbers"),
                 (["--bits", "6", "--front", self.tmp / "recipe.json"], "--front"),
                 (["--bits", "4", "--model", other], "another model"),
                 (["--bits", "4", "--model", wider], "down_proj (128 x 64)")]
        for flags, word in cases:
            with self.subTest(flags=flags):
                self.recipe(*flags, expect=2)
                lines = self.done.stderr.strip().splitlines()
                self.assertEqual(len([line for line in lines if "error" in line]), 1, lines)
                self.assertIn(word, self.done.stderr)
                self.assertFalse((self.tmp / "recipe.json").exists())

    def test_export_compares_the_model_if_it_is_told(self):
        self.recipe("--bits", "6")
        other = self.model({**self.tensors, "lm_head.weight": np.zeros((33, HIDDEN), np.float32)}, name="other",
                           config=CONFIG)
        out = self.tmp / "convert.py"
        flags = ("export", self.tmp / "recipe.json", "--to", "mlx-lm", "-o", out, "--model")
        for model, code, part in ((other, 2, "is not the model of this recipe"), (self.tmp / "none", 1, "none")):
            done = run(*flags, model)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(part, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            self.assertFalse(out.exists())
        self.assertEqual(run(*flags, self.folder).returncode, 0)

    def test_an_expert_that_the_imatrix_lacks_is_guessed_and_told(self):
        rng = np.random.default_rng(5)
        entries = {}
        for layer, proj in itertools.product(range(LAYERS), ("gate", "up", "down")):
            columns = WIDTH if proj == "down" else HIDDEN
            counts = np.full(EXPERTS, 64, np.float32)
            squares = rng.uniform(0.5, 2, (EXPERTS, columns)).astype(np.float32)
            entries[f"blk.{layer}.ffn_{proj}_exps.weight"] = (squares * 64, counts)
        del entries["blk.1.ffn_down_exps.weight"]
        write_imatrix(self.tmp / "imatrix.gguf", entries)
        self.collect(self.run_dir, "--imatrix", self.tmp / "imatrix.gguf")
        recipe = self.recipe("--bits", "4.5", *ONLY_EXPERTS)
        routed = [unit for unit in recipe["units"] if unit["role"] == "routed_expert"]
        self.assertEqual({type(unit["chosen"]["scheme"]) for unit in routed}, {dict})
        self.assertTrue(all(unit["chosen"]["cost"] > 0 for unit in routed))
        self.assertTrue(any(line.startswith(f"The calibration says nothing of {EXPERTS} experts")
                            for line in recipe["not_known"]))

    def test_what_mlx_lm_does_not_load_or_loses_is_told(self):
        for name, part in (("hf5fused_mixtral", "mlx-lm can't load this checkpoint"),
                           ("hf4_ernie4_5_moe", "e_score_correction_bias is lost")):
            done = run("analyze", DATA / "zoo" / name, "-o", self.tmp / "zoo", "--schemes", "q4g32", "--no-report")
            self.assertEqual(done.returncode, 0, done.stderr)
            done = run("recipe", self.tmp / "zoo" / name, "--bits", "6", "-o", self.tmp / "recipe.json")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(part, "\n".join(json.loads((self.tmp / "recipe.json").read_text())["not_known"]))

    def test_the_front_and_the_runs_own_file(self):
        done = run("recipe", self.run_dir, "--bits", "4.5", "--name", "small", "--front",
                   self.tmp / "front.csv", *ONLY_EXPERTS)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.run_dir / "recipes/small.json").exists())
        front = pd.read_csv(self.tmp / "front.csv")
        self.assertEqual(list(front.columns), ["bytes", "bits", "objective"])
        self.assertTrue((front.bytes.diff()[1:] > 0).all())
        self.assertTrue((front.objective.diff()[1:] < 0).all())
        self.assertEqual((front.bits.iloc[0], front.bits.iloc[-1]), (3, 9))
        self.assertEqual(pixels_of((self.tmp / "front.png").read_bytes()).shape[:2], (640, 1280))
        texts = Picture(self.tmp / "front.svg").texts()
        self.assertLessEqual({"this recipe", "q4 for all", "objective, q4 for all = 1"}, set(texts))

    def page_recipes(self):
        text = (self.run_dir / "report.html").read_text()
        facts = re.search(r'<script type="application/json" id="run">(.*?)</script>', text, re.DOTALL)
        return json.loads(facts[1]).get("recipes")

    def test_the_page_is_renewed_with_what_the_run_holds(self):
        flags = ("recipe", self.run_dir, "--bits", "4.5", *ONLY_EXPERTS)
        self.assertEqual(run(*flags).returncode, 0)
        self.assertFalse((self.run_dir / "report.html").exists())
        self.assertEqual(run("report", self.run_dir).returncode, 0)
        self.assertEqual([recipe["name"] for recipe in self.page_recipes()], ["recipe"])
        page = (self.run_dir / "report.html").read_bytes()
        self.recipe("--bits", "5", *ONLY_EXPERTS)  # -o: is not of the run
        self.assertEqual((self.run_dir / "report.html").read_bytes(), page)
        self.assertEqual(run(*flags, "--name", "other", "--pin", "layers.1.*down=q8").returncode, 0)
        other, first = self.page_recipes()
        self.assertEqual((other["name"], first["name"]), ("other", "recipe"))
        self.assertIn({"what": "layers.1.*down", "scheme": "q8"}, other["pins"])
        file = json.loads((self.run_dir / "recipes/other.json").read_text())
        self.assertEqual(other["bytes"], file["coverage"]["bytes"])
        np.testing.assert_allclose(other["objective"], file["objective"]["value"] /
                                   file["objective"]["reference_value"], rtol=1e-12)
        costs = [cost for _, cost, _ in other["front"]["points"]]
        self.assertEqual(costs, sorted(costs, reverse=True))
        self.assertIn(other["bytes"], [size for size, _, _ in other["front"]["points"]])

    def test_a_page_without_recipes_does_not_speak_of_them(self):
        self.assertEqual(run("report", self.run_dir).returncode, 0)
        self.assertIsNone(self.page_recipes())


class Roles(AcceptanceTest):
    def test_attention_that_is_called_otherwise_has_its_floor(self):
        done = run("analyze", DATA / "zoo/hf5fused_nemotron_h", "-o", self.tmp, "--schemes", "q4,q6,q8", "--no-report")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run("recipe", self.tmp, "--bits", "6", "-o", self.tmp / "recipe.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        units = json.loads((self.tmp / "recipe.json").read_text())["units"]
        attention = {unit["proj"]: unit for unit in units if unit["role"] == "attention"}
        self.assertEqual(sorted(attention), ["k_proj", "o_proj", "q_proj", "v_proj"])
        for proj in ("k_proj", "q_proj", "v_proj"):  # a group of 64 divides no row of o_proj
            self.assertGreaterEqual(attention[proj]["chosen"]["scheme"]["bits"], 6)
