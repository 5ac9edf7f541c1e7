#!/usr/bin/env python3
"""Writes a small Mixture-of-Experts checkpoint, always the same bytes, to look at moescope with.

A whole Qwen3-MoE but for its tokenizer: 4 layers of 16 experts, bf16, one shard for each layer and an
index. A few experts are odd on purpose: see ODD_EXPERTS. Usage: make_demo_model.py FOLDER
"""
import argparse
import json
from pathlib import Path

import numpy as np

LAYERS, EXPERTS, HIDDEN, INTERMEDIATE, HEADS, VOCABULARY = 4, 16, 512, 256, 8, 2048
# (layer, expert): what is wrong with it
ODD_EXPERTS = {
    (0, 3): "heavy tails",
    (1, 7): "dead",
    (2, 11): "eight times the scale",
    (3, 5): "a few huge weights",
}


def odd_weights(kind, rng, weights):
    if kind == "heavy tails":
        return weights * np.abs(rng.standard_t(2.5, weights.shape))
    if kind == "dead":
        return np.zeros_like(weights)
    if kind == "eight times the scale":
        return weights * 8
    spikes = rng.integers(0, weights.size, 32)
    weights.flat[spikes] *= 400
    return weights


def normal(rng, shape, scale=0.02):
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)


def layer_tensors(layer):
    prefix = f"model.layers.{layer}"
    rng = np.random.default_rng([2026, layer])
    yield f"{prefix}.input_layernorm.weight", np.ones(HIDDEN)
    yield f"{prefix}.post_attention_layernorm.weight", np.ones(HIDDEN)
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        yield f"{prefix}.self_attn.{name}.weight", normal(rng, (HIDDEN, HIDDEN))
    for name in ("q_norm", "k_norm"):
        yield f"{prefix}.self_attn.{name}.weight", np.ones(HIDDEN // HEADS)
    yield f"{prefix}.mlp.gate.weight", normal(rng, (EXPERTS, HIDDEN))
    for expert in range(EXPERTS):
        # Real experts differ a little: the spread grows with the layer, and from expert to expert.
        scale = 0.02 * (1 + 0.15 * layer) * rng.uniform(0.8, 1.25)
        for proj in ("gate_proj", "up_proj", "down_proj"):
            shape = (HIDDEN, INTERMEDIATE) if proj == "down_proj" else (INTERMEDIATE, HIDDEN)
            weights = normal(rng, shape, scale)
            if (layer, expert) in ODD_EXPERTS:
                weights = odd_weights(ODD_EXPERTS[layer, expert], rng, weights)
            yield f"{prefix}.mlp.experts.{expert}.{proj}.weight", weights


def outer_tensors():
    rng = np.random.default_rng([2026, LAYERS])
    yield "model.embed_tokens.weight", normal(rng, (VOCABULARY, HIDDEN))
    yield "model.norm.weight", np.ones(HIDDEN)
    yield "lm_head.weight", normal(rng, (VOCABULARY, HIDDEN))


def bfloat16_bytes(values):
    """Nearest even; all values are finite."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def write_safetensors(path, tensors):
    header, chunks, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, values in tensors:
        data = bfloat16_bytes(values)
        header[name] = {"dtype": "BF16", "shape": list(values.shape),
                        "data_offsets": [offset, offset + len(data)]}
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(chunks))
    return [name for name in header if name != "__metadata__"], offset


def main():
    parser = argparse.ArgumentParser(description="Makes a small Mixture-of-Experts checkpoint (63 MB) with odd experts.")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where it is written; made if it is not there")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    shards = [layer_tensors(layer) for layer in range(LAYERS)] + [outer_tensors()]
    weight_map, total = {}, 0
    for number, tensors in enumerate(shards, start=1):
        shard = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        names, size = write_safetensors(folder / shard, tensors)
        weight_map.update((name, shard) for name in names)
        total += size
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    # Last: a folder with a config.json is a whole one.
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
        "torch_dtype": "bfloat16", "num_hidden_layers": LAYERS, "num_experts": EXPERTS,
        "num_experts_per_tok": 4, "hidden_size": HIDDEN, "moe_intermediate_size": INTERMEDIATE,
        "vocab_size": VOCABULARY, "intermediate_size": 2 * HIDDEN, "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS, "head_dim": HIDDEN // HEADS, "decoder_sparse_step": 1,
        "mlp_only_layers": [], "norm_topk_prob": True, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "max_position_embeddings": 4096, "tie_word_embeddings": False}, indent=2) + "\n")
    print(f"{folder}: {LAYERS} layers x {EXPERTS} experts, {total / 1e6:.0f} MB in "
          f"{len(shards)} shards; odd on purpose:")
    for (layer, expert), kind in ODD_EXPERTS.items():
        print(f"  layer {layer}, expert {expert}: {kind}")


if __name__ == "__main__":
    main()
