"""Which files are read, in what order, and what bad input does (contract 3, D11-D13, D22)."""

import io
import json
import os
import struct
import zipfile

import ml_dtypes
import numpy as np

from support import AcceptanceTest, bank, bf16_bytes, files_of, run, write_safetensors_raw


def one(layer, proj="gate_proj"):
    """A file's worth: one expert matrix of `layer`, for write_safetensors_raw."""
    return {f"model.layers.{layer}.mlp.experts.0.{proj}.weight":
            ("F32", (2, 32), np.full((2, 32), layer + 1.0, np.float32).tobytes())}


class ScanTest(AcceptanceTest):
    def put(self, path, layer):
        """Writes one matrix of `layer` to `path` below the model folder; npz if so named."""
        path = self.tmp / "model" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npz":
            (name, (_, shape, data)), = one(layer).items()
            np.savez(path, **{name: np.frombuffer(data, np.float32).reshape(shape)})
        else:
            write_safetensors_raw(path, one(layer))
        return path

    def scanned(self, change=None, model=None, arguments=(), expect=0):
        """Collects the model folder; returns the scanned files, relative to it, in order."""
        self.runs = getattr(self, "runs", 0) + 1
        run_dir = self.last = self.run_dir(model or self.tmp / "model", change, f"r{self.runs}")
        self.done = self.collect(run_dir, *arguments, expect=expect)
        folder = (self.tmp / "model").resolve()
        files = self.table(run_dir, "tensor_inventory").file.drop_duplicates()
        return [os.path.relpath(path, folder) for path in files]

    def fails(self, change=None, model=None, arguments=(), code=1):
        """Collects and expects failure; returns stderr."""
        self.runs = getattr(self, "runs", 0) + 1
        run_dir = self.last = self.run_dir(model or self.tmp / "model", change, f"r{self.runs}")
        done = self.collect(run_dir, *arguments, expect=code)
        self.assertEqual(files_of(run_dir / "data"), {}, "a failed run writes no data")
        return done.stderr

    def warnings(self):
        path = self.last / "logs"
        if not list(path.glob("warnings.*")):
            return []
        lines = self.table(self.last, "warnings", "logs").warning.tolist()
        return [line for line in lines if not line.startswith("[meta] no config.json")]


def scan(**settings):
    return lambda config: config["scan"].update(settings)


def without(key):
    return lambda config: config["scan"].pop(key)


class Walk(ScanTest):
    def test_files_come_in_path_order_component_by_component(self):
        for layer, path in enumerate(["a-b/x.safetensors", "b.safetensors", "a/z.safetensors",
                                      "a/x/y.safetensors"]):
            self.put(path, layer)
        # "-" sorts before "/", yet folder "a" comes before folder "a-b".
        self.assertEqual(self.scanned(scan(recursive=True)),
                         ["a/x/y.safetensors", "a/z.safetensors", "a-b/x.safetensors",
                          "b.safetensors"])
        self.assertEqual(self.table(self.last, "matrix_stats").layer.tolist(), [3, 2, 0, 1])

    def test_only_listed_extensions_are_read_in_any_case(self):
        self.put("A.SafeTensors", 0)
        for name in ("c.safetensors.bak", "d.txt", "safetensors", ".safetensors",
                     "._a.safetensors"):
            (self.tmp / "model" / name).write_bytes(b"not a checkpoint")
        self.assertEqual(self.scanned(), ["A.SafeTensors"])
        left_out, = self.log(self.last, "run_health.json")["left_out_files"]
        self.assertTrue(left_out["path"].endswith("/._a.safetensors"))
        self.assertIn("macOS", left_out["reason"])

    def test_extensions_choose_the_kind(self):
        self.put("a.safetensors", 0)
        self.put("b.npz", 1)
        self.assertEqual(self.scanned(scan(extensions=[".npz"])), ["b.npz"])
        self.assertIn("b.npz", self.fails(scan(extensions=[])))

    def test_recursive_decides_about_subfolders(self):
        self.put("top.safetensors", 0)
        self.put("sub/deep/low.safetensors", 1)
        both = ["sub/deep/low.safetensors", "top.safetensors"]
        for name, change, want in [("absent is true", without("recursive"), both),
                                   ("true", scan(recursive=True), both),
                                   ("false", scan(recursive=False), ["top.safetensors"]),
                                   ("auto", scan(recursive="auto"), ["top.safetensors"])]:
            with self.subTest(name):
                self.assertEqual(self.scanned(change), want)

    def test_recursive_auto_goes_down_when_the_top_holds_no_container(self):
        self.put("sub/low.safetensors", 1)
        (self.tmp / "model/README.md").write_text("x")
        self.assertEqual(self.scanned(), ["sub/low.safetensors"])
        self.assertIn("README.md", self.fails(scan(recursive=False)))

    def test_several_kinds_in_one_folder_give_one_kind_and_a_note(self):
        self.put("a.npz", 0)
        self.put("model-00001-of-00002.safetensors", 1)
        self.put("model-00002-of-00002.safetensors", 2)
        self.put("consolidated.safetensors", 1)
        self.assertEqual(self.scanned(), ["model-00001-of-00002.safetensors",
                                          "model-00002-of-00002.safetensors"])
        health = (self.last / "logs/run_health.json").read_text()
        for name in ("a.npz", "consolidated.safetensors"):
            self.assertIn(name, health)

    def test_max_files_is_a_slice(self):
        names = [f"{c}.safetensors" for c in "abc"]
        for layer, name in enumerate(names):
            self.put(name, layer)
        for limit in (0, 1, 2, 3, 9, -1, -2, -3, -9, None):
            with self.subTest(limit):
                if not names[:limit]:
                    self.assertIn("max_files", self.fails(scan(max_files=limit)))
                    continue
                self.assertEqual(self.scanned(scan(max_files=limit)), names[:limit])
        self.assertEqual(self.scanned(without("max_files")), names)

    def test_linked_files_are_read_and_linked_folders_are_not_entered(self):
        outside = self.tmp / "outside"
        outside.mkdir()
        write_safetensors_raw(outside / "blob", one(5))
        write_safetensors_raw(outside / "x.safetensors", one(6))
        self.put("a.safetensors", 0)
        (self.tmp / "model/link.safetensors").symlink_to(outside / "blob")
        (self.tmp / "model/folder").symlink_to(outside)
        (self.tmp / "model/loop").symlink_to(self.tmp / "model")
        for path in (True, "auto"):
            with self.subTest(path):
                self.scanned(scan(recursive=path))
                self.assertEqual(sorted(self.table(self.last, "matrix_stats").layer), [0, 5])

    def test_a_model_path_that_is_a_file_means_that_file(self):
        path = self.put("a.safetensors", 3)
        self.put("b.safetensors", 4)
        self.assertEqual(self.scanned(model=path), ["a.safetensors"])
        self.assertEqual(self.table(self.last, "matrix_stats").layer.tolist(), [3])

    def test_tensors_of_safetensors_come_by_name_and_of_npz_as_archived(self):
        arrays = {f"t.{c}.experts.0.up_proj": np.ones((2, 32), np.float32) for c in "cab"}
        folder = self.model({}, name="model")
        write_safetensors_raw(folder / "model.safetensors",
                              {k: ("F32", v.shape, v.tobytes()) for k, v in arrays.items()})
        self.scanned()
        self.assertEqual(self.table(self.last, "tensor_inventory").tensor_name.tolist(),
                         [f"t.{c}.experts.0.up_proj" for c in "abc"])
        (folder / "model.safetensors").unlink()
        np.savez(folder / "m.npz", **arrays)
        self.scanned()
        self.assertEqual(self.table(self.last, "tensor_inventory").tensor_name.tolist(),
                         [f"t.{c}.experts.0.up_proj" for c in "cab"])

    def test_an_empty_model_path_is_an_error(self):
        done = run("init-run", "--root", self.tmp, "--model-id", "m", "--run-name", "r")
        self.assertEqual(done.returncode, 0)
        done = self.collect(self.tmp / "m/r", expect=2)
        self.assertIn("/model_path", done.stderr)

    def test_a_model_path_flag_fills_an_empty_one(self):
        self.put("a.safetensors", 3)
        run("init-run", "--root", self.tmp, "--model-id", "m", "--run-name", "r")
        self.collect(self.tmp / "m/r", "--model-path", self.tmp / "model")
        self.assertEqual(len(self.table(self.tmp / "m/r", "matrix_stats")), 1)


class Index(ScanTest):
    def index(self, weight_map, name="model.safetensors.index.json", **more):
        (self.tmp / "model").mkdir(exist_ok=True)
        text = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map, **more})
        (self.tmp / "model" / name).write_text(text)

    def shards(self, *names):
        """Files of these names, one matrix each, and an index of them."""
        weight_map = {}
        for layer, name in enumerate(names):
            self.put(name, layer)
            weight_map[next(iter(one(layer)))] = name
        self.index(weight_map)
        return weight_map

    def context(self):
        return self.log(self.last, "run_context.json")

    def report(self):
        return self.log(self.last, "index_report.json")

    def test_active_index_decides_the_files_in_name_order(self):
        weight_map = self.shards("b.safetensors", "a.safetensors")
        self.put("stale.safetensors", 7)
        self.assertEqual(self.scanned(), ["a.safetensors", "b.safetensors"])
        inventory = self.table(self.last, "tensor_inventory")
        self.assertEqual(inventory.in_index.tolist(), [True, True])
        self.assertEqual(dict(zip(inventory.tensor_name, inventory.index_shard)), weight_map)
        context = self.context()
        self.assertEqual(context["index"]["status"], "active")
        self.assertEqual(context["scan_plan"]["scan_mode"], "index")
        self.assertEqual(self.report(), {
            "expected_shards": ["a.safetensors", "b.safetensors"],
            "scanned_shards": ["a.safetensors", "b.safetensors"], "missing_shards": [],
            "extra_scanned_shards": [], "missing_tensors": [], "extra_tensors": [],
            "extra_safetensors_files_on_disk": ["stale.safetensors"],
            "index_metadata": {"total_size": 1}})
        warning, = self.warnings()
        self.assertIn("extra safetensors files on disk", warning)
        self.assertIn("stale.safetensors", (self.last / "logs/run_health.json").read_text())

    def test_flag_off_walks_and_says_disabled(self):
        self.shards("a.safetensors")
        self.put("stale.safetensors", 7)
        self.assertEqual(self.scanned(scan(use_safetensors_index_json=False, strict_index=False)),
                         ["a.safetensors", "stale.safetensors"])
        self.assertEqual(self.context()["index"]["status"], "disabled")
        self.assertEqual(self.context()["scan_plan"]["scan_mode"], "walk")
        self.assertFalse((self.last / "logs/index_report.json").exists())
        inventory = self.table(self.last, "tensor_inventory")
        self.assertTrue(inventory.in_index.isna().all())
        self.assertTrue(inventory.index_shard.isna().all())

    def test_no_index_is_not_found_without_a_warning(self):
        self.put("a.safetensors", 0)
        self.put("sub/model.safetensors.index.json", 0)  # looked for at the top only
        self.assertEqual(self.scanned(), ["a.safetensors"])
        self.assertEqual(self.context()["index"]["status"], "not_found")
        self.assertEqual(self.warnings(), [])

    def test_a_broken_index_warns_and_walks(self):
        self.put("a.safetensors", 0)
        path = self.tmp / "model/model.safetensors.index.json"
        for text in ("", "{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"t": 3}}',
                     '{"weight_map": {"t": "../a.safetensors"}}',
                     '{"weight_map": {"t": "/a.safetensors"}}',
                     '{"weight_map": {"t": "x/../../a.safetensors"}}',
                     '{"weight_map": {"t": "..\\\\a.safetensors"}}'):
            with self.subTest(text):
                path.write_text(text)
                self.assertEqual(self.scanned(scan(strict_index=False)), ["a.safetensors"])
                self.assertEqual(self.context()["index"]["status"], "error")
                self.assertTrue(self.context()["index"]["error"])
                warning, = self.warnings()
                self.assertIn("[index] failed to parse index", warning)
                self.assertIn(str(path.resolve()), warning)
                stderr = self.fails(scan(strict_index=True))
                self.assertIn("strict_index", stderr)
                self.assertIn("active index", stderr)

    def test_a_broken_index_is_no_success_for_the_template(self):
        self.put("a.safetensors", 0)
        (self.tmp / "model/model.safetensors.index.json").write_text("[]")
        model = self.tmp / "model"
        self.assertEqual(run("inspect", model).returncode, 3)
        analyze = ("analyze", model, "--out", self.tmp / "out", "--no-report")
        done = run(*analyze)
        self.assertEqual(done.returncode, 1)
        for part in ("model.safetensors.index.json", "--keep-going"):
            self.assertIn(part, done.stderr)
        self.assertEqual(run(*analyze, "--keep-going").returncode, 3)

    def test_shard_names_are_normalised(self):
        self.put("a.safetensors", 0)
        self.put("sub/b.safetensors", 1)
        first, second = next(iter(one(0))), next(iter(one(1)))
        self.index({first: "./a.safetensors", first + "x": "a.safetensors",
                    second: "sub\\b.safetensors"})
        self.assertEqual(self.scanned(), ["a.safetensors", "sub/b.safetensors"])
        self.assertEqual(self.report()["expected_shards"], ["a.safetensors", "sub/b.safetensors"])
        self.assertEqual(self.report()["missing_tensors"], [first + "x"])

    def test_missing_shards_warn_and_the_rest_is_read_where_the_config_lets_it(self):
        weight_map = self.shards("a.safetensors", "b.safetensors", "c.safetensors")
        for name in ("b", "c"):
            (self.tmp / f"model/{name}.safetensors").unlink()
        def as_old_ones(config):
            del config["scan"]["strict_index"], config["scan"]["min_expert_coverage"]
        self.assertEqual(self.scanned(as_old_ones), ["a.safetensors"])
        report = self.report()
        self.assertEqual(report["missing_shards"], ["b.safetensors", "c.safetensors"])
        self.assertEqual(report["missing_tensors"], sorted(list(weight_map)[1:]))
        text = "\n".join(self.warnings())
        self.assertIn("missing shards", text)
        self.assertLess(text.index("missing shards"), text.index("missing tensors"))
        summary = self.log(self.last, "run_health.json")["index_summary"]
        self.assertEqual((summary["expected_shards_count"], summary["scanned_shards_count"],
                          summary["missing_shards_count"], summary["missing_tensors_count"]),
                         (3, 1, 2, 2))

    def test_missing_shards_end_the_templates_run_and_are_counted(self):
        self.shards("a.safetensors", "b.safetensors", "c.safetensors")
        for name in ("b", "c"):
            (self.tmp / f"model/{name}.safetensors").unlink()
        sentence = "2 of 3 shards are missing: b.safetensors, c.safetensors, 2 tensors"
        self.assertIn(sentence + " (finish the download; analyze and collect-data can --keep-going)", self.fails())
        self.assertEqual(self.scanned(arguments=["--keep-going"], expect=3), ["a.safetensors"])
        self.assertEqual(self.log(self.last, "run_health.json")["missing_shards"],
                         ["b.safetensors", "c.safetensors"])
        self.assertIn("missing shards: b.safetensors", "\n".join(self.warnings()))
        done = run("inspect", self.tmp / "model")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(sentence, done.stdout.splitlines()[0])
        done = run("inspect", self.tmp / "model", "--json")
        self.assertEqual(done.returncode, 3, done.stderr)
        missing = json.loads(done.stdout)["missing_shards"]
        self.assertEqual((missing["names"], missing["expected"], missing["tensors"]),
                         (["b.safetensors", "c.safetensors"], 3, 2))

    def test_a_gap_in_the_names_of_the_parts_ends_the_run_without_an_index_too(self):
        for number in (1, 3):
            self.put(f"m_{number}_of_3.safetensors", number)
        sentence = "1 of 3 shards is missing: m_2_of_3.safetensors"
        self.assertIn(sentence, self.fails())
        self.scanned(arguments=["--keep-going"], expect=3)
        self.assertEqual(self.table(self.last, "matrix_stats").layer.tolist(), [1, 3])
        self.assertEqual(self.warnings(), ["[scan] " + sentence])
        self.scanned(scan(strict_index=False))
        self.assertEqual(run("inspect", self.tmp / "model").returncode, 3)
        self.put("m_2_of_3.safetensors", 2)
        self.scanned()

    def test_an_index_without_any_of_its_shards_gives_way_to_a_whole_set(self):
        for number in (1, 2):
            self.put(f"model-{number}-of-2.safetensors", number)
        self.index({"t": "a.safetensors"})
        self.assertEqual(len(self.scanned()), 2)
        self.assertIn("the only shard that ", "\n".join(self.warnings()))
        self.assertEqual(self.context()["scan_plan"]["scan_mode"], "walk")

    def test_strict_index_needs_the_flag_but_no_index_of_a_whole_set(self):
        self.put("a.safetensors", 0)
        stderr = self.fails(scan(strict_index=True, use_safetensors_index_json=False))
        self.assertIn("strict_index", stderr)
        self.assertIn("use_safetensors_index_json", stderr)
        self.assertEqual(self.log(self.last, "run_failure.json")["error"]["type"], "SystemExit")
        self.assertEqual(self.scanned(scan(strict_index=True)), ["a.safetensors"])

    def test_copies_that_the_index_has_elsewhere_are_not_measured(self):
        (self.tmp / "model").mkdir()
        stale = {name: ("F32", shape, np.full((2, 32), 9.0, np.float32).tobytes())
                 for name, (_, shape, _) in one(0).items()}
        write_safetensors_raw(self.tmp / "model/a.safetensors", {**stale, **one(1)})
        write_safetensors_raw(self.tmp / "model/b.safetensors", {**one(0), **one(5)})
        (first,), (second,), (unlisted,) = one(0), one(1), one(5)
        self.index({first: "b.safetensors", second: "a.safetensors"})
        self.scanned()
        stats = self.table(self.last, "matrix_stats")
        self.assertEqual(list(zip(stats.layer, stats.max_abs)), [(1, 2.0), (0, 1.0)])
        inventory = self.table(self.last, "tensor_inventory")
        rows = zip([os.path.basename(f) for f in inventory.file], inventory.tensor_name,
                   inventory.role, inventory.in_index)
        self.assertEqual(sorted(rows), sorted([
            ("a.safetensors", first, "other", True),
            ("a.safetensors", second, "routed_expert", True),
            ("b.safetensors", first, "routed_expert", True),
            ("b.safetensors", unlisted, "other", False)]))
        self.assertEqual(inventory.index_shard[0], "b.safetensors")
        text = "\n".join(self.warnings())
        self.assertIn(f"{first} of a.safetensors", text)
        self.assertIn(f"extra tensors: {unlisted}", text)
        coverage = self.log(self.last, "run_health.json")["expert_coverage"]
        self.assertEqual((coverage["expert_parameters"], coverage["share"]), (128, 1.0))
        done = run("inspect", self.tmp / "model", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["analyze"]["matrices"], 2)
        self.assertIn(unlisted, done.stdout)

    def test_tensors_that_the_index_does_not_list_are_reported(self):
        (listed,), (name,) = one(0), one(1)
        (self.tmp / "model").mkdir()
        write_safetensors_raw(self.tmp / "model/a.safetensors", {**one(0), **one(1)})
        self.index({"other": "a.safetensors", listed: "a.safetensors"})
        self.scanned()
        report = self.report()
        self.assertEqual((report["missing_tensors"], report["extra_tensors"]), (["other"], [name]))
        inventory = self.table(self.last, "tensor_inventory")
        self.assertEqual(inventory.in_index.tolist(), [True, False])
        self.assertEqual(inventory.index_shard.isna().tolist(), [False, True])
        text = "\n".join(self.warnings())
        self.assertLess(text.index("missing tensors"), text.index("extra tensors"))

    def test_the_usual_name_comes_first_and_others_are_listed(self):
        self.put("a.safetensors", 0)
        self.put("b.safetensors", 1)
        (first,), (second,) = one(0), one(1)
        self.index({second: "b.safetensors"}, name="b.safetensors.index.json")
        self.index({first: "a.safetensors"}, name="c.safetensors.index.json")
        self.assertIn("holds 2 models: b.safetensors.index.json, c.safetensors.index.json",
                      self.fails())
        self.index({first: "a.safetensors"})
        self.assertEqual(self.scanned(), ["a.safetensors"])

    def test_shards_need_a_listed_extension_and_max_files_cuts_them(self):
        self.put("a.npz", 0)
        self.put("b.npz", 1)
        self.put("c.safetensors", 2)
        self.index({next(iter(one(layer))): name
                    for layer, name in enumerate(["a.npz", "b.npz", "c.safetensors"])})
        self.assertEqual(self.scanned(scan(extensions=[".npz"])), ["a.npz", "b.npz"])
        self.assertEqual(self.scanned(scan(extensions=[".npz"], max_files=1)), ["a.npz"])

    def test_a_file_as_model_path_ignores_the_index_and_says_so(self):
        self.shards("a.safetensors", "b.safetensors")
        (self.tmp / "model/b.safetensors").unlink()
        path = self.tmp / "model/a.safetensors"
        for strict in (False, True):
            with self.subTest(strict=strict):
                self.assertEqual(self.scanned(scan(strict_index=strict), model=path,
                                              expect=3 if strict else 0),  # a part of the model
                                 ["a.safetensors"])
                text = (self.done.stdout + self.done.stderr).lower()
                self.assertIn("index found", text)
                self.assertIn("model_path is a file", text)
                context = self.context()
                self.assertEqual(context["scan_plan"]["model_path_kind"], "file")
                self.assertTrue(context["scan_plan"][
                    "index_discovered_but_ignored_due_to_file_model_path"])
                self.assertEqual((context["index"]["status"], context["index"]["used_for_scan"]),
                                 ("active", False))
                self.assertFalse((self.last / "logs/index_report.json").exists())


def framed(header, data=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# name -> (file name, bytes)
BROKEN = {
    "empty file": ("x.safetensors", b""),
    "eight bytes only": ("x.safetensors", struct.pack("<Q", 100)),
    "header longer than the file": ("x.safetensors", struct.pack("<Q", 1 << 40) + b"{}"),
    "lfs pointer": ("x.safetensors",
                    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    "header is no json": ("x.safetensors", framed(b"{")),
    "header is no utf-8": ("x.safetensors", framed(b"\xff")),
    "truncated tail": ("x.safetensors", framed({"t": entry()}, b"\0" * 7)),
    "trailing bytes": ("x.safetensors", framed({"t": entry()}, b"\0" * 9)),
    "overlap": ("x.safetensors", framed({"a": entry(), "b": entry()}, b"\0" * 8)),
    "hole": ("x.safetensors", framed({"a": entry(), "b": entry(offsets=(12, 20))}, b"\0" * 20)),
    "shape against offsets": ("x.safetensors", framed({"t": entry(shape=(3,))}, b"\0" * 8)),
    "product overflow": ("x.safetensors", framed({"t": entry(shape=(1 << 63, 4))}, b"\0" * 8)),
    "one name twice": ("x.safetensors", framed(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"\0" * 8)),
    "npz is no zip": ("x.npz", b"PK but no zip"),
    "npz is empty": ("x.npz", b""),
}


class BadInput(ScanTest):
    def setUp(self):
        super().setUp()
        self.put("good.safetensors", 1)
        self.run_path = self.run_dir(self.tmp / "model", scan(extensions=[".safetensors", ".npz"]))
        self.collect(self.run_path)
        self.before = files_of(self.run_path / "data")
        self.last = self.run_path

    def break_with(self, name, data):
        path = self.tmp / "model" / name
        if path.suffix == ".npz":  # of two kinds in one folder only one would be read
            path = self.tmp / "model" / "sub" / name
            path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        config = json.loads((self.run_path / "analysis_config.json").read_text())
        config["scan"]["recursive"] = True
        (self.run_path / "analysis_config.json").write_text(json.dumps(config))
        return path

    def test_a_broken_file_fails_the_run_and_leaves_the_old_outputs(self):
        for case, (name, data) in BROKEN.items():
            with self.subTest(case):
                path = self.break_with(name, data)
                done = self.collect(self.run_path, expect=1)
                self.assertEqual(files_of(self.run_path / "data"), self.before)
                error = [line for line in done.stderr.splitlines() if "error" in line]
                self.assertEqual(len(error), 1, done.stderr)
                self.assertIn(str(path.resolve()), error[0])
                self.assertNotIn("matrix_stats rows", done.stdout)
                failure = self.log(self.run_path, "run_failure.json")
                self.assertEqual(failure["status"], "error")
                path.unlink()

    def test_keep_going_skips_a_broken_file_and_exits_3(self):
        for case, (name, data) in BROKEN.items():
            with self.subTest(case):
                path = self.break_with(name, data)
                self.collect(self.run_path, "--keep-going", expect=3)
                self.assertEqual(self.table(self.run_path, "matrix_stats").layer.tolist(), [1])
                health = (self.run_path / "logs/run_health.json").read_text()
                self.assertIn(path.name, health)
                self.assertIn(path.name, "\n".join(self.warnings()))
                path.unlink()

    def test_an_lfs_pointer_is_called_by_its_name(self):
        self.break_with(*BROKEN["lfs pointer"])
        self.assertIn("LFS", self.collect(self.run_path, expect=1).stderr)

    def test_a_bad_npz_is_a_bad_zip_file(self):
        self.break_with(*BROKEN["npz is no zip"])
        self.collect(self.run_path, expect=1)
        error = self.log(self.run_path, "run_failure.json")["error"]
        self.assertEqual(error["type"], "BadZipFile")
        self.assertIn("not a zip file", error["message"])

    def test_one_tensor_name_in_two_files_is_an_error_that_names_it(self):
        self.put("twin.safetensors", 1)
        done = self.collect(self.run_path, expect=1)
        self.assertIn("twin.safetensors", done.stderr)
        self.assertIn(next(iter(one(1))), done.stderr)
        self.assertEqual(files_of(self.run_path / "data"), self.before)
        self.collect(self.run_path, "--keep-going", expect=3)
        stats = self.table(self.run_path, "matrix_stats")
        self.assertEqual([os.path.basename(f) for f in stats.file], ["good.safetensors"])

    def test_a_model_that_is_gone_leaves_the_old_outputs(self):
        os.rename(self.tmp / "model", self.tmp / "moved")
        done = self.collect(self.run_path, expect=1)
        self.assertIn(str(self.tmp / "model"), done.stderr)
        self.assertEqual(files_of(self.run_path / "data"), self.before)

    def test_a_link_to_nothing_is_a_missing_shard(self):
        (self.tmp / "model/locked.safetensors").symlink_to("nowhere")
        done = self.collect(self.run_path, expect=1)
        self.assertIn("1 of 2 shards is missing: locked.safetensors", done.stderr)
        self.assertEqual(files_of(self.run_path / "data"), self.before)
        self.collect(self.run_path, "--keep-going", expect=3)
        self.assertEqual(self.table(self.run_path, "matrix_stats").layer.tolist(), [1])


class DTypes(ScanTest):
    def test_every_dtype_is_inventoried_and_floats_are_analysed(self):
        plain = {"F64": (8, "float64"), "F32": (4, "float32"), "F16": (2, "float16"),
                 "BF16": (2, "bfloat16")}
        others = {"I8": (1, "int8"), "I16": (2, "int16"), "I32": (4, "int32"), "I64": (8, "int64"),
                  "U8": (1, "uint8"), "U16": (2, "uint16"), "U32": (4, "uint32"),
                  "U64": (8, "uint64"), "BOOL": (1, "bool"), "C64": (8, "complex64"),
                  "F8_E4M3": (1, None), "F8_E5M2": (1, None), "F8_E8M0": (1, None),
                  "F8_E4M3FNUZ": (1, None), "F8_E5M2FNUZ": (1, None)}
        tensors, names = {}, {}
        for number, (dtype, (size, numpy)) in enumerate({**plain, **others}.items()):
            name = f"model.layers.{number}.mlp.experts.0.gate_proj.weight"
            tensors[name] = (dtype, (2, 32), bytes(64 * size))
            names[name] = (numpy, 64 * size)
        tensors["f4"] = ("F4", (2, 32), bytes(32))
        tensors["f6"] = ("F6_E2M3", (2, 32), bytes(48))
        tensors["unknown"] = ("F3_E9", (2, 32), bytes(99))
        (self.tmp / "model").mkdir()
        write_safetensors_raw(self.tmp / "model/m.safetensors", tensors)
        self.runs = 0
        run_dir = self.last = self.run_dir(self.tmp / "model")
        self.collect(run_dir, expect=3)  # expert tensors whose storage is not decoded
        inventory = self.table(run_dir, "tensor_inventory").set_index("tensor_name")
        self.assertEqual(set(inventory.index), set(tensors))
        for name, (numpy, nbytes) in names.items():
            self.assertEqual(inventory.nbytes[name], nbytes)
            if numpy:
                self.assertEqual(inventory.dtype[name], numpy)
        self.assertEqual((inventory.nbytes["f4"], inventory.nbytes["f6"],
                          inventory.nbytes["unknown"]), (32, 48, 99))
        self.assertIn("F3_E9", inventory.dtype["unknown"])
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(sorted(stats.dtype), sorted(n for _, n in plain.values()))
        unmatched = self.table(run_dir, "unmatched_tensors")
        self.assertEqual(len(unmatched), len(others))
        self.assertFalse((unmatched.reason == "").any())

    def test_an_unknown_dtype_outside_the_experts_changes_nothing(self):
        (self.tmp / "model").mkdir()
        write_safetensors_raw(self.tmp / "model/m.safetensors",
                              {**one(0), "other": ("F3_E9", (5,), bytes(7))})
        self.scanned()
        self.assertEqual(len(self.table(self.last, "matrix_stats")), 1)
        self.assertEqual(len(self.table(self.last, "tensor_inventory")), 2)

    def test_empty_tensors_are_inventoried_and_empty_experts_unmatched(self):
        (self.tmp / "model").mkdir()
        empty = "model.layers.3.mlp.experts.0.gate_proj.weight"
        stacked = "model.layers.4.mlp.experts.up_proj.weight"
        write_safetensors_raw(self.tmp / "model/m.safetensors", {
            **one(0), empty: ("F32", (0, 32), b""), stacked: ("BF16", (0, 4, 32), b""),
            "norm.weight": ("F32", (0,), b""), "scalar": ("F32", (), bytes(4))})
        self.scanned()
        inventory = self.table(self.last, "tensor_inventory").set_index("tensor_name")
        self.assertEqual(list(inventory["shape"][empty]), [0, 32])
        self.assertEqual(list(inventory["shape"]["scalar"]), [])
        self.assertEqual((inventory["ndim"]["scalar"], inventory.nbytes[empty]), (0, 0))
        unmatched = self.table(self.last, "unmatched_tensors")
        self.assertEqual(dict(zip(unmatched.tensor_name, unmatched.reason)),
                         {empty: "empty", stacked: "empty"})
        self.assertEqual(self.table(self.last, "matrix_stats").layer.tolist(), [0])

    def test_offsets_need_no_alignment(self):
        (self.tmp / "model").mkdir()
        weights = np.arange(64, dtype=np.float32)
        write_safetensors_raw(self.tmp / "model/m.safetensors", {
            "pad": ("U8", (1,), b"\1"),
            "layers.0.experts.0.up_proj.weight": ("F32", (2, 32), weights.tobytes())})
        self.scanned()
        self.assertEqual(self.table(self.last, "matrix_stats").max_abs.tolist(), [63.0])


def npy(array, version=(1, 0)):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version)
    return buffer.getvalue()


def npy_text(header, data, version=1):
    """An npy file with this header text."""
    text = header.encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


class Npz(ScanTest):
    NAME = "model.layers.0.mlp.experts.0.gate_proj.weight"

    def setUp(self):
        super().setUp()
        (self.tmp / "model").mkdir()
        self.weights = np.random.default_rng(3).standard_normal((4, 32)).astype(np.float32)

    def archive(self, members, method=zipfile.ZIP_STORED):
        with zipfile.ZipFile(self.tmp / "model/m.npz", "w", method) as file:
            for name, data in members.items():
                file.writestr(name + ".npy", data)

    def check_stats(self, weights, dtype):
        self.scanned()
        row, = self.table(self.last, "matrix_stats").itertuples()
        weights = np.asarray(weights).astype(np.float32).astype(np.float64)
        self.assertEqual((row.rows, row.cols, row.dtype), (*weights.shape, dtype))
        self.assertEqual(row.max_abs, np.abs(weights).max())
        np.testing.assert_allclose([row.mean, row.std, row.rms],
                                   [weights.mean(), weights.std(), np.sqrt((weights**2).mean())],
                                   rtol=1e-9, atol=1e-15)
        # The percentage of each group of 32 shows the order of the elements.
        groups = np.abs(weights).reshape(-1, 32)
        np.testing.assert_allclose(row.g32_max_outlier,
                                   (groups.max(1) / groups.mean(1)).max(), rtol=1e-6)

    def test_layouts_and_versions_give_the_same_numbers(self):
        w = self.weights
        cases = {
            "stored": (npy(w), zipfile.ZIP_STORED, "float32"),
            "deflated": (npy(w), zipfile.ZIP_DEFLATED, "float32"),
            "fortran order": (npy(np.asfortranarray(w)), zipfile.ZIP_STORED, "float32"),
            "fortran order, deflated": (npy(np.asfortranarray(w)), zipfile.ZIP_DEFLATED, "float32"),
            "big-endian": (npy(w.astype(">f4")), zipfile.ZIP_STORED, ">f4"),
            "big-endian double": (npy(w.astype(">f8")), zipfile.ZIP_DEFLATED, ">f8"),
            "version 2": (npy(w, (2, 0)), zipfile.ZIP_STORED, "float32"),
            "version 3": (npy(w, (3, 0)), zipfile.ZIP_DEFLATED, "float32"),
            "as MLX writes it": (npy_text("{'descr': '<f4', 'fortran_order': False, "
                                          "'shape': (4, 32, )}", w.tobytes()),
                                 zipfile.ZIP_STORED, "float32"),
            "python 2 shape": (npy_text("{'shape': (4L, 32L), 'fortran_order': False, "
                                        "'descr': '<f4', }", w.tobytes()),
                               zipfile.ZIP_STORED, "float32"),
        }
        for case, (data, method, dtype) in cases.items():
            with self.subTest(case):
                self.archive({self.NAME: data}, method)
                self.check_stats(w, dtype)

    def test_float16_is_analysed(self):
        self.archive({self.NAME: npy(self.weights.astype(np.float16))})
        self.check_stats(self.weights.astype(np.float16), "float16")

    def test_float64_is_rounded_to_float32(self):
        weights = np.full((4, 32), 1.0)
        weights[1, 1] = 16777217.0
        self.archive({self.NAME: npy(weights)})
        self.scanned()
        self.assertEqual(self.table(self.last, "matrix_stats").max_abs.tolist(), [16777216.0])

    def test_bfloat16_as_mlx_and_ml_dtypes_write_it(self):
        rounded = self.weights.astype(ml_dtypes.bfloat16)
        self.assertEqual(rounded.tobytes(), bf16_bytes(self.weights))
        for descr in ("|V2", "<V2"):
            with self.subTest(descr):
                self.archive({self.NAME: npy_text(
                    f"{{'descr': '{descr}', 'fortran_order': False, 'shape': (4, 32)}}",
                    rounded.tobytes())})
                self.check_stats(rounded.astype(np.float32), "bfloat16")

    def test_numpy_savez_and_savez_compressed(self):
        for save in (np.savez, np.savez_compressed):
            with self.subTest(save.__name__):
                save(self.tmp / "model/m.npz", **{self.NAME: self.weights})
                self.check_stats(self.weights, "float32")

    def test_a_member_of_another_type_is_only_inventoried(self):
        self.archive({self.NAME: npy(self.weights), "steps": npy(np.arange(5)),
                      "z": npy(np.zeros(3, np.complex64)), "flag": npy(np.array(True))})
        self.scanned()
        inventory = self.table(self.last, "tensor_inventory")
        self.assertEqual(inventory.tensor_name.tolist(), [self.NAME, "steps", "z", "flag"])
        self.assertEqual(inventory.dtype.tolist(), ["float32", "int64", "complex64", "bool"])
        self.assertEqual(inventory.nbytes.tolist(), [512, 40, 24, 1])
        self.assertEqual(len(self.table(self.last, "matrix_stats")), 1)

    def test_an_object_array_is_never_unpickled(self):
        evil = npy_text("{'descr': '|O', 'fortran_order': False, 'shape': (4, 32)}",
                        b"\x80\x04cos\nsystem\n.")
        self.archive({self.NAME: evil, "notes": evil})
        self.scanned(expect=3)  # an expert tensor that can't be decoded
        self.assertEqual(len(self.table(self.last, "tensor_inventory")), 2)
        self.assertEqual(len(self.table(self.last, "matrix_stats")), 0)
        unmatched = self.table(self.last, "unmatched_tensors")
        self.assertEqual(unmatched.tensor_name.tolist(), [self.NAME])
        self.assertIn("object", unmatched.reason[0])
        self.assertNotIn("quantized", unmatched.reason[0])

    def test_broken_members_fail_with_the_members_name(self):
        w = self.weights
        cases = {
            "no magic": b"NUMPY" + npy(w)[5:],
            "short data": npy(w)[:-1],
            "no shape": npy_text("{'descr': '<f4', 'fortran_order': False}", w.tobytes()),
            "negative size": npy_text(
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 32)}", w.tobytes()),
            "overflow": npy_text("{'descr': '<f4', 'fortran_order': False, 'shape': "
                                 "(4294967296, 4294967296, 4)}", w.tobytes()),
        }
        for case, data in cases.items():
            for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                with self.subTest(case, method=method):
                    self.archive({self.NAME: data}, method)
                    self.assertIn("m.npz", self.fails())

    def test_other_compression_methods_are_refused(self):
        for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            with self.subTest(method):
                self.archive({self.NAME: npy(self.weights)}, method)
                self.assertIn("m.npz", self.fails())

    def test_a_deflated_member_with_a_wrong_checksum_is_refused(self):
        other = self.NAME.replace("experts.0", "experts.1")
        self.archive({self.NAME: npy(self.weights), other: npy(self.weights + 1)},
                     zipfile.ZIP_DEFLATED)
        path = self.tmp / "model/m.npz"
        with zipfile.ZipFile(path) as file:
            crc = struct.pack("<I", file.infolist()[0].CRC)
        path.write_bytes(path.read_bytes().replace(crc, struct.pack("<I", 0x12345678)))
        self.assertIn("m.npz", self.fails())
        self.scanned(arguments=["--keep-going"], expect=3)
        self.assertEqual(self.table(self.last, "matrix_stats").expert_id.tolist(), [1])
        unmatched = self.table(self.last, "unmatched_tensors")
        self.assertEqual(unmatched.tensor_name.tolist(), [self.NAME])

    def test_a_zip_bomb_is_refused_at_once(self):
        self.archive({self.NAME: npy(self.weights) + bytes(300_000_000)}, zipfile.ZIP_DEFLATED)
        self.assertIn("m.npz", self.fails())

    def test_stacked_experts_in_fortran_order_keep_their_experts(self):
        weights = np.random.default_rng(4).standard_normal((3, 4, 32)).astype(np.float32)
        self.archive({"model.layers.0.mlp.experts.gate_proj.weight":
                      npy(np.asfortranarray(weights))})
        self.scanned()
        stats = self.table(self.last, "matrix_stats")
        self.assertEqual(stats.max_abs.tolist(),
                         [float(v) for v in np.abs(weights).max(axis=(1, 2))])


class Filters(ScanTest):
    def test_inventory_can_be_switched_off(self):
        self.model(bank())
        self.assertEqual(self.scanned(scan(inventory_all_tensors=False)), [])
        self.assertEqual(len(self.table(self.last, "matrix_stats")), 1)
        self.assertEqual(len(self.table(self.last, "tensor_inventory").columns), 9)
