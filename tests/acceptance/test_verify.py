"""`moescope verify`: planted faults are found, named and placed; what real converters make is not suspected."""

import importlib.util
import json
import os
import unittest

import numpy as np
import pandas as pd

from support import DATA, AcceptanceTest, files_of, run

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
ZOO = DATA / "zoo"
HAS_MLX = importlib.util.find_spec("mlx") is not None
HAS_MLX_LM = importlib.util.find_spec("mlx_lm") is not None
if HAS_MLX:
    import mlx.core as mx

LAYERS, EXPERTS, SIZE = 16, 4, 64
PROJS = ("gate_proj", "up_proj", "down_proj")
CONFIG = {"model_type": "qwen3_moe", "num_hidden_layers": LAYERS, "num_experts": EXPERTS, "hidden_size": SIZE,
          "moe_intermediate_size": SIZE, "num_experts_per_tok": 2}


def original():
    """(layer, proj) -> [experts, rows, cols], and the tensors that are no experts'."""
    rng = np.random.default_rng(29)
    stacks = {(layer, proj): mx.array(0.03 * rng.standard_normal((EXPERTS, SIZE, SIZE)).astype(np.float32))
              .astype(mx.bfloat16) for layer in range(LAYERS) for proj in PROJS}
    rest = {}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        rest[at + "mlp.gate.weight"] = mx.array(rng.standard_normal((EXPERTS, SIZE)).astype(np.float32)
                                               ).astype(mx.bfloat16)
        rest[at + "input_layernorm.weight"] = mx.array(rng.standard_normal(SIZE).astype(np.float32)
                                                       ).astype(mx.bfloat16)
    return stacks, rest


def name_of(layer, proj, expert=None):
    at = f"model.layers.{layer}.mlp."
    return f"{at}switch_mlp.{proj}" if expert is None else f"{at}experts.{expert}.{proj}"


class Storage:
    """How a checkpoint keeps the stacks, and how faults are planted into what it keeps: `kept` is (layer, proj) ->
    {part: [experts, ...]} as numpy arrays."""

    parts = {}  # part of MLX's names -> suffix

    def __init__(self, stacks, rest):
        self.kept = {key: self.store(stack) for key, stack in stacks.items()}
        self.rest = dict(rest)

    def put(self, layer, proj, expert, values):
        """Other values in the place of an expert, stored as they should be."""
        for part, made in self.store(values[None]).items():
            self.kept[layer, proj][part][expert] = made[0]

    def move(self, to, expert, source, other):
        for part in self.kept[to]:
            self.kept[to][part][expert] = self.kept[source][part][other]


class Bf16(Storage):
    """Hugging Face's form; a matrix of bfloat16 is kept as its bits."""

    config = CONFIG

    def store(self, stack):
        return {"weight": np.array(stack.view(mx.uint16))}

    def tensors(self):
        return {name_of(layer, proj, e) + ".weight": mx.array(kept["weight"][e]).view(mx.bfloat16)
                for (layer, proj), kept in self.kept.items() for e in range(EXPERTS)}


class Int8(Storage):
    """compressed-tensors, a scale for each row."""

    config = {**CONFIG, "quantization_config": {
        "quant_method": "compressed-tensors", "format": "int-quantized", "quantization_status": "compressed",
        "ignore": ["re:.*mlp\\.gate$", "lm_head"], "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "strategy": "channel",
                                               "symmetric": True, "dynamic": False}}}}}

    def store(self, stack):
        values = np.array(stack.astype(mx.float32))
        scales = np.abs(values).max(axis=2, keepdims=True) / 127
        codes = np.clip(np.rint(values / np.where(scales == 0, 1, scales)), -127, 127).astype(np.int8)
        return {"weight": codes, "scales": scales.astype(np.float32)}

    def tensors(self):
        tensors = {}
        for (layer, proj), kept in self.kept.items():
            for e in range(EXPERTS):
                tensors[name_of(layer, proj, e) + ".weight"] = mx.array(kept["weight"][e])
                tensors[name_of(layer, proj, e) + ".weight_scale"] = mx.array(kept["scales"][e])
        return tensors


class Mlx(Storage):
    """What mx.quantize gives, under the names of mlx-lm."""

    def store(self, stack):
        made = mx.quantize(stack, **self.how)
        return {part: np.array(x.view(mx.uint16) if x.dtype == mx.bfloat16 else x)
                for part, x in zip(("weight", "scales", "biases"), made, strict=False)}

    def tensors(self):
        tensors = {}
        for (layer, proj), kept in self.kept.items():
            for part, values in kept.items():
                x = mx.array(values)
                tensors[f"{name_of(layer, proj)}.{part}"] = x.view(mx.bfloat16) if x.dtype == mx.uint16 else x
        return tensors

    @property
    def config(self):
        return {**CONFIG, "quantization": {**self.how, **{f"model.layers.{i}.mlp.gate": False for i in range(LAYERS)}}}


class Affine(Mlx):
    how = {"group_size": 32, "bits": 4, "mode": "affine"}


class Mxfp4(Mlx):
    how = {"group_size": 32, "bits": 4, "mode": "mxfp4"}


class Nvfp4(Mlx):
    how = {"group_size": 16, "bits": 4, "mode": "nvfp4"}


def plant(storage, stacks):
    """Plants every fault that the storage can have, each in a layer of its own.
    -> (layer, proj, expert) -> (finding, origin)"""
    told = {}
    kept, mlx = storage.kept, isinstance(storage, Mlx)
    before = {key: {part: x.copy() for part, x in parts.items()} for key, parts in kept.items()}

    def origin(layer, expert, proj):
        return f"layer {layer} expert {expert} {proj}"

    for expert in (0, 1):  # 1: two experts exchanged
        for part, x in before[1, "down_proj"].items():
            kept[1, "down_proj"][part][expert] = x[1 - expert]
        told[1, "down_proj", expert] = ("permuted_experts", origin(1, 1 - expert, "down_proj"))
    storage.move((2, "up_proj"), 2, (2, "up_proj"), 1)  # 2: one copied over another
    told[2, "up_proj", 2] = ("duplicated_expert", origin(2, 1, "up_proj"))
    kept[3, "gate_proj"], kept[3, "up_proj"] = kept[3, "up_proj"], kept[3, "gate_proj"]  # 3
    for expert in range(EXPERTS):
        told[3, "gate_proj", expert] = ("swapped_projections", origin(3, expert, "up_proj"))
        told[3, "up_proj", expert] = ("swapped_projections", origin(3, expert, "gate_proj"))
        for proj in PROJS:  # 4: the experts of layer 5 in layer 4
            storage.move((4, proj), expert, (5, proj), expert)
            told[4, proj, expert] = ("wrong_layer", origin(5, expert, proj))
    if "scales" in kept[6, "gate_proj"]:  # 5
        kept[6, "gate_proj"]["scales"][2] = 0
        told[6, "gate_proj", 2] = ("zeroed_scales", None)
    kept[7, "down_proj"]["weight"][0] = 0  # 6
    told[7, "down_proj", 0] = ("zeroed_codes", None)
    broken = {Bf16: ("weight", 0x7FC0), Int8: ("scales", np.nan), Affine: ("scales", 0x7FC0), Mxfp4: ("scales", 255),
              Nvfp4: ("scales", 127)}
    part, nan = broken[type(storage)]  # 7
    kept[8, "up_proj"][part][1, 3, 0] = nan
    told[8, "up_proj", 1] = ("nonfinite", None)
    if "biases" in kept[9, "gate_proj"]:  # 8
        kept[9, "gate_proj"]["biases"][1] ^= 0x8000
        told[9, "gate_proj", 1] = ("wrong_sign_biases", None)
    else:
        storage.put(9, "gate_proj", 1, -stacks[9, "gate_proj"][1])
        told[9, "gate_proj", 1] = ("wrong_sign", None)
    if isinstance(storage, Mxfp4):  # 9: a scale's byte is its exponent
        kept[10, "down_proj"]["scales"][3] += 1
    else:
        storage.put(10, "down_proj", 3, 2 * stacks[10, "down_proj"][3])
    told[10, "down_proj", 3] = ("power_of_two", None)
    if mlx:  # 10
        words = kept[11, "gate_proj"]["weight"][0].view(np.uint8)
        words[:] = (words << 4) | (words >> 4)
        told[11, "gate_proj", 0] = ("swapped_nibbles", None)
    storage.put(12, "up_proj", 1, stacks[12, "up_proj"][1][::-1])  # 11
    told[12, "up_proj", 1] = ("reversed_rows", None)
    storage.put(12, "up_proj", 2, stacks[12, "up_proj"][2].T)
    told[12, "up_proj", 2] = ("transposed", None)
    if mlx:  # 12
        kept[13, "gate_proj"]["weight"][3, 5, 2] ^= 1
        told[13, "gate_proj", 3] = ("codes_differ", None)
    rows = mx.arange(SIZE)[:, None]
    storage.put(14, "down_proj", 0, mx.where(rows < SIZE - 8, stacks[14, "down_proj"][0], 0))
    told[14, "down_proj", 0] = ("truncated", None)
    dead = mx.where((rows == 3) | (rows == 9), 0, stacks[14, "down_proj"][1])
    storage.put(14, "down_proj", 1, dead)
    told[14, "down_proj", 1] = ("dead_rows", None)
    rng = np.random.default_rng(1)  # a shard of another model
    storage.put(14, "down_proj", 2, mx.array(rng.standard_normal((SIZE, SIZE)).astype(np.float32)
                                             * 0.03).astype(mx.bfloat16))
    told[14, "down_proj", 2] = ("unrelated", None)
    for name in ("mlp.gate", "input_layernorm"):
        storage.rest[f"model.layers.15.{name}.weight"] *= 1.01
    told[15, "ffn_gate_inp", -1] = ("changed_copy", None)
    told[15, "input_layernorm", -1] = ("changed_copy", None)
    return told


@unittest.skipUnless(HAS_MLX, "mlx is not installed (setup/setup.sh --test)")
class PlantedFaults(AcceptanceTest):
    def folder(self, name, tensors, config):
        folder = self.tmp / name
        folder.mkdir()
        mx.save_safetensors(str(folder / "model.safetensors"), tensors)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def verify(self, quantized, against, expect):
        done = run("verify", quantized, "--against", against, "--out", self.tmp / "out")
        self.assertEqual(done.returncode, expect, done.stderr + done.stdout)
        return (json.loads((self.tmp / "out" / "verify.json").read_text()),
                pd.read_parquet(self.tmp / "out" / "verify.parquet"))

    def check(self, kind, clean_status):
        stacks, rest = original()
        source = self.folder("original", {**Bf16(stacks, rest).tensors(), **rest}, CONFIG)
        clean = kind(stacks, rest)
        told, table = self.verify(self.folder("clean", {**clean.tensors(), **clean.rest}, clean.config), source, 0)
        experts = table[table["role"] == "routed_expert"]
        self.assertEqual((len(experts), set(experts["status"])), (LAYERS * EXPERTS * 3, {clean_status}))
        self.assertEqual(set(table[table["role"] != "routed_expert"]["status"]), {"copy"})
        self.assertEqual((told["verdict"], set(table["finding"].dropna())),
                         ("within" if clean_status == "within" else "attested", set()))

        planted = kind(stacks, rest)
        faults = plant(planted, stacks)
        told, table = self.verify(self.folder("planted", {**planted.tensors(), **planted.rest}, planted.config),
                                  source, 4)
        wrong = table[table["status"] == "differs"]
        found = {(row.layer, row.weight, row.number): (row.finding, row.origin if isinstance(row.origin, str) else None)
                 for row in wrong.itertuples()}
        self.assertEqual(found, faults)
        self.assertEqual(told["verdict"], "differs")
        self.assertEqual(set(table[table["status"] != "differs"]["status"]), {"copy", clean_status})
        return table.set_index(["layer", "weight", "number"])

    def test_mlx_affine(self):
        rows = self.check(Affine, "attested")
        flipped = rows.loc[13, "gate_proj", 3]
        self.assertEqual((flipped["codes_differ"], flipped["scales_differ"], flipped["biases_differ"]), (1, 0, 0))
        self.assertIn("row 5, column 16", flipped["detail"])
        broken = rows.loc[8, "up_proj", 1]
        self.assertEqual(broken["nonfinite"], 32)
        self.assertIn("row 3, column 0", broken["detail"])
        self.assertIn("the last 8 of 64 rows", rows.loc[14, "down_proj", 0]["detail"])
        self.assertEqual(rows.loc[14, "down_proj", 1]["dead_rows"], 2)
        good = rows.loc[0, "gate_proj", 0]
        self.assertEqual((good["error"], good["method"]), (good["expected_error"], "re-derived"))
        self.assertEqual(rows.loc[6, "gate_proj", 2]["clip_share"], 31 / 32)  # all but what is the bias
        self.assertLess(good["clip_share"], 0.05)
        self.assertIn("mlx-cpu", good["encoder"])

    def test_mlx_mxfp4(self):
        rows = self.check(Mxfp4, "attested")
        self.assertEqual(rows.loc[10, "down_proj", 3]["norm_ratio"].round(1), 2)
        self.assertIn("2^1", rows.loc[10, "down_proj", 3]["detail"])

    def test_mlx_nvfp4(self):
        rows = self.check(Nvfp4, "attested")
        self.assertEqual(rows.loc[13, "gate_proj", 3]["codes_differ"], 1)
        self.assertEqual(rows.loc[8, "up_proj", 1]["nonfinite"], 16)

    def test_compressed_tensors_int8(self):
        rows = self.check(Int8, "within")
        self.assertEqual(set(rows.loc[0, "gate_proj"]["method"]), {"ceiling"})

    def test_bf16_copies(self):
        self.check(Bf16, "copy")

    def test_every_storage_of_the_original_is_decoded_before_it_is_encoded_again(self):
        for name in ("fp8_deepseek_v3", "ct_nvfp4_deepseek_v3", "gptq_int3_olmoe", "npz_numpy_f16"):
            out = self.tmp / name
            done = run("quantize", ZOO / name, "--scheme", "q4g32", "--out", out, "-q")
            self.assertEqual(done.returncode, 0, done.stderr)
            told, _ = self.verify(out, ZOO / name, 0)
            self.assertEqual(told["verdict"], "attested", name)

    def test_what_mlx_lm_drops_is_told_and_no_fault(self):
        stacks, rest = original()
        config = {**CONFIG, "model_type": "ernie4_5_moe"}
        lost = {"model.layers.1.mlp.moe_statics.e_score_correction_bias": mx.zeros((1, EXPERTS))}
        source = self.folder("original", {**Bf16(stacks, rest).tensors(), **rest, **lost}, config)
        kept = Affine(stacks, rest)
        told, _ = self.verify(self.folder("q", {**kept.tensors(), **rest}, {**kept.config, **config}), source, 0)
        self.assertEqual([(f["tensor"], f["finding"], f["fault"]) for f in told["findings"]],
                         [(*lost, "dropped", False)])
        self.assertEqual(told["only_original"], [])

    def test_scales_that_are_missing_orphaned_or_against_the_config(self):
        stacks, rest = original()
        source = self.folder("original", {**Bf16(stacks, rest).tensors(), **rest}, CONFIG)
        kept = Affine(stacks, rest)
        good = {**kept.tensors(), **rest}
        missing = {name: x for name, x in good.items() if name != name_of(1, "up_proj") + ".scales"}
        told, table = self.verify(self.folder("missing", missing, kept.config), source, 4)
        self.assertEqual([(f["tensor"], f["finding"]) for f in told["findings"]],
                         [(name_of(1, "up_proj") + ".weight", "contradiction")])
        self.assertEqual([one["tensor"] for one in told["unread_quantized"]], [name_of(1, "up_proj") + ".weight"])
        self.assertEqual(len(table[table["role"] == "routed_expert"]), (LAYERS * 3 - 1) * EXPERTS)

        orphaned = {**good, "model.layers.0.mlp.none.scales": good[name_of(0, "up_proj") + ".scales"]}
        told, _ = self.verify(self.folder("orphaned", orphaned, kept.config), source, 4)
        self.assertEqual([(f["tensor"], f["finding"]) for f in told["findings"]],
                         [("model.layers.0.mlp.none.scales", "orphaned_scales")])

        wrong = {**kept.config, "quantization": {**kept.config["quantization"], "bits": 8}}
        told, _ = self.verify(self.folder("wrong", good, wrong), source, 4)
        self.assertEqual(len(told["unread_quantized"]), LAYERS * 3)
        self.assertEqual({f["finding"] for f in told["findings"]}, {"contradiction"})
        self.assertIn("bits", told["unread_quantized"][0]["reason"])

    def test_shards_and_tensors_that_the_index_does_not_tell_right_and_entries_of_nothing(self):
        stacks, rest = original()
        source = self.folder("original", {**Bf16(stacks, rest).tensors(), **rest}, CONFIG)
        kept = Affine(stacks, rest)
        good, config = {**kept.tensors(), **rest}, kept.config
        split = {"model-1.safetensors": {n: x for n, x in good.items() if ".0." in n},
                 "model-2.safetensors": {n: x for n, x in good.items() if ".1." in n},
                 "model-3.safetensors": {n: x for n, x in good.items() if ".0." not in n and ".1." not in n}}
        weight_map = {name: shard for shard, tensors in split.items() for name in tensors}
        gate = "model.layers.1.mlp.gate.weight"

        def findings(name, shards, listed, expect, entries=None):
            folder = self.tmp / name
            folder.mkdir()
            for shard in shards:
                mx.save_safetensors(str(folder / shard), split[shard])
            (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
            (folder / "config.json").write_text(json.dumps(
                {**config, "quantization": {**config["quantization"], **(entries or {})}}))
            told, _ = self.verify(folder, source, expect)
            return {(f["tensor"], f["finding"], f["fault"]) for f in told["findings"]}

        self.assertEqual(findings("whole", split, weight_map, 0), set())
        self.assertEqual(findings("gone", list(split)[:2], weight_map, 4),
                         {("model-3.safetensors", "missing_shard", True)})
        self.assertEqual(findings("stale", split, {**weight_map, "model.norm.weight": "model-1.safetensors"}, 4),
                         {("model.norm.weight", "missing_tensor", True)})
        self.assertEqual(findings("unlisted", split, {n: s for n, s in weight_map.items() if n != gate}, 4),
                         {(gate, "unlisted_tensor", True)})
        two = {n: s for n, s in weight_map.items() if s != "model-2.safetensors"}
        self.assertEqual(findings("shard", split, two, 4), {("model-2.safetensors", "unlisted_shard", True),
                                                            (gate.removesuffix(".weight"), "unused_entry", False)})
        entry = {"model.layers.0.mlp.switch_mlp.gone_proj": {"group_size": 32, "bits": 8}}
        self.assertEqual(findings("entry", split, weight_map, 0, entry), {(*entry, "unused_entry", False)})

    def test_rows_of_q_and_k_in_the_order_of_llama_cpp_are_no_fault_there(self):
        rng = np.random.default_rng(3)
        q = mx.array(rng.standard_normal((4 * 32, SIZE)).astype(np.float32)).astype(mx.bfloat16)
        there = q.reshape(4, 2, 16, SIZE).swapaxes(1, 2).reshape(q.shape)
        stacks, rest = original()
        at = "model.layers.0.self_attn.q_proj.weight"
        source = self.folder("original", {**Bf16(stacks, rest).tensors(), **rest, at: q}, CONFIG)
        names = {"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"}
        gguf = {f"blk.{layer}.{names[proj]}.weight": stack for (layer, proj), stack in stacks.items()}
        _, table = self.verify(self.folder("gguf", {**gguf, "blk.0.attn_q.weight": there}, {}), source, 3)
        row = table[table["weight"] == "attn_q"].iloc[0]
        self.assertEqual((row["status"], row["finding"]), ("within", "rotary_order"))
        self.assertIn("heads of 32", row["detail"])
        moved = {**Bf16(stacks, rest).tensors(), **rest, at: there}
        _, table = self.verify(self.folder("moved", moved, CONFIG), source, 4)
        self.assertEqual(table[table["weight"] == "attn_q"].iloc[0]["finding"], "unrelated")

    def test_nvfp4_scales_of_gate_and_up_that_differ_are_told(self):
        folder = ZOO / "ct_nvfp4_deepseek_v3"
        told, table = self.verify(folder, folder, 0)
        self.assertEqual(set(table["status"]), {"copy"})
        self.assertEqual({(f["finding"], f["fault"]) for f in told["findings"]}, {("different_global_scales", False)})
        self.assertIn("up_proj", told["findings"][0]["tensor"])

    def test_what_cannot_be_written_or_is_of_another_model_is_said(self):
        (self.tmp / "out").write_text("")
        done = run("verify", ZOO / "hf4_olmoe", "--against", self.tmp / "none", "--out", self.tmp / "out")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))
        self.assertIn("is no folder", done.stderr)  # before anything is read
        done = run("verify", ZOO / "hf4_olmoe", "--against", ZOO / "hf4_qwen3_moe")
        self.assertEqual(done.returncode, 4)
        self.assertIn("another model", done.stdout)

    def test_tolerance_and_files(self):
        stacks, rest = original()
        source = self.folder("original", {**Bf16(stacks, rest).tensors(), **rest}, CONFIG)
        kept = Int8(stacks, rest)
        quantized = self.folder("q", {**kept.tensors(), **rest}, kept.config)
        for arguments, code in [((), 0), (("--tolerance", "0.1"), 4), (("--tolerance", "x"), 2)]:
            done = run("verify", quantized, "--against", source, *arguments, "--json")
            self.assertEqual((done.returncode, json.loads(done.stdout)["exit_code"]), (code, code))
        self.verify(quantized, source, 0)
        first = files_of(self.tmp / "out")
        self.assertEqual(sorted(first), ["verify.html", "verify.json", "verify.parquet"])
        run("verify", quantized, "--against", source, "--out", self.tmp / "out", "-j", "1")
        self.assertEqual(files_of(self.tmp / "out"), first)


if __name__ == "__main__":
    unittest.main()
