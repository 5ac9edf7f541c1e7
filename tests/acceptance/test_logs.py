"""The files of logs/ that collect-data writes, and coverage (contract 13, D19, D21)."""

import json
import re

import numpy as np

from support import AcceptanceTest, bank, experts, files_of, run, write_safetensors_raw

COUNTS = ["expected_shards_count", "scanned_shards_count", "missing_shards_count",
          "extra_scanned_shards_count", "missing_tensors_count", "extra_tensors_count",
          "extra_safetensors_files_on_disk_count"]
SECONDS = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"


class LogsTest(AcceptanceTest):
    def warnings(self, run_dir):
        if not list((run_dir / "logs").glob("warnings.*")):
            return []
        return self.table(run_dir, "warnings", "logs").warning.tolist()

    def edit(self, run_dir, change):
        path = run_dir / "analysis_config.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))


def strict(config):
    """A rule whose packed split can not be right, in strict mode."""
    config["extract_rules"].insert(0, {
        "name": "bad split", "match": ".*experts", "layout": {
            "expert_axis": 0, "rows_axis": 1, "cols_axis": 2},
        "packed_split": {"axis": "rows", "splits": [1, 2], "projs": ["gate_proj", "up_proj"]}})


class Success(LogsTest):
    def test_json_logs_are_sorted_and_indented(self):
        run_dir = self.collected(bank())
        for name in ("write_manifest.json", "run_health.json", "run_context.json"):
            text = (run_dir / "logs" / name).read_text()
            with self.subTest(name):
                content = json.loads(text)
                self.assertEqual(list(content), sorted(content))
                self.assertRegex(text, r'\A\{\n  "')
                self.assertRegex(content["generated_at"], SECONDS)
        self.assertFalse((run_dir / "logs/run_failure.json").exists())

    def test_write_manifest_names_every_file(self):
        run_dir = self.collected({**bank(count=2), "experts.x.weight": np.ones((2, 2), np.float32)},
                                 lambda c: c["quant_schemes"].append({"name": "bad", "mode": "b"}),
                                 expect=3)
        manifest = self.log(run_dir, "write_manifest.json")
        self.assertEqual((manifest["requested_format"], manifest["requested_compression"]),
                         ("parquet", "zstd"))
        rows = {"tensor_inventory": 2, "matrix_stats": 2, "quant_sim": 8, "evidence": 8,
                "dense_stats": 0, "dense_quant_sim": 0, "unmatched_tensors": 1}
        for name, count in rows.items():
            self.assertEqual(manifest["artifacts"][name], {
                "path": f"data/{name}.parquet", "format": "parquet", "fallback": False,
                "error": "", "rows": count})
        self.assertEqual(manifest["artifacts"]["warnings"]["path"], "logs/warnings.parquet")
        self.assertEqual(set(manifest["artifacts"]), {*rows, "warnings"})

    def test_warnings_are_written_only_if_there_are_any(self):
        run_dir = self.collected(bank(), config={"hidden_size": 32})
        self.assertEqual(list((run_dir / "logs").glob("warnings.*")), [])
        self.assertNotIn("warnings", self.log(run_dir, "write_manifest.json")["artifacts"])
        written = self.log(run_dir, "run_health.json")["outputs_written"]
        self.assertEqual((written["warnings_rows"], written["wrote_warnings"]), (0, False))

    def test_run_health_tells_the_whole_run(self):
        tensors = {**bank(count=2, layer=1), **experts(count=1, rows=2, cols=32),
                   "model.layers.0.mlp.experts.mystery.weight": np.ones((2, 2), np.float32),
                   "model.norm.weight": np.ones(3, np.float32)}
        run_dir = self.collected(tensors)
        health = self.log(run_dir, "run_health.json")
        config = json.loads((run_dir / "analysis_config.json").read_text())
        manifest = json.loads((run_dir / "manifest.json").read_text())
        self.assertEqual(health["status"], "success")
        self.assertGreaterEqual(health["duration_seconds"], 0)
        self.assertLess(health["duration_seconds"], 300)
        self.assertEqual(health["run"], {
            "run_dir": str(run_dir.resolve()), "model_id": "m", "run_name": "run",
            "created_at": manifest["created_at"], "model_path": config["model_path"]})
        self.assertEqual(health["config_used"], config)
        self.assertEqual(health["scan_summary"]["files_scanned"], 1)
        self.assertEqual(health["scan_summary"]["tensors_observed"], 6)
        extraction = health["extraction_summary"]
        self.assertEqual((extraction["extracted_by_rule"], extraction["extracted_by_fallback"],
                          extraction["unmatched_expertish"]), (4, 0, 1))
        written = health["outputs_written"]
        for key, value in {"format": "parquet", "tensor_inventory_rows": 6, "matrix_stats_rows": 5,
                           "quant_sim_rows": 15, "unmatched_tensors_rows": 1,
                           "wrote_unmatched_tensors": True, "wrote_index_report": False}.items():
            self.assertEqual(written[key], value, key)
        self.assertEqual(written["wrote_warnings"], written["warnings_rows"] > 0)
        self.assertEqual(written["warnings_rows"], len(self.warnings(run_dir)))
        formats = health["tensor_name_formats"]
        self.assertEqual(formats["layer_regex"], config["parsing"]["layer_regex"])
        self.assertEqual(formats["expert_regex"], config["parsing"]["expert_regex"])
        self.assertEqual(formats["proj_aliases"], config["parsing"]["proj_aliases"])
        self.assertEqual(formats["enabled_extract_rules"], [
            {key: rule[key] for key in ("name", "match", "ndim")}
            for rule in config["extract_rules"][:2]])
        examples = health["tensor_name_examples"]
        self.assertEqual(examples["unmatched_expertish"],
                         ["model.layers.0.mlp.experts.mystery.weight"])
        self.assertEqual(examples["rule_extracted"], sorted(
            n for n in tensors if "experts" in n and "mystery" not in n))
        self.assertEqual(examples["fallback_extracted"], [])
        self.assertEqual(health["smoke_checks"]["effectively_empty_collect"]["triggered"], False)
        self.assertEqual(len(health["derived_tensor_formats"]), 3)
        summary = health["index_summary"]
        self.assertEqual((summary["active"], summary["parsed"], summary["used_for_scan"],
                          summary["index_path"], summary["strict_index"]),
                         (False, False, False, None, True))
        self.assertEqual([summary[key] for key in COUNTS], [0] * 7)
        self.assertNotIn("index_metadata", summary)

    def test_examples_stop_at_25(self):
        run_dir = self.collected(experts(count=12, rows=1, cols=32))
        health = self.log(run_dir, "run_health.json")
        self.assertEqual(health["extraction_summary"]["extracted_by_rule"], 36)
        self.assertEqual(len(health["tensor_name_examples"]["rule_extracted"]), 25)

    def test_config_used_holds_the_override(self):
        first = self.model(bank(), name="first")
        second = self.model(bank(), name="second")
        run_dir = self.run_dir(first)
        self.collect(run_dir, "--model-path", second)
        health = self.log(run_dir, "run_health.json")
        self.assertEqual(health["run"]["model_path"], str(second.resolve()))
        self.assertEqual(health["config_used"]["model_path"], str(second.resolve()))
        context = self.log(run_dir, "run_context.json")
        self.assertEqual(context["model_path"], {
            "configured": str(first.resolve()), "resolved": str(second.resolve()),
            "source": "cli_override"})
        self.assertEqual(list(context["cli_overrides"]), ["model_path"])

    def test_run_context_tells_the_plan(self):
        (self.tmp / "m/sub").mkdir(parents=True)
        for i, name in enumerate(["d", "c", "sub/b", "a"]):
            write_safetensors_raw(self.tmp / f"m/{name}.safetensors",
                                  {f"t{i}.experts.0.up_proj": ("F32", (1, 32), bytes(128))})
        run_dir = self.run_dir(self.tmp / "m", lambda c: c["scan"].update(recursive=True))
        self.collect(run_dir)
        context = self.log(run_dir, "run_context.json")
        manifest = json.loads((run_dir / "manifest.json").read_text())
        self.assertEqual(context["run"], {"run_dir": str(run_dir.resolve()), "model_id": "m",
                                          "run_name": "run", "created_at": manifest["created_at"]})
        path = str((self.tmp / "m").resolve())
        self.assertEqual(context["model_path"],
                         {"configured": path, "resolved": path, "source": "config"})
        self.assertEqual(context["cli_overrides"], {})
        plan = context["scan_plan"]
        for key, value in {
                "use_safetensors_index_json": True, "strict_index": True,
                "model_path_kind": "dir",
                "index_discovered_but_ignored_due_to_file_model_path": False,
                "extensions": [".safetensors", ".npz", ".gguf"], "max_files": None,
                "experts_only": True, "include_shared_expert": True,
                "inventory_all_tensors": True, "scan_mode": "walk", "scanned_files_count": 4,
                "scanned_files_example": ["a.safetensors", "c.safetensors",
                                          "d.safetensors"]}.items():
            self.assertEqual(plan[key], value, key)
        index = context["index"]
        self.assertEqual((index["status"], index["searched"], index["found"], index["parsed"],
                          index["active"], index["used_for_scan"], index["index_path"]),
                         ("not_found", True, False, False, False, False, None))

    def test_a_hand_made_run_directory_has_no_ids(self):
        run_dir = self.run_dir(self.model(bank()))
        (run_dir / "manifest.json").unlink()
        self.collect(run_dir)
        self.assertEqual(self.log(run_dir, "run_health.json")["run"]["run_dir"],
                         str(run_dir.resolve()))

    def test_quant_rel_den_floor_is_recorded(self):
        run_dir = self.collected(bank(), lambda c: c["stats"].update(quant_rel_den_floor=2.5))
        self.assertIn("quant_rel_den_floor", (run_dir / "logs/run_context.json").read_text())


class Index(LogsTest):
    def test_run_health_counts_what_the_index_lacks(self):
        folder = self.tmp / "m"
        folder.mkdir()
        for i, name in enumerate(["a", "b", "stale"]):
            write_safetensors_raw(folder / f"{name}.safetensors",
                                  {f"t{i}.experts.0.up_proj": ("F32", (1, 32), bytes(128))})
        (folder / "model.safetensors.index.json").write_text(json.dumps({
            "metadata": {"total_size": 8, "note": "x"},
            "weight_map": {"t0.experts.0.up_proj": "a.safetensors", "x": "b.safetensors", "y": "gone.safetensors"}}))
        run_dir = self.run_dir(folder, lambda c: c["scan"].update(strict_index=False))
        self.collect(run_dir)
        health = self.log(run_dir, "run_health.json")
        summary = health["index_summary"]
        self.assertEqual((summary["active"], summary["parsed"], summary["used_for_scan"]),
                         (True, True, True))
        self.assertEqual(summary["index_path"],
                         str((folder / "model.safetensors.index.json").resolve()))
        self.assertEqual([summary[key] for key in COUNTS], [3, 2, 1, 0, 2, 1, 1])
        self.assertEqual(summary["index_metadata"], {"total_size": 8, "note": "x"})
        self.assertTrue(health["outputs_written"]["wrote_index_report"])
        order = ["missing shards", "missing tensors", "extra tensors",
                 "extra safetensors files on disk"]
        lines = [line for line in self.warnings(run_dir) if line.startswith("[index]")]
        self.assertEqual(len(lines), len(order))
        for line, words in zip(lines, order):
            self.assertIn(words, line)

    def test_an_index_report_of_an_earlier_run_does_not_stay(self):
        folder = self.model(bank())
        (folder / "model.safetensors.index.json").write_text(json.dumps(
            {"weight_map": {next(iter(bank())): "model.safetensors"}}))
        run_dir = self.run_dir(folder)
        self.collect(run_dir)
        self.assertTrue((run_dir / "logs/index_report.json").exists())
        (folder / "model.safetensors.index.json").unlink()
        self.collect(run_dir)
        self.assertFalse((run_dir / "logs/index_report.json").exists())


class Failure(LogsTest):
    def test_a_failure_is_told_in_run_failure_and_success_removes_it(self):
        run_dir = self.run_dir(self.model(bank()))
        self.edit(run_dir, strict)
        done = self.collect(run_dir, expect=1)
        self.assertIn("PackedSplitError", done.stderr)
        self.assertEqual(files_of(run_dir / "data"), {})
        failure = self.log(run_dir, "run_failure.json")
        self.assertEqual(failure["status"], "error")
        self.assertRegex(failure["generated_at"], SECONDS)
        self.assertEqual((failure["run"]["model_id"], failure["run"]["run_name"]), ("m", "run"))
        self.assertEqual(failure["model_path"]["source"], "config")
        self.assertEqual(failure["cli_overrides"], {})
        self.assertEqual((failure["index"]["status"], failure["index"]["searched"],
                          failure["index"]["found"], failure["index"]["active"],
                          failure["index"]["index_path"]),
                         ("not_found", True, False, False, None))
        self.assertEqual(failure["error"]["type"], "PackedSplitError")
        self.assertIn("packed_split failed for rule=bad split tensor=" + next(iter(bank())),
                      failure["error"]["message"])
        self.assertIn("Traceback (most recent call last):", failure["traceback"])
        self.assertIn("PackedSplitError", failure["traceback"])
        self.assertFalse((run_dir / "logs/run_health.json").exists())
        self.edit(run_dir, lambda c: c["extract_rules"].pop(0))
        self.collect(run_dir)
        self.assertFalse((run_dir / "logs/run_failure.json").exists())

    def test_error_types_are_the_references(self):
        cases = {"missing model": ("FileNotFoundError", None, None),
                 "no zip": ("BadZipFile", "x.npz", b"no zip"),
                 }
        for case, (kind, name, data) in cases.items():
            with self.subTest(case):
                folder = self.tmp / case
                if name:
                    folder.mkdir()
                    (folder / name).write_bytes(data)
                run_dir = self.run_dir(folder, name=case)
                self.collect(run_dir, expect=1)
                failure = self.log(run_dir, "run_failure.json")
                self.assertIn(failure["error"]["type"], (kind, "SystemExit") if not name
                              else (kind,))
                self.assertIn("Traceback (most recent call last):", failure["traceback"])
                self.assertIn(failure["error"]["type"], failure["traceback"])

    def test_a_failure_makes_the_logs_folder_if_needed(self):
        run_dir = self.tmp / "hand"
        run_dir.mkdir()
        template = self.run_dir(self.tmp / "none") / "analysis_config.json"
        (run_dir / "analysis_config.json").write_bytes(template.read_bytes())
        self.collect(run_dir, expect=1)
        self.assertEqual(self.log(run_dir, "run_failure.json")["status"], "error")

    def test_a_failure_leaves_the_logs_of_the_last_success(self):
        run_dir = self.run_dir(self.model(bank()))
        self.collect(run_dir)
        before = files_of(run_dir)
        config = (run_dir / "analysis_config.json").read_bytes()
        self.edit(run_dir, strict)
        self.collect(run_dir, expect=1)
        (run_dir / "analysis_config.json").write_bytes(config)
        after = files_of(run_dir)
        after.pop("logs/run_failure.json")
        self.assertEqual(after, before)


class Coverage(LogsTest):
    MODEL = {"model.embed_tokens.weight": np.ones((10, 4), np.float32),
             "model.norm.weight": np.ones(4, np.float32),
             "model.layers.0.self_attn.q_proj.weight": np.ones((4, 4), np.float16),
             "model.layers.0.mlp.gate.weight": np.ones((2, 4), np.float32),
             "model.layers.0.mlp.experts.0.up_proj.weight": np.ones((2, 32), np.float16),
             "model.layers.0.mlp.experts.1.up_proj.weight": np.ones((2, 32), np.float16),
             "model.layers.0.mlp.shared_expert.up_proj.weight": np.ones((4, 32), np.float32)}
    ROLES = {"embedding": (1, 160, 40), "norm": (1, 16, 4), "attention": (1, 32, 16),
             "router": (1, 32, 8), "routed_expert": (2, 256, 128), "shared_expert": (1, 512, 128)}

    def partial(self, change=None, expect=0, name="run"):
        """Half of the expert parameters are stored in a way that is not decoded."""
        folder = self.tmp / ("partial-" + name)
        folder.mkdir()
        write_safetensors_raw(folder / "m.safetensors", {
            "layers.0.experts.0.up_proj.weight": ("F32", (2, 32), bytes(256)),
            "layers.0.experts.1.up_proj.weight": ("I8", (2, 32), bytes(64))})
        run_dir = self.run_dir(folder, change, name)
        self.collect(run_dir, expect=expect)
        return run_dir

    def test_run_health_counts_tensors_bytes_and_parameters_per_role(self):
        run_dir = self.collected(self.MODEL)
        health = self.log(run_dir, "run_health.json")
        for role, (tensors, nbytes, parameters) in self.ROLES.items():
            with self.subTest(role):
                self.assertEqual(health["roles"][role], {"tensors": tensors, "bytes": nbytes,
                                                         "parameters": parameters})
        self.assertEqual(health["expert_coverage"], {
            "expert_parameters": 256, "missing_parameters": 0, "analysed_parameters": 256, "share": 1.0,
            "min_expert_coverage": None})

    def test_full_coverage_is_no_warning(self):
        run_dir = self.collected(
            self.MODEL, lambda c: c["scan"].update(min_expert_coverage=1.0, dense_weights=False),
            config={"hidden_size": 32})
        self.assertEqual(self.warnings(run_dir), [])

    def test_the_share_of_parameters_analysed_is_recorded_and_warned_about(self):
        run_dir = self.partial(expect=3)
        health = self.log(run_dir, "run_health.json")
        self.assertEqual(health["expert_coverage"], {
            "expert_parameters": 128, "missing_parameters": 0, "analysed_parameters": 64, "share": 0.5,
            "min_expert_coverage": None})
        line, = [w for w in self.warnings(run_dir) if w.startswith("[coverage]")]
        self.assertRegex(line, r"\b50(\.0+)? ?%")

    def test_below_min_expert_coverage_the_exit_code_is_3(self):
        def less(config, limit):
            config["scan"].update(include_shared_expert=False, min_expert_coverage=limit)
        # Half of the expert parameters are shared, and left out on purpose.
        model = self.model(self.MODEL)
        for limit, code in ((0.6, 3), (0.5, 0), (None, 0)):
            with self.subTest(limit):
                run_dir = self.run_dir(model, lambda c, limit=limit: less(c, limit), f"l{limit}")
                self.collect(run_dir, expect=code)
                self.assertEqual(len(self.table(run_dir, "matrix_stats")), 2)

    def test_a_tensor_that_can_not_be_decoded_is_unmatched_with_a_warning_and_exit_3(self):
        run_dir = self.partial(expect=3)
        unmatched = self.table(run_dir, "unmatched_tensors")
        self.assertEqual(unmatched.tensor_name.tolist(), ["layers.0.experts.1.up_proj.weight"])
        self.assertIn("int8", unmatched.reason[0])
        self.assertTrue([w for w in self.warnings(run_dir)
                         if "layers.0.experts.1.up_proj.weight" in w])
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 1)


class ProjReport(LogsTest):
    # A rule whose group gives names that no alias maps.
    RULE = {"name": "odd names", "match": r".*experts\.(\d+)\.(\w+)\.weight$", "ndim": 2,
            "layout": {"rows_axis": 0, "cols_axis": 1}, "expert_group": 1, "proj_group": 2}
    TENSORS = {f"layers.0.experts.{e}.{proj}.weight": np.ones((2, 32), np.float32)
               for e in range(2) for proj in ("down_prj", "zzz", "up_proj")}

    def change(self, **parsing):
        def edit(config):
            config["extract_rules"] = [self.RULE]
            config["parsing"].update(presets="off", **parsing)
        return edit

    def report(self, run_dir):
        return self.table(run_dir, "proj_canonicalization_report", "logs")

    def test_kept_tokens_are_counted_with_a_suggestion(self):
        run_dir = self.collected(self.TENSORS, self.change())
        report = self.report(run_dir)
        path = str((self.tmp / "model-run/model.safetensors").resolve())
        self.assertEqual(report.columns.tolist(), [
            "context", "rule_name", "raw_proj", "resolved_proj", "action", "count", "example_file",
            "example_source_tensor", "example_derived_tensor", "suggested_proj",
            "suggested_match"])
        self.assertEqual(report.fillna("").values.tolist(), [
            ["proj_group", "odd names", "down_prj", "down_prj", "kept_raw", 2, path,
             "layers.0.experts.0.down_prj.weight", "layers.0.experts.0.down_prj.weight::down_prj",
             "down_proj", "down_proj"],
            ["proj_group", "odd names", "zzz", "zzz", "kept_raw", 2, path,
             "layers.0.experts.0.zzz.weight", "layers.0.experts.0.zzz.weight::zzz", "", ""]])
        self.assertEqual(sorted(self.table(run_dir, "matrix_stats").proj),
                         ["down_prj", "down_prj", "up_proj", "up_proj", "zzz", "zzz"])
        line, = [w for w in self.warnings(run_dir) if w.startswith("[proj]")]
        self.assertRegex(line, r"^\[proj\] unmapped proj tokens kept raw: packed_split=0, "
                               r"proj_group=4 \(unique=2, occurrences=4\)\. See \S*"
                               r"logs/proj_canonicalization_report\.parquet$")
        artifacts = self.log(run_dir, "write_manifest.json")["artifacts"]
        self.assertEqual((artifacts["proj_canonicalization_report"]["path"],
                          artifacts["proj_canonicalization_report"]["rows"]),
                         ("logs/proj_canonicalization_report.parquet", 2))

    def test_strict_tokens_are_dropped_and_unmatched(self):
        run_dir = self.collected(self.TENSORS, self.change(proj_group_strict=True))
        self.assertEqual(sorted(self.table(run_dir, "matrix_stats").proj), ["up_proj", "up_proj"])
        unmatched = self.table(run_dir, "unmatched_tensors")
        self.assertEqual(unmatched.reason.tolist(), ["proj_group_strict_unmapped"] * 4)
        report = self.report(run_dir)
        self.assertEqual(report.action.tolist(), ["dropped_strict"] * 2)
        self.assertEqual(report["count"].tolist(), [2, 2])
        line, = [w for w in self.warnings(run_dir) if w.startswith("[proj]")]
        self.assertRegex(line, r"^\[proj\] strict proj_group dropped tensors due to unmapped proj "
                               r"tokens: occurrences=4 \(unique=2\)\. See \S*"
                               r"logs/proj_canonicalization_report\.parquet$")

    def test_strict_without_aliases_names_the_fault_of_the_config(self):
        warning = ("[config] parsing.proj_group_strict=true but parsing.proj_aliases is empty; "
                   "strict proj_group drops occurred (occurrences=6). ")
        for dump, end in ((True, r"See \S*unmatched_tensors\S* for details\."),
                          (False, r"Enable debug\.dump_unmatched_tensors=true to write "
                                  r"unmatched_tensors\.\*\.")):
            def edit(config, dump=dump):
                self.change(proj_group_strict=True, proj_aliases={})(config)
                config["debug"]["dump_unmatched_tensors"] = dump
            with self.subTest(dump=dump):
                run_dir = self.collected(self.TENSORS, edit, name=f"d{dump}", expect=3)
                lines = [w for w in self.warnings(run_dir) if w.startswith("[config]")]
                self.assertEqual(len(lines), 1, lines)
                self.assertRegex(lines[0], "^" + re.escape(warning) + end + "$")
                if dump:
                    self.assertEqual(set(self.table(run_dir, "unmatched_tensors").reason),
                                     {"proj_group_strict_no_alias_map"})

    def test_no_unmapped_token_no_report_and_an_old_one_goes(self):
        run_dir = self.run_dir(self.model(self.TENSORS), self.change())
        self.collect(run_dir)
        self.assertEqual(len(list((run_dir / "logs").glob("proj_*"))), 1)
        self.collect(run_dir, "--model-path", self.model(bank(), name="good"))
        self.assertEqual(list((run_dir / "logs").glob("proj_*")), [])


class Metadata(LogsTest):
    CONFIG = {"num_hidden_layers": 4, "d_model": 64.0, "n_routed_experts": "8",
              "experts_per_token": 2, "expert_intermediate_size": 32, "mlp_only_layers": [0, "1"],
              "first_k_dense_replace": True, "decoder_sparse_step": "x", "model_type": "other",
              "num_experts": None}
    BUDGET = {"num_hidden_layers": 4, "hidden_size": 64, "moe_intermediate_size": 32,
              "shared_expert_intermediate_size": None, "num_experts": 8, "num_experts_per_tok": 2,
              "n_shared_experts": None, "decoder_sparse_step": None,
              "full_attention_interval": None, "first_k_dense_replace": None,
              "mlp_only_layers": [0, 1]}

    def test_the_models_config_is_copied_and_its_shape_budget_told(self):
        run_dir = self.run_dir(self.model(bank(), config=self.CONFIG))
        done = self.collect(run_dir)
        self.assertEqual(self.log(run_dir, "model_config.raw.json"), self.CONFIG)
        budget = self.log(run_dir, "model_shape_budget.json")
        self.assertEqual(budget["config_path"],
                         str((self.tmp / "model/config.json").resolve()))
        self.assertEqual(budget["shape_budget"], self.BUDGET)
        line, = [x for x in (done.stdout + done.stderr).splitlines() if x.startswith("[meta]")]
        for part in ("hidden=64", "layers=4", "moe_int=32", "experts=8", "topk=2"):
            self.assertIn(part, line)
        self.assertNotIn("shared_int", line)

    def test_nan_literals_are_accepted(self):
        folder = self.model(bank())
        (folder / "config.json").write_text('{"hidden_size": 8, "x": NaN, "y": -Infinity}')
        run_dir = self.run_dir(folder)
        self.collect(run_dir)
        self.assertEqual(self.log(run_dir, "model_shape_budget.json")["shape_budget"]
                         ["hidden_size"], 8)

    def test_other_places_and_an_explicit_path(self):
        for place, setting in (("model/config.json", None), ("configs/config.json", None),
                               ("config/config.json", None), ("hf/config.json", None),
                               ("odd/place.json", "odd/place.json")):
            with self.subTest(place):
                name = place.replace("/", "-")
                folder = self.model(bank(), name=name)
                (folder / place).parent.mkdir()
                (folder / place).write_text('{"hidden_size": 5}')
                run_dir = self.run_dir(folder, lambda c, setting=setting: c["metadata"].update(
                    config_path=setting), name)
                self.collect(run_dir)
                budget = self.log(run_dir, "model_shape_budget.json")
                self.assertEqual(budget["shape_budget"]["hidden_size"], 5)

    def test_a_broken_config_is_a_meta_warning_that_comes_first(self):
        folder = self.model(bank())
        (folder / "config.json").write_text("{")
        run_dir = self.run_dir(folder, lambda c: c["quant_schemes"].append(
            {"name": "bad", "mode": "symmetric"}))
        self.collect(run_dir, expect=3)
        warnings = self.warnings(run_dir)
        self.assertTrue(warnings[0].startswith("[meta] "), warnings)
        self.assertTrue(warnings[-1].startswith("[quant_sim] scheme=bad failed: "), warnings)
        self.assertFalse((run_dir / "logs/model_shape_budget.json").exists())

    def test_switched_off_or_absent_it_writes_nothing(self):
        folder = self.model(bank(), config=self.CONFIG)
        for name, change in (("off", lambda c: c["metadata"].update(enabled=False)),
                             ("absent", lambda c: c.pop("metadata")),
                             ("empty", lambda c: c.update(metadata={}))):
            with self.subTest(name):
                run_dir = self.run_dir(folder, change, name)
                self.collect(run_dir)
                self.assertEqual(list((run_dir / "logs").glob("model_*")), [])

    def test_a_huge_config_is_trimmed_to_the_known_keys(self):
        folder = self.model(bank(), config={**self.CONFIG, "vocab": ["x" * 100] * 2100})
        run_dir = self.run_dir(folder)
        self.collect(run_dir)
        raw = self.log(run_dir, "model_config.raw.json")
        self.assertNotIn("vocab", raw)
        self.assertEqual(raw["num_hidden_layers"], 4)
        self.assertIn("original_keys", raw["_meta_trimmed"])
        self.assertGreater(raw["_meta_trimmed"]["original_chars"], 200_000)


class Warnings(LogsTest):
    def test_lines_come_in_the_order_of_the_contract(self):
        folder = self.model({
            "layers.0.experts.0.odd.weight": np.ones((2, 32), np.float32),
            "layers.0.experts.0.up_proj.weight": np.full((2, 32), np.nan, np.float32),
            "unlisted": np.ones(2, np.float32)})
        (folder / "config.json").write_text("{")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {
            "gone": "gone.safetensors", "x": "model.safetensors",
            "layers.0.experts.0.odd.weight": "model.safetensors",
            "layers.0.experts.0.up_proj.weight": "model.safetensors"}}))

        def change(config):
            config["extract_rules"].insert(0, ProjReport.RULE)
            config["parsing"]["presets"] = "off"
            config["scan"].update(strict_index=False, min_expert_coverage=None)
            config["quant_schemes"] = [{"name": "bad", "mode": "symmetric"}]
        run_dir = self.run_dir(folder, change)
        self.collect(run_dir, expect=3)
        starts = ["[meta]", "[quant_sim] scheme=bad failed", "[index] missing shards",
                  "[index] missing tensors", "[index] extra tensors",
                  "[proj] unmapped proj tokens kept raw"]
        warnings = self.warnings(run_dir)
        places = []
        for start in starts:
            found = [i for i, line in enumerate(warnings) if line.startswith(start)]
            self.assertTrue(found, (start, warnings))
            places.append(found[0])
        self.assertEqual(places, sorted(places), warnings)

    def test_a_matrix_with_non_finite_weights_has_one_warning_that_names_it(self):
        weights = np.ones((2, 32), np.float32)
        weights[0, 0], weights[1, 3] = np.nan, np.inf
        run_dir = self.collected({"layers.0.experts.0.up_proj.weight": weights}, expect=3)
        lines = [w for w in self.warnings(run_dir) if "layers.0.experts.0.up_proj.weight" in w
                 and not w.startswith("[quant_sim]")]
        self.assertEqual(len(lines), 1, self.warnings(run_dir))
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(stats.nonfinite_count.tolist(), [2])
        self.assertTrue(stats[["mean", "max_abs", "p99_abs", "g32_max_outlier"]].isna().all().all())
        quant = self.table(run_dir, "quant_sim")
        self.assertEqual(set(quant.error), {"ValueError: 2 non-finite weights"})

    def test_smoke_check_tells_an_effectively_empty_run(self):
        # No name that the template's rules or the filter know, yet it looks like experts.
        tensors = {f"blocks.0.xmoe.{e}.w1.weight": np.ones((2, 32), np.float32) for e in range(3)}
        run_dir = self.collected(tensors, lambda c: c["parsing"].update(presets="off"), expect=3)
        check = self.log(run_dir, "run_health.json")["smoke_checks"]["effectively_empty_collect"]
        self.assertEqual(check["triggered"], True)
        self.assertEqual(check["candidate_tensors_observed"], 3)
        self.assertEqual(check["candidate_examples"], sorted(tensors))
        self.assertTrue([w for w in self.warnings(run_dir)
                         if w.startswith("[smoke] effectively empty collect: ")])

    def test_smoke_check_is_silent_when_matrices_were_found(self):
        run_dir = self.collected(bank())
        check = self.log(run_dir, "run_health.json")["smoke_checks"]["effectively_empty_collect"]
        self.assertEqual((check["triggered"], check["candidate_tensors_observed"]), (False, 0))


class Progress(LogsTest):
    def test_progress_lines_follow_print_progress_every_files(self):
        (self.tmp / "m").mkdir()
        for i in range(5):
            write_safetensors_raw(self.tmp / f"m/{i}.safetensors",
                                  {f"t{i}.experts.0.up_proj": ("F32", (1, 32), bytes(128))})
        for every, want in ((0, []), (1, [1, 2, 3, 4, 5]), (2, [1, 2, 4]), (9, [1])):
            with self.subTest(every):
                run_dir = self.run_dir(self.tmp / "m", lambda c, every=every: c["debug"].update(
                    print_progress_every_files=every), f"p{every}")
                done = run("collect-data", "--run-dir", run_dir)
                self.assertEqual(done.returncode, 0, done.stderr)
                shown = [int(n) for n in re.findall(r"\((\d+)/5\)", done.stdout + done.stderr)]
                self.assertEqual(shown, want)
