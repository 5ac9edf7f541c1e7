"""Makes tests/data/tables with pandas: .venv/bin/python tests/tables/make_golden.py

data/ is a small run as collect-data writes it (CSV), pandas/ the same rows as a careless pandas user
would save them (Parquet; integers that became doubles, an all-null column, categories, int32), and
tables/ what contract section 11, D16 and D17 demand of both.
"""

from pathlib import Path

import numpy as np
import pandas as pd

OUT = Path(__file__).resolve().parent.parent / "data" / "tables"
STATS = ["mean", "std", "mean_abs", "rms", "max_abs", "p50_abs", "p99_abs", "p999_abs",
         "outlier_max_over_mean", "outlier_p99_over_median", "outlier_p999_over_median",
         "g32_p95_outlier", "g32_max_outlier"]
OUR_STATS = ["p95_abs", "nonfinite_count", "storage_bits_per_weight"]
QUANT = ["w_rel_fro", "w_rel_max", "scale_mean", "scale_max", "bias_mean", "bias_max"]
OUR_QUANT = ["scale_abs_mean", "scale_abs_max", "sqnr_db", "bits_per_weight", "max_abs_err",
             "zero_share", "clip_share"]
KEYS = ["derived_tensor", "layer", "block4", "proj", "expert_id", "rows", "cols"]


def matrices():
    for layer in (-1, 0, 3, 4, 10):
        for proj in ("up_proj", "down_proj"):
            for expert in range(-1, 3):
                yield dict(file="/m.safetensors", source_tensor=f"l{layer}.{proj}",
                           derived_tensor=f"l{layer}.{proj}{expert == -1}::{proj}", layer=layer,
                           block4=None if layer < 0 else layer // 4, proj=proj, expert_id=expert,
                           is_shared_expert=expert == -1, rows=8, cols=64)


def weight_rows(rng):
    frame = pd.DataFrame(list(matrices()))
    for name in STATS + ["p95_abs"]:
        frame[name] = rng.normal(size=len(frame))
    frame["nonfinite_count"] = 0
    frame["storage"] = "bfloat16"
    frame["storage_bits_per_weight"] = 16.0
    frame["stack"] = None
    # One matrix with non-finite weights, and a whole layer x projection without a number.
    bad = frame.index.isin([5]) | ((frame.layer == 10) & (frame.proj == "up_proj"))
    frame.loc[bad, STATS + ["p95_abs"]] = np.nan
    frame.loc[bad, "nonfinite_count"] = 7
    frame["block4"] = frame["block4"].astype("Int64")
    return frame


def quant_rows(rng):
    frames = []
    for scheme in ("q4", "mx", "bad"):
        frame = pd.DataFrame(list(matrices()))
        frame["scheme"] = scheme
        for name in QUANT + OUR_QUANT:
            frame[name] = rng.lognormal(size=len(frame))
        frame["error"] = None
        if scheme != "q4":
            frame[["bias_mean", "bias_max"]] = np.nan
        if scheme == "bad":
            frame[QUANT + OUR_QUANT] = np.nan
            frame["error"] = 'ValueError: "x", y'
        frames.append(frame)
    # q4 lacks one matrix that the others have.
    frames[0] = frames[0].drop(index=3)
    frame = pd.concat(frames, ignore_index=True)
    frame["block4"] = frame["block4"].astype("Int64")
    return frame


def quantile(q, name):
    def function(series):
        return series.quantile(q)
    function.__name__ = name
    return function


P01, P90, P99 = quantile(0.01, "p01"), quantile(0.9, "p90"), quantile(0.99, "p99")
GLOBAL = ["min", P01, "median", P99, "max"]


def summary(frame, name, keys, functions, reference, ours):
    groups = frame.groupby(keys, dropna=False)
    parts = [groups[reference].agg(functions), groups.size().rename("n"),
             groups[ours].agg(functions)]
    for part in (parts[0], parts[2]):
        part.columns = [f"{column}__{function}" for column, function in part.columns]
    pd.concat(parts, axis=1).reset_index().to_csv(OUT / "tables" / f"{name}.csv", index=False)


def deltas(frame, pairs):
    keys = frame[KEYS].drop_duplicates().sort_values(KEYS, na_position="last")
    parts = []
    for name, a, b in pairs:
        part = keys.assign(delta_name=name)
        for metric in ("w_rel_fro", "w_rel_max"):
            sides = []
            for scheme in (a, b):
                side = frame[frame.scheme == scheme][KEYS + [metric]]
                sides.append(part[KEYS].merge(side, on=KEYS, how="left")[metric].to_numpy())
            part[f"delta_{metric}"] = sides[0] - sides[1]
        parts.append(part)
    pd.concat(parts).to_csv(OUT / "tables" / "B_quant_deltas.csv", index=False)


def main():
    rng = np.random.default_rng(20)
    weights, quant = weight_rows(rng), quant_rows(rng)
    for folder in ("data", "pandas", "tables"):
        (OUT / folder).mkdir(parents=True, exist_ok=True)
    for name, frame in (("matrix_stats", weights), ("quant_sim", quant)):
        frame.to_csv(OUT / "data" / f"{name}.csv", index=False)
        odd = frame.astype({"block4": "float64", "layer": "float64", "rows": "int32"})
        odd["proj"] = odd["proj"].astype("category")
        odd["all_null"] = None
        odd.to_parquet(OUT / "pandas" / f"{name}.parquet", index=False, compression="snappy")

    layers = ["median", "mean", "std", P90, P99]
    summary(weights, "A_weight_layer_summary", ["layer", "proj"], layers, STATS, OUR_STATS)
    summary(weights, "A_weight_block4_summary", ["block4", "proj"], layers, STATS, OUR_STATS)
    summary(weights, "A_weight_global_summary", ["proj"], GLOBAL, STATS, OUR_STATS)
    summary(weights, "C_weight_global_summary", ["is_shared_expert", "proj"], GLOBAL, STATS,
            OUR_STATS)
    layers.remove("std")
    summary(quant, "B_quant_layer_summary", ["layer", "proj", "scheme"], layers, QUANT, OUR_QUANT)
    summary(quant, "B_quant_block4_summary", ["block4", "proj", "scheme"], layers, QUANT, OUR_QUANT)
    summary(quant, "B_quant_global_summary", ["proj", "scheme"], GLOBAL, QUANT, OUR_QUANT)
    summary(quant, "C_quant_global_summary", ["is_shared_expert", "proj", "scheme"], GLOBAL, QUANT,
            OUR_QUANT)
    deltas(quant, [("mx_minus_q4", "mx", "q4"), ("q4_minus_nothing", "q4", "nothing")])


if __name__ == "__main__":
    main()
