"""Checkpoints for the benchmarks: expert weights of a real geometry, their values pseudo-random."""

import json

import numpy as np

DTYPES = {"bf16": ("BF16", 2), "f16": ("F16", 2), "f32": ("F32", 4)}
BLOCK = 1 << 23  # elements made; longer tensors repeat them


def encoded_block(dtype):
    values = (np.random.default_rng(7).standard_normal(BLOCK) * 0.02).astype(np.float32)
    if dtype == "f16":
        return values.astype(np.float16).tobytes()
    if dtype == "f32":
        return values.tobytes()
    bits = values.view(np.uint32)
    return ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()


def write_safetensors(path, shapes, dtype, block):
    """Tensors of `shapes` (name -> shape), their data cut from `block`, repeated."""
    name_of_dtype, size = DTYPES[dtype]
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + size * int(np.prod(shape))
        header[name] = {"dtype": name_of_dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for left in range(offset, 0, -len(block)):
            file.write(block[:min(left, len(block))])


def write_shards(folder, shapes, dtype, shards):
    """The tensors spread over so many files, in order."""
    folder.mkdir(parents=True)
    block, names = encoded_block(dtype), list(shapes)
    for i in range(shards):
        part = names[len(names) * i // shards:len(names) * (i + 1) // shards]
        write_safetensors(folder / f"model-{i + 1:05}-of-{shards:05}.safetensors",
                          {name: shapes[name] for name in part}, dtype, block)


def qwen3_30b_a3b(experts, transposed=False):
    """Shapes of `experts` experts as Qwen3-30B-A3B has them; transposed: banks of [in, out]."""
    if transposed:
        return {"model.layers.0.mlp.experts.gate_up_proj": (experts, 2048, 1536),
                "model.layers.0.mlp.experts.down_proj": (experts, 768, 2048)}
    return {f"model.layers.0.mlp.experts.{expert}.{proj}.weight": shape
            for expert in range(experts)
            for proj, shape in (("gate_proj", (768, 2048)), ("up_proj", (768, 2048)),
                                ("down_proj", (2048, 768)))}
