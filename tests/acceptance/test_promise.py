"""Experts against what config.json, routers and the index promise, and shapes against each other."""

import json

import numpy as np

from support import AcceptanceTest, experts, run

CONFIG = {"model_type": "qwen3_moe", "num_hidden_layers": 2, "num_experts": 4, "hidden_size": 128,
          "moe_intermediate_size": 64, "num_experts_per_tok": 2, "mlp_only_layers": []}


class Promise(AcceptanceTest):
    def look(self, tensors, config=CONFIG, index=None, name="m"):
        """-> inspect's object and exit code, collect-data's run directory and exit code; the limit
        of coverage is 1."""
        model = self.model(tensors, name=name, config=config)
        if index is not None:
            (model / "model.safetensors.index.json").write_text(json.dumps(
                {"metadata": {}, "weight_map": {key: "model.safetensors" for key in index}}))
        inspected = run("inspect", model, "--json")

        def change(c):
            c["scan"]["min_expert_coverage"] = 1.0
            c["scan"]["strict_index"] = False
            c["mlx"]["enabled"] = False
        run_dir = self.run_dir(model, change, name="run-" + name)
        collected = run("collect-data", "--run-dir", run_dir)
        return json.loads(inspected.stdout), inspected.returncode, run_dir, collected.returncode

    def missing_of(self, tensors, **how):
        inspected, inspect_code, run_dir, code = self.look(tensors, **how)
        health = self.log(run_dir, "run_health.json")
        self.assertEqual(inspected["missing_experts"], health["missing_experts"])
        self.assertEqual((inspect_code, code), (3, 3))
        warnings = list(self.table(run_dir, "warnings", folder="logs").warning)
        self.assertTrue(any("is missing" in line for line in warnings), warnings)
        return health

    def test_a_lost_last_expert_is_missing_and_lowers_the_coverage(self):
        whole = experts(4, layers=2)
        lost = {k: v for k, v in whole.items() if "layers.1.mlp.experts.3." not in k}
        for name, config in (("config", CONFIG), ("neighbours", None)):
            with self.subTest(name):
                health = self.missing_of(lost, config=config, name=name)
                self.assertEqual([(m["proj"], m["layers"], m["experts"], m["matrices"])
                                  for m in health["missing_experts"]],
                                 [(p, "1", "3", 1) for p in ("down_proj", "gate_proj", "up_proj")])
                coverage = health["expert_coverage"]
                self.assertEqual(coverage["share"], 21 / 24)
                self.assertEqual(coverage["expert_parameters"], 24 * 64 * 128)
                self.assertEqual(coverage["missing_parameters"], 3 * 64 * 128)

    def test_experts_that_the_router_alone_knows_are_missing(self):
        tensors = experts(3, layers=2)
        for layer in range(2):
            tensors[f"model.layers.{layer}.mlp.gate.weight"] = np.ones((4, 128), np.float32)
        for name, config in (("none", None), ("fewer", {**CONFIG, "num_experts": 3})):
            with self.subTest(name):
                health = self.missing_of(tensors, config=config, name=name)
                self.assertEqual({(m["layers"], m["experts"], m["promised_by"])
                                  for m in health["missing_experts"]},
                                 {("0-1", "3", "the router knows 4")})

    def test_a_layer_that_the_config_alone_knows_is_missing(self):
        health = self.missing_of(experts(4, layers=1))
        self.assertEqual({(m["layers"], m["experts"]) for m in health["missing_experts"]},
                         {("1", "0-3")})
        self.assertEqual(health["expert_coverage"]["share"], 0.5)

    def test_an_expert_that_the_index_alone_knows_is_missing(self):
        whole = experts(4)
        name = "model.layers.0.mlp.experts.3.up_proj.weight"
        health = self.missing_of({k: v for k, v in whole.items() if k != name}, config=None,
                                 index=whole)
        self.assertEqual([(m["proj"], m["experts"], m["promised_by"])
                          for m in health["missing_experts"]], [("up_proj", "3", "the index")])

    def test_a_layer_of_which_no_tensor_is_there_is_missing_though_others_are_dense(self):
        config = {"model_type": "foo", "num_hidden_layers": 5, "num_experts": 4}
        whole = experts(4, layers=5)
        tensors = {k: v for k, v in whole.items()
                   if "layers.0." not in k and "layers.3." not in k}
        tensors["model.layers.0.mlp.up_proj.weight"] = np.ones((64, 128), np.float32)
        health = self.missing_of(tensors, config=config)
        self.assertEqual({(m["layers"], m["experts"], m["promised_by"])
                          for m in health["missing_experts"]},
                         {("3", "0-3", "no tensor of the layer is there")})
        self.assertEqual(health["expert_coverage"]["share"], 0.75)
        tensors["model.layers.3.mlp.up_proj.weight"] = np.ones((64, 128), np.float32)
        self.assertEqual(self.look(tensors, config=config, name="dense")[1], 0)

    def test_shared_experts_that_the_index_alone_knows_are_missing(self):
        whole = experts(4)
        shared = ["model.layers.0.mlp.shared_expert.up_proj.weight"]
        health = self.missing_of(whole, config=None, index=[*whole, *shared])
        self.assertEqual([(m["proj"], m["shared"], m["promised_by"])
                          for m in health["missing_experts"]], [("up_proj", True, "the index")])

    def test_experts_beyond_the_count_of_config_or_router_are_measured_with_exit_3(self):
        tensors = experts(5, layers=2)
        router = {"model.layers.1.mlp.gate.weight": np.ones((4, 128), np.float32)}
        for name, config, more, told in (
                ("config", CONFIG, {}, "layers 0-1: the config says 4 a layer, the tensors hold "
                 "expert 4 too"),
                ("router", None, router, "layer 1: the router knows 4, the tensors hold expert 4")):
            with self.subTest(name):
                inspected, inspect_code, run_dir, code = self.look({**tensors, **more},
                                                                   config=config, name=name)
                self.assertEqual((inspect_code, code), (3, 3))
                self.assertEqual(len(self.table(run_dir, "matrix_stats")), 30)
                logged = self.table(run_dir, "warnings", folder="logs").warning
                self.assertIn(told, "\n".join(logged))
                self.assertIn(told, "\n".join(inspected["warnings"]))

    def test_counts_of_the_config_are_read_as_texts_too_and_told_where_they_are_none(self):
        whole = experts(4, layers=2)
        for name, value, code, share in (("text", "4", 0, 1), ("float", 4.0, 0, 1),
                                         ("more", "8", 3, 0.5), ("word", "four", 3, 1)):
            with self.subTest(name):
                found = self.look(whole, config={**CONFIG, "num_experts": value}, name=name)
                self.assertEqual((found[1], found[3]), (code, code))
                health = self.log(found[2], "run_health.json")
                self.assertEqual(health["expert_coverage"]["share"], share)
        warnings = "\n".join(self.table(found[2], "warnings", folder="logs").warning)
        self.assertIn("the config's num_experts is no whole number", warnings)

    def lost(self, tensors, part, config, name):
        """(projection, layers, experts, stack) of what is missing of `tensors` without `part`."""
        left = {k: v for k, v in tensors.items() if part not in k}
        health = self.missing_of(left, config=config, name=name)
        self.assertLess(health["expert_coverage"]["share"], 1)
        return {(m["proj"], m["layers"], m["experts"], m["stack"])
                for m in health["missing_experts"]}

    def test_shared_experts_that_the_config_alone_knows_are_missing(self):
        config = {**CONFIG, "model_type": "qwen2_moe", "shared_expert_intermediate_size": 64}
        whole = experts(4, layers=2)
        for layer in range(2):
            for proj, shape in (("gate_proj", (64, 128)), ("up_proj", (64, 128)),
                                ("down_proj", (128, 64))):
                name = f"model.layers.{layer}.mlp.shared_expert.{proj}.weight"
                whole[name] = np.full(shape, 0.01, np.float32)
        self.assertEqual(self.lost(whole, "shared_expert", config, "all"),
                         {(p, "0-1", None, None) for p in ("gate_proj", "up_proj", "down_proj")})
        self.assertEqual(self.lost(whole, "shared_expert.up_proj", config, "up"),
                         {("up_proj", "0-1", None, None)})
        self.assertEqual(self.look(whole, config=config, name="whole")[1], 0)

    def test_a_gate_that_every_expert_lost_is_missing_where_the_family_has_one(self):
        whole = experts(4, layers=2)
        self.assertEqual(self.lost(whole, "gate_proj", CONFIG, "qwen"),
                         {("gate_proj", "0-1", "0-3", None)})
        gateless = {k.replace("model.layers", "backbone.layers").replace("mlp", "mixer"): v
                    for k, v in whole.items() if "gate_proj" not in k}
        config = {"model_type": "nemotron_h", "num_hidden_layers": 2, "n_routed_experts": 4,
                  "hybrid_override_pattern": "EE", "hidden_size": 128,
                  "moe_intermediate_size": 64}
        inspected, code, _, collected = self.look(gateless, config=config, name="nemotron")
        self.assertEqual((inspected["missing_experts"], code, collected), ([], 0, 0))

    def test_a_layer_of_a_nested_stack_is_missing(self):
        whole = {"thinker." + k: v for k, v in experts(4, layers=2).items()}
        config = {"model_type": "qwen3_omni_moe", "thinker_config": {"text_config": CONFIG}}
        self.assertEqual(self.lost(whole, "layers.1.", config, "thinker"),
                         {(p, "1", "0-3", "thinker")
                          for p in ("gate_proj", "up_proj", "down_proj")})

    def test_a_model_with_another_number_of_experts_in_each_layer_misses_nothing(self):
        whole = {k: v for k, v in experts(4, layers=2).items() if "layers.1.mlp.experts.3" not in k}
        pruned = {"moe_sparsity_config": {"method": "prune", "num_experts": [4, 3]}}
        for name, more in (("list", {"num_experts": [4, 3]}),
                           ("pruned", {"quantization_config": pruned})):
            with self.subTest(name):
                inspected, code, run_dir, collected = self.look(whole, {**CONFIG, **more},
                                                                name=name)
                self.assertEqual((inspected["missing_experts"], code, collected), ([], 0, 0))
                self.assertEqual(self.log(run_dir, "run_health.json")["expert_coverage"]["share"],
                                 1.0)
                self.assertEqual(self.lost(whole, "layers.1.mlp.experts.2.", {**CONFIG, **more},
                                           name + "-lost"),
                                 {(p, "1", "2", None)
                                  for p in ("gate_proj", "up_proj", "down_proj")})

    def test_a_whole_model_misses_nothing(self):
        inspected, inspect_code, run_dir, code = self.look(experts(4, layers=2))
        self.assertEqual((inspect_code, code), (0, 0))
        self.assertEqual(inspected["missing_experts"], [])
        self.assertEqual(self.log(run_dir, "run_health.json")["expert_coverage"]["share"], 1.0)

    def test_a_matrix_that_does_not_fit_its_expert_is_refused_alone(self):
        tensors = experts(4, layers=2)
        name = "model.layers.1.mlp.experts.2.down_proj.weight"
        tensors[name] = np.ones((128, 32), np.float32)
        inspected, inspect_code, run_dir, code = self.look(tensors)
        self.assertEqual((inspect_code, code), (3, 3))
        unmatched = self.table(run_dir, "unmatched_tensors")
        self.assertEqual(list(unmatched.tensor_name), [name])
        self.assertIn("expected 128 x 64, found 128 x 32", unmatched.reason[0])
        self.assertEqual([row["tensor"] for row in inspected["unmatched"]], [name])
        self.assertEqual(inspected["missing_experts"], [])  # it is there, though not read
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(len(stats), 23)
        self.assertNotIn(name, set(stats.source_tensor))

    def test_an_expert_unlike_its_neighbours_is_refused_alone_without_any_config(self):
        tensors = experts(4, layers=2)
        for proj, shape in (("gate_proj", (32, 128)), ("up_proj", (32, 128)),
                            ("down_proj", (128, 32))):
            tensors[f"model.layers.1.mlp.experts.2.{proj}.weight"] = np.ones(shape, np.float32)
        inspected, inspect_code, run_dir, code = self.look(tensors, config=None)
        self.assertEqual((inspect_code, code), (3, 3))
        unmatched = self.table(run_dir, "unmatched_tensors")
        self.assertEqual(set(unmatched.tensor_name),
                         {k for k in tensors if "layers.1.mlp.experts.2." in k})
        self.assertIn("expected 128 x 64 as in the layer's other experts, found 128 x 32",
                      "\n".join(unmatched.reason))
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 21)

    def test_shapes_that_agree_with_each_other_against_the_config_are_measured_with_exit_3(self):
        _, inspect_code, run_dir, code = self.look(experts(4, layers=2),
                                                   config={**CONFIG, "hidden_size": 256})
        self.assertEqual((inspect_code, code), (3, 3))
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 24)
        warnings = "\n".join(self.table(run_dir, "warnings", folder="logs").warning)
        self.assertIn("up_proj: the config says 64 x 256, the tensors hold 64 x 128", warnings)

    def test_a_layer_of_another_width_than_config_and_other_layers_say_is_refused(self):
        whole = experts(4, layers=2)
        odd = {k: np.ones((128, 32) if "down" in k else (32, 128), np.float32)
               for k in whole if "layers.1." in k}
        inspected, inspect_code, run_dir, code = self.look({**whole, **odd})
        self.assertEqual((inspect_code, code), (3, 3))
        unmatched = self.table(run_dir, "unmatched_tensors")
        self.assertEqual(set(unmatched.tensor_name), set(odd))
        self.assertIn("expected 64 x 128, found 32 x 128", "\n".join(unmatched.reason))
        self.assertEqual(inspected["missing_experts"], [])
        self.assertEqual(set(self.table(run_dir, "matrix_stats").layer), {0})

    def test_shapes_of_which_few_are_as_the_config_says_are_measured_with_exit_3(self):
        whole = experts(4, layers=3)
        tensors = {k: v if "layers.0." in k else
                   np.ones((128, 32) if "down" in k else (32, 128), np.float32)
                   for k, v in whole.items()}
        _, inspect_code, run_dir, code = self.look(tensors,
                                                   config={**CONFIG, "num_hidden_layers": 3})
        self.assertEqual((inspect_code, code), (3, 3))
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 36)
        warnings = "\n".join(self.table(run_dir, "warnings", folder="logs").warning)
        self.assertIn("up_proj: the config says 64 x 128, the tensors hold 32 x 128", warnings)

    def test_projections_of_a_layer_that_do_not_fit_each_other_are_refused_without_a_config(self):
        tensors = experts(4, layers=2)
        odd = [k for k in tensors if "layers.1." in k and "up_proj" in k]
        for name in odd:
            tensors[name] = np.ones((32, 128), np.float32)
        _, inspect_code, run_dir, code = self.look(tensors, config=None)
        self.assertEqual((inspect_code, code), (3, 3))
        self.assertEqual(set(self.table(run_dir, "unmatched_tensors").tensor_name), set(odd))
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 20)

    def test_identity_experts_are_refused_and_no_others(self):
        tensors = {k: v for k, v in experts(6).items()
                   if not ("down_proj" in k and (".4." in k or ".5." in k))}
        config = {"model_type": "longcat_flash", "hidden_size": 128, "num_layers": 1,
                  "expert_ffn_hidden_size": 64, "n_routed_experts": 4, "zero_expert_num": 2}
        _, inspect_code, run_dir, code = self.look(tensors, config=config)
        self.assertEqual((inspect_code, code), (3, 3))
        self.assertEqual(set(self.table(run_dir, "matrix_stats").expert_id), {0, 1, 2, 3})
        reasons = list(self.table(run_dir, "unmatched_tensors").reason)
        self.assertEqual(len(reasons), 4)
        for reason in reasons:
            self.assertIn("expected experts 0 to 3", reason)
            self.assertIn("without down_proj", reason)
