"""The files of data/: columns, types, CSV text, stale twins, fallback, determinism (contract 10, D5)."""

import contextlib
import csv
import importlib.util
import io
import json
import math
import os
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from support import (AcceptanceTest, bank, bf16_bytes, experts, files_of, reference_config,
                     run, write_safetensors_raw)

MATRIX_KEYS = ["file", "source_tensor", "derived_tensor", "layer", "block4", "proj", "expert_id",
               "is_routed_expert", "is_shared_expert", "rows", "cols", "dtype"]
STATISTICS = ["mean", "std", "mean_abs", "rms", "max_abs", "p50_abs", "p99_abs", "p999_abs",
              "outlier_max_over_mean", "outlier_p99_over_median", "outlier_p999_over_median"]
GROUPS = ["g32_p95_outlier", "g32_max_outlier", "g64_p95_outlier", "g64_max_outlier"]
ERRORS = ["scheme", "mode", "bits", "group_size", "w_rel_fro", "w_rel_max", "scale_mean",
          "scale_max", "bias_mean", "bias_max", "error", "scale_abs_mean", "scale_abs_max",
          "sqnr_db", "bits_per_weight", "max_abs_err", "zero_share", "clip_share", "compute_dtype",
          "backend", "profile", "requantized", "stack"]
DENSE_KEYS = ["file", "source_tensor", "module", "role", "layer", "rows", "cols"]
COLUMNS = {
    "tensor_inventory": ["file", "tensor_name", "dtype", "shape", "ndim", "nbytes", "in_index",
                         "index_shard", "role"],
    "matrix_stats": [*MATRIX_KEYS, *STATISTICS, *GROUPS, "nonfinite_count", "storage",
                     "storage_bits_per_weight", "stack"],
    "quant_sim": ["file", "source_tensor", "derived_tensor", "layer", "block4", "proj", "expert_id",
                  "is_shared_expert", "rows", "cols", *ERRORS],
    "evidence": ["source_tensor", "derived_tensor", "layer", "proj", "expert_id",
                 "is_shared_expert", "scheme", "tokens", "token_share", "input_mean_square",
                 "act_rel_fro", "energy", "guessed_energy", "missing", "stack"],
    "dense_stats": [*DENSE_KEYS, "dtype", *STATISTICS, *GROUPS, "nonfinite_count", "storage",
                    "storage_bits_per_weight", "stack"],
    "dense_quant_sim": [*DENSE_KEYS, *ERRORS, "act_rel_fro", "energy", "guessed_energy"],
    "unmatched_tensors": ["file", "tensor_name", "dtype", "shape", "ndim", "reason"],
}
INTEGERS = {"ndim", "nbytes", "layer", "block4", "expert_id", "rows", "cols", "bits", "group_size",
            "nonfinite_count"}
BOOLEANS = {"in_index", "is_routed_expert", "is_shared_expert", "requantized"}
STRINGS = {"file", "tensor_name", "dtype", "index_shard", "role", "source_tensor",
           "derived_tensor", "proj", "storage", "stack", "scheme", "mode", "error",
           "compute_dtype", "backend", "profile", "reason", "missing", "module"}


def kind(column):
    """The type a column must have, whatever the data."""
    if column == "shape":
        return "list<int64>"
    return ("int64" if column in INTEGERS else "bool" if column in BOOLEANS else
            "string" if column in STRINGS else "double")


def kind_of(arrow_type):
    if pa.types.is_list(arrow_type):
        return f"list<{arrow_type.value_type}>"
    if pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type):
        return "string"
    return str(arrow_type)


# A model's config.json: without one the run warns.
CONFIG = {"hidden_size": 32}


def csv_output(config):
    config["output"] = {"format": "csv", "compression": "zstd"}


def exact_small(config):
    """CSV, no schemes: for comparisons of whole lines."""
    csv_output(config)
    config["quant_schemes"] = []


class Parquet(AcceptanceTest):
    def check_types(self, run_dir):
        for name, columns in COLUMNS.items():
            schema = pq.read_schema(run_dir / "data" / (name + ".parquet"))
            with self.subTest(name):
                self.assertEqual(schema.names, columns)
                self.assertEqual({f.name: kind_of(f.type) for f in schema},
                                 {c: kind(c) for c in columns})

    def test_columns_and_types_of_every_table(self):
        run_dir = self.collected({**experts(count=2), "experts.odd": np.zeros(5, np.float32)})
        self.check_types(run_dir)
        self.assertEqual(sorted(files_of(run_dir / "data")),
                         sorted(name + ".parquet" for name in COLUMNS))

    def test_types_do_not_depend_on_the_data(self):
        # No layer in any name, nothing shared, no error, no index: all-null columns.
        self.check_types(self.collected({"experts.gate_proj.weight":
                                         np.ones((1, 2, 32), np.float32)}, name="nulls"))
        self.check_types(self.collected({"experts.odd": np.ones(4, np.float32)}, name="empty",
                                        expect=3))

    def test_pandas_reads_the_types_that_a_notebook_expects(self):
        run_dir = self.collected(experts(count=1, rows=64, cols=64))
        stats = self.table(run_dir, "matrix_stats")
        for column in ("layer", "block4", "expert_id", "rows", "cols", "nonfinite_count"):
            self.assertEqual(stats[column].dtype, np.int64, column)
        for column in ("is_routed_expert", "is_shared_expert"):
            self.assertEqual(stats[column].dtype, np.bool_, column)
        for column in STATISTICS + GROUPS:
            self.assertEqual(stats[column].dtype, np.float64, column)
        self.assertEqual(self.table(run_dir, "quant_sim").requantized.dtype, np.bool_)

    def test_compression_is_what_the_config_says(self):
        tensors = bank()
        for codec, name in [("zstd", "ZSTD"), ("snappy", "SNAPPY"), ("gzip", "GZIP"),
                            (None, "UNCOMPRESSED")]:
            with self.subTest(codec):
                def change(config, codec=codec):
                    config["output"] = {"format": "parquet", "compression": codec}
                    if codec is None:
                        del config["output"]["compression"]
                run_dir = self.collected(tensors, change, name=f"c-{codec}")
                file = pq.ParquetFile(run_dir / "data/matrix_stats.parquet")
                self.assertEqual(file.metadata.row_group(0).column(0).compression, name)

    def test_group_sizes_and_percentiles_name_further_columns(self):
        def change(config):
            config["stats"]["group_sizes_lastdim"] = [16, 48, 0, -8]
            config["stats"]["group_outlier_percentile"] = 99.9
            config["stats"]["percentiles_abs"] = [99.99, 50, 95, 12.5]
        run_dir = self.collected(bank(cols=64), change)
        stats = self.table(run_dir, "matrix_stats")
        groups = [f"g{g}_{what}_outlier" for g in (16, 48, 0, -8) for what in ("p99", "max")]
        self.assertEqual(stats.columns.tolist(), [
            *MATRIX_KEYS, *STATISTICS, *groups, "p9999_abs", "p95_abs", "p125_abs",
            "nonfinite_count", "storage", "storage_bits_per_weight", "stack"])
        weights = np.abs(next(iter(bank(cols=64).values()))[0]).astype(np.float64)
        for column, q in (("p9999_abs", 99.99), ("p95_abs", 95), ("p125_abs", 12.5),
                          ("p50_abs", 50), ("p99_abs", 99), ("p999_abs", 99.9)):
            np.testing.assert_allclose(stats[column][0], np.percentile(weights, q), rtol=1e-6)
        self.assertTrue(stats[groups[2:]].isna().all().all(), "sizes that do not divide 64")
        self.assertFalse(stats[groups[:2]].isna().any().any())

    def test_row_order_is_files_tensors_layers_experts(self):
        rng = np.random.default_rng(1)
        (self.tmp / "m").mkdir()
        for file, names in (("b", ["model.layers.1.mlp.experts.up_proj.weight",
                                   "model.layers.0.mlp.experts.up_proj.weight"]),
                            ("a", ["model.layers.2.mlp.experts.gate_proj.weight"])):
            write_safetensors_raw(self.tmp / f"m/{file}.safetensors", {
                name: ("F32", (2, 4, 32), rng.standard_normal((2, 4, 32), np.float32).tobytes())
                for name in names})
        run_dir = self.run_dir(self.tmp / "m")
        self.collect(run_dir)
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(list(zip(stats.layer, stats.expert_id)),
                         [(2, 0), (2, 1), (0, 0), (0, 1), (1, 0), (1, 1)])
        quant = self.table(run_dir, "quant_sim")
        schemes = ["affine_q4_g32", "mxfp4_g32", "affine_q8_g32"]
        self.assertEqual(list(zip(quant.layer, quant.scheme, quant.expert_id)),
                         [(layer, scheme, expert) for layer in (2, 0, 1) for scheme in schemes
                          for expert in (0, 1)])


class CsvText(AcceptanceTest):
    def lines(self, run_dir, name):
        data = (run_dir / "data" / (name + ".csv")).read_bytes()
        self.assertNotIn(b"\r", data)
        self.assertTrue(data.endswith(b"\n"))
        return data.decode("utf-8").split("\n")[:-1]

    def write(self, tensors):
        folder = self.tmp / "hand"
        folder.mkdir()
        write_safetensors_raw(folder / "m.safetensors", tensors)
        return folder, str((folder / "m.safetensors").resolve())

    def test_inventory_lines(self):
        odd = 'a "quoted", odd\nname.ü'
        folder, path = self.write({
            odd: ("I64", (1,), bytes(8)), "scalar": ("BF16", (), bytes(2)),
            "model.layers.0.conv.weight": ("F16", (2, 8, 4), bytes(128)),
            "model.layers.0.input_layernorm.weight": ("F32", (8,), bytes(32)),
            "z.experts.0.up_proj": ("F32", (1, 32), bytes(128))})
        run_dir = self.run_dir(folder, exact_small)
        self.collect(run_dir)
        self.assertEqual((run_dir / "data/tensor_inventory.csv").read_text(), "".join([
            "file,tensor_name,dtype,shape,ndim,nbytes,in_index,index_shard,role\n",
            f'{path},"a ""quoted"", odd\nname.ü",int64,"(1,)",1,8,,,other\n',
            f'{path},model.layers.0.conv.weight,float16,"(2, 8, 4)",3,128,,,other\n',
            f'{path},model.layers.0.input_layernorm.weight,float32,"(8,)",1,32,,,norm\n',
            f'{path},scalar,bfloat16,(),0,2,,,other\n',
            f'{path},z.experts.0.up_proj,float32,"(1, 32)",2,128,,,routed_expert\n']))

    def test_inventory_lines_with_an_index(self):
        folder, path = self.write({"x": ("F32", (2, 2), bytes(16)), "y": ("F32", (0,), b""),
                                   "z.experts.0.up_proj": ("F32", (1, 32), bytes(128))})
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {name: "m.safetensors" for name in ("x", "z.experts.0.up_proj")}}))
        run_dir = self.run_dir(folder, exact_small)
        self.collect(run_dir)
        self.assertEqual(self.lines(run_dir, "tensor_inventory")[1:], [
            f'{path},x,float32,"(2, 2)",2,16,True,m.safetensors,other',
            f'{path},y,float32,"(0,)",1,0,False,,other',
            f'{path},z.experts.0.up_proj,float32,"(1, 32)",2,128,True,m.safetensors,routed_expert'])

    def test_matrix_stats_line_of_a_hand_computed_matrix(self):
        # 1 x 32 of +2 and -1, half each: mean 0.5, mean |w| 1.5, rms sqrt(2.5), std 1.5.
        weights = np.tile(np.array([2, -1], np.float32), 16)
        name = "model.layers.5.mlp.experts.7.up_proj.weight"
        folder, path = self.write({name: ("F32", (1, 32), weights.tobytes())})

        def change(config):
            exact_small(config)
            config["stats"].update(eps=0, group_sizes_lastdim=[32, 64])
        run_dir = self.run_dir(folder, change)
        self.collect(run_dir)
        header, line = self.lines(run_dir, "matrix_stats")
        self.assertEqual(header, ",".join(COLUMNS["matrix_stats"]))
        ratio = repr(float(np.float32(2 / 1.5)))
        self.assertEqual(line, f"{path},{name},{name}::up_proj,5,1,up_proj,7,True,False,1,32,"
                         f"float32,0.5,1.5,1.5,{math.sqrt(2.5)!r},2.0,1.5,2.0,2.0,"
                         f"{2 / 1.5!r},{2 / 1.5!r},{2 / 1.5!r},{ratio},{ratio},,,0,"
                         + line.split(",0,")[-1])
        storage, bits, stack = line.split(",")[-3:]
        self.assertTrue(storage)
        self.assertEqual((bits, stack), ("32.0", ""))

    def test_floats_are_pythons_shortest_decimals(self):
        values = [1e-5, 1e-4, 120.375, 121.0, 1e16, 1e15, 123456789.0, 3.0e-41, 2.5e30]
        tensors = {f"layers.{i}.experts.0.up_proj.weight":
                   ("F32", (1, 32), np.full((1, 32), v, np.float32).tobytes())
                   for i, v in enumerate(values)}
        folder, _ = self.write(tensors)
        run_dir = self.run_dir(folder, exact_small)
        self.collect(run_dir)
        with open(run_dir / "data/matrix_stats.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["max_abs"] for row in rows],
                         [repr(float(np.float32(v))) for v in values])
        self.assertEqual([row["p50_abs"] for row in rows], [row["max_abs"] for row in rows])

    def test_block4_is_an_integer_beside_unknown_layers(self):
        ones = np.ones((1, 32), np.float32).tobytes()
        folder, _ = self.write({"experts.0.up_proj.weight": ("F32", (1, 32), ones),
                                "layers.9.experts.0.up_proj.weight": ("F32", (1, 32), ones)})
        run_dir = self.run_dir(folder, csv_output)
        self.collect(run_dir)
        for name in ("matrix_stats", "quant_sim"):
            rows = [line.split(",") for line in self.lines(run_dir, name)]
            self.assertEqual(sorted({tuple(row[3:5]) for row in rows[1:]}), [("-1", ""), ("9", "2")])

    def test_quant_sim_lines_leave_what_is_missing_empty(self):
        ones = np.ones((1, 48), np.float32).tobytes()  # 32 does not divide 48
        folder, path = self.write({"layers.0.experts.0.up_proj.weight": ("F32", (1, 48), ones)})
        run_dir = self.run_dir(folder, csv_output)
        self.collect(run_dir, expect=3)  # no scheme fits a single matrix
        header, *rows = csv.reader(self.lines(run_dir, "quant_sim"))
        self.assertEqual(header, COLUMNS["quant_sim"])
        self.assertEqual([row[10:14] for row in rows],
                         [["affine_q4_g32", "affine", "4", "32"], ["mxfp4_g32", "mxfp4", "4", "32"],
                          ["affine_q8_g32", "affine", "8", "32"]])
        for row in rows:
            cells = dict(zip(header, row))
            self.assertEqual([cells[c] for c in header[14:20]], [""] * 6)
            self.assertTrue(cells["error"].startswith("ValueError: "), cells["error"])
            self.assertEqual((cells["is_shared_expert"], cells["requantized"]), ("False", "False"))
            self.assertEqual((cells["compute_dtype"], cells["backend"], cells["profile"]),
                             ("fp32", "native", "mlx-cpu"))

    def test_csv_and_parquet_hold_the_same_values(self):
        tensors = {**experts(count=2, rows=32, cols=64), "experts.odd.x": np.ones(3, np.float32)}
        model = self.model(tensors)
        frames = {}
        for style, change in (("csv", csv_output), ("parquet", None)):
            run_dir = self.run_dir(model, change, style)
            self.collect(run_dir)
            frames[style] = {name: self.table(run_dir, name) for name in COLUMNS}
        for name, columns in COLUMNS.items():
            left, right = frames["csv"][name], frames["parquet"][name]
            self.assertEqual(left.columns.tolist(), columns)
            self.assertEqual(len(left), len(right))
            for column in columns:
                with self.subTest(name, column=column):
                    b = right[column].tolist()
                    if column == "shape":
                        b = [str(tuple(map(int, shape))) for shape in b]
                    for x, y in zip(left[column].tolist(), b):
                        self.assertTrue(x == y or (pd.isna(x) and pd.isna(y)), (x, y))

    def test_another_format_means_csv(self):
        run_dir = self.collected(bank(), lambda c: c["output"].update(format="csv"))
        self.assertEqual(sorted(files_of(run_dir / "data")), sorted(n + ".csv" for n in COLUMNS))


class EmptyTables(AcceptanceTest):
    TENSORS = {f"model.layers.0.xmoe.{e}.w1.weight": np.ones((2, 32), np.float32) for e in range(2)}

    def collected(self, tensors, change=None, **more):
        """Without presets: named like experts, and not known (the contract's smoke check)."""
        def without_presets(config):
            config["parsing"]["presets"] = "off"
            if change is not None:
                change(config)
        return super().collected(tensors, without_presets, **more)

    def test_csv_has_the_whole_header(self):
        run_dir = self.collected(self.TENSORS, csv_output, expect=3)
        for name in ("matrix_stats", "quant_sim", "unmatched_tensors"):
            self.assertEqual((run_dir / f"data/{name}.csv").read_text(),
                             ",".join(COLUMNS[name]) + "\n")

    def test_parquet_has_all_columns_and_no_rows(self):
        run_dir = self.collected(self.TENSORS, expect=3)
        for name in ("matrix_stats", "quant_sim", "unmatched_tensors"):
            frame = pd.read_parquet(run_dir / f"data/{name}.parquet")
            self.assertEqual((frame.columns.tolist(), len(frame)), (COLUMNS[name], 0))

    def test_no_schemes_or_no_mlx_gives_an_empty_quant_sim_without_a_warning(self):
        for name, change in [("schemes", lambda c: c.update(quant_schemes=[])),
                             ("mlx", lambda c: c["mlx"].update(enabled=False)),
                             ("off", lambda c: [s.update(enabled=False)
                                                for s in c["quant_schemes"]])]:
            with self.subTest(name):
                run_dir = self.collected(bank(), change, name=name, config=CONFIG)
                quant = self.table(run_dir, "quant_sim")
                self.assertEqual((quant.columns.tolist(), len(quant)), (COLUMNS["quant_sim"], 0))
                self.assertEqual(len(self.table(run_dir, "matrix_stats")), 1)
                self.assertEqual(list((run_dir / "logs").glob("warnings.*")), [])

    def test_unmatched_is_written_only_if_asked_for(self):
        run_dir = self.collected(bank(), lambda c: c["debug"].update(dump_unmatched_tensors=False))
        self.assertEqual(list((run_dir / "data").glob("unmatched*")), [])
        self.assertNotIn("unmatched_tensors",
                         self.log(run_dir, "write_manifest.json")["artifacts"])


class Twins(AcceptanceTest):
    def test_the_other_format_removes_the_stale_twin(self):
        model = self.model({**bank(), "experts.odd": np.ones(3, np.float32)})
        run_dir = self.run_dir(model)
        config = run_dir / "analysis_config.json"
        text = config.read_text()
        for output in ("csv", "parquet", "csv"):
            settings = json.loads(text)
            settings["output"]["format"] = output
            settings["quant_schemes"].append({"name": "bad", "mode": "symmetric"})  # one warning
            config.write_text(json.dumps(settings))
            self.collect(run_dir, expect=3)
            self.assertEqual(sorted(files_of(run_dir / "data")),
                             sorted(f"{name}.{output}" for name in COLUMNS))
            self.assertEqual([p.name for p in (run_dir / "logs").glob("warnings.*")],
                             [f"warnings.{output}"])

    def test_unmatched_and_warnings_of_an_earlier_run_do_not_stay(self):
        model = self.model(bank(), config=CONFIG)
        run_dir = self.run_dir(model, lambda c: c["quant_schemes"].append(
            {"name": "bad", "mode": "symmetric"}))
        self.collect(run_dir, expect=3)
        self.assertEqual(len(list((run_dir / "logs").glob("warnings.*"))), 1)
        config = json.loads((run_dir / "analysis_config.json").read_text())
        del config["quant_schemes"][-1]
        config["debug"]["dump_unmatched_tensors"] = False
        (run_dir / "analysis_config.json").write_text(json.dumps(config))
        self.collect(run_dir)
        self.assertEqual(list((run_dir / "logs").glob("warnings.*")), [])
        self.assertEqual(list((run_dir / "data").glob("unmatched*")), [])

    def test_an_unknown_codec_falls_back_to_csv_and_says_so(self):
        run_dir = self.run_dir(self.model(bank()),
                               lambda c: c["output"].update(compression="no-such-codec"))
        (run_dir / "data/matrix_stats.parquet").write_bytes(b"")  # debris of the reference
        done = self.collect(run_dir)
        self.assertEqual(sorted(files_of(run_dir / "data")), sorted(n + ".csv" for n in COLUMNS))
        self.assertIn("parquet", (done.stdout + done.stderr).lower())
        manifest = self.log(run_dir, "write_manifest.json")
        self.assertEqual((manifest["requested_format"], manifest["requested_compression"]),
                         ("parquet", "no-such-codec"))
        for name in COLUMNS:
            with self.subTest(name):
                artifact = manifest["artifacts"][name]
                self.assertEqual((artifact["path"], artifact["format"], artifact["fallback"]),
                                 (f"data/{name}.csv", "csv", True))
                self.assertRegex(artifact["error"], r"^\w+: .*no-such-codec")
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 1)

    def test_a_data_folder_that_can_not_be_written_is_exit_1(self):
        run_dir = self.run_dir(self.model(bank()))
        (run_dir / "data").rmdir()
        (run_dir / "data").write_text("in the way")
        done = self.collect(run_dir, expect=1)
        self.assertIn("data", done.stderr)
        self.assertEqual((run_dir / "data").read_text(), "in the way")


class Metadata(AcceptanceTest):
    DOC = pathlib.Path(__file__).resolve().parents[2] / "docs" / "outputs.md"

    def setUp(self):
        super().setUp()
        done = run("analyze", self.model(experts(count=2, layers=2), name="Qwen3-30B-A3B"), "--no-report",
                   cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.run_path = self.tmp / "moescope-runs" / "Qwen3-30B-A3B" / "analysis"

    def test_parquet_files_say_what_they_are_and_what_their_columns_mean(self):
        version = run("--version").stdout.split()[1]
        for path in ("data/quant_sim", "data/tensor_inventory", "tables/B_quant_layer_summary",
                     "logs/warnings"):
            schema = pq.read_schema(self.run_path / f"{path}.parquet")
            self.assertEqual((schema.metadata[b"moescope.version"].decode(),
                              schema.metadata[b"moescope.model"], schema.metadata[b"moescope.run"]),
                             (version, b"Qwen3-30B-A3B", b"analysis"), path)
        schema = pq.read_schema(self.run_path / "data" / "quant_sim.parquet")
        self.assertEqual(schema.field("sqnr_db").metadata[b"unit"], b"dB")
        self.assertIn(b"10 log10", schema.field("sqnr_db").metadata[b"meaning"])
        self.assertNotIn(b"unit", schema.field("proj").metadata)
        for field in schema:
            self.assertIn(b"meaning", field.metadata, field.name)

    def test_the_snippets_of_the_documentation_run(self):
        section = self.DOC.read_text().split("## In Python\n")[1].split("\n## ")[0]
        join, draw, words = (part.split("```")[0] for part in section.split("```python\n")[1:])
        if importlib.util.find_spec("matplotlib") is None:
            draw = ""
        names, printed = {}, io.StringIO()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.tmp)
        with contextlib.redirect_stdout(printed):
            exec(join + draw + words, names)
        self.assertEqual(len(names["both"]), 2 * 2 * 3 * 9)  # layers, experts, matrices, schemes
        self.assertEqual(names["both"].rms.isna().sum(), 0)
        self.assertEqual(names["by_layer"].shape, (2, 9))
        self.assertIn("w_rel_fro\tratio\t", printed.getvalue())


class Determinism(AcceptanceTest):
    def test_threads_do_not_change_a_byte(self):
        tensors = {**experts(count=6, layers=2, rows=48, cols=96, seed=3),
                   **bank(layer=7, count=5, rows=16, cols=64)}
        model = self.model(tensors)
        data = []
        for threads in (1, 2, 5):
            run_dir = self.run_dir(model, csv_output, f"t{threads}")
            self.collect(run_dir, "--threads", threads)
            data.append(files_of(run_dir / "data"))
        self.assertEqual(data[0], data[1])
        self.assertEqual(data[0], data[2])
        self.assertEqual(data[0]["matrix_stats.csv"].count(b"\n"), 1 + 2 * 6 * 3 + 5)

    def test_parquet_columns_are_the_same_whatever_the_threads(self):
        model = self.model(experts(count=4, layers=2, rows=32, cols=64, dtype=np.float16))
        tables = []
        for threads in (1, 2):
            run_dir = self.run_dir(model, name=f"t{threads}")
            self.collect(run_dir, "--threads", threads)
            tables.append({n: pq.read_table(run_dir / f"data/{n}.parquet") for n in COLUMNS})
        for name in COLUMNS:
            self.assertTrue(tables[0][name].equals(tables[1][name]), name)

    def test_the_same_run_again_writes_the_same_data(self):
        run_dir = self.run_dir(self.model(experts(count=2)))
        self.collect(run_dir)
        first = files_of(run_dir / "data")
        self.collect(run_dir)
        self.assertEqual(files_of(run_dir / "data"), first)


class Roles(AcceptanceTest):
    def test_every_tensor_has_its_role(self):
        roles = {
            "model.embed_tokens.weight": "embedding",
            "model.layers.0.self_attn.q_proj.weight": "attention",
            "model.layers.0.input_layernorm.weight": "norm",
            "model.layers.0.mlp.gate.weight": "router",
            "model.layers.0.mlp.experts.0.gate_proj.weight": "routed_expert",
            "model.layers.0.mlp.shared_expert.up_proj.weight": "shared_expert",
            "model.layers.0.mlp.shared_expert_gate.weight": "router",
            "model.layers.0.mlp.experts.0.up_proj.weight_scale_inv": "companion",
            "model.layers.0.mlp.experts.0.gate_proj.bias": "companion",
            "model.layers.1.mlp.dense.weight": "other",
        }
        vectors = ("norm", "companion")
        tensors = {name: np.ones((32,) if role in vectors else (2, 32), np.float32)
                   for name, role in roles.items()}
        run_dir = self.collected(tensors)
        inventory = self.table(run_dir, "tensor_inventory")
        self.assertEqual(dict(zip(inventory.tensor_name, inventory.role)), roles)
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual([(r.proj, r.expert_id, r.is_routed_expert, r.is_shared_expert)
                          for r in stats.itertuples()],
                         [("gate_proj", 0, True, False), ("up_proj", -1, False, True)])
        self.assertEqual(len(self.table(run_dir, "unmatched_tensors")), 0)


class Storage(AcceptanceTest):
    def test_the_compute_dtype_and_storage_bits_follow_the_dtype(self):
        for dtype, compute, bits in [(np.float16, "fp16", 16.0), (np.float32, "fp32", 32.0),
                                     (np.float64, "fp32", 64.0)]:
            with self.subTest(dtype.__name__):
                run_dir = self.collected(experts(count=1, dtype=dtype), name=dtype.__name__)
                self.assertEqual(set(self.table(run_dir, "quant_sim").compute_dtype), {compute})
                stats = self.table(run_dir, "matrix_stats")
                self.assertEqual(set(stats.storage_bits_per_weight), {bits})
                self.assertEqual(set(stats.dtype), {np.dtype(dtype).name})

    def test_bits_per_weight_count_codes_scales_and_biases(self):
        weights = np.random.default_rng(5).standard_normal((2, 128)).astype(np.float32)
        folder = self.tmp / "bf16"
        folder.mkdir()
        write_safetensors_raw(folder / "m.safetensors", {
            "layers.0.experts.0.up_proj.weight": ("BF16", (2, 128), bf16_bytes(weights))})

        def change(config):
            config["quant_schemes"] = [
                {"name": f"{mode}{bits}_{group}", "mode": mode, "bits": bits, "group_size": group}
                for mode, bits, group in (("affine", 4, 32), ("affine", 8, 64), ("affine", 3, 128),
                                          ("mxfp4", 4, 32), ("mxfp8", 8, 32), ("nvfp4", 4, 16))]
        run_dir = self.run_dir(folder, change)
        self.collect(run_dir)
        quant = self.table(run_dir, "quant_sim")
        self.assertEqual(dict(zip(quant.scheme, quant.bits_per_weight)),
                         {"affine4_32": 5.0, "affine8_64": 8.5, "affine3_128": 3.25,
                          "mxfp44_32": 4.25, "mxfp88_32": 8.25, "nvfp44_16": 4.5})
        self.assertEqual(set(quant.compute_dtype), {"bf16"})
        self.assertTrue(quant.error.isna().all())


class ReferenceEra(AcceptanceTest):
    def test_a_references_config_gives_the_same_columns(self):
        run_dir = self.tmp / "run"
        run_dir.mkdir()
        (run_dir / "analysis_config.json").write_text(
            json.dumps(reference_config(self.model(experts(count=2)))))
        self.collect(run_dir)
        names = set(COLUMNS) - {"evidence", "dense_stats", "dense_quant_sim"}  # not in its config
        self.assertEqual({path.stem for path in (run_dir / "data").iterdir()}, names)
        for name in names:
            self.assertEqual(self.table(run_dir, name).columns.tolist(), COLUMNS[name])
