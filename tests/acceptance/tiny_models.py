"""Small checkpoints of families, under the names that Hugging Face gives them, for tests with the real mlx-lm.

Names and shapes come from mlx-lm's own model of the family; `hf_tensors` undoes what its sanitize() does. Values follow
from a tensor's place among the names and an element's in the tensor, so that tests in other languages have them too.
"""

import contextlib
import io
import json
import pathlib
import re
import shutil
import sys
import tempfile

import mlx.core as mx
import mlx.nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm import convert
from mlx_lm.utils import _get_classes, load_model

COMMON = {"hidden_size": 128, "num_hidden_layers": 2, "intermediate_size": 192, "num_attention_heads": 4,
          "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "vocab_size": 96, "rope_theta": 10000.0,
          "max_position_embeddings": 64, "head_dim": 32, "rope_scaling": None, "tie_word_embeddings": False,
          "moe_intermediate_size": 64, "num_experts": 3, "num_experts_per_tok": 2, "norm_topk_prob": True}
GLM = {"n_routed_experts": 3, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
       "routed_scaling_factor": 1.0, "attention_bias": False}

LATENT = {**GLM, "kv_lora_rank": 64, "q_lora_rank": 96, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32,
          "v_head_dim": 32, "num_key_value_heads": 4}
INDEXED = {**LATENT, "index_head_dim": 32, "index_n_heads": 2, "index_topk": 4}
LINEAR = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 32,
          "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "full_attention_interval": 2,
          "decoder_sparse_step": 1, "shared_expert_intermediate_size": 96}

GRANITE = {"num_local_experts": 3, "intermediate_size": 64, "logits_scaling": 1.0, "attention_multiplier": 0.2,
           "embedding_multiplier": 1.0, "residual_multiplier": 1.0, "attention_bias": False}

# model_type -> what its config has beside COMMON
FAMILIES = {
    "qwen3_moe": {"mlp_only_layers": [], "decoder_sparse_step": 1, "tie_word_embeddings": True},
    "qwen2_moe": {"shared_expert_intermediate_size": 96},
    "olmoe": {"intermediate_size": 64},
    "mixtral": {"num_local_experts": 3, "intermediate_size": 64},
    "phimoe": {"num_local_experts": 3, "intermediate_size": 64,
               "rope_scaling": {"short_factor": [1.0] * 16, "long_factor": [1.0] * 16, "short_mscale": 1.0,
                                "long_mscale": 1.0}},
    "minimax_m2": {"num_local_experts": 3, "intermediate_size": 64, "shared_intermediate_size": 0, "rotary_dim": 16},
    "deepseek_v3": LATENT,
    "kimi_k2": LATENT,
    "kimi_k25": {**LATENT, "topk_method": "noaux_tc", "scoring_func": "sigmoid", "moe_layer_freq": 1},
    "deepseek_v32": INDEXED,
    "glm_moe_dsa": {**INDEXED, "topk_method": "noaux_tc", "scoring_func": "sigmoid", "moe_layer_freq": 1,
                    "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}},
    "glm4_moe_lite": LATENT,
    "glm4_moe": {**GLM, "use_qk_norm": True, "partial_rotary_factor": 0.5},
    "qwen3_next": {**LINEAR, "mlp_only_layers": [], "partial_rotary_factor": 0.5},
    "qwen3_5_moe": LINEAR,
    "gpt_oss": {"num_local_experts": 3, "intermediate_size": 64, "sliding_window": 8,
                "layer_types": ["sliding_attention", "full_attention"],
                "quantization_config": {"quant_method": "mxfp4"}},
    "gemma4_text": {"enable_moe_block": True, "top_k_experts": 2, "global_head_dim": 32, "num_kv_shared_layers": 0,
                    "use_double_wide_mlp": False, "hidden_size_per_layer_input": 0, "tie_word_embeddings": True,
                    "vocab_size_per_layer_input": 96, "layer_types": ["sliding_attention", "full_attention"]},
    "nemotron_h": {**GLM, "hybrid_override_pattern": "ME*", "num_hidden_layers": 3, "mamba_num_heads": 4,
                   "mamba_head_dim": 32, "ssm_state_size": 16, "conv_kernel": 4, "n_groups": 1, "mlp_bias": False,
                   "layer_norm_epsilon": 1e-6, "use_bias": False, "use_conv_bias": True, "mamba_proj_bias": False,
                   "moe_shared_expert_intermediate_size": 96},
    "granitemoe": GRANITE,
    "granitemoehybrid": {**GRANITE, "layer_types": ["mamba", "attention"], "shared_intermediate_size": 96,
                         "mamba_n_heads": 4, "mamba_d_head": 32, "mamba_expand": 1, "mamba_d_state": 16, "mamba_d_conv": 4,
                         "mamba_n_groups": 1, "mamba_proj_bias": False, "mamba_conv_bias": True},
    "ernie4_5_moe": {"moe_num_experts": 3, "moe_k": 2, "moe_num_shared_experts": 1, "moe_layer_start_index": 1,
                     "use_bias": False},
    "jamba": {"intermediate_size": 64, "attn_layer_offset": 1, "attn_layer_period": 2, "expert_layer_offset": 1, "expert_layer_period": 2,
              "mamba_d_conv": 4, "mamba_d_state": 16, "mamba_expand": 2},
    "lfm2_moe": {"num_dense_layers": 1, "conv_L_cache": 3, "conv_bias": False, "use_expert_bias": True,
                 "norm_eps": 1e-6, "layer_types": ["conv", "full_attention"]},
    "bailing_moe": {"num_shared_experts": 1, "first_k_dense_replace": 1, "moe_router_enable_expert_bias": True,
                    "use_qk_norm": True, "topk_group": 1},
    "llama4": {"num_hidden_layers": 4, "num_local_experts": 3, "num_experts_per_tok": 1, "intermediate_size": 64, "intermediate_size_mlp": 192,
               "interleave_moe_layer_step": 2, "attention_chunk_size": 8, "attention_bias": False,
               "use_qk_norm": False},
    "qwen3_vl_moe": {"mlp_only_layers": [], "decoder_sparse_step": 1},
}
GEMMA = FAMILIES["gemma4_text"]
FAMILIES["gemma4"] = {**GEMMA, "num_kv_shared_layers": 1, "num_hidden_layers": 3,
                      "layer_types": ["sliding_attention", "full_attention", "full_attention"]}
# Of these test_export runs no program, only compares the records: what is left for it to do is as in FAMILIES.
MORE = {
    "deepseek": {**GLM, "num_key_value_heads": 4},
    "deepseek_v2": {**LATENT, "topk_method": "greedy",
                    "rope_scaling": {"type": "yarn", "factor": 1.0, "original_max_position_embeddings": 64,
                                     "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0}},
    "dots1": GLM,
    "exaone_moe": {"num_shared_experts": 1, "sliding_window": 8, "is_moe_layer": [False, True],
                   "layer_types": ["sliding_attention", "full_attention"]},
    "solar_open": {**GLM, "partial_rotary_factor": 1.0},
    "afmoe": {"num_shared_experts": 1, "num_dense_layers": 1, "sliding_window": 8,
              "layer_types": ["sliding_attention", "full_attention"]},
    "mimo_v2_flash": {**GLM, "hybrid_layer_pattern": [1, 0], "moe_layer_freq": [0, 1], "n_shared_experts": None,
                      "add_swa_attention_sink_bias": True, "add_full_attention_sink_bias": False,
                      "sliding_window_size": 8, "topk_method": "noaux_tc", "scoring_func": "sigmoid",
                      "layernorm_epsilon": 1e-6, "swa_rope_theta": 10000.0, "swa_num_attention_heads": 4,
                      "swa_num_key_value_heads": 2, "v_head_dim": 32, "swa_head_dim": 32, "swa_v_head_dim": 32,
                      "partial_rotary_factor": 0.5},
}
NESTED = ["llama4", "qwen3_vl_moe", "gemma4", "kimi_k25"]  # the text model's config is text_config
UNDECLARED = ["olmoe"]  # no torch_dtype: each tensor keeps its own dtype
# Tensors of real checkpoints that mlx-lm drops, and their shapes.
DROPPED = {
    "qwen3_moe": {"lm_head.weight": [96, 128]},  # tied
    "deepseek_v3": {"model.layers.0.self_attn.rotary_emb.inv_freq": [8], "model.layers.61.eh_proj.weight": [128, 256]},
    "kimi_k25": {"vision_tower.patch_embed.proj.weight": [64, 16], "mm_projector.linear_1.weight": [128, 64]},
    "deepseek_v32": {"model.layers.2.eh_proj.weight": [128, 256]},
    "glm4_moe_lite": {"model.layers.2.eh_proj.weight": [128, 256]},
    "glm4_moe": {"model.layers.2.eh_proj.weight": [128, 256]},
    "qwen3_next": {"mtp.fc.weight": [128, 256]},
    "qwen3_5_moe": {"mtp.fc.weight": [128, 256], "model.visual.patch_embed.proj.weight": [64, 16]},
    "mimo_v2_flash": {"model.mtp.layers.0.eh_proj.weight": [128, 256]},
    "dots1": {"model.layers.0.self_attn.rotary_emb.inv_freq": [16]},
    "nemotron_h": {"mtp.layers.0.eh_proj.weight": [128, 256]},
    "ernie4_5_moe": {"model.layers.1.mlp.moe_statics.e_score_correction_bias": [1, 3],
                     "model.mtp_linear_proj.0.weight": [128, 256]},
    "gemma4_text": {"model.layers.0.self_attn.q_proj.input_max": []},
    "gemma4": {"model.vision_tower.patch_embedder.input_proj.weight": [64, 16],
               "model.embed_vision.embedding_projection.weight": [128, 64],
               "model.language_model.layers.2.self_attn.k_proj.weight": [64, 128]},
    "llama4": {"vision_model.patch_embedding.linear.weight": [64, 16],
               "multi_modal_projector.linear_1.weight": [128, 64]},
    "qwen3_vl_moe": {"model.visual.patch_embed.proj.weight": [64, 16]},
}
# Parts of names whose tensors real checkpoints have in float32.
FLOAT32 = ["e_score_correction_bias", "expert_bias", "A_log", "inv_freq"]
# Checkpoints of the zoo that mlx-lm loads: real names.
ZOO = ["hf4_granitemoe", "hf4_granitemoehybrid", "hf4_ernie4_5_moe", "hf4_jamba", "hf4_deepseek_v3"]
# Those that it does not load.
REFUSED = ["awq_int4_qwen2_moe", "ct_fp8_block_qwen2_moe", "ct_int8_w8a8_mixtral", "ct_nvfp4_deepseek_v3",
           "ct_w4a16_qwen3_moe", "fp8_qwen3_moe", "gptq_int3_olmoe", "gptq_int4_sym_qwen3_moe", "hf4_gpt_oss",
           "hf5_qwen3_5_moe_vl", "hf5fused_deepseek_v3", "hf5fused_mixtral", "hf5fused_nemotron_h"]
# What a projection is called in the checkpoint.
FUSED = ["qwen3_5_moe", "gemma4_text", "gemma4"]  # experts.gate_up_proj is [experts, 2 * width, hidden], gate first
IN_OUT = ["llama4", "qwen3_vl_moe"]  # the same transposed
W123 = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
PROJS = {"mixtral": W123, "phimoe": W123, "minimax_m2": W123, "lfm2_moe": W123,
         "nemotron_h": {"fc1": "up_proj", "fc2": "down_proj"}}


def new_model(config):
    """mlx-lm's own, with random weights in bfloat16."""
    model_class, arguments = _get_classes(config)
    mx.random.seed(13)
    model = model_class(arguments.from_dict(config))
    model.set_dtype(mx.bfloat16)
    return model


def blocks(stack):
    """gpt-oss: the packed words and scales of a stack [experts, out, in], as bytes."""
    words, scales = mx.quantize(stack, group_size=32, bits=4, mode="mxfp4")
    return words.view(mx.uint8).reshape(*stack.shape[:-1], -1, 16), scales


def interleaved(gate, up):
    return mx.stack([gate, up], axis=2).reshape(gate.shape[0], -1, *gate.shape[2:])


def gpt_oss_tensors(weights):
    out = {name: w for name, w in weights.items() if ".mlp.experts." not in name}
    for layer in sorted({name.split(".mlp.experts.")[0] for name in weights if ".mlp.experts." in name}):
        at = f"{layer}.mlp.experts."
        for name, stack, bias in [
                ("down_proj", weights[at + "down_proj.weight"], weights[at + "down_proj.bias"]),
                ("gate_up_proj", *(interleaved(weights[f"{at}gate_proj.{part}"], weights[f"{at}up_proj.{part}"])
                                   for part in ("weight", "bias")))]:
            out[f"{at}{name}_blocks"], out[f"{at}{name}_scales"] = blocks(stack)
            out[f"{at}{name}_bias"] = bias
    return out


def hf_name(model_type, name):
    """Of a tensor outside the experts."""
    if model_type in ("qwen3_5_moe", "qwen3_vl_moe", "gemma4"):
        name = name.replace("language_model.model.", "model.language_model.")
        if not name.startswith("model."):
            name = name.removeprefix("language_model.")
    if model_type == "lfm2_moe":
        name = re.sub(r"feed_forward\.(gate|up|down)_proj", lambda found: f"feed_forward.{W123[found[1] + '_proj']}", name)
    if model_type == "exaone_moe":
        name = name.replace("mlp.gate.e_score", "mlp.e_score")
    return name.replace("mlp.gate.gate_proj.", "mlp.gate.") if model_type == "bailing_moe" else name


def expert_tensors(model_type, before, stacks):
    """Of a layer: `stacks` by projection, as mlx-lm has them."""
    if model_type.startswith("granite"):
        both = mx.concatenate([stacks["gate_proj"], stacks["up_proj"]], axis=1)
        return {f"{before}.input_linear.weight": both, f"{before}.output_linear.weight": stacks["down_proj"]}
    if model_type in FUSED + IN_OUT:
        axes = (0, 2, 1) if model_type in IN_OUT else (0, 1, 2)
        both = mx.concatenate([stacks["gate_proj"], stacks["up_proj"]], axis=1)
        return {f"{before}.experts.gate_up_proj": both.transpose(axes),
                f"{before}.experts.down_proj": stacks["down_proj"].transpose(axes)}
    projs = PROJS.get(model_type, {})
    return {f"{before}.experts.{e}.{projs.get(proj, proj)}.weight": w
            for proj, stack in stacks.items() for e, w in enumerate(stack)}


def hf_tensors(model_type, weights):
    """From the names of MLX's model to those of the checkpoint that it is made from."""
    if model_type == "gpt_oss":
        return gpt_oss_tensors(weights)
    out, experts = {}, {}
    for name, w in weights.items():
        if found := EXPERTS.search(name.removesuffix(".weight")):
            before = hf_name(model_type, name[:found.start("stack")].removesuffix("."))
            experts.setdefault(before, {})[found["proj"]] = w
        elif name.endswith(".embed_q.weight"):
            values = weights[name.replace("embed_q", "unembed_out")]
            both = mx.concatenate([w.swapaxes(-1, -2), values], axis=1)
            out[name.replace("embed_q", "kv_b_proj")] = both.reshape(-1, both.shape[-1])
        elif name.endswith(("conv1d.weight", "conv.conv.weight")):
            out[hf_name(model_type, name)] = w.moveaxis(2, 1)
        elif not name.endswith(".unembed_out.weight"):
            out[hf_name(model_type, name)] = w
    for before, stacks in experts.items():
        out.update(expert_tensors(model_type, before, stacks))
    return out


def values_of(place, name, shape, dtype):
    """Numbers of 8 bits, as such or in 256ths around 0; those of gpt-oss's scales are near 1."""
    count = int(np.prod(shape, dtype=np.int64))
    numbers = (np.arange(count, dtype=np.uint64) * 2654435761 + place * 40503) % 2**32 >> 24
    if dtype == mx.uint8:
        numbers = 120 + numbers % 8 if name.endswith("_scales") else numbers
        return mx.array(numbers.astype(np.uint8).reshape(shape))
    return mx.array(((numbers.astype(np.float32) - 128) / 256).reshape(shape)).astype(dtype)


def dtype_of(model_type, name, dtype):
    is_float32 = any(part in name for part in FLOAT32) or (model_type in UNDECLARED and re.search(r"norm|mlp\.gate", name))
    return mx.float32 if is_float32 else dtype


def config_of(model_type):
    text = {**COMMON, **{**FAMILIES, **MORE}[model_type]}
    if model_type in NESTED:
        text["dtype"] = "bfloat16"
        return {"model_type": model_type, "text_config": {**text, "model_type": model_type.replace("_moe", "_moe_text")},
                "vocab_size": text["vocab_size"], "tie_word_embeddings": text["tie_word_embeddings"]}
    declared = {} if model_type in UNDECLARED else {"torch_dtype": "bfloat16"}
    return {**text, **declared, "model_type": model_type}


def write_checkpoint(model_type, folder):
    """A checkpoint with a tokenizer of one word a token; returns its config."""
    config = config_of(model_type)
    folder.mkdir(parents=True)
    tensors = hf_tensors(model_type, dict(tree_flatten(new_model(config).parameters())))
    tensors.update({name: mx.zeros(shape, mx.bfloat16) for name, shape in DROPPED.get(model_type, {}).items()})
    tensors = {name: values_of(place, name, w.shape, dtype_of(model_type, name, w.dtype))
               for place, (name, w) in enumerate(sorted(tensors.items()))}
    mx.save_safetensors(str(folder / "model.safetensors"), tensors, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, COMMON["vocab_size"])
    return config


def write_tokenizer(folder, words):
    vocabulary = {f"w{i}": i for i in range(words)}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


def quantizable_modules(model):
    """path -> shape of the weight of each module that mlx-lm can quantize, or has quantized already."""
    found = {}
    for path, module in model.named_modules():
        if hasattr(module, "to_quantized"):
            found[path] = list(module.weight.shape)
        elif hasattr(module, "bits") and isinstance(module, mlx.nn.Module):
            *rows, words = module.weight.shape
            found[path] = [*rows, words * 32 // module.bits]
    return dict(sorted(found.items()))


EXPERTS = re.compile(r"layers\.\d+\.(?:.*\.)?"
                     r"(?P<stack>switch_mlp|experts\.switch_glu|(?<=mlp\.)experts|(?<=feed_forward\.)experts)\."
                     r"(?P<proj>gate_proj|up_proj|down_proj|fc1|fc2)$")


def tensors_in(folder):
    tensors = {}
    for path in sorted(folder.glob("model*.safetensors")):
        tensors.update(mx.load(str(path)))
    return tensors


def digest(w):
    """A sum over the bits of all elements, that moves when two of them change places."""
    bits = np.array(w.view({1: mx.uint8, 2: mx.uint16, 4: mx.uint32}[w.itemsize])).ravel().astype(np.uint64)
    places = np.arange(bits.size, dtype=np.uint64) * 2654435761 % 2**32 >> 16
    return int((bits * (places + 1)).sum(dtype=np.uint64))


def kind(w):
    return str(w.dtype).removeprefix("mlx.core.")


def record(folder):
    """What mlx-lm makes of a checkpoint, unquantized; see tests/data/mlx_modules."""
    model, _ = load_model(folder, lazy=True)
    modules = quantizable_modules(model)
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):
        convert(str(folder), out + "/out")
        made = tensors_in(pathlib.Path(out, "out"))
    result = {name: [kind(w), list(w.shape), digest(w)] for name, w in sorted(made.items())
              if w.dtype not in (mx.uint32, mx.uint8)}
    for name, w in made.items():
        if w.dtype == mx.uint32:  # left as it is stored
            result[name] = [None, modules[name.removesuffix(".weight")], None]
    return {"result": result, **modules_of(model)}


def record_refused(folder):
    """What mlx-lm's model has, of a checkpoint that it does not load."""
    try:
        load_model(folder, lazy=True)
        raise AssertionError(f"{folder} loads")
    except ValueError:
        config = json.loads((folder / "config.json").read_text())
        text = config.get("text_config", {})
        if "layer_types" in text:  # mlx-lm goes by the older key
            text["full_attention_interval"] = text["layer_types"].index("full_attention") + 1
        model = new_model(config)
    result = {name: [None, list(w.shape), None] for name, w in sorted(tree_flatten(model.parameters()))}
    return {"refused": True, "result": result, **modules_of(model)}


def modules_of(model):
    modules = quantizable_modules(model)
    rule = getattr(model, "quant_predicate", None) or (lambda path, module: True)
    return {"modules": sorted(modules), "eight_bits": sorted(path for path in modules if rule(path, None) is not True)}


def source_of(folder):
    """What values_of() makes the checkpoint of again."""
    return {"config": json.loads((folder / "config.json").read_text()),
            "tensors": {name: [kind(w), list(w.shape)] for name, w in sorted(tensors_in(folder).items())}}


def main(out, zoo):
    """Writes the records of all families, and of the zoo's checkpoints."""
    out, zoo = pathlib.Path(out), pathlib.Path(zoo)
    with tempfile.TemporaryDirectory() as folder:
        for name in {**FAMILIES, **MORE}:
            path = pathlib.Path(folder) / name
            write_checkpoint(name, path)
            write_record(out / f"{name}.json", {**source_of(path), **record(path)})
        for name in ZOO:
            write_record(out / f"{name}.json", record(zoo_checkpoint(zoo, name, pathlib.Path(folder))))
    for name in REFUSED:
        write_record(out / f"{name}.json", record_refused(zoo / name))


def write_record(path, content):
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


def zoo_checkpoint(zoo, name, folder):
    """A copy, with a tokenizer."""
    shutil.copytree(zoo / name, folder / name)
    write_tokenizer(folder / name, 100)
    return folder / name


if __name__ == "__main__":
    main(*sys.argv[1:])
