"""Small seeded checkpoints of families, under the names that Hugging Face gives them, for tests with the real mlx-lm.

Names and shapes come from mlx-lm's own model of the family; `hf_tensors` undoes what its sanitize() does.
"""

import json
import pathlib
import re
import sys
import tempfile

import mlx.core as mx
import mlx.nn
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes, load_model

COMMON = {"hidden_size": 128, "num_hidden_layers": 2, "intermediate_size": 192, "num_attention_heads": 4,
          "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "vocab_size": 96, "rope_theta": 10000.0,
          "max_position_embeddings": 64, "head_dim": 32, "rope_scaling": None, "tie_word_embeddings": False,
          "moe_intermediate_size": 64, "num_experts": 3, "num_experts_per_tok": 2, "norm_topk_prob": True}
GLM = {"n_routed_experts": 3, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
       "routed_scaling_factor": 1.0, "attention_bias": False}

LATENT = {**GLM, "kv_lora_rank": 64, "q_lora_rank": 96, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32,
          "v_head_dim": 32, "num_key_value_heads": 4}
LINEAR = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 32,
          "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "full_attention_interval": 2,
          "decoder_sparse_step": 1, "shared_expert_intermediate_size": 96}

# model_type -> what its config has beside COMMON
FAMILIES = {
    "qwen3_moe": {"mlp_only_layers": [], "decoder_sparse_step": 1, "tie_word_embeddings": True},
    "qwen2_moe": {"shared_expert_intermediate_size": 96},
    "olmoe": {},
    "mixtral": {"num_local_experts": 3, "intermediate_size": 64},
    "phimoe": {"num_local_experts": 3, "intermediate_size": 64,
               "rope_scaling": {"short_factor": [1.0] * 16, "long_factor": [1.0] * 16, "short_mscale": 1.0,
                                "long_mscale": 1.0}},
    "minimax_m2": {"num_local_experts": 3, "intermediate_size": 64, "shared_intermediate_size": 0, "rotary_dim": 16},
    "deepseek_v3": LATENT,
    "kimi_k2": LATENT,
    "deepseek_v32": {**LATENT, "index_head_dim": 32, "index_n_heads": 2, "index_topk": 4},
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
}
KEYS = ["model_type", "num_hidden_layers", "num_attention_heads", "qk_nope_head_dim", "v_head_dim", "tie_word_embeddings"]
# Of the zoo, those that mlx-lm loads and whose names are others.
ZOO = ["hf4_granitemoe", "hf4_ernie4_5_moe", "hf4_jamba", "hf4_deepseek_v3"]
# What a projection is called in the checkpoint.
FUSED = ["qwen3_5_moe", "gemma4_text"]  # experts.gate_up_proj is [experts, 2 * width, hidden], gate first
W123 = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
PROJS = {"mixtral": W123, "phimoe": W123, "minimax_m2": W123,
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


def hf_tensors(config, weights):
    """From the names of MLX's model to those of the checkpoint that it is made from."""
    if config["model_type"] == "gpt_oss":
        return gpt_oss_tensors(weights)
    out = {}
    if config["model_type"] == "qwen3_5_moe":
        weights = {name.replace("language_model.model.", "model.language_model.").removeprefix("language_model."): w
                   for name, w in weights.items()}
    for name, w in weights.items():
        if config["model_type"] in FUSED and (found := re.search(r"(?:switch_mlp|experts\.switch_glu)\.", name)):
            before, proj = name[:found.start() - 1], name[found.end():].removesuffix(".weight")
            if proj == "down_proj":
                out[f"{before}.experts.down_proj"] = w
            elif proj == "gate_proj":
                both = [w, weights[name.replace("gate_proj", "up_proj")]]
                out[f"{before}.experts.gate_up_proj"] = mx.concatenate(both, axis=1)
        elif ".switch_mlp." in name:
            before, proj = name.removesuffix(".weight").split(".switch_mlp.")
            proj = PROJS.get(config["model_type"], {}).get(proj, proj)
            for e in range(w.shape[0]):
                out[f"{before}.experts.{e}.{proj}.weight"] = w[e]
        elif name.endswith(".embed_q.weight"):
            values = weights[name.replace("embed_q", "unembed_out")]
            both = mx.concatenate([w.swapaxes(-1, -2), values], axis=1)
            out[name.replace("embed_q", "kv_b_proj")] = both.reshape(-1, both.shape[-1])
        elif name.endswith("conv1d.weight"):
            out[name] = w.moveaxis(2, 1)
        elif not name.endswith(".unembed_out.weight"):
            out[name] = w
    return out


def write_checkpoint(model_type, folder):
    """A checkpoint with a tokenizer of one word a token; returns its config."""
    config = {**COMMON, **FAMILIES[model_type], "model_type": model_type, "torch_dtype": "bfloat16"}
    folder.mkdir(parents=True)
    weights = dict(tree_flatten(new_model(config).parameters()))
    tensors = {name: mx.contiguous(w) for name, w in hf_tensors(config, weights).items()}
    mx.save_safetensors(str(folder / "model.safetensors"), tensors, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    vocabulary = {f"w{i}": i for i in range(config["vocab_size"])}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w0"}}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return config


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


EXPERTS = re.compile(r"layers\.(\d+)\.(?:.*\.)?(?:switch_mlp|switch_glu|mlp\.experts)\.(gate_proj|up_proj|down_proj|fc1|fc2)$")


def record(folder):
    """What mlx-lm makes of a checkpoint's weights; see tests/data/mlx_modules."""
    model, config = load_model(folder)
    rule = getattr(model, "quant_predicate", None) or (lambda path, module: True)
    experts, modules, eight_bits = [], {}, []
    for path, shape in quantizable_modules(model).items():
        if found := EXPERTS.search(path):
            experts.append([int(found[1]), PROJS["nemotron_h"].get(found[2], found[2]), path])
            continue
        modules[path] = shape
        if rule(path, None) is not True:
            eight_bits.append(path)
    weights = {}
    for file in sorted(folder.glob("model*.safetensors")):
        for name, w in sorted(mx.load(str(file)).items()):
            if name.endswith(".weight") and not re.search(r"experts\.\d|_linear\.weight", name):
                weights[name] = list(w.shape)
    return {"config": {key: config[key] for key in KEYS if key in config}, "weights": weights, "experts": experts,
            "modules": modules, "eight_bits": eight_bits}


def main(out, zoo):
    """Writes the records of all families, and of ZOO."""
    out, zoo = pathlib.Path(out), pathlib.Path(zoo)
    with tempfile.TemporaryDirectory() as folder:
        for model_type in FAMILIES:
            write_checkpoint(model_type, pathlib.Path(folder) / model_type)
            write_record(out / f"{model_type}.json", record(pathlib.Path(folder) / model_type))
    for name in ZOO:
        write_record(out / f"{name}.json", record(zoo / name))


def write_record(path, content):
    path.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
