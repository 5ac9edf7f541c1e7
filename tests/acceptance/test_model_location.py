"""The spellings of MODEL, the caches of models, adapters, and folders of several models."""

import json
import os
import shutil
import unittest
import sys

import numpy as np
import pandas as pd

from support import DATA, AcceptanceTest, experts, run

NO_CACHE = {key: "" for key in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                "XDG_CACHE_HOME")}


class LocationTest(AcceptanceTest):
    def env(self, **more):
        return {**NO_CACHE, "HOME": str(self.tmp / "home"), **more}

    def inspected(self, model, expect=0, **env):
        """The folder or file that `inspect MODEL` looked at."""
        done = run("inspect", model, "--json", env=self.env(**env))
        self.assertEqual(done.returncode, expect, done.stderr)
        return json.loads(done.stdout)["model"] if expect == 0 else done.stderr

    def cache(self, name="org--name", revisions=("r1",), main="r1", root="hub", links=True):
        """A Hub's cache at `root`, with a model of one matrix per revision; its models--* folder."""
        repository = self.tmp / root / f"models--{name}"
        (repository / "blobs").mkdir(parents=True)
        for revision in revisions:
            model = self.model(experts(count=1), name=f"source-{revision}", config={})
            snapshot = repository / "snapshots" / revision
            snapshot.mkdir(parents=True)
            for file in model.iterdir():
                blob = f"{revision}{len(file.name)}"
                shutil.copy(file, repository / "blobs" / blob)
                if links:
                    (snapshot / file.name).symlink_to(f"../../blobs/{blob}")
                else:
                    (snapshot / file.name).write_text(f"../../blobs/{blob}")
        if main:
            (repository / "refs").mkdir()
            (repository / "refs/main").write_text(main)
        return repository.resolve()


class Spelling(LocationTest):
    def test_files_of_a_folder_that_mean_the_folder(self):
        model = self.model(experts(count=1), config={})
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {
            name: "model.safetensors" for name in experts(count=1)}}))
        for name in ("config.json", "model.safetensors.index.json"):
            with self.subTest(name):
                self.assertEqual(self.inspected(model / name), str(model.resolve()))

    def test_a_run_directory_means_the_model_of_its_configuration(self):
        model = self.model(experts(count=1))
        run_dir = self.run_dir(model)
        for path in (run_dir, run_dir / "analysis_config.json"):
            self.assertEqual(self.inspected(path), str(model.resolve()))

    def test_a_name_that_is_nearly_right_is_suggested(self):
        model = self.model(experts(count=1), name="qwen3-moe")
        stderr = self.inspected(self.tmp / "qwen3-mo", expect=1)
        self.assertIn(f"did you mean {model.resolve()}?", stderr)

    @unittest.skipIf(sys.platform == "darwin", "macOS has only UTF-8 file names")
    def test_a_path_that_is_no_utf8_works_in_every_command(self):
        model = self.model(experts(count=1))
        path = os.fsencode(self.tmp) + b"/mod\xe8le"
        os.rename(model, path)
        for _ in range(2):
            done = run("analyze", os.fsdecode(path), "--out", self.tmp / "out", "--no-report")
            self.assertEqual(done.returncode, 0, done.stderr)
        done = run("init-run", "--root", self.tmp / "runs", "--model-id", "m", "--run-name", "run",
                   "--model-path", os.fsdecode(path))
        self.assertEqual(done.returncode, 0, done.stderr)
        run_dir = self.tmp / "runs/m/run"
        config = json.loads((run_dir / "analysis_config.json").read_text(encoding="utf-8"))
        self.assertTrue(config["model_path"].endswith("/mod\\xe8le"))
        self.collect(run_dir)
        health = self.log(run_dir, "run_health.json")
        self.assertEqual(health["run"]["model_path"], config["model_path"])
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 3)


class Cache(LocationTest):
    def test_the_folder_of_a_model_means_its_main_revision(self):
        repository = self.cache(revisions=("r1", "r2"), main="r2")
        want = str(repository / "snapshots/r2")
        self.assertEqual(self.inspected(repository), want)
        self.assertEqual(self.inspected(repository / "snapshots"), want)
        self.assertEqual(self.inspected(repository / "snapshots/r1"),
                         str(repository / "snapshots/r1"))

    def test_without_refs_main_the_only_revision_counts_and_several_are_listed(self):
        repository = self.cache(main=None)
        self.assertEqual(self.inspected(repository), str(repository / "snapshots/r1"))
        (repository / "snapshots/r2").mkdir()
        self.assertIn("r1, r2", self.inspected(repository, expect=1))

    def test_an_id_with_several_revisions_is_told_with_them(self):
        repository = self.cache(root="home/.cache/huggingface/hub", revisions=("r1", "r2"),
                                main=None)
        stderr = self.inspected("org/name", expect=1)
        self.assertIn(str(repository / "snapshots"), stderr)
        self.assertIn("r1, r2", stderr)

    def test_a_main_revision_that_is_not_there_is_no_other_one(self):
        repository = self.cache(root="home/.cache/huggingface/hub", main="r9")
        for model in ("org/name", repository):
            stderr = self.inspected(model, expect=1)
            for part in ("r9", "hf download org/name", str(repository / "snapshots/r1")):
                self.assertIn(part, stderr)

    def test_a_run_of_an_id_means_its_model(self):
        repository = self.cache(root="home/.cache/huggingface/hub")
        run_dir = self.run_dir("x", lambda config: config.update(model_path="org/name"))
        self.assertEqual(self.inspected(run_dir), str(repository / "snapshots/r1"))

    def test_an_id_is_looked_for_in_the_caches(self):
        repository = self.cache(root="home/.cache/huggingface/hub")
        want = str(repository / "snapshots/r1")
        self.assertEqual(self.inspected("org/name"), want)
        self.assertEqual(self.inspected("org/name/"), want)
        for name, env in (("elsewhere", "HF_HUB_CACHE"), ("other", "HUGGINGFACE_HUB_CACHE")):
            there = self.cache(root=name)
            with self.subTest(env):
                self.assertEqual(self.inspected("org/name", **{env: str(self.tmp / name)}),
                                 str(there / "snapshots/r1"))
        there = self.cache(root="hf/hub")
        self.assertEqual(self.inspected("org/name", HF_HOME=str(self.tmp / "hf")),
                         str(there / "snapshots/r1"))

    def test_an_id_is_looked_for_in_lm_studios_folders(self):
        for place in (".lmstudio/models", ".cache/lm-studio/models"):
            with self.subTest(place):
                model = self.model(experts(count=1), name=f"home/{place}/org/name")
                self.assertEqual(self.inspected("org/name"), str(model.resolve()))
                shutil.rmtree(model)

    def test_an_id_that_is_nowhere_gives_the_command_that_downloads_it(self):
        stderr = self.inspected("org/name", expect=1)
        self.assertIn("hf download org/name", stderr)
        done = run("analyze", "org/name", env=self.env(), cwd=self.tmp)
        self.assertEqual(done.returncode, 1)
        self.assertIn("hf download org/name", done.stderr)

    def test_an_id_works_in_analyze_init_run_and_collect_data(self):
        repository = self.cache(root="home/.cache/huggingface/hub")
        want = str(repository / "snapshots/r1")
        done = run("analyze", "org/name", "--out", self.tmp / "out", "--no-report", env=self.env())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.tmp / "out/org/name/analysis/data").is_dir())
        done = run("init-run", "--root", self.tmp / "runs", "--model-id", "m", "--run-name", "r",
                   "--model-path", "org/name", env=self.env())
        config = json.loads((self.tmp / "runs/m/r/analysis_config.json").read_text())
        self.assertEqual(config["model_path"], want)
        run_dir = self.tmp / "runs/m/r"
        self.collect(run_dir, "--model-path", "org/name", env=self.env())
        self.assertEqual(self.log(run_dir, "run_context.json")["model_path"]["resolved"], want)
        config["model_path"] = "org/name"
        (run_dir / "analysis_config.json").write_text(json.dumps(config))
        self.collect(run_dir, env=self.env())

    def test_init_run_keeps_an_id_that_is_downloaded_later(self):
        run_dir = self.tmp / "runs/m/r"
        for path, want in (("org/name", "org/name"), ("./gone", str(self.tmp.resolve() / "gone"))):
            shutil.rmtree(run_dir, ignore_errors=True)
            run("init-run", "--root", self.tmp / "runs", "--model-id", "m", "--run-name", "r",
                "--model-path", path, cwd=self.tmp, env=self.env())
            config = json.loads((run_dir / "analysis_config.json").read_text())
            self.assertEqual(config["model_path"], want)
        config.update(model_path="org/name")
        (run_dir / "analysis_config.json").write_text(json.dumps(config))
        repository = self.cache(root="home/.cache/huggingface/hub")
        done = run("collect-data", "--run-dir", run_dir, cwd=self.tmp, env=self.env())
        self.assertIn(done.returncode, (0, 3), done.stderr)
        self.assertEqual(self.log(run_dir, "run_context.json")["model_path"]["resolved"],
                         str(repository / "snapshots/r1"))

    def test_links_and_the_files_that_stand_for_them_are_read_alike(self):
        for links in (True, False):
            with self.subTest(links=links):
                repository = self.cache(root=f"hub-{links}", links=links)
                file = repository / "snapshots/r1/model.safetensors"
                for model in (repository, file):
                    out = self.tmp / f"out-{links}-{model.name}"
                    done = run("analyze", model, "--out", out, "--no-report")
                    self.assertEqual(done.returncode, 0, done.stderr)
                    stats = pd.read_parquet(next(out.rglob("matrix_stats.parquet")))
                    self.assertEqual(set(stats.file), {str(file)})
                    done = run("analyze", model, "--out", out, "--no-report")  # the same model
                    self.assertEqual(done.returncode, 0, done.stderr)
                for blob in (repository / "blobs").iterdir():
                    blob.unlink()
                for command in (["analyze", "--out", self.tmp / f"gone-{links}"], ["inspect"]):
                    done = run(*command, repository)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn("the only shard is missing: model.safetensors", done.stderr)


class OneModel(LocationTest):
    def listed(self, folder, *names):
        for command in (["inspect", folder], ["analyze", folder, "--out", self.tmp / "out"]):
            done = run(*command)
            self.assertEqual(done.returncode, 1, done.stderr + done.stdout)
            for name in names:
                self.assertIn(name, done.stderr)

    def test_two_ggufs_in_one_folder_are_listed(self):
        folder = self.tmp / "m"
        folder.mkdir()
        shutil.copy(DATA / "zoo/gguf_kquants/model.gguf", folder / "a-Q4.gguf")
        shutil.copy(DATA / "zoo/gguf_glm4moe_f16_shared/model.gguf", folder / "b.gguf")
        self.listed(folder, "2 models", "a-Q4.gguf", "b.gguf")
        self.assertEqual(run("inspect", folder / "b.gguf").returncode, 0)

    def test_two_files_with_the_same_tensors_are_listed(self):
        folder = self.model(experts(count=1), name="m", file="one.safetensors")
        self.model(experts(count=1, seed=1), name="m", file="two.safetensors")
        self.listed(folder, "2 models", "one.safetensors", "two.safetensors")

    def test_files_that_complement_each_other_are_one_model(self):
        tensors = experts(count=1, layers=2)
        for layer in range(2):
            part = {k: v for k, v in tensors.items() if f"layers.{layer}." in k}
            folder = self.model(part, name="m", file=f"layer-{layer}.safetensors")
        done = run("inspect", folder, "--json")
        self.assertEqual(json.loads(done.stdout)["analyze"]["matrices"], 6)

    def test_a_folder_of_models_is_listed(self):
        for name in ("qwen", "mixtral"):
            self.model(experts(count=1), name=f"models/{name}", config={})
        self.listed(self.tmp / "models", "2 models", "qwen", "mixtral")

    def test_a_described_model_beside_weights_that_no_config_describes_is_asked_about(self):
        self.model(experts(count=1), name="models/qwen", config={})
        other = {k.replace("layers.0", "layers.7"): v for k, v in experts(count=1).items()}
        self.model(other, name="models/loose")
        self.listed(self.tmp / "models", "2 models", "qwen", "loose/model.safetensors",
                    "give the folder of one")
        self.assertEqual(run("inspect", self.tmp / "models/qwen").returncode, 0)

    def two_parts(self, name):
        tensors = experts(count=1, layers=2)
        for layer in range(2):
            part = {k: v for k, v in tensors.items() if f"layers.{layer}." in k}
            folder = self.model(part, name=name,
                                file=f"model-{layer + 1:05}-of-00002.safetensors")
        return folder

    def test_a_second_copy_of_a_part_is_left_out_by_name(self):
        folder = self.two_parts("m")
        for part, copy in (("model-00001-of-00002", "model-00001-of-00002 (1)"),
                           ("model-00002-of-00002", "Copy of model-00002-of-00002")):
            shutil.copy(folder / f"{part}.safetensors", folder / f"{copy}.safetensors")
        done = run("inspect", folder, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        run_dir = self.run_dir(folder)
        self.collect(run_dir)
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 6)
        for left_out in (json.loads(done.stdout)["left_out_files"],
                         self.log(run_dir, "run_health.json")["left_out_files"]):
            self.assertEqual([row["reason"] for row in left_out],
                             ["a second copy of model-00002-of-00002.safetensors",
                              "a second copy of model-00001-of-00002.safetensors"])

    def test_another_file_under_a_copys_name_is_asked_about_before_shards_are_counted(self):
        folder = self.two_parts("m")
        shutil.copy(folder / "model-00001-of-00002.safetensors",
                    folder / "model-00001-of-00002 (1).safetensors")
        self.model({k: v for k, v in experts(count=1, seed=9).items()}, name="m",
                   file="model-00001-of-00002.safetensors")
        self.listed(folder, "2 models", "model-*-of-00002 (1).safetensors")
        incomplete = self.two_parts("n")
        shutil.copy(incomplete / "model-00001-of-00002.safetensors",
                    incomplete / "other-00001-of-00002.safetensors")
        self.listed(incomplete, "2 models", "other-*-of-00002.safetensors")

    def test_an_unfinished_download_is_named(self):
        folder = self.two_parts("m")
        shard = folder / "model-00002-of-00002.safetensors"
        shard.rename(f"{shard}.crdownload")
        text = f"1 of 2 shards is missing: {shard.name}; unfinished: {shard.name}.crdownload"
        done = run("analyze", folder, "--out", self.tmp / "out")
        self.assertEqual(done.returncode, 1)
        self.assertIn(text, done.stderr)
        done = run("inspect", folder)
        self.assertEqual(done.returncode, 3)
        self.assertIn(text, done.stdout.splitlines()[0])
        (folder / f"{shard.name}.crdownload").rename(shard)
        shard.write_bytes(b"")
        self.listed(folder, f"{shard.name}: has 0 bytes", "the download did not finish")

    def test_a_folder_above_the_only_model_means_that_model(self):
        model = self.model(experts(count=1), name="above/org/m", config={})
        (self.tmp / "above/README.md").write_text("x")
        (model / "original").mkdir()
        shutil.copy(model / "model.safetensors", model / "original")
        run("init-run", "--root", self.tmp / "above/runs", "--model-id", "m", "--run-name", "r")
        np.savez(self.tmp / "above/runs/m/r/cache/sample.npz", sample=np.zeros(4))
        for folder in ("above", "above/org"):
            self.assertEqual(self.inspected(self.tmp / folder), str(model.resolve()))
        repository = self.cache(root="hub")
        self.assertEqual(self.inspected(self.tmp / "hub"), str(repository / "snapshots/r1"))

    def test_a_folder_above_weights_without_a_config_stays(self):
        model = self.model(experts(count=1), name="above/m")
        self.assertEqual(self.inspected(self.tmp / "above"), str(model.parent.resolve()))

    def test_the_config_of_the_only_model_below_is_obeyed(self):
        shutil.copytree(DATA / "cases_robust/mlx_mxfp4_scales_doubled", self.tmp / "above/m")
        done = run("analyze", self.tmp / "above", "--out", self.tmp / "out", "--no-report")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("needs mode mxfp4 (quantization config)", done.stderr)
        self.assertTrue((self.tmp / "out/m/analysis/data").is_dir())

    def test_an_adapter_beside_a_model_is_left_out_and_alone_it_is_told(self):
        lora = {f"base_model.model.{name[:-7]}.lora_{c}.weight": tensor
                for name, tensor in experts(count=1).items() for c in "AB"}
        folder = self.model(experts(count=1), name="both")
        self.model(lora, name="both", file="adapter_model.safetensors")
        run_dir = self.run_dir(folder)
        self.collect(run_dir)
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 3)
        left_out, = self.log(run_dir, "run_health.json")["left_out_files"]
        self.assertIn("adapter_model.safetensors", left_out["path"])
        alone = self.model(lora, name="alone", file="x.safetensors")
        (alone / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
        self.listed(alone, "adapter (LoRA)", "org/base")


if __name__ == "__main__":
    unittest.main()
