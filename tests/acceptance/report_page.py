"""Reads report.html back, as src/report/page_data.h describes it."""

import base64
import json
import math
import re
import zlib

import numpy as np


class Page:
    """What a page holds: `run` is its JSON, the methods give columns over all matrices."""

    def __init__(self, html):
        found = dict(re.findall(r'<script type="[a-z/]+" id="(\w+)">(.*?)</script>', html, re.DOTALL))
        self.run = json.loads(found["run"])
        self._base64 = [found[f"block{i}"] for i in range(len(self.run["blocks"]))]

    def _block(self, number):
        """Codes k of a block, None for null; or the texts."""
        block, count = self.run["blocks"][number], self.run["matrices"]
        data = zlib.decompress(base64.b64decode(self._base64[number]))
        if block["kind"] == "text":
            return json.loads(data)
        planes = np.frombuffer(data, np.uint8).reshape(block["planes"], count).astype(object)
        u = sum(planes[p] << (8 * p) for p in range(block["planes"]))
        codes = [None if x == 0 else int(x) - 1 + block["base"] for x in u]
        return codes if block["kind"] == "int" else [number_of(k) for k in codes]

    def column(self, name):
        return self._block(self.run["columns"][name])

    def metric(self, name, scheme=None):
        """Values by matrix, None for null."""
        metric = next(m for m in self.run["metrics"] if m["name"] == name)
        if metric.get("derived"):
            return self._derived(name, scheme)
        number = metric["blocks"][scheme] if metric["of"] == "quant" else metric["block"]
        return [None] * self.run["matrices"] if number is None else self._block(number)

    def _derived(self, name, scheme):
        if name == "sqnr_db":
            return [None if not x else -20 * math.log10(x) for x in self.metric("w_rel_fro", scheme)]
        if name == "max_abs_err":
            pair, by = (self.metric("w_rel_max", scheme), self.metric("max_abs")), lambda a, b: a * b
        else:
            above, below = {"outlier_max_over_mean": ("max_abs", "mean_abs"),
                            "outlier_p99_over_median": ("p99_abs", "p50_abs"),
                            "outlier_p999_over_median": ("p999_abs", "p50_abs")}[name]
            pair, by = (self.metric(above), self.metric(below)), lambda a, b: a / (b + 1e-12)
        return [None if a is None or b is None else by(a, b) for a, b in zip(*pair)]


def number_of(k):
    """The value of a code of kind "number"."""
    if k is None or k == 0:
        return k
    magnitude = abs(k) - 1
    return math.copysign(float(f"{10000 + magnitude % 90000}e{magnitude // 90000 - 400}"), k)
