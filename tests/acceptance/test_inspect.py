"""`moescope inspect`: what a checkpoint is, from its headers alone."""

import json
import os
import resource
import shutil
import struct

from support import DATA, AcceptanceTest, run

ZOO = DATA / "zoo"


def inspect(path, *more):
    done = run("inspect", path, "--json", *more)
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


class Inspect(AcceptanceTest):
    def test_it_tells_family_experts_storage_and_sizes(self):
        model = inspect(ZOO / "mlx_qwen2_moe_custom_mixed")
        self.assertEqual(model["family"], "qwen2_moe")
        self.assertEqual(model["model_type"], "qwen2_moe")
        rows = {(row["shared"], row["proj"]): row for row in model["experts"]}
        self.assertEqual(len(rows), 6)
        gate = rows[False, "gate_proj"]
        self.assertEqual(gate["shapes"], [[64, 128]])
        self.assertEqual(gate["storage"], [{"scheme": "affine_q5_g32", "bits_per_weight": 6.0}])
        self.assertEqual((gate["layers"], gate["experts_per_layer_max"], gate["matrices"]),
                         (1, 4, 4))
        self.assertEqual(rows[False, "up_proj"]["storage"][0],
                         {"scheme": "affine_q2_g128", "bits_per_weight": 2.25})
        # 4 experts x 2 of 128 x 64 and 128 x 64: routed parameters, half of them active (top 2).
        routed = model["parts"]["routed_expert"]
        self.assertEqual(routed["parameters"], 4 * 3 * 64 * 128)
        self.assertEqual(model["parameters"]["total"] - model["parameters"]["active"],
                         routed["parameters"] // 2)
        self.assertEqual(sum(part["bytes"] for part in model["parts"].values()), model["bytes"])
        self.assertEqual(model["analyze"]["matrices"], 15)
        self.assertEqual(model["unmatched"], [])

    def test_every_zoo_checkpoint_has_a_family_where_its_config_names_one(self):
        for folder in sorted(ZOO.iterdir()):
            if not (folder / "config.json").is_file():
                continue
            with self.subTest(folder.name):
                model = inspect(folder)
                self.assertIsNotNone(model["family"])
                self.assertEqual(model["warnings"], [])
                expected = json.loads((folder / "expected.json").read_text())["experts"]
                self.assertEqual(model["analyze"]["matrices"], len(expected))

    def test_one_cause_does_not_fill_the_terminal(self):
        model = self.tmp / "model"
        shutil.copytree(ZOO / "gptq_int4_sym_qwen3_moe", model)
        config = json.loads((model / "config.json").read_text())
        config["quantization_config"]["bits"] = 8
        (model / "config.json").write_text(json.dumps(config))
        refused = len(inspect(model)["unmatched"])
        self.assertGreater(refused, 9)

        def lines(*flags):
            done = run("inspect", model, *flags)
            self.assertEqual(done.returncode, 3)
            return [line for line in done.stdout.splitlines() if line.startswith("not analysed")]

        few = lines()
        self.assertEqual(len(few), 9)
        self.assertIn(f"{refused - 8} more", few[-1])
        self.assertEqual(len(lines("-v")), refused)

    def test_gguf_tells_by_its_architecture(self):
        model = inspect(ZOO / "gguf_glm4moe_f16_shared")
        self.assertEqual(model["family"], "glm4_moe")
        self.assertIsNone(model["model_type"])

    def test_imatrix_files_alone_are_no_checkpoint(self):
        done = run("inspect", ZOO / "imatrix_qwen3_moe")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("importance matrix (imatrix), not a checkpoint", done.stderr)

    def test_tensors_are_listed_by_pattern(self):
        listed = inspect(ZOO / "fp8_qwen3_moe", "--tensors",
                         r"experts\.0\.up_proj\.weight$")["rows"]
        self.assertEqual(len(listed), 1)
        for row in listed:
            self.assertEqual((row["role"], row["storage"], row["dtype"]),
                             ("routed_expert", "fp8_block128", "float8_e4m3fn"))
        self.assertEqual(run("inspect", ZOO / "fp8_qwen3_moe", "--tensors", "(").returncode, 2)

    def test_missing_experts_and_contradictions_are_told(self):
        folder = self.tmp / "pruned"
        folder.mkdir()
        names = [f"model.layers.0.mlp.experts.{e}.{p}_proj.weight" for e in (0, 2)
                 for p in ("gate", "up", "down")]
        write_sparse(folder / "model.safetensors", {
            name: [4, 6] if "down" not in name else [6, 4] for name in names})
        (folder / "config.json").write_text(json.dumps({
            "model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2,
            "hidden_size": 6, "moe_intermediate_size": 5,
            "num_hidden_layers": 3, "mlp_only_layers": [1]}))
        warnings = "\n".join(inspect(folder)["warnings"])
        self.assertIn("layer 0: gate_proj of experts 1, 3-7 is missing", warnings)
        self.assertIn("the config says 8 experts a layer, the tensors hold 2", warnings)
        self.assertIn("the config says experts in layers 0, 2, the tensors have them in 0",
                      warnings)
        self.assertIn("the config says 5 x 6, the tensors hold 4 x 6", warnings)

    def test_a_model_type_that_the_names_contradict_is_told_with_both_sides(self):
        folder = self.tmp / "contradiction"
        shutil.copytree(ZOO / "hf5_inkling_mm", folder)
        config = {"model_type": "mixtral"}
        (folder / "config.json").write_text(json.dumps(config))
        model = inspect(folder)
        self.assertEqual(model["family"], "mixtral")
        self.assertEqual(model["analyze"]["matrices"], 21)
        self.assertTrue(any("family is mixtral" in line and "inkling" in line
                            for line in model["warnings"]))

    def test_of_a_terabyte_only_the_headers_are_read(self):
        """The files are sparse, and reading a terabyte would touch 244 million pages of them."""
        folder = self.tmp / "big"
        folder.mkdir()
        for shard in range(100):
            write_sparse(folder / f"model-{shard:05}-of-00100.safetensors", {
                f"model.layers.{shard}.mlp.experts.{e}.{p}_proj.weight":
                    [4096, 12288] if p != "down" else [12288, 4096]
                for e in range(33) for p in ("gate", "up", "down")})
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        model = inspect(folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertGreater(model["bytes"], 0.99e12)
        self.assertEqual(model["analyze"]["matrices"], 9900)
        pages = after.ru_minflt - before.ru_minflt + after.ru_majflt - before.ru_majflt
        self.assertLess(pages, 1_000_000)


def write_sparse(path, shapes):
    """bf16 tensors of zeros that take no space on disk."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * shape[0] * shape[1]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)
