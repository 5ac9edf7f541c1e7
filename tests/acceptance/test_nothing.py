"""Nothing found is no success: exit 1 with one sentence, and what was there stays (issue: dense
models, empty folders, files of other kinds); a scheme that never works is one warning and 3."""

import json
import re

import numpy as np

from support import AcceptanceTest, bank, experts, files_of, run

DENSE = {f"model.layers.{i}.mlp.{proj}.weight": np.ones((32, 32), np.float32)
         for i in range(2) for proj in ("gate_proj", "up_proj", "down_proj")}


class NothingFound(AcceptanceTest):
    def folder(self, name, *files):
        folder = self.tmp / name
        folder.mkdir()
        for file in files:
            (folder / file).parent.mkdir(exist_ok=True, parents=True)
            (folder / file).write_bytes(b"{}")
        return folder

    def adapter(self):
        folder = self.model({"base_model.model.layers.0.mlp.experts.0.up_proj.lora_A.weight":
                             np.ones((4, 32), np.float32)}, name="adapter",
                            file="adapter_model.safetensors")
        (folder / "adapter_config.json").write_text("{}")
        return folder

    def linked(self, model):
        folder = self.folder("linked")
        (folder / "sub").symlink_to(model)
        return folder

    def listed(self):
        folder = self.model(DENSE, name="listed")
        names = [*DENSE, *experts(count=1)]
        (folder / "model.safetensors.index.json").write_text(json.dumps(
            {"weight_map": {name: "model.safetensors" for name in names}}))
        return folder

    def models(self):
        """Case -> model path, and parts of the sentence that are due."""
        dense = self.model(DENSE, name="dense", config={"model_type": "llama"})
        dense_npz = self.model(DENSE, name="dense-npz", file="weights.npz")
        named = self.model({**DENSE, "model.layers.0.mlp.gate.weight": np.ones((8, 32), np.float32)},
                           name="named", config={"model_type": "mixtral", "num_local_experts": 8})
        routers = self.model({**DENSE, "model.layers.0.mlp.router.weight":
                              np.ones((8, 32), np.float32)}, name="routers")
        return {
            "dense": (dense, ["dense model", "6 tensors", "llama"]),
            "dense npz": (dense_npz, ["dense model", "6 tensors"]),
            "one dense file": (dense / "model.safetensors", ["dense model", "6 tensors"]),
            "config speaks of experts": (named, ["none of the 7 tensors", "8 experts", "mixtral"]),
            "routers alone": (routers, ["none of the 7 tensors", "routers"]),
            "empty": (self.folder("empty"), ["empty", "checkpoint"]),
            "hidden alone": (self.folder("hidden", ".gitattributes"), ["empty"]),
            "bin": (self.folder("bin", "pytorch_model.bin", "config.json"),
                    ["only pytorch_model.bin", "convert it to safetensors"]),
            "many bin": (self.folder("bins", *(f"pytorch_model-0000{i}-of-00005.bin"
                                               for i in range(1, 6))), ["and 2 more", "convert"]),
            "bin below": (self.folder("below", "sub/a.pth"), ["only a.pth", "convert"]),
            "keras": (self.folder("keras", "tf_model.h5"), ["tf_model.h5", "convert"]),
            "ggml": (self.folder("ggml", "model.ggml"), ["model.ggml", "before GGUF", "llama.cpp"]),
            "tokenizer alone": (self.folder("tokenizer", "tokenizer.json", "merges.txt"),
                                ["no file of a kind that can be read", "tokenizer.json"]),
            "embeddings alone": (self.model({"model.embed_tokens.weight":
                                             np.ones((8, 32), np.float32)}, name="embeddings"),
                                 ["dense model", "among 1 tensor "]),
            "vision": (self.model({"vision_model.layers.0.mlp.fc1.weight": np.ones((8, 32), np.float32)},
                                  name="vision", config={"model_type": "siglip"}),
                       ["dense model", "1 tensor ", "siglip"]),
            "integers": (self.model({"a": np.ones((8, 32), np.int32)}, name="integers",
                                    file="a.npz"), ["1 tensor"]),
            "adapter": (self.adapter(), ["adapter (LoRA), not a model", "the model that it adapts"]),
            "npy in a folder": (self.folder("npy", "w.npy"), ["w.npy", "give the file"]),
            "config alone": (self.folder("config", "config.json", "tokenizer.json"),
                             ["config.json but no weights", "finish the download"]),
            "half a download": (self.folder("half", "model.safetensors.incomplete"),
                                ["unfinished download", "finish"]),
            "below a hidden folder": (self.folder("concealed", ".x/model.safetensors"),
                                      ["only .x", "not entered"]),
            "below a link": (self.linked(dense), ["only sub", "not entered", "give that folder"]),
            "a suffix inside": (self.folder("inside", "model.safetensors-00001-of-00002",
                                            "config.json"),
                                ["model.safetensors-00001-of-00002", "rename"]),
            "listed experts": (self.listed(), ["none of the 6 tensors", "lists 3 matrices"]),
            "other files": (self.folder("other", "README.md", "a.txt"),
                            ["no file of a kind that can be read", ".safetensors", "README.md"]),
        }

    def test_analyze_says_in_one_sentence_what_it_is_and_what_to_do(self):
        for case, (model, parts) in self.models().items():
            with self.subTest(case):
                done = run("analyze", model, "--out", self.tmp / "out", "--model-id", case, "-q")
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                for part in [str(model), *parts]:
                    self.assertIn(part, done.stderr)
                self.assertNotIn("delta pair", done.stderr)
                made = files_of(self.tmp / "out" / case)
                self.assertEqual([p for p in made if p.endswith((".html", ".parquet", ".csv"))], [])

    def test_collect_data_leaves_what_was_there(self):
        run_dir = self.collected(experts(count=1))
        before = files_of(run_dir)
        for case, (model, parts) in self.models().items():
            with self.subTest(case):
                done = self.collect(run_dir, "--model-path", model, expect=1)
                for part in parts:
                    self.assertIn(part, done.stderr)
                after = files_of(run_dir)
                failure = json.loads(after.pop("logs/run_failure.json"))
                self.assertIn(parts[0], failure["error"]["message"])
                self.assertEqual(after, before)

    def test_inspect_ends_with_1_too_and_shows_a_dense_model_all_the_same(self):
        for case, (model, parts) in self.models().items():
            with self.subTest(case):
                done = run("inspect", model)
                self.assertEqual(done.returncode, 1, done.stdout)
                for part in parts:
                    self.assertIn(part, done.stderr.splitlines()[-1])
                tensors = re.search(r"\d tensors?", " ".join(parts))
                self.assertEqual(bool(done.stdout), bool(tensors), done.stdout)

    def test_a_run_that_measured_nothing_does_not_stand_in_another_models_way(self):
        out = ("--out", self.tmp / "out", "--model-id", "m", "--no-report")
        dense = self.model(DENSE, name="dense")
        self.assertEqual(run("analyze", dense, *out).returncode, 1)
        self.assertEqual(run("analyze", dense, *out).returncode, 1)
        model = self.model(experts(count=1, rows=64, cols=64))
        done = run("analyze", model, *out)
        self.assertEqual(done.returncode, 0, done.stderr)
        config = json.loads((self.tmp / "out/m/analysis/analysis_config.json").read_text())
        self.assertEqual(config["model_path"], str(model.resolve()))
        self.assertEqual(run("analyze", dense, *out).returncode, 2)

    def test_experts_only_false_measures_a_dense_model(self):
        run_dir = self.collected(DENSE, lambda c: c["scan"].update(experts_only=False))
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 6)

    def test_expert_like_tensors_that_are_not_analysed_are_listed_and_end_with_3(self):
        run_dir = self.collected({**DENSE, "model.layers.0.mlp.experts.odd":
                                  np.ones((2, 32), np.float32)}, expect=3)
        self.assertEqual(self.table(run_dir, "unmatched_tensors").tensor_name.tolist(),
                         ["model.layers.0.mlp.experts.odd"])
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 0)
        self.assertTrue(self.log(run_dir, "run_health.json")["incomplete"])


class FailingScheme(AcceptanceTest):
    def failures(self, run_dir, scheme):
        lines = self.table(run_dir, "warnings", "logs").warning
        return [line for line in lines if line.startswith(f"[quant_sim] scheme={scheme} failed")]

    def collected_with(self, entry, tensors, expect):
        return self.collected(tensors, lambda c: c["quant_schemes"].append(
            {"name": "mine", **entry}), expect=expect)

    def test_on_every_matrix_is_one_warning_with_the_count_and_exit_3(self):
        run_dir = self.collected_with({"mode": "symmetric"}, experts(count=3, layers=2), 3)
        line, = self.failures(run_dir, "mine")
        self.assertIn("18 matrices", line)
        self.assertIn("Invalid quantization mode 'symmetric'", line)
        quant = self.table(run_dir, "quant_sim")
        self.assertEqual(len(quant), 18 * 4, "its rows stay, with the error")
        self.assertTrue((quant.error.notna() == (quant.scheme == "mine")).all())

    def test_on_some_matrices_is_a_warning_a_tensor_and_no_failure(self):
        # 64 divides the 64 columns of gate and up, not the 32 of down.
        run_dir = self.collected_with({"mode": "affine", "bits": 4, "group_size": 64},
                                      experts(count=2, rows=32, cols=64), 0)
        lines = self.failures(run_dir, "mine")
        self.assertEqual(len(lines), 2)
        self.assertTrue(all("down_proj" in line for line in lines), lines)

    def test_of_a_bank_counts_its_experts(self):
        run_dir = self.collected_with({"mode": "mxfp4", "bits": 8}, bank(count=5), 3)
        line, = self.failures(run_dir, "mine")
        self.assertIn("5 matrices", line)
