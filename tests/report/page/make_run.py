"""Runs for the browser tests and bench/report_page.mjs: make_run.py KIND FOLDER, kinds are at the end

Makes a run directory in FOLDER with the built program ($MOESCOPE), writes its report, and prints as JSON
where it is and what the tests compare with: the tables' own numbers.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = os.environ["MOESCOPE"]
PROJS = ["gate_proj", "up_proj", "down_proj"]
# name, mode, bits, group size, bits per weight, a typical error
SCHEMES = [(f"affine_q{b}_g{g}", "affine", b, g, b + 32 / g, error)
           for b, g, error in ((2, 32, .35), (3, 32, .17), (4, 32, .081), (4, 64, .09), (5, 32, .04),
                               (6, 32, .02), (8, 32, .0048))] + [
    ("mxfp4_g32", "mxfp4", 4, 32, 4.25, .118), ("mxfp8_g32", "mxfp8", 8, 32, 8.25, .0265),
    ("nvfp4_g16", "nvfp4", 4, 16, 4.5, .094)]

HOSTILE = {
    "script": "<script>document.title='run'</script>",
    "quotes": "\"quoted\" 'single' &amp; <img src=x onerror=document.title='run'>",
    "lines": "line\r\nbreak\tand\x00null",
    "rtl": "abc\u202edef\u2066ghi",
    "long": "x" * 10_000,
}


def text(values):
    return pa.array(values, pa.string())


def identity(layers, experts, name_of, files=1):
    """Columns that tell `layers` x `experts` x PROJS matrices apart, in table order."""
    count = layers * experts * len(PROJS)
    layer = np.repeat(np.arange(layers), experts * len(PROJS))
    expert = np.tile(np.repeat(np.arange(experts), len(PROJS)), layers)
    proj = np.tile(PROJS, layers * experts)
    names = [name_of(l, e, p) for l, e, p in zip(layer, expert, proj)]
    return count, {
        "file": text([f"/models/model-{l % files + 1:05}.safetensors" for l in layer]),
        "source_tensor": text(names), "derived_tensor": text([f"{n}::{p}" for n, p in zip(names, proj)]),
        "layer": layer, "block4": layer // 4, "proj": text(proj), "expert_id": expert}


def stats_table(count, base, rng):
    rms = 0.02 * np.exp(rng.normal(0, .1, count)) * (1 + base["layer"] / 100)
    rms[count // 3] = 0  # a dead expert
    mean_abs, p50 = .798 * rms, .6745 * rms
    columns = {**base, "is_routed_expert": np.ones(count, bool), "is_shared_expert": np.zeros(count, bool),
               "rows": np.full(count, 2048), "cols": np.full(count, 768),
               "dtype": text(["bfloat16"] * count), "mean": rng.normal(0, 1e-5, count), "std": rms,
               "mean_abs": mean_abs, "rms": rms, "max_abs": mean_abs * np.exp(rng.normal(2, .2, count)),
               "p50_abs": p50, "p99_abs": 2.57 * rms * np.exp(rng.normal(0, .01, count)),
               "p999_abs": 3.29 * rms * np.exp(rng.normal(0, .02, count))}
    for name, above, below in (("outlier_max_over_mean", "max_abs", "mean_abs"),
                               ("outlier_p99_over_median", "p99_abs", "p50_abs"),
                               ("outlier_p999_over_median", "p999_abs", "p50_abs")):
        columns[name] = columns[above] / (columns[below] + 1e-12)
    for size in (32, 64):
        columns[f"g{size}_p95_outlier"] = np.exp(rng.normal(1.1, .01, count))
        columns[f"g{size}_max_outlier"] = np.exp(rng.normal(2, .1, count))
    columns |= {"nonfinite_count": np.zeros(count, np.int64), "storage": text(["bfloat16"] * count),
                "storage_bits_per_weight": np.full(count, 16.), "stack": pa.nulls(count, pa.string())}
    return pa.table(columns)


def quant_table(count, base, stats, scheme, rng):
    name, mode, bits, group, bits_per_weight, error = scheme
    affine = mode == "affine"
    elements = 2048 * 768
    rms, largest = stats["rms"].to_numpy(), stats["max_abs"].to_numpy()
    w_rel_fro = np.where(rms > 0, error * np.exp(rng.normal(0, .01, count)) * (1 + .3 * (rng.random(count) < .001)), 0)
    w_rel_max = w_rel_fro * rng.uniform(.3, .9, count)
    scale = rms * error * np.exp(rng.normal(0, .02, count))
    scale_max = scale * np.exp(rng.normal(.8, .1, count))
    null = pa.nulls(count, pa.float64())
    with np.errstate(divide="ignore"):
        sqnr = np.where(w_rel_fro > 0, np.round(-20 * np.log10(w_rel_fro), 9), np.nan)
    return pa.table({
        **base, "is_shared_expert": np.zeros(count, bool), "rows": np.full(count, 2048),
        "cols": np.full(count, 768), "scheme": text([name] * count), "mode": text([mode] * count),
        "bits": np.full(count, bits), "group_size": np.full(count, group), "w_rel_fro": w_rel_fro,
        "w_rel_max": w_rel_max, "scale_mean": rng.normal(0, 1e-6, count) if affine else scale,
        "scale_max": scale_max, "bias_mean": pa.array(rng.normal(0, 1e-5, count)) if affine else null,
        "bias_max": pa.array(largest * np.exp(-rng.random(count) * .1)) if affine else null,
        "error": pa.nulls(count, pa.string()), "scale_abs_mean": scale, "scale_abs_max": scale_max,
        "sqnr_db": pa.array(sqnr, from_pandas=True), "bits_per_weight": np.full(count, bits_per_weight),
        "max_abs_err": w_rel_max * largest,
        "zero_share": np.round(error * .3 * np.exp(rng.normal(0, .02, count)) * elements) / elements,
        "clip_share": np.round(.001 * np.exp(rng.normal(0, .1, count)) * elements) / elements if affine
        else np.zeros(count),
        "compute_dtype": text(["bf16"] * count), "backend": text(["native"] * count),
        "profile": text(["mlx-cpu"] * count), "requantized": np.zeros(count, bool),
        "stack": pa.nulls(count, pa.string())})


def write_tables(run_dir, layers, experts, name_of, schemes, files=1):
    rng = np.random.default_rng(6)
    (run_dir / "data").mkdir(parents=True)
    count, base = identity(layers, experts, name_of, files)
    stats = stats_table(count, base, rng)
    pq.write_table(stats, run_dir / "data/matrix_stats.parquet", compression="zstd")
    writer = None
    for scheme in schemes:
        table = quant_table(count, base, stats, scheme, rng)
        writer = writer or pq.ParquetWriter(run_dir / "data/quant_sim.parquet", table.schema, compression="zstd")
        writer.write_table(table)
    writer.close()


def large(folder):
    """384 experts x 61 layers x 3 projections x 10 schemes."""
    run_dir = folder / "large"
    write_tables(run_dir, 61, 384, lambda l, e, p: f"model.layers.{l}.mlp.experts.{e}.{p}.weight", SCHEMES, 61)
    return run_dir


def analysed(model, folder, name, schemes):
    done = subprocess.run([PROGRAM, "analyze", model, "--out", folder, "--model-id", name, "--run-name",
                           "run", "--schemes", schemes, "--no-report"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    assert done.returncode in (0, 3), done.returncode
    return folder / name / "run"


def demo(schemes):
    """The demo model, analysed."""
    def make(folder):
        model = folder / "model"
        subprocess.run([sys.executable, ROOT / "scripts/make_demo_model.py", model], check=True,
                       stdout=subprocess.DEVNULL)
        return analysed(model, folder, "small", schemes)
    return make


def zoo(checkpoint, schemes="template"):
    """A small checkpoint of tests/data/zoo, analysed."""
    return lambda folder: analysed(ROOT / "tests/data/zoo" / checkpoint, folder, "zoo", schemes)


def written(rows=64, present=8, refused=()):
    """A model of 2 layers and 8 experts of `rows` x 64, of which `present` are there; the `refused` are
    in a dtype without the scales that it needs."""
    def make(folder):
        rng = np.random.default_rng(8)
        tensors = {}
        for layer, expert in np.ndindex(2, present):
            for proj, shape in (("gate_proj", (rows, 64)), ("up_proj", (rows, 64)), ("down_proj", (64, rows))):
                weight = rng.standard_normal(shape).astype(np.float16)
                name = f"model.layers.{layer}.mlp.experts.{expert}.{proj}.weight"
                tensors[name] = weight.view(np.int16) if expert in refused else weight
        for layer in range(2):
            tensors[f"model.layers.{layer}.self_attn.q_proj.weight"] = rng.standard_normal((64, 64)).astype(np.float16)
        model = folder / "model"
        model.mkdir()
        safetensors.numpy.save_file(tensors, model / "model.safetensors")
        (model / "config.json").write_text(json.dumps(
            {"model_type": "qwen3_moe", "num_hidden_layers": 2, "num_experts": 8, "hidden_size": 64,
             "moe_intermediate_size": rows}))
        return analysed(model, folder, "written", "mlx")
    return make


def recipes(folder):
    """A run with two recipes, and a file beside them that is none."""
    run_dir = written()(folder)
    for name, flags in (("small", ["--bits", "4.6", "--pin", "layers.0.mlp.switch_mlp.down_proj=q8"]),
                        ("good", ["--as-good-as", "q4"])):
        subprocess.run([PROGRAM, "recipe", run_dir, "--name", name, *flags], check=True, capture_output=True)
    (run_dir / "recipes/torn.json").write_text('{"units": [')
    return run_dir


def hostile(folder):
    """Names, texts and warnings that try to be more than text."""
    run_dir = folder / "hostile"
    kinds = list(HOSTILE)
    schemes = [(HOSTILE["script"] + str(i), *scheme[1:]) for i, scheme in enumerate(SCHEMES[:2])]
    write_tables(run_dir, 2, len(kinds), lambda l, e, p: HOSTILE[kinds[e]], schemes)
    (run_dir / "logs").mkdir()
    pq.write_table(pa.table({"warning": list(HOSTILE.values())}), run_dir / "logs/warnings.parquet")
    (run_dir / "manifest.json").write_text(json.dumps(
        {"model_id": HOSTILE["script"], "run_name": HOSTILE["quotes"], "created_at": HOSTILE["rtl"]}))
    return run_dir


# ---- runs that lack something, or have what most do not: (stats, quant) -> (stats, quant) ----


def shared(stats, quant):
    """The last two experts of each layer are shared ones."""
    for table in (stats, quant):
        last = table["expert_id"] >= 6
        table["derived_tensor"] = [f"{name}[{expert - 6}]" if is_shared else name for name, expert, is_shared
                                   in zip(table["derived_tensor"], table["expert_id"], last)]
        table.loc[last, "expert_id"] = -1
        table["is_shared_expert"] = last
    stats["is_routed_expert"] = ~stats["is_shared_expert"]
    return stats, quant


def stack(stats, quant):
    """Layer 2 is layer 0 of a second stack."""
    for table in (stats, quant):
        second = table["layer"] == 2
        table.loc[second, "stack"] = "mtp"
        table.loc[second, "layer"] = 0
    return stats, quant


def unknown_layers(stats, quant):
    """No name tells a layer, so that three matrices claim to be each expert."""
    for table in (stats, quant):
        table["layer"] = -1
    return stats, quant


def single(stats, quant):
    return stats[stats["proj"] == "up_proj"], quant[(quant["proj"] == "up_proj") & (quant["scheme"] == "mxfp4_g32")]


def no_schemes(stats, quant):
    return stats, quant[:0]


def no_matrices(stats, quant):
    return stats[:0], quant[:0]


def failures(stats, quant):
    """mxfp4 fails everywhere, affine_q4_g32 on expert 3; of expert 5's weights nothing is known."""
    numbers = [c for c in quant.columns if quant[c].dtype == float]
    for rows, error in ((quant["scheme"] == "mxfp4_g32", "ValueError: not divisible by 48"),
                        ((quant["scheme"] == "affine_q4_g32") & (quant["expert_id"] == 3), "ValueError: too odd"),
                        (quant["expert_id"] == 5, "ValueError: 1 non-finite weights")):
        quant.loc[rows, numbers] = np.nan
        quant.loc[rows, "error"] = error
    stats.loc[stats["expert_id"] == 5, [c for c in stats.columns if stats[c].dtype == float and "storage" not in c]] = np.nan
    stats.loc[stats["expert_id"] == 5, "nonfinite_count"] = 1
    return stats, quant


def all_failed(stats, quant):
    """Neither of the schemes works for any matrix."""
    quant[[c for c in quant.columns if quant[c].dtype == float]] = np.nan
    quant["error"] = "ValueError: not divisible by 48"
    return stats, quant


def parts_failed(stats, quant):
    """mxfp4 fails in layer 1, every scheme in layer 2."""
    numbers = [c for c in quant.columns if quant[c].dtype == float]
    rows = (quant["layer"] == 2) | ((quant["layer"] == 1) & (quant["scheme"] == "mxfp4_g32"))
    quant.loc[rows, numbers] = np.nan
    quant.loc[rows, "error"] = "ValueError: not divisible by 48"
    return stats, quant


def one_exact(stats, quant):
    """The scheme with the fewest bits gives all weights back."""
    quant.loc[quant["scheme"] == "mxfp4_g32", "w_rel_fro"] = 0.0
    return stats, quant


def exact(stats, quant):
    """Every scheme gives all weights back."""
    quant["w_rel_fro"] = 0.0
    return stats, quant


def uneven(stats, quant):
    """Layer 0 errs so much, and layer 2 so little, that one scheme for all is a poor choice."""
    for layer, factor in ((0, 3.0), (2, 0.2)):
        quant.loc[quant["layer"] == layer, "w_rel_fro"] *= factor
    return stats, quant


def foreign(stats, quant):
    """The columns of mlx-quant-toolkit, and no more."""
    return stats.loc[:, :"g64_max_outlier"], quant.loc[:, :"error"]


def unknown_metric(stats, quant):
    """Columns that the page was not told about, one of them without a value."""
    stats["<b>glow</b>"] = stats["rms"] * 3
    stats["void"] = np.nan
    quant["w_rel_spectral"] = quant["w_rel_fro"] / 2
    return stats, quant


VARIANTS = (shared, stack, unknown_layers, single, no_schemes, no_matrices, failures, all_failed, parts_failed,
            one_exact, exact, uneven, foreign, unknown_metric)


def as_table(frame, schema):
    known = pa.schema([schema.field(c) if c in schema.names else pa.field(c, pa.float64()) for c in frame.columns])
    return pa.Table.from_pandas(frame, schema=known, preserve_index=False)


def varied(change):
    def make(folder):
        run_dir = folder / change.__name__
        rng = np.random.default_rng(7)
        count, base = identity(3, 8, lambda l, e, p: f"model.layers.{l}.mlp.experts.{e}.{p}.weight")
        stats = stats_table(count, base, rng)
        quant = pa.concat_tables([quant_table(count, base, stats, scheme, rng) for scheme in SCHEMES
                                  if scheme[0] in ("affine_q4_g32", "mxfp4_g32", "affine_q8_g32")])
        (run_dir / "data").mkdir(parents=True)
        changed = change(stats.to_pandas(), quant.to_pandas())
        for name, frame, table in zip(("matrix_stats", "quant_sim"), changed, (stats, quant)):
            pq.write_table(as_table(frame, table.schema), run_dir / "data" / f"{name}.parquet")
        return run_dir
    return make


KINDS = {"small": demo("template"), "nine": demo("mlx"), "large": large, "hostile": hostile,
         "partly": written(rows=32), "nowhere": written(rows=40), "half": written(present=4),
         "refused_half": written(refused=range(4)), "refused": written(refused=range(8)),
         "recipes": recipes,
         "quantized": zoo("awq_int4_qwen2_moe"), "dense_layer": zoo("hf4_qwen2_moe"), "fp8": zoo("fp8_deepseek_v3", "nvfp4"),
         **{v.__name__: varied(v) for v in VARIANTS}}


def numbers(run_dir):
    """Both tables by columns; NaN and null as null."""
    tables = {}
    for name in ("matrix_stats", "quant_sim"):
        table = pd.read_parquet(run_dir / "data" / f"{name}.parquet")
        columns = [c for c in table.columns if table[c].dtype != bool and c not in ("file", "source_tensor")]
        tables[name] = json.loads(table[columns].to_json(orient="split", index=False, double_precision=15))
    return tables


def main():
    kind, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    run_dir = KINDS[kind](folder)
    subprocess.run([PROGRAM, "report", "--run-dir", run_dir], check=True, stdout=subprocess.DEVNULL)
    tables = {} if kind == "large" else numbers(run_dir)
    print(json.dumps({"page": str(run_dir / "report.html"), "runDir": str(run_dir), **tables,
                      "hostile": HOSTILE}))


if __name__ == "__main__":
    main()
