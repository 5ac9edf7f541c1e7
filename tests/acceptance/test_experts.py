"""Which tensors are experts, how rules and fallback read them (contract 4 to 7, D8-D10)."""

import json

import numpy as np
import pandas as pd

from support import AcceptanceTest, bf16_bytes, write_safetensors_raw

ROLES = {"routed_expert", "shared_expert", "router", "attention", "embedding", "norm", "companion",
         "other"}
NO_RULE = "no_rule_match_or_proj_infer"
ABOUT_THE_MODEL = ("[experts]", "[coverage]")  # these checkpoints hold a few experts of a model


def cell(row, column):
    """Of a named tuple or a Series (whose attributes may be methods: mean)."""
    return row[column] if isinstance(row, pd.Series) else getattr(row, column)


def matrix(rows=64, cols=96, seed=0):
    """Random float32; its outliers of 32 columns change when rows and columns are confused."""
    return np.random.default_rng(seed).standard_normal((rows, cols)).astype(np.float32)


def bank(count=4, rows=64, cols=96, seed=0):
    return np.random.default_rng(seed).standard_normal((count, rows, cols)).astype(np.float32)


def rule(match, layout=None, name="mine", **more):
    return {"name": name, "match": match, **({} if layout is None else {"layout": layout}), **more}


def axes(rows, cols, layer=None, expert=None):
    return {"layer_axis": layer, "expert_axis": expert, "rows_axis": rows, "cols_axis": cols}


def matrix_numbers(w):
    groups = np.abs(w.astype(np.float64)).reshape(w.shape[0], -1, 32)
    ratios = groups.max(axis=2) / (groups.mean(axis=2) + 1e-12)
    return {"mean": w.astype(np.float64).mean(), "max_abs": np.abs(w).max(),
            "rms": np.sqrt((w.astype(np.float64)**2).mean()),
            "g32_p95_outlier": np.percentile(ratios, 95), "g32_max_outlier": ratios.max()}


class ExpertsTest(AcceptanceTest):
    def extract(self, tensors, rules=None, change=None, presets="off", expect=0, name="run",
                parsing=None, scan=None):
        """Collects without simulation; `rules` None: those of the template."""
        def edit(config):
            config["mlx"]["enabled"] = False
            config["metadata"]["enabled"] = False  # no warning about config.json
            config["scan"]["min_expert_coverage"] = None  # most have a few experts of a model
            config["parsing"]["presets"] = presets
            config["parsing"].update(parsing or {})
            config["scan"].update(scan or {})
            if rules is not None:
                config["extract_rules"] = rules
            if change is not None:
                change(config)
        self.run_path = self.collected(tensors, edit, name=name, expect=expect)
        self.stats = self.table(self.run_path, "matrix_stats")
        return self.stats

    def warnings(self):
        log = self.run_path / "logs"
        if not any((log / f"warnings.{end}").exists() for end in ("parquet", "csv")):
            return []
        return list(self.table(self.run_path, "warnings", folder="logs").warning)

    def unmatched(self):
        """name -> reason."""
        table = self.table(self.run_path, "unmatched_tensors")
        return dict(zip(table.tensor_name, table.reason))

    def roles(self):
        table = self.table(self.run_path, "tensor_inventory")
        return dict(zip(table.tensor_name, table.role))

    def warned(self, *parts):
        lines = self.warnings()
        self.assertTrue(any(all(p in line for p in parts) for line in lines),
                        f"{parts} not in {lines}")

    def is_matrix(self, row, w):
        """The row holds matrix w, element for element where it matters."""
        self.assertEqual((row.rows, row.cols), w.shape)
        for column, want in matrix_numbers(np.ascontiguousarray(w)).items():
            np.testing.assert_allclose(cell(row, column), want, rtol=1e-6, atol=1e-12,
                                       err_msg=f"{row.derived_tensor} {column}")

    def are_matrices(self, wanted):
        """wanted: (derived_tensor, layer, proj, expert_id, array), in row order."""
        rows = list(self.stats.itertuples())
        self.assertEqual([(r.derived_tensor, r.layer, r.proj, r.expert_id) for r in rows],
                         [w[:4] for w in wanted])
        for row, want in zip(rows, wanted):
            self.is_matrix(row, want[4])


class Filter(ExpertsTest):
    def test_a_dense_mlp_is_neither_analysed_nor_unmatched(self):
        name = "model.layers.0.mlp.gate_proj.weight"
        expert = "model.layers.0.mlp.experts.0.up_proj.weight"
        self.extract({name: matrix(), expert: matrix(seed=1)})
        self.assertEqual(list(self.stats.source_tensor), [expert])
        self.assertEqual(self.unmatched(), {})
        self.assertEqual(self.roles()[expert], "routed_expert")
        self.assertNotEqual(self.roles()[name], "routed_expert")

    def test_path_components_make_expert_banks(self):
        tensors = {
            "model.layers.2.mlp.switch_mlp.gate_proj.weight": bank(3, seed=1),
            "model.layers.3.block_sparse_moe.up_proj.weight": bank(2, seed=2),
            "model.layers.5.moe.down_proj.weight": bank(2, seed=3),
        }
        self.extract(tensors)
        self.are_matrices([(f"{name}::{name.split('.')[-2]}", int(name.split(".")[2]),
                            name.split(".")[-2], e, w[e])
                           for name, w in sorted(tensors.items()) for e in range(len(w))])
        self.assertTrue(self.stats.is_routed_expert.all())
        self.assertEqual(self.unmatched(), {})

    def test_a_part_of_a_component_is_no_component(self):
        self.extract({"model.layers.0.moelike.up_proj.weight": bank(2),
                      "model.layers.0.not_moe.up_proj.weight": bank(2),
                      "model.layers.1.moe.up_proj.weight": bank(2)})
        self.assertEqual(set(self.stats.layer), {1})
        self.assertEqual(self.unmatched(), {})

    def test_expert_regex_names_the_expert_of_a_moe_component(self):
        self.extract({"model.layers.1.moe.5.w1.weight": matrix()},
                     parsing={"expert_regex": r"(?:^|\.)moe\.(\d+)(?:\.|$)"})
        self.are_matrices([("model.layers.1.moe.5.w1.weight::gate_proj", 1, "gate_proj", 5,
                            matrix())])

    def test_a_matching_rule_makes_a_tensor_expert_like(self):
        name = "blk.7.ffn_bank_down.weight"
        self.extract({name: bank(2)},
                     [rule(r"blk\.(\d+)\.ffn_bank_(down)\.weight", axes(1, 2, expert=0),
                           proj_group=2)],
                     parsing={"layer_regex": r"blk\.(\d+)\.",
                              "proj_aliases": {"down_proj": ["down"]}})
        self.are_matrices([(f"{name}::down_proj", 7, "down_proj", e, bank(2)[e])
                           for e in range(2)])

    def test_a_disabled_rule_makes_nothing_expert_like(self):
        self.extract({"blk.7.ffn_bank_down.weight": bank(2), "experts.0.up_proj": matrix()},
                     [rule(r"blk", axes(1, 2, expert=0), proj_group=0, enabled=False)])
        self.assertEqual(set(self.stats.source_tensor), {"experts.0.up_proj"})
        self.assertEqual(self.unmatched(), {})

    def test_routers_are_never_analysed_nor_unmatched(self):
        routers = ["model.layers.0.mlp.gate.weight", "model.layers.0.block_sparse_moe.gate.weight",
                   "model.layers.0.mlp.router.weight", "model.layers.0.moe.router.weight"]
        for experts_only in (True, False):
            with self.subTest(experts_only=experts_only):
                expert = "model.layers.0.mlp.experts.0.up_proj.weight"
                self.extract({name: matrix(8, 64) for name in [*routers, expert]},
                             name=f"only{experts_only}", scan={"experts_only": experts_only})
                self.assertEqual(set(self.stats.source_tensor), {expert})
                self.assertEqual(self.unmatched(), {})
                self.assertEqual(self.roles(), {**{name: "router" for name in routers},
                                                expert: "routed_expert"})

    def test_a_gate_under_experts_is_a_projection(self):
        name = "model.layers.0.mlp.experts.3.gate.weight"
        self.extract({name: matrix()})
        self.are_matrices([(f"{name}::gate_proj", 0, "gate_proj", 3, matrix())])
        name = "model.layers.0.mlp.switch_mlp.gate.weight"
        self.extract({name: bank(2)}, name="switch")
        self.are_matrices([(f"{name}::gate_proj", 0, "gate_proj", e, bank(2)[e])
                           for e in range(2)])

    def test_companions_are_never_analysed_nor_unmatched_and_have_a_role(self):
        prefix = "model.layers.0.mlp."
        companions = [prefix + tail for tail in (
            "experts.down_proj.bias", "experts.0.up_proj.bias", "experts.down_proj_bias",
            "experts.1.up_proj.weight_scale_inv", "experts.1.up_proj.weight_scale",
            "switch_mlp.gate_proj.scales", "switch_mlp.gate_proj.biases",
            "experts.gate_proj.qzeros", "shared_expert_gate.weight",
            "gate.e_score_correction_bias")]
        tensors = {name: matrix(4, 64) for name in companions}
        tensors[prefix + "experts.0.up_proj.weight"] = matrix()
        self.extract(tensors)
        self.assertEqual(list(self.stats.source_tensor), [prefix + "experts.0.up_proj.weight"])
        self.assertEqual(self.unmatched(), {})
        roles = self.roles()
        self.assertTrue(set(roles.values()) <= ROLES)
        for name in companions:
            self.assertIn(roles[name], {"companion", "router"}, name)
        self.assertEqual(roles[prefix + "switch_mlp.gate_proj.scales"], "companion")
        self.assertEqual(roles[prefix + "gate.e_score_correction_bias"], "router")

    def test_of_two_tensors_with_one_matrix_none_is_analysed(self):
        stack = "model.layers.0.mlp.experts.down_proj"
        left = "model.layers.0.mlp.experts.1.down_proj.weight"
        other = "model.layers.1.mlp.experts.1.down_proj.weight"
        self.extract({stack: bank(2), left: matrix(), other: matrix()}, expect=3)
        self.assertEqual(list(self.stats.source_tensor), [other])
        self.assertEqual(self.unmatched(), {
            a: f"two tensors hold layer 0, down_proj of expert 1: {a} and {b}"
            for a, b in ((stack, left), (left, stack))})

    def test_shared_experts_have_no_id_and_are_not_routed(self):
        name = "model.layers.1.mlp.shared_expert.gate_proj.weight"
        self.extract({name: matrix()})
        self.are_matrices([(f"{name}::gate_proj", 1, "gate_proj", -1, matrix())])
        row = self.stats.iloc[0]
        self.assertTrue(row.is_shared_expert)
        self.assertFalse(row.is_routed_expert)
        self.assertEqual(self.roles()[name], "shared_expert")

    def test_include_shared_expert_false_leaves_them_out_without_a_trace(self):
        shared = "model.layers.1.mlp.shared_experts.gate_proj.weight"
        routed = "model.layers.1.mlp.experts.2.gate_proj.weight"
        self.extract({shared: matrix(), routed: matrix(seed=1)},
                     scan={"include_shared_expert": False})
        self.are_matrices([(f"{routed}::gate_proj", 1, "gate_proj", 2, matrix(seed=1))])
        self.assertEqual(self.unmatched(), {})
        self.assertEqual(self.roles()[shared], "shared_expert")

    def test_no_keywords_mean_that_nothing_is_shared(self):
        name = "model.layers.1.mlp.shared_experts.gate_proj.weight"
        for number, keywords in enumerate(([], ["", "  "])):
            with self.subTest(keywords=keywords):
                self.extract({name: matrix()}, name=f"run{number}",
                             parsing={"shared_expert_keywords": keywords})
                self.assertEqual(list(self.stats.is_shared_expert), [False])
                self.assertEqual(list(self.stats.is_routed_expert), [True])
                self.assertEqual(list(self.stats.expert_id), [0])

    def test_every_keyword_must_occur_in_any_case(self):
        name = "model.layers.1.mlp.Common_Expert_experts.gate_proj.weight"
        for keywords, shared in ((["COMMON", " expert "], True), (["common", "absent"], False)):
            with self.subTest(keywords=keywords):
                self.extract({name: matrix()}, name=f"run{shared}",
                             parsing={"shared_expert_keywords": keywords})
                self.assertEqual(list(self.stats.is_shared_expert), [shared])

    def test_a_stack_of_shared_experts_numbers_its_derived_tensors(self):
        name = "model.layers.0.mlp.shared_experts.up_proj.weight"
        self.extract({name: bank(2)})
        self.are_matrices([(f"{name}::up_proj[{i}]", 0, "up_proj", -1, bank(2)[i])
                           for i in range(2)])
        self.assertTrue(self.stats.is_shared_expert.all())

    def test_experts_only_false_records_dense_matrices_as_expert_0(self):
        name = "model.layers.4.mlp.up_proj.weight"
        self.extract({name: matrix()}, scan={"experts_only": False})
        self.are_matrices([(f"{name}::up_proj", 4, "up_proj", 0, matrix())])
        self.assertTrue(self.stats.is_routed_expert.all())
        self.assertEqual(self.unmatched(), {})

    def test_without_an_inventory_its_table_has_the_header_only(self):
        self.extract({"model.layers.0.mlp.experts.0.up_proj.weight": matrix()},
                     scan={"inventory_all_tensors": False})
        inventory = self.table(self.run_path, "tensor_inventory")
        self.assertEqual(len(inventory), 0)
        self.assertEqual(list(inventory)[:6],
                         ["file", "tensor_name", "dtype", "shape", "ndim", "nbytes"])
        self.assertEqual(len(self.stats), 1)

    def test_every_tensor_has_a_role(self):
        roles = {"model.embed_tokens.weight": "embedding",
                 "model.layers.0.self_attn.q_proj.weight": "attention",
                 "model.layers.0.input_layernorm.weight": "norm",
                 "model.layers.0.mlp.gate.weight": "router",
                 "model.layers.0.mlp.experts.0.up_proj.weight": "routed_expert",
                 "model.layers.0.mlp.shared_expert.up_proj.weight": "shared_expert",
                 "something.else": "other"}
        self.extract({name: matrix(8, 64) for name in roles})
        self.assertEqual(self.roles(), roles)


class Unmatched(ExpertsTest):
    NAME = "model.layers.0.mlp.experts.blob.weight"

    def test_an_expert_like_matrix_that_nothing_places_says_so(self):
        self.extract({self.NAME: matrix()}, expect=3)
        self.assertEqual(len(self.stats), 0)
        self.assertEqual(self.unmatched(), {self.NAME: NO_RULE})
        row = self.table(self.run_path, "unmatched_tensors").iloc[0]
        self.assertEqual((row["dtype"], list(row["shape"]), row["ndim"]), ("float32", [64, 96], 2))

    def test_the_dump_can_be_switched_off(self):
        self.extract({self.NAME: matrix()},
                     change=lambda c: c["debug"].update(dump_unmatched_tensors=False), expect=3)
        self.assertEqual(list((self.run_path / "data").glob("unmatched_tensors*")), [])

    def test_other_numbers_of_dimensions_are_unmatched(self):
        names = {"model.layers.0.mlp.experts.up_proj.weight": np.ones((2, 2, 4, 32), np.float32),
                 "model.layers.0.mlp.experts.gate_proj.weight": np.ones(32, np.float32)}
        self.extract(names, rules=[], expect=3)
        self.assertEqual(len(self.stats), 0)
        self.assertEqual(self.unmatched(), {name: NO_RULE for name in names})

    def test_an_empty_expert_is_unmatched_because_empty(self):
        name = "model.layers.0.mlp.experts.0.up_proj.weight"
        self.extract({name: np.zeros((0, 64), np.float32)}, expect=3)
        self.assertEqual(self.unmatched(), {name: "empty"})
        self.assertEqual(len(self.table(self.run_path, "tensor_inventory")), 1)

    def test_mlx_packed_experts_are_unmatched_with_a_reason_and_exit_3(self):
        prefix = "model.layers.0.mlp.switch_mlp.gate_proj."
        self.extract({prefix + "weight": np.ones((2, 32, 8), np.uint32),
                      prefix + "scales": np.ones((2, 32, 2), np.float16),
                      prefix + "biases": np.ones((2, 32, 2), np.float16)}, expect=3)
        self.assertEqual(len(self.stats), 0)
        unmatched = self.unmatched()
        self.assertEqual(list(unmatched), [prefix + "weight"])
        self.assertNotEqual(unmatched[prefix + "weight"], NO_RULE)
        self.assertTrue(unmatched[prefix + "weight"])
        self.warned(prefix + "weight")
        roles = self.roles()
        self.assertEqual(roles[prefix + "weight"], "routed_expert")
        self.assertEqual(roles[prefix + "scales"], "companion")

    def test_one_refused_tensor_does_not_keep_the_others_from_being_analysed(self):
        good = "model.layers.0.mlp.experts.0.up_proj.weight"
        bad = "model.layers.0.mlp.experts.1.up_proj.weight"
        self.extract({good: matrix(), bad: np.ones((4, 64), np.uint8)}, expect=3)
        self.assertEqual(list(self.stats.source_tensor), [good])
        self.assertEqual(list(self.unmatched()), [bad])


class Rules(ExpertsTest):
    NAME = "model.layers.3.mlp.experts.7.up_proj.weight"

    def test_the_first_applicable_rule_decides(self):
        first = rule(r".*experts\.(\d+)\.(\w+)", axes(0, 1), "first", proj_group=2, expert_group=1)
        second = rule(r".*", axes(1, 0), "second", proj_group=0)
        self.extract({self.NAME: matrix()}, [first, second])
        self.are_matrices([(f"{self.NAME}::up_proj", 3, "up_proj", 7, matrix())])
        self.assertEqual([line for line in self.warnings() if not line.startswith(ABOUT_THE_MODEL)], [])

    def test_disabled_rules_and_other_ndim_are_passed_over(self):
        rules = [rule(r".*", axes(1, 0), "off", enabled=False),
                 rule(r".*", axes(1, 2, expert=0), "three", ndim=3),
                 rule(r".*experts\.(\d+)\.", axes(1, 0), "two", ndim=2, expert_group=1)]
        self.extract({self.NAME: matrix()}, rules)
        self.are_matrices([(f"{self.NAME}::up_proj", 3, "up_proj", 7, matrix().T)])
        self.assertEqual([line for line in self.warnings() if not line.startswith(ABOUT_THE_MODEL)], [])

    def test_the_first_successful_rule_wins_and_failures_warn(self):
        rules = [rule(r".*", axes(1, 2, expert=0), "bad layout"),
                 rule(r".*", axes(1, 0), "good")]
        self.extract({self.NAME: matrix()}, rules)
        self.is_matrix(self.stats.iloc[0], matrix().T)
        self.assertEqual(len(self.stats), 1)
        self.warned("rule application failed", "bad layout", self.NAME, "do not cover ndim=2")

    def test_a_match_starts_at_the_first_character_and_ends_anywhere(self):
        rules = [rule(r"layers", axes(1, 0), "inside"), rule(r"model\.layers", axes(1, 0), "start")]
        self.extract({self.NAME: matrix()}, rules[:1])
        self.is_matrix(self.stats.iloc[0], matrix())  # by fallback
        self.extract({self.NAME: matrix()}, rules, name="start")
        self.is_matrix(self.stats.iloc[0], matrix().T)

    def test_without_expert_group_a_rule_gives_no_id(self):
        self.extract({self.NAME: matrix()}, [rule(r".*", axes(0, 1))])
        self.assertEqual(list(self.stats.expert_id), [0])

    def test_an_id_is_used_only_for_a_single_expert(self):
        name = "model.layers.0.mlp.experts.9.up_proj.weight"
        with_id = rule(r".*experts\.(\d+)", axes(1, 2, expert=0), expert_group=1)
        for count, ids in ((1, [9]), (3, [0, 1, 2])):
            with self.subTest(count=count):
                self.extract({name: bank(count)}, [with_id], name=f"run{count}")
                self.assertEqual(list(self.stats.expert_id), ids)

    def test_python_patterns_work(self):
        cases = {
            "lookahead": r"(?=.*up_proj).*experts\.(\d+)\.",
            "negative_lookahead": r"(?!.*shared).*experts\.(\d+)\.",
            "lookbehind": r".*(?<=experts\.)(\d+)",
            "lazy": r".*?(\d+)\.up",
            "named_group": r".*experts\.(?P<expert>\d+)\.(?:up|gate)_proj",
            "end_anchor": r".*experts\.(\d+)\.up_proj\.weight\Z",
            "inline_flag": r"(?i).*EXPERTS\.(\d+)\.",
            "back_reference": r".*(?:experts)\.(\d)(?!\1)",
            "set_with_escapes": r"[\w.]*experts[.](\d{1,3})[^\d]",
        }
        for name, pattern in cases.items():
            with self.subTest(name):
                self.extract({self.NAME: matrix()}, [rule(pattern, axes(1, 0), expert_group=1)],
                             name=name)
                row = self.stats.iloc[0]
                self.is_matrix(row, matrix().T)  # the fallback would not transpose
                self.assertEqual(row.expert_id, 7)

    def test_a_dollar_matches_before_a_final_newline_too(self):
        rules = [rule(r".*experts\.(\d+)\.up_proj\.weight$", axes(1, 0), expert_group=1)]
        self.extract({self.NAME + "\n": matrix()}, rules)
        self.is_matrix(self.stats.iloc[0], matrix().T)
        self.extract({self.NAME + "\n\n": matrix()}, rules, name="two")
        self.is_matrix(self.stats.iloc[0], matrix())  # by fallback

    def test_a_pattern_that_never_ends_is_an_error_that_names_the_rule(self):
        name = "a" * 60 + ".experts.0.up_proj.weight"
        run_dir = self.run_dir(self.model({name: matrix()}), lambda c: c.update(
            extract_rules=[rule(r"(?:a|aa)+\.experts\.X|(?:a|aa)+weight", axes(0, 1), "runaway")]))
        done = self.collect(run_dir, expect=1)
        self.assertIn("runaway", done.stderr)
        self.assertEqual(list((run_dir / "data").glob("*.*")), [])
        self.assertIn("runaway", self.log(run_dir, "run_failure.json")["error"]["message"])

    def test_a_pattern_that_does_not_compile_is_a_config_error_that_names_the_rule(self):
        run_dir = self.run_dir(self.model({self.NAME: matrix()}), lambda c: c.update(
            extract_rules=[rule(r"experts\.(\d+", axes(0, 1), "unclosed")]))
        done = self.collect(run_dir, expect=2)
        self.assertTrue("unclosed" in done.stderr or "/extract_rules/0" in done.stderr, done.stderr)
        self.assertEqual(list((run_dir / "data").glob("*.*")), [])

    def test_rows_come_by_tensor_name_then_layer_then_expert(self):
        tensors = {"model.layers.10.mlp.experts.up_proj.weight": bank(2, seed=1),
                   "model.layers.2.mlp.experts.up_proj.weight": bank(2, seed=2),
                   "model.layers.2.mlp.experts.down_proj.weight": bank(2, 96, 64, seed=3)}
        self.extract(tensors)
        self.are_matrices([(f"{name}::{name.split('.')[-2]}", int(name.split(".")[2]),
                            name.split(".")[-2], e, tensors[name][e])
                           for name in sorted(tensors) for e in range(2)])
        self.assertEqual(list(self.stats.block4), [2, 2, 0, 0, 0, 0])

    def test_a_name_without_a_layer_has_layer_minus_1_and_no_block(self):
        self.extract({"experts.0.up_proj.weight": matrix()})
        self.assertEqual(list(self.stats.layer), [-1])
        self.assertTrue(self.stats.block4.isna().all())

    def test_health_counts_what_rules_and_fallback_took(self):
        self.extract({self.NAME: matrix(),
                      "model.layers.3.mlp.experts.7.w2.weight": matrix(96, 64),
                      "model.layers.3.mlp.experts.7.what": matrix()})
        summary = self.log(self.run_path, "run_health.json")["extraction_summary"]
        self.assertEqual((summary["extracted_by_rule"], summary["extracted_by_fallback"],
                          summary["unmatched_expertish"]), (1, 1, 1))


class Aliases(ExpertsTest):
    PREFIX = "model.layers.0.mlp.experts.4."

    def test_tokens_map_whole_or_not_at_all(self):
        cases = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj", "W2": "down_proj",
                 "ffn_up": "up_proj", "gate": "gate_proj", "up": "up_proj", "down": "down_proj",
                 "Gate_Proj": "gate_proj",
                 "w13": None, "raw2": None, "gate_up_proj": None, "w2x": None, "w2_a": None,
                 "my_down_proj": None, "upgate": None}
        names = {token: f"model.layers.0.mlp.experts.{i}.{token}.weight"
                 for i, token in enumerate(cases)}
        self.extract({name: matrix(seed=i) for i, name in enumerate(names.values())}, rules=[])
        found = {row.source_tensor.split(".")[-2]: row.proj for row in self.stats.itertuples()}
        self.assertEqual(found, {k: v for k, v in cases.items() if v})
        self.assertEqual(self.unmatched(), {names[token]: NO_RULE
                                            for token, proj in cases.items() if not proj})
        self.assertEqual(set(self.stats.expert_id),
                         {i for i, proj in enumerate(cases.values()) if proj})

    def test_the_order_of_the_config_decides_between_two_hits(self):
        name = self.PREFIX + "w1.w2.weight"
        for number, order in enumerate((["gate_proj", "down_proj"], ["down_proj", "gate_proj"])):
            aliases = {"gate_proj": ["w1"], "down_proj": ["w2"]}
            with self.subTest(order):
                self.extract({name: matrix()}, rules=[], name=f"run{number}",
                             parsing={"proj_aliases": {key: aliases[key] for key in order}})
                self.assertEqual(list(self.stats.proj), order[:1])

    def group_rule(self, proj):
        return rule(r".*experts\.(\d+)\.(\w+)\.weight", axes(0, 1), "tokens", expert_group=1,
                    proj_group=proj)

    def test_proj_group_is_mapped_or_kept_raw_and_reported(self):
        tokens = {"w1": "gate_proj", "DOWN_PROJ": "down_proj", "down_prj": "down_prj",
                  "zzz": "zzz"}
        tensors = {f"{self.PREFIX}{token}.weight": matrix() for token in tokens}
        tensors["model.layers.1.mlp.experts.4.zzz.weight"] = matrix()
        self.extract(tensors, [self.group_rule(2)])
        self.assertEqual({r.source_tensor.split(".")[-2]: r.proj
                          for r in self.stats.itertuples()}, tokens)
        self.assertEqual(set(self.stats.derived_tensor),
                         {f"{name}::{tokens[name.split('.')[-2]]}" for name in tensors})
        report = self.table(self.run_path, "proj_canonicalization_report", folder="logs")
        self.assertEqual(list(report), [
            "context", "rule_name", "raw_proj", "resolved_proj", "action", "count", "example_file",
            "example_source_tensor", "example_derived_tensor", "suggested_proj",
            "suggested_match"])
        rows = {r.raw_proj: r for r in report.itertuples()}
        self.assertEqual(set(rows), {"down_prj", "zzz"})
        self.assertEqual(rows["zzz"].count, 2)
        self.assertEqual(rows["zzz"].example_source_tensor, self.PREFIX + "zzz.weight")
        self.assertEqual(rows["zzz"].example_derived_tensor, self.PREFIX + "zzz.weight::zzz")
        self.assertIn(rows["zzz"].suggested_proj, ("", None))
        near = rows["down_prj"]
        self.assertEqual((near.context, near.rule_name, near.resolved_proj, near.action, near.count,
                          near.suggested_proj, near.suggested_match),
                         ("proj_group", "tokens", "down_prj", "kept_raw", 1, "down_proj",
                          "down_proj"))
        self.warned("[proj] unmapped proj tokens kept raw: packed_split=0, proj_group=3 "
                    "(unique=2, occurrences=3). See ")

    def test_strict_proj_group_drops_what_no_alias_maps(self):
        good, bad = self.PREFIX + "w1.weight", self.PREFIX + "up_prox.weight"
        self.extract({good: matrix(), bad: matrix()}, [self.group_rule(2)],
                     parsing={"proj_group_strict": True})
        self.assertEqual(list(self.stats.source_tensor), [good])
        self.assertEqual(self.unmatched(), {bad: "proj_group_strict_unmapped"})
        report = self.table(self.run_path, "proj_canonicalization_report", folder="logs")
        self.assertEqual(list(report.action), ["dropped_strict"])
        self.warned("[proj] strict proj_group dropped tensors due to unmapped proj tokens: "
                    "occurrences=1 (unique=1). See ")

    def test_strict_proj_group_without_aliases_says_so(self):
        name = self.PREFIX + "up_proj.weight"
        self.extract({name: matrix()}, [self.group_rule(2)],
                     parsing={"proj_group_strict": True, "proj_aliases": {}}, expect=3)
        self.assertEqual(len(self.stats), 0)
        self.assertEqual(self.unmatched(), {name: "proj_group_strict_no_alias_map"})
        self.warned("[config] parsing.proj_group_strict=true but parsing.proj_aliases is empty; "
                    "strict proj_group drops occurred (occurrences=1). See PATH for details."
                    .split("See PATH")[0])

    def test_a_rule_without_proj_group_infers_from_the_whole_name(self):
        name = self.PREFIX + "w3.weight"
        self.extract({name: matrix()}, [rule(r".*", axes(0, 1))])
        self.assertEqual(list(self.stats.proj), ["up_proj"])


class Layouts(ExpertsTest):
    def test_layouts_are_transposes_by_axes(self):
        wanted = np.random.default_rng(5).standard_normal((2, 3, 64, 96)).astype(np.float32)
        bank3, one = wanted[0], wanted[0, 0]
        cases = [  # claim, stored array, layout, {(layer, expert): matrix}
            ("E,R,C", bank3, axes(1, 2, expert=0), bank3[None]),
            ("E,C,R", bank3.transpose(0, 2, 1), axes(2, 1, expert=0), bank3[None]),
            ("R,E,C", bank3.transpose(1, 0, 2), axes(0, 2, expert=1), bank3[None]),
            ("C,R,E", bank3.transpose(2, 1, 0), axes(1, 0, expert=2), bank3[None]),
            ("negative axes", bank3.transpose(0, 2, 1), axes(-1, -2, expert=-3), bank3[None]),
            ("L,E,R,C", wanted, axes(2, 3, layer=0, expert=1), wanted),
            ("E,L,C,R", wanted.transpose(1, 0, 3, 2), axes(3, 2, layer=1, expert=0), wanted),
            ("L,E,C,R negative", wanted.transpose(0, 1, 3, 2), axes(-1, -2, layer=-4, expert=-3),
             wanted),
            ("R,C", one, axes(0, 1), one[None, None]),
            ("C,R", one.T, axes(1, 0), one[None, None]),
            ("L,R,C: layers, not experts", wanted[:, 0], axes(1, 2, layer=0), wanted[:, :1]),
        ]
        for claim, stored, layout, expected in cases:
            with self.subTest(claim):
                name = "model.layers.6.mlp.experts.up_proj.weight"
                self.extract({name: stored}, [rule(r".*", layout)],
                             name=claim.replace(",", "").replace(" ", "").replace(":", ""))
                self.are_matrices([(f"{name}::up_proj", 6 + layer, "up_proj", e, expected[layer, e])
                                   for layer in range(expected.shape[0])
                                   for e in range(expected.shape[1])])
                self.assertEqual([line for line in self.warnings() if not line.startswith(ABOUT_THE_MODEL)], [])

    def test_layers_of_a_4d_bank_count_from_0_without_a_layer_in_the_name(self):
        stored = np.random.default_rng(5).standard_normal((2, 2, 32, 64)).astype(np.float32)
        self.extract({"experts.up_proj.weight": stored},
                     [rule(r".*", axes(2, 3, layer=0, expert=1))])
        self.assertEqual(list(self.stats.layer), [0, 0, 1, 1])
        self.assertEqual(list(self.stats.expert_id), [0, 1, 0, 1])
        self.assertEqual(list(self.stats.block4), [0, 0, 0, 0])

    def test_bf16_banks_are_transposed_too(self):
        values = (bank(2) * 8).round() / 8  # exact in bfloat16
        folder = self.tmp / "bf16"
        folder.mkdir()
        name = "model.layers.0.mlp.experts.up_proj.weight"
        write_safetensors_raw(folder / "model.safetensors", {
            name: ("BF16", (2, 96, 64), bf16_bytes(values.transpose(0, 2, 1)))})
        self.run_path = self.run_dir(folder, lambda c: (
            c["mlx"].update(enabled=False),
            c.update(extract_rules=[rule(r".*", axes(2, 1, expert=0))])))
        self.collect(self.run_path)
        self.stats = self.table(self.run_path, "matrix_stats")
        self.are_matrices([(f"{name}::up_proj", 0, "up_proj", e, values[e]) for e in range(2)])
        self.assertEqual(list(self.stats.dtype), ["bfloat16"] * 2)

    def test_bad_layouts_warn_and_fall_back(self):
        name = "model.layers.0.mlp.experts.up_proj.weight"
        cases = [
            ("too few axes", axes(0, 1), "do not cover ndim=3"),
            ("too many axes", axes(2, 3, layer=0, expert=1), "do not cover ndim=3"),
            ("no layout", None, "rows_axis and cols_axis"),
            ("no rows", {"expert_axis": 0, "cols_axis": 2},
             "layout must include rows_axis and cols_axis"),
            ("no cols", {"expert_axis": 0, "rows_axis": 1},
             "layout must include rows_axis and cols_axis"),
            ("repeated", axes(1, 1, expert=0), ""),
            ("repeated by a negative", axes(1, -2, expert=0), ""),
            ("out of range", axes(1, 3, expert=0), ""),
            ("out of range below", axes(1, -4, expert=0), ""),
            ("a float", axes(1, 2.0, expert=0), ""),
            ("a bool", axes(True, 2, expert=0), ""),
            ("a string", axes("1", 2, expert=0), ""),
        ]
        for claim, layout, text in cases:
            with self.subTest(claim):
                self.extract({name: bank(2)}, [rule(r".*", layout, "broken")],
                             name=claim.replace(" ", ""))
                self.are_matrices([(f"{name}::up_proj", 0, "up_proj", e, bank(2)[e])
                                   for e in range(2)])
                self.warned("[extract]", "broken", name, text)
                self.assertEqual(len(self.warnings()), 1)


class PackedSplits(ExpertsTest):
    NAME = "model.layers.2.mlp.experts.w13.weight"
    MATCH = r".*experts.*\.w13\.weight$"

    def packed(self, layout, name="fused", more=None, **split):
        return rule(self.MATCH, layout, name, packed_split=split, **(more or {}))

    def wants(self, axis, parts, name=None):
        name = name or self.NAME
        return [(f"{name}::split[{axis}]::{proj}", 2, proj, e, part[e])
                for proj, part in parts for e in range(len(part))]

    def test_rows_and_cols_are_cut_in_order(self):
        rows, cols = bank(2, 96, 64), bank(2, 64, 96, seed=1)
        cases = [
            ("sizes", rows, dict(axis="rows", splits=[32, 64], projs=["gate_proj", "up_proj"]),
             [("gate_proj", rows[:, :32]), ("up_proj", rows[:, 32:])]),
            ("rest", rows, dict(axis="rows", splits=[-1, 64], projs=["gate_proj", "up_proj"]),
             [("gate_proj", rows[:, :32]), ("up_proj", rows[:, 32:])]),
            ("equal", rows, dict(axis="rows", splits="equal",
                                 projs=["up_proj", "gate_proj", "down_proj"]),
             [("up_proj", rows[:, :32]), ("gate_proj", rows[:, 32:64]),
              ("down_proj", rows[:, 64:])]),
            ("interleave", rows, dict(axis="rows", splits="equal", interleave=True,
                                      projs=["gate_proj", "up_proj"]),
             [("gate_proj", rows[:, ::2]), ("up_proj", rows[:, 1::2])]),
            ("interleave_sizes", rows, dict(axis="rows", splits=[48, 48], interleave=True,
                                            projs=["gate_proj", "up_proj"]),
             [("gate_proj", rows[:, ::2]), ("up_proj", rows[:, 1::2])]),
            ("cols", cols, dict(axis="cols", splits=[32, 64], projs=["gate_proj", "up_proj"]),
             [("gate_proj", cols[:, :, :32]), ("up_proj", cols[:, :, 32:])]),
            ("cols_rest", cols, dict(axis="cols", splits=[64, -1], projs=["gate_proj", "up_proj"]),
             [("gate_proj", cols[:, :, :64]), ("up_proj", cols[:, :, 64:])]),
            ("aliases", rows, dict(axis="rows", splits=[32, 64], projs=["w1", "UP_PROJ"]),
             [("gate_proj", rows[:, :32]), ("up_proj", rows[:, 32:])]),
        ]
        for claim, stored, split, parts in cases:
            with self.subTest(claim):
                self.extract({self.NAME: stored}, [self.packed(axes(1, 2, expert=0), **split)],
                             name=claim)
                self.are_matrices(self.wants(split["axis"], parts))
                self.assertEqual([line for line in self.warnings() if not line.startswith(ABOUT_THE_MODEL)], [])

    def test_the_split_is_of_the_canonical_array(self):
        """gpt-oss's way: stored (E, in, 2 * out), parts interleaved along out."""
        canonical = bank(3, 128, 96)
        self.extract({self.NAME: canonical.transpose(0, 2, 1)},
                     [self.packed(axes(2, 1, expert=0), axis="rows", splits="equal",
                                  interleave=True, projs=["gate_proj", "up_proj"])])
        self.are_matrices(self.wants("rows", [("gate_proj", canonical[:, ::2]),
                                              ("up_proj", canonical[:, 1::2])]))

    def test_a_4d_bank_gives_layers_inside_each_part(self):
        stored = np.random.default_rng(3).standard_normal((2, 2, 64, 96)).astype(np.float32)
        self.extract({self.NAME: stored},
                     [self.packed(axes(2, 3, layer=0, expert=1), axis="rows", splits=[32, 32],
                                  projs=["gate_proj", "up_proj"])])
        self.are_matrices([(f"{self.NAME}::split[rows]::{proj}", 2 + layer, proj, e,
                            stored[layer, e, begin:begin + 32])
                           for proj, begin in (("gate_proj", 0), ("up_proj", 32))
                           for layer in range(2) for e in range(2)])

    def test_a_2d_expert_keeps_its_id(self):
        name = "model.layers.2.mlp.experts.11.w13.weight"
        w = matrix(96, 64)
        self.extract({name: w}, [rule(r".*experts\.(\d+)\.w13", axes(0, 1), expert_group=1,
                                      packed_split=dict(axis="rows", splits=[32, 64],
                                                        projs=["gate_proj", "up_proj"]))])
        self.are_matrices([
            (f"{name}::split[rows]::gate_proj", 2, "gate_proj", 11, w[:32]),
            (f"{name}::split[rows]::up_proj", 2, "up_proj", 11, w[32:])])

    def test_unmapped_projs_are_kept_raw_and_reported(self):
        self.extract({self.NAME: bank(1, 64, 64)},
                     [self.packed(axes(1, 2, expert=0), axis="rows", splits=[32, 32],
                                  projs=["gate_proj", "Mystery"])])
        self.assertEqual(list(self.stats.proj), ["gate_proj", "Mystery"])
        report = self.table(self.run_path, "proj_canonicalization_report", folder="logs")
        self.assertEqual([(r.context, r.raw_proj, r.action, r.count)
                          for r in report.itertuples()],
                         [("packed_split", "Mystery", "kept_raw", 1)])
        self.warned("[proj] unmapped proj tokens kept raw: packed_split=1, proj_group=0 "
                    "(unique=1, occurrences=1). See ")

    # What can be wrong with a split of a (2, 96, 64) bank: claim, rule parts, a piece of the text.
    GOOD = axes(1, 2, expert=0)
    FAILURES = [
        ("wrong_sum", GOOD, dict(axis="rows", splits=[32, 32], projs=["gate_proj", "up_proj"]),
         "split sizes sum to 64, expected 96"),
        ("zero_size", GOOD, dict(axis="rows", splits=[0, 96], projs=["gate_proj", "up_proj"]),
         "packed_split failed for rule=fused"),
        ("negative_size", GOOD, dict(axis="rows", splits=[-2, 98], projs=["gate_proj", "up_proj"]),
         "packed_split failed for rule=fused"),
        ("two_rests", GOOD, dict(axis="rows", splits=[-1, -1], projs=["gate_proj", "up_proj"]),
         "packed_split failed for rule=fused"),
        ("no_rest", GOOD, dict(axis="rows", splits=[96, -1], projs=["gate_proj", "up_proj"]),
         "packed_split failed for rule=fused"),
        ("not_an_integer", GOOD, dict(axis="rows", splits=[48.5, 47.5],
                                      projs=["gate_proj", "up_proj"]), "packed_split failed"),
        ("empty", GOOD, dict(axis="rows", splits=[], projs=[]), "splits must be non-empty"),
        ("unequal", GOOD, dict(axis="rows", splits="equal", projs=["a", "b", "c", "d", "e"]),
         "packed_split failed for rule=fused"),
        ("lengths", GOOD, dict(axis="rows", splits=[32, 64], projs=["gate_proj"]),
         "packed_split projs and splits length mismatch for rule=fused tensor=" + NAME),
        ("layout", axes(0, 1), dict(axis="rows", splits=[32, 64], projs=["gate_proj", "up_proj"]),
         "do not cover ndim=3"),
        ("missing_key", GOOD, dict(axis="rows", projs=["gate_proj", "up_proj"]),
         "packed_split failed for rule=fused"),
    ]

    def test_a_failing_split_ends_a_strict_run_with_nothing_written(self):
        for claim, layout, split, text in self.FAILURES:
            with self.subTest(claim):
                run_dir = self.run_dir(
                    self.model({self.NAME: bank(2, 96, 64)}, name="model-" + claim),
                    lambda c: c.update(extract_rules=[self.packed(layout, **split)]), claim)
                done = self.collect(run_dir, expect=1)
                self.assertIn("PackedSplitError", done.stderr)
                self.assertIn(text, done.stderr)
                self.assertEqual([p for p in (run_dir / "data").rglob("*") if p.is_file()], [])
                failure = self.log(run_dir, "run_failure.json")
                self.assertEqual(failure["status"], "error")
                self.assertEqual(failure["error"]["type"], "PackedSplitError")
                self.assertIn(text, failure["error"]["message"])
                self.assertIn("Traceback (most recent call last):", failure["traceback"])
                self.assertIn("PackedSplitError", failure["traceback"])

    def test_a_failing_split_that_is_not_strict_warns_and_falls_back_to_the_whole_tensor(self):
        name = "model.layers.2.mlp.experts.gate_proj.weight"
        stored = bank(2, 96, 64)
        for claim, layout, split, text in self.FAILURES:
            with self.subTest(claim):
                fused = {**self.packed(layout, **split), "match": r".*"}
                other = rule(r".*", axes(2, 1, expert=0), "a later rule is not tried")
                self.extract({name: stored}, [fused, other], name="lax" + claim,
                             parsing={"strict_packed_split": False})
                self.are_matrices([(f"{name}::gate_proj", 2, "gate_proj", e, stored[e])
                                   for e in range(2)])
                self.warned("[extract]", text.replace(self.NAME, name))

    def test_a_strict_failure_leaves_the_results_of_the_run_before(self):
        run_dir = self.extract_good()
        before = {p: p.read_bytes() for p in (run_dir / "data").iterdir()}
        bad = self.packed(self.GOOD, axis="rows", splits=[1, 2], projs=["gate_proj", "up_proj"])
        config = self.tmp / "runs" / "m" / "run" / "analysis_config.json"
        text = config.read_text()
        changed = json.loads(text)
        changed["extract_rules"] = [bad]
        config.write_text(json.dumps(changed))
        self.collect(run_dir, expect=1)
        self.assertEqual({p: p.read_bytes() for p in (run_dir / "data").iterdir()}, before)
        config.write_text(text)
        self.collect(run_dir)
        self.assertFalse((run_dir / "logs" / "run_failure.json").exists())

    def extract_good(self):
        self.extract({self.NAME: bank(2, 96, 64)},
                     [self.packed(self.GOOD, axis="rows", splits=[32, 64],
                                  projs=["gate_proj", "up_proj"])])
        return self.run_path
