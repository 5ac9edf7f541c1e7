"""`moescope init-run`: the run directory, its manifest and the template config (contract 2, D15)."""

import datetime
import json
import re

from support import AcceptanceTest, files_of, run

# The template of contract section 2, as ordered JSON.
TEMPLATE = r"""
{"model_path": "",
 "scan": {"extensions": [".safetensors", ".npz", ".gguf"], "experts_only": true,
          "include_shared_expert": true, "inventory_all_tensors": true, "dense_weights": true,
          "recursive": "auto", "use_safetensors_index_json": true, "strict_index": true,
          "min_expert_coverage": 1.0, "max_files": null},
 "parsing": {"layer_regex": "(?:^|\\.)layers\\.(\\d+)(?:\\.|$)",
             "expert_regex": "(?:^|\\.)experts\\.(\\d+)(?:\\.|$)",
             "proj_aliases": {"down_proj": ["down_proj", "w2", ".down.", "ffn_down"],
                              "gate_proj": ["gate_proj", "w1", ".gate.", "ffn_gate"],
                              "up_proj": ["up_proj", "w3", ".up.", "ffn_up"]},
             "shared_expert_keywords": ["shared", "expert"], "strict_packed_split": true,
             "proj_group_strict": false, "presets": "auto"},
 "metadata": {"enabled": true, "mode": "validate", "config_path": null},
 "extract_rules": [
   {"name": "generic_3d_expert_bank_separate",
    "match": ".*experts.*\\.(down_proj|gate_proj|up_proj)\\.weight$", "ndim": 3,
    "layout": {"layer_axis": null, "expert_axis": 0, "rows_axis": 1, "cols_axis": 2},
    "proj_group": 1},
   {"name": "generic_2d_per_expert_separate",
    "match": ".*experts\\.(\\d+)\\.(down_proj|gate_proj|up_proj)\\.weight$", "ndim": 2,
    "layout": {"layer_axis": null, "expert_axis": null, "rows_axis": 0, "cols_axis": 1},
    "expert_group": 1, "proj_group": 2},
   {"name": "EXAMPLE_fused_gate_down_split_rows", "enabled": false,
    "match": ".*experts.*\\.(w13|gate_down_proj)\\.weight$", "ndim": 3,
    "layout": {"layer_axis": null, "expert_axis": 0, "rows_axis": 1, "cols_axis": 2},
    "packed_split": {"axis": "rows", "splits": [512, 512], "projs": ["gate_proj", "down_proj"]}}],
 "evidence": {"enabled": true, "imatrix": [], "usage": []},
 "mlx": {"enabled": true, "device": "cpu", "backend": "native", "profile": "mlx-cpu"},
 "stats": {"eps": 1e-12, "sample_per_matrix": 8192, "sample_seed": 1337,
           "percentile_method": "exact", "quant_compute_dtype": "storage",
           "percentiles_abs": [50.0, 99.0, 99.9], "group_outlier_percentile": 95.0,
           "group_sizes_lastdim": [32, 64]},
 "quant_schemes": [
   {"name": "affine_q4_g32", "mode": "affine", "bits": 4, "group_size": 32, "enabled": true},
   {"name": "mxfp4_g32", "mode": "mxfp4", "bits": 4, "group_size": 32, "enabled": true},
   {"name": "affine_q8_g32", "mode": "affine", "bits": 8, "group_size": 32, "enabled": true}],
 "delta_pairs": [{"name": "mxfp4_minus_q4", "a": "mxfp4_g32", "b": "affine_q4_g32"},
                 {"name": "q8_minus_mxfp4", "a": "affine_q8_g32", "b": "mxfp4_g32"}],
 "output": {"format": "parquet", "compression": "zstd"},
 "debug": {"dump_unmatched_tensors": true, "print_progress_every_files": 1}}
"""

FOLDERS = ["logs", "data", "tables", "cache/sampled_indices", "plots/summary", "plots/global",
           "plots/block4", "plots/layer"]


class InitRun(AcceptanceTest):
    def init(self, *arguments, model_id="org/model", run_name="first", root=None, expect=0, **kw):
        done = run("init-run", "--root", root or self.tmp / "runs", "--model-id", model_id,
                   "--run-name", run_name, *arguments, **kw)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done

    def manifest(self):
        return json.loads((self.tmp / "runs/org/model/first/manifest.json").read_text())

    def test_makes_exactly_the_folders_and_files_of_the_contract(self):
        self.init()
        run_dir = self.tmp / "runs/org/model/first"
        folders = {str(p.relative_to(run_dir)) for p in run_dir.rglob("*") if p.is_dir()}
        self.assertEqual(folders, {*FOLDERS, "cache", "plots"})
        self.assertEqual(set(files_of(run_dir)), {"manifest.json", "analysis_config.json"})

    def test_template_is_the_contracts_text_to_the_byte(self):
        self.init()
        text = (self.tmp / "runs/org/model/first/analysis_config.json").read_text()
        self.assertEqual(text, json.dumps(json.loads(TEMPLATE), indent=2) + "\n")

    def test_template_is_a_valid_config_without_warnings(self):
        self.init("--model-path", self.tmp)
        done = run("config", "check", self.tmp / "runs/org/model/first/analysis_config.json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_model_path_is_written_absolute_and_resolved(self):
        (self.tmp / "real model").mkdir()
        (self.tmp / "link").symlink_to("real model")
        self.init("--model-path", "./link", cwd=self.tmp)
        config = json.loads((self.tmp / "runs/org/model/first/analysis_config.json").read_text())
        self.assertEqual(config["model_path"], str((self.tmp / "real model").resolve()))
        del config["model_path"]
        want = json.loads(TEMPLATE)
        del want["model_path"]
        self.assertEqual(config, want)

    def test_model_path_with_special_characters_survives_json(self):
        name = 'quote" back\\slash ünï\n'
        (self.tmp / name).mkdir()
        self.init("--model-path", self.tmp / name)
        config = json.loads((self.tmp / "runs/org/model/first/analysis_config.json").read_text())
        self.assertEqual(config["model_path"], str(self.tmp.resolve() / name))

    def test_manifest_names_the_run_and_dates_it_in_utc(self):
        before = datetime.datetime.now(datetime.timezone.utc)
        self.init()
        after = datetime.datetime.now(datetime.timezone.utc)
        manifest = self.manifest()
        self.assertEqual((manifest["model_id"], manifest["run_name"], manifest["version"]),
                         ("org/model", "first", 2))
        self.assertRegex(manifest["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        created = datetime.datetime.fromisoformat(manifest["created_at"].replace("Z", "+00:00"))
        self.assertTrue(before <= created <= after)
        text = (self.tmp / "runs/org/model/first/manifest.json").read_text()
        self.assertTrue(text.startswith('{\n  "'), "indent 2")

    def test_second_init_run_changes_updated_at_only(self):
        self.init()
        run_dir = self.tmp / "runs/org/model/first"
        first = self.manifest()
        config = run_dir / "analysis_config.json"
        config.write_text('{"mine": true}\n')
        self.init("--model-path", self.tmp)
        second = self.manifest()
        self.assertRegex(second["updated_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertGreater(second["updated_at"], first["created_at"])
        first.pop("updated_at", None)
        second.pop("updated_at")
        self.assertEqual(second, first)
        self.assertEqual(config.read_text(), '{"mine": true}\n', "an existing config is the user's")

    def test_a_run_of_another_model_is_refused(self):
        for name in ("a", "b"):
            (self.tmp / name).mkdir()
        self.init("--model-path", self.tmp / "a")
        config = self.tmp / "runs/org/model/first/analysis_config.json"
        before = config.read_text()
        done = run("init-run", "--root", self.tmp / "runs", "--model-id", "org/model", "--run-name", "first",
                   "--model-path", self.tmp / "b")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn(str(self.tmp / "a"), done.stderr)
        self.assertEqual(config.read_text(), before)
        self.init("--model-path", self.tmp / "a")

    def test_second_init_run_restores_missing_folders_and_keeps_data(self):
        self.init()
        run_dir = self.tmp / "runs/org/model/first"
        (run_dir / "plots/layer").rmdir()
        (run_dir / "data/keep.txt").write_text("x")
        self.init()
        self.assertTrue((run_dir / "plots/layer").is_dir())
        self.assertEqual((run_dir / "data/keep.txt").read_text(), "x")

    def test_a_model_id_with_slashes_nests_folders(self):
        self.init(model_id="a/b/c", run_name="r.1")
        self.assertTrue((self.tmp / "runs/a/b/c/r.1/analysis_config.json").is_file())

    def test_names_that_would_leave_the_root_are_refused(self):
        root = self.tmp / "box" / "runs"
        cases = [("..", "r"), ("../m", "r"), ("a/../../m", "r"), ("a/..", ".."), ("m", ".."),
                 ("m", "../../r"), ("m", "../.."), (str(self.tmp / "abs"), "r"),
                 ("m", str(self.tmp / "abs")), ("", "r"), ("m", "")]
        for model_id, run_name in cases:
            with self.subTest(model_id=model_id, run_name=run_name):
                done = self.init(model_id=model_id, run_name=run_name, root=root, expect=2)
                self.assertEqual(len(done.stderr.splitlines()), 1)
                self.assertEqual(files_of(self.tmp), {}, "nothing may be written")

    def test_a_root_that_is_a_file_fails_with_one_line(self):
        (self.tmp / "file").write_text("")
        done = self.init(root=self.tmp / "file", expect=1)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn(str(self.tmp / "file"), done.stderr)

    def test_a_manifest_of_the_reference_keeps_its_created_at(self):
        run_dir = self.tmp / "runs/org/model/first"
        run_dir.mkdir(parents=True)
        (run_dir / "manifest.json").write_text(json.dumps(
            {"model_id": "org/model", "run_name": "first",
             "created_at": "2026-01-05T10:11:12.131415Z", "version": 2}, indent=2))
        self.init()
        self.assertEqual(self.manifest()["created_at"], "2026-01-05T10:11:12.131415Z")

    def test_leaves_no_temporary_files(self):
        self.init()
        self.init()
        odd = [name for name in files_of(self.tmp) if re.search(r"tmp|~$|\.part", name)]
        self.assertEqual(odd, [])
