"""build-plots and report --static (contract section 12): which pictures there are, and what is in them."""

import json
import os
import pty
import subprocess

import numpy as np
import pandas as pd

from picture import Picture, pixels_of
from support import PROGRAM, AcceptanceTest, experts, files_of, run

GLOBAL = "plots/global/A_weight_global_summary__mean_abs__median"
TAILS = "plots/global/A_weight_global_summary__outlier_p999_over_median__median"
LAYERS = "plots/layer/A_weight_layer_summary__mean_abs__median"
LAYER_TAILS = "plots/layer/A_weight_layer_summary__outlier_p999_over_median__median"
ERRORS = "plots/global/B_quant_global_summary__w_rel_fro__median_by_proj_and_scheme"
LAYER_ERRORS = "plots/layer/B_quant_layer_summary__w_rel_fro__median_by_proj_and_scheme"
LAYER_MAXIMA = "plots/layer/B_quant_layer_summary__w_rel_max__median_by_proj_and_scheme"
LINES = "plots/layer/quant_sim__w_rel_fro_by_proj_and_scheme"
HEATMAPS = "plots/expert_layer_heatmaps/"
VIRIDIS = [tuple(bytes.fromhex(colour)) for colour in (
    "440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")]
PROJS = ["down_proj", "gate_proj", "up_proj"]


class PlotsTest(AcceptanceTest):
    def hand_made(self, plots=None, name="hand", **frames):
        """A run directory with the tables of `frames` (A_... and B_... in tables/, others in data/)."""
        run_dir = self.tmp / name
        for key, frame in frames.items():
            folder = run_dir / ("tables" if key[:2] in ("A_", "B_") else "data")
            folder.mkdir(parents=True, exist_ok=True)
            frame.to_parquet(folder / f"{key}.parquet", index=False)
        run_dir.mkdir(exist_ok=True)
        self.configure(run_dir, plots)
        return run_dir

    def configure(self, run_dir, plots):
        """A config with nothing but `plots`, as build-plots needs no more."""
        (run_dir / "analysis_config.json").write_text(json.dumps({"plots": plots}))

    def plot(self, run_dir, *arguments, expect=0):
        done = run("build-plots", "--run-dir", run_dir, *arguments)
        self.assertEqual(done.returncode, expect, done.stderr + done.stdout)
        return done

    def manifest(self, run_dir):
        return self.log(run_dir, "plots_write_manifest.json")

    def assert_drawn(self, run_dir, stems):
        """The manifest's pictures and the files under plots/ are exactly these, as PNG and SVG."""
        entries = self.manifest(run_dir)["artifacts"].values()
        self.assertEqual([e["path"] for e in entries if e["status"] == "written"],
                         [stem + ".png" for stem in stems])
        self.assertEqual([e["svg_path"] for e in entries if e["status"] == "written"],
                         [stem + ".svg" for stem in stems])
        self.assertEqual(sorted(files_of(run_dir / "plots")),
                         sorted(stem.removeprefix("plots/") + end
                                for stem in stems for end in (".png", ".svg")))

    def assert_untouched(self, run_dir, before):
        self.assertEqual(files_of(run_dir), before)

    def picture(self, run_dir, stem):
        return Picture(run_dir / (stem + ".svg"))


class DefaultSelection(PlotsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls("setUp")
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        cls.run_dir = case.collected(experts(count=3, layers=4, scale=0.05))
        done = run("build-tables", "--run-dir", cls.run_dir)
        assert done.returncode == 0, done.stderr
        cls.done = case.plot(cls.run_dir)

    def summary(self, name):
        return self.table(self.run_dir, name, folder="tables")

    def assert_proportional(self, lengths, values):
        scale = np.array(lengths) / np.array(values)
        self.assertLess(np.ptp(scale) / scale.mean(), 0.01, (lengths, values))

    def test_draws_three_tables_and_the_heatmaps_of_matrix_stats(self):
        self.assert_drawn(self.run_dir, [
            GLOBAL, TAILS, LAYERS, LAYER_TAILS, ERRORS,
            *(HEATMAPS + f"{proj}__outlier_p999_over_median" for proj in PROJS)])
        self.assertIn("[build_plots] wrote 8 plot(s)", self.done.stdout)

    def test_the_manifest_tells_where_each_picture_comes_from(self):
        manifest = self.manifest(self.run_dir)
        self.assertEqual(list(manifest), ["requested_artifact_keys", "artifacts"])
        self.assertEqual(manifest["requested_artifact_keys"],
                         ["A_weight_global_summary", "A_weight_layer_summary", "B_quant_global_summary"])
        key = "matrix_stats__expert_layer_heatmap__up_proj__outlier_p999_over_median"
        self.assertEqual(list(manifest["artifacts"])[-1], key)
        path = HEATMAPS + "up_proj__outlier_p999_over_median"
        self.assertEqual(list(manifest["artifacts"][key].items()), [
            ("path", path + ".png"), ("source_artifact", "matrix_stats"), ("format", "png"),
            ("status", "written"), ("error", ""), ("svg_path", path + ".svg")])

    def test_a_png_has_its_size_and_is_not_blank(self):
        for stem in (GLOBAL, LAYERS, HEATMAPS + "up_proj__outlier_p999_over_median"):
            with self.subTest(stem):
                pixels = pixels_of((self.run_dir / (stem + ".png")).read_bytes())
                self.assertEqual(pixels.shape, (640, 1280, 3))
                self.assertGreater(len(np.unique(pixels.reshape(-1, 3), axis=0)), 20)
                self.assertEqual(self.picture(self.run_dir, stem).size, ("768", "384"))

    def test_a_png_shows_what_its_svg_says(self):
        # Where a bar is in the SVG, the PNG (5/3 as large) has its colour.
        pixels = pixels_of((self.run_dir / (GLOBAL + ".png")).read_bytes())
        for bar in self.picture(self.run_dir, GLOBAL).bars():
            x, y = (int(at * 5 / 3) for at in bar.middle)
            self.assertEqual("#" + pixels[y, x].tobytes().hex(), bar.colour)

    def test_bars_are_as_high_as_their_values(self):
        for stem, column in ((GLOBAL, "mean_abs__median"), (TAILS, "outlier_p999_over_median__median")):
            table = self.summary("A_weight_global_summary").sort_values("proj")
            picture = self.picture(self.run_dir, stem)
            bars = picture.bars()
            self.assertEqual(len(bars), 3)
            self.assert_proportional([bar.height for bar in bars], table[column])
            self.assertEqual([text for text in picture.texts() if text in PROJS], PROJS)
            self.assertIn(column.removesuffix("__median"), picture.texts())
            self.assertIn(f"{table[column].iloc[0]:.5g}", picture.texts())

    def test_bars_of_projections_and_schemes_have_the_schemes_colours(self):
        table = self.summary("B_quant_global_summary").sort_values(["proj", "scheme"])
        picture = self.picture(self.run_dir, ERRORS)
        bars = picture.bars()
        self.assertEqual(len(bars), 9)
        self.assert_proportional([bar.width for bar in bars], table["w_rel_fro__median"])
        labels = [f"{row.proj} / {row.scheme}" for row in table.itertuples()]
        self.assertEqual([text for text in picture.texts() if text in labels], labels)
        colours = {}
        for bar, scheme in zip(bars, table["scheme"]):
            colours.setdefault(scheme, set()).add(bar.colour)
        self.assertEqual({len(of_scheme) for of_scheme in colours.values()}, {1})
        self.assertEqual(len(set.union(*colours.values())), 3)

    def test_lines_go_through_the_values_of_their_layers(self):
        table = self.summary("A_weight_layer_summary")
        picture = self.picture(self.run_dir, LAYERS)
        lines = picture.lines()
        self.assertEqual(len(lines), 3)
        layers = picture.ticks("middle")
        spread = np.ptp(list(picture.ticks("end")))
        for (points, _), proj in zip(lines, PROJS):
            rows = table[table["proj"] == proj].sort_values("layer")
            self.assertEqual(len(points), len(rows))
            for (x, y), layer, value in zip(points, rows["layer"], rows["mean_abs__median"]):
                self.assertAlmostEqual(x, layers[layer][0], delta=0.1)
                self.assertAlmostEqual(picture.value_at(y), value, delta=spread / 200)
        self.assertEqual(len({look for _, look in lines}), 3)
        self.assertEqual([text for text in picture.texts() if text in PROJS], PROJS)  # the legend
        self.assertIn("layer", picture.texts())

    def test_the_larger_a_value_the_lighter_its_cell(self):
        stats = self.table(self.run_dir, "matrix_stats")
        for proj in PROJS:
            rows = stats[stats["proj"] == proj].sort_values(["expert_id", "layer"])
            picture = self.picture(self.run_dir, HEATMAPS + f"{proj}__outlier_p999_over_median")
            cells = picture.cells(columns=4, rows=3).reshape(-1, 3)
            luma = cells @ [0.299, 0.587, 0.114]
            values = rows["outlier_p999_over_median"].to_numpy()
            order = np.argsort(values)
            self.assertTrue(np.all(np.diff(luma[order]) >= 0), luma[order])
            # The ramp, Viridis, spans a tenth of the median to each side, or all values if they reach further.
            median = np.median(values)
            low, high = min(values.min(), 0.9 * median), max(values.max(), 1.1 * median)
            for end in (order[0], order[-1]):
                at = (values[end] - low) / (high - low) * (len(VIRIDIS) - 1)
                expected = [np.interp(at, range(len(VIRIDIS)), channel) for channel in np.transpose(VIRIDIS)]
                np.testing.assert_allclose(cells[end].astype(float), expected, atol=2)
            for text in ("layer", "expert_id", "0", "3", f"{proj}: outlier_p999_over_median"):
                self.assertIn(text, picture.texts())

    def test_pictures_do_not_depend_on_the_number_of_threads(self):
        before = files_of(self.run_dir / "plots")
        for threads in (1, 3):
            self.plot(self.run_dir, "--threads", threads)
            self.assertEqual(files_of(self.run_dir / "plots"), before)

    def test_report_static_draws_the_same(self):
        before = files_of(self.run_dir / "plots")
        (self.run_dir / (GLOBAL + ".png")).unlink()
        done = run("report", "--run-dir", self.run_dir, "--static")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.run_dir / "report.html").is_file())
        self.assertEqual(files_of(self.run_dir / "plots"), before)


def layer_rows(layers, projs=("up_proj",), **columns):
    rows = [{"layer": layer, "proj": proj} for proj in projs for layer in layers]
    return pd.DataFrame(rows).assign(**columns)


def matrices(projs=("up_proj",), schemes=None, layers=3, count=2, **columns):
    """Rows of matrix_stats (or, with schemes, of quant_sim) with the columns that plots need."""
    rows = [{"layer": layer, "expert_id": expert, "proj": proj, "scheme": scheme}
            for proj in projs for scheme in schemes or [None]
            for layer in range(layers) for expert in range(count)]
    frame = pd.DataFrame(rows)
    value = np.random.default_rng(0).random(len(frame)) + 1
    frame = frame.assign(w_rel_fro=value, outlier_p999_over_median=value, **columns)
    return frame if schemes else frame.drop(columns="scheme")


GLOBAL_FRAME = pd.DataFrame({"proj": ["up_proj"], "mean_abs__median": [0.5]})
ERROR_FRAME = pd.DataFrame({"proj": ["up_proj"], "scheme": ["q4"], "w_rel_fro__median": [0.1]})


class Selection(PlotsTest):
    def test_without_a_table_nothing_is_drawn_and_nothing_is_written(self):
        run_dir = self.hand_made()
        before = files_of(run_dir)
        self.assertIn("[build_plots] no compatible tables found for plotting", self.plot(run_dir).stdout)
        self.assert_untouched(run_dir, before)

    def test_missing_tables_of_the_default_are_passed_over(self):
        run_dir = self.hand_made(A_weight_global_summary=GLOBAL_FRAME)
        self.plot(run_dir)
        self.assert_drawn(run_dir, [GLOBAL])

    def test_a_list_draws_those_tables_only(self):
        run_dir = self.hand_made(
            {"artifact_keys": ["B_quant_layer_summary", "A_weight_global_summary"]},
            A_weight_global_summary=GLOBAL_FRAME, A_weight_layer_summary=layer_rows([0], mean_abs__median=1),
            B_quant_layer_summary=layer_rows([0, 1], scheme="q4", w_rel_fro__median=0.1,
                                             w_rel_max__median=0.2),
            matrix_stats=matrices())
        self.plot(run_dir)
        self.assert_drawn(run_dir, [LAYER_ERRORS, LAYER_MAXIMA, GLOBAL])
        self.assertEqual(self.manifest(run_dir)["requested_artifact_keys"],
                         ["B_quant_layer_summary", "A_weight_global_summary"])

    def test_an_empty_list_is_told_in_an_empty_manifest(self):
        run_dir = self.hand_made({"artifact_keys": []}, A_weight_global_summary=GLOBAL_FRAME,
                                 matrix_stats=matrices())
        self.plot(run_dir)
        self.assertEqual(self.manifest(run_dir), {"requested_artifact_keys": [], "artifacts": {}})
        self.assertFalse((run_dir / "plots").exists())

    def test_plots_of_data_are_drawn_beside_a_list_only_when_asked_for(self):
        run_dir = self.hand_made({"artifact_keys": [], "expert_layer_heatmaps": True},
                                 matrix_stats=matrices(), quant_sim=matrices(schemes=["q4"]))
        self.plot(run_dir)
        self.assert_drawn(run_dir, [HEATMAPS + "up_proj__outlier_p999_over_median"])

    def test_heatmaps_can_be_switched_off(self):
        for number, off in enumerate((False, {"enabled": False}, {"enabled": None})):
            run_dir = self.hand_made({"expert_layer_heatmaps": off}, name=f"off{number}",
                                     A_weight_global_summary=GLOBAL_FRAME, matrix_stats=matrices())
            self.plot(run_dir)
            self.assert_drawn(run_dir, [GLOBAL])

    def test_heatmaps_and_lines_of_quant_sim(self):
        quant = matrices(projs=("gate_proj", "up_proj"), schemes=["q4", "q8"])
        run_dir = self.hand_made(
            {"expert_layer_heatmaps": {"source_artifact": "quant_sim", "metric": "w_rel_fro"},
             "quant_error_layer_lines": True}, quant_sim=quant)
        self.plot(run_dir)
        self.assert_drawn(run_dir, [
            *(HEATMAPS + f"{proj}__{scheme}__w_rel_fro" for proj in ("gate_proj", "up_proj")
              for scheme in ("q4", "q8")), LINES])
        self.assertIn("quant_sim__expert_layer_heatmap__gate_proj__q4__w_rel_fro",
                      self.manifest(run_dir)["artifacts"])
        picture = self.picture(run_dir, LINES)
        medians = quant.groupby(["proj", "scheme", "layer"])["w_rel_fro"].median()
        spread = np.ptp(list(picture.ticks("end")))
        self.assertEqual(len(picture.lines()), 4)
        for (points, _), names in zip(picture.lines(), medians.index.droplevel("layer").unique()):
            for (_, y), value in zip(points, medians[names]):
                self.assertAlmostEqual(picture.value_at(y), value, delta=spread / 200)

    def test_heatmaps_of_one_scheme_can_be_compared(self):
        quant = matrices(projs=("gate_proj", "up_proj"), schemes=["q4"])
        quant.loc[quant["proj"] == "up_proj", "w_rel_fro"] *= 10  # all above gate_proj's
        run_dir = self.hand_made({"expert_layer_heatmaps": {"source_artifact": "quant_sim",
                                                            "metric": "w_rel_fro"}}, quant_sim=quant)
        self.plot(run_dir)
        brightest = [(self.picture(run_dir, HEATMAPS + f"{proj}__q4__w_rel_fro").cells(3, 2)
                      @ [0.299, 0.587, 0.114]).max() for proj in ("gate_proj", "up_proj")]
        self.assertLess(brightest[0], 100)
        self.assertGreater(brightest[1], 200)

    def test_one_line_needs_no_legend(self):
        run_dir = self.hand_made(A_weight_layer_summary=layer_rows([0, 1], mean_abs__median=[1, 2]))
        self.plot(run_dir)
        self.assertNotIn("up_proj", self.picture(run_dir, LAYERS).texts())

    def test_tables_of_the_write_manifest_go_first_unless_they_lie_elsewhere(self):
        run_dir = self.hand_made(A_weight_global_summary=GLOBAL_FRAME)
        other = pd.DataFrame({"proj": ["other"], "mean_abs__median": [1.0]})
        (run_dir / "logs").mkdir()
        for path, label in (("tables/other.csv", "other"), ("data/other.csv", "up_proj"),
                            ("../other.csv", "up_proj")):
            (run_dir / path).parent.mkdir(exist_ok=True)
            other.to_csv(run_dir / path, index=False)
            (run_dir / "logs/tables_write_manifest.json").write_text(json.dumps(
                {"artifacts": {"A_weight_global_summary": {"path": path}}}))
            self.plot(run_dir)
            self.assertIn(label, self.picture(run_dir, GLOBAL).texts())

    def test_older_pictures_stay(self):
        run_dir = self.hand_made(A_weight_global_summary=GLOBAL_FRAME, B_quant_global_summary=ERROR_FRAME)
        self.plot(run_dir)
        self.configure(run_dir, {"artifact_keys": ["A_weight_global_summary"]})
        self.plot(run_dir)
        self.assertTrue((run_dir / (ERRORS + ".png")).is_file())
        self.assertEqual(len(self.manifest(run_dir)["artifacts"]), 1)

    def test_tables_without_values_are_skipped(self):
        run_dir = self.hand_made({"expert_layer_heatmaps": True}, A_weight_global_summary=GLOBAL_FRAME,
                                 B_quant_global_summary=ERROR_FRAME[:0],
                                 matrix_stats=matrices()[:0])
        self.plot(run_dir)
        self.assert_drawn(run_dir, [GLOBAL])
        statuses = {key: entry["status"] for key, entry in self.manifest(run_dir)["artifacts"].items()}
        self.assertEqual(list(statuses.values()), ["written", "skipped", "skipped"])

    def test_an_unknown_layer_is_shown_as_it_is(self):
        run_dir = self.hand_made(A_weight_layer_summary=layer_rows([-1, 0, 10], mean_abs__median=[1, 2, 3]),
                                 matrix_stats=matrices().assign(layer=-1))
        self.plot(run_dir)
        self.assertEqual(list(self.picture(run_dir, LAYERS).ticks("middle")), [-1, 0, 10])
        heatmap = self.picture(run_dir, HEATMAPS + "up_proj__outlier_p999_over_median")
        self.assertEqual(list(heatmap.ticks("middle")), [-1])


class Progress(PlotsTest):
    def test_each_picture_is_told_on_a_terminal_as_soon_as_it_is_written(self):
        run_dir = self.hand_made(matrix_stats=matrices(projs=[f"proj{i}" for i in range(8)]))
        terminal, side = pty.openpty()
        command = [PROGRAM, "build-plots", "--run-dir", run_dir, "--threads", "1"]
        with subprocess.Popen(command, stdout=side, stderr=side) as process:
            os.close(side)
            told = os.read(terminal, 1000).decode()  # the rest has room in the terminal's buffer
            self.assertIn("[build_plots] plots/expert_layer_heatmaps/proj0__", told)
            self.assertTrue((run_dir / HEATMAPS / "proj0__outlier_p999_over_median.png").exists())
            self.assertFalse((run_dir / "logs/plots_write_manifest.json").exists())
        os.close(terminal)

    def test_one_warning_tells_that_there_are_no_fonts(self):
        run_dir = self.hand_made(A_weight_global_summary=GLOBAL_FRAME, B_quant_global_summary=ERROR_FRAME)
        empty = self.tmp / "fonts.conf"
        empty.write_text("<fontconfig/>")
        done = run("build-plots", "--run-dir", run_dir, env={"FONTCONFIG_FILE": str(empty)})
        self.assertEqual((done.returncode, done.stderr.count("warning: no fonts are installed")), (0, 1), done.stderr)
        self.assertEqual(self.plot(run_dir).stderr, "")


class Readable(PlotsTest):
    def assert_nothing_is_cut(self, run_dir, stem):
        for text, (left, top, right, bottom) in self.picture(run_dir, stem).boxes():
            self.assertGreaterEqual(min(left, top), 0, text)
            self.assertLessEqual(right, 768, text)
            self.assertLessEqual(bottom, 384, text)
        pixels = pixels_of((run_dir / (stem + ".png")).read_bytes())
        for edge in (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]):
            self.assertTrue((edge == 255).all())

    def heatmap(self, frame, metric="outlier_p999_over_median", name="hand"):
        """The run directory, and the stem of the heatmap of the only projection."""
        run_dir = self.hand_made({"expert_layer_heatmaps": {"metric": metric}}, name=name, matrix_stats=frame)
        self.plot(run_dir)
        return run_dir, HEATMAPS + f"{frame['proj'][0]}__{metric}"

    def test_the_ends_of_the_colours_have_room_for_their_numbers(self):
        for number, (scale, ends) in enumerate(((0.0046927, ["0.00469", "0.00939"]),
                                                (-1.23456e-10, ["-2.47e-10", "-1.23e-10"]))):
            frame = matrices(layers=6, count=8)
            frame["outlier_p999_over_median"] = np.linspace(1, 2, len(frame)) * scale
            run_dir, stem = self.heatmap(frame, name=f"run{number}")
            self.assert_nothing_is_cut(run_dir, stem)
            self.assertLessEqual(set(ends), set(self.picture(run_dir, stem).texts()))

    def test_long_titles_keep_their_ends(self):
        projs = ["p" * 60, "q" * 60]
        run_dir = self.hand_made({"expert_layer_heatmaps": {"source_artifact": "quant_sim", "metric": "w_rel_fro"}},
                                 quant_sim=matrices(projs=projs, schemes=["s" * 60]))
        self.plot(run_dir)
        for path in sorted((run_dir / HEATMAPS).glob("*.svg")):
            stem = HEATMAPS + path.stem
            self.assert_nothing_is_cut(run_dir, stem)
            title = next(text for text in self.picture(run_dir, stem).texts() if text.endswith(": w_rel_fro"))
            self.assertRegex(title, "^(pppp|qqqq).*…")

    def test_axes_of_heatmaps_have_round_labels_although_row_0_is_a_shared_expert(self):
        frame = matrices(layers=48, count=65)
        frame["expert_id"] -= 1
        picture = self.picture(*self.heatmap(frame))
        self.assertEqual(list(picture.ticks("end")), list(range(0, 64, 5)))
        self.assertEqual(list(picture.ticks("middle")), list(range(0, 48, 5)))

    def test_one_expert_without_an_error_does_not_take_the_colours_of_the_others(self):
        quant = matrices(projs=("gate_proj", "up_proj"), schemes=["q4"], layers=8, count=8)
        quant["w_rel_fro"] = np.tile(np.linspace(0.08, 0.09, 64), 2)
        quant.loc[0, "w_rel_fro"] = 0.0  # of gate_proj
        run_dir = self.hand_made({"expert_layer_heatmaps": {"source_artifact": "quant_sim",
                                                            "metric": "w_rel_fro"}}, quant_sim=quant)
        self.plot(run_dir)
        for proj in ("gate_proj", "up_proj"):
            picture = self.picture(run_dir, HEATMAPS + f"{proj}__q4__w_rel_fro")
            luma = picture.cells(8, 8) @ [0.299, 0.587, 0.114]
            self.assertGreater(np.ptp(luma[1:]), 50)
            self.assertTrue([text for text in picture.texts() if text.startswith("≤ 0.0")])

    def test_colours_are_logarithmic_where_values_are_far_apart(self):
        frame = matrices(layers=4, count=4)
        frame["outlier_p999_over_median"] = np.geomspace(1, 1000, 16)
        picture = self.picture(*self.heatmap(frame))
        self.assertLessEqual({"1", "10", "100", "1000"}, set(picture.texts()))

    def test_what_failed_is_grey(self):
        frame = matrices(projs=("gate_proj", "up_proj"), layers=4, count=2)
        frame.loc[(frame["proj"] == "up_proj") & (frame["layer"] == 2), "outlier_p999_over_median"] = None
        run_dir, _ = self.heatmap(frame)
        gate, up = (self.picture(run_dir, HEATMAPS + f"{proj}__outlier_p999_over_median")
                    for proj in ("gate_proj", "up_proj"))
        grey = [0xEC, 0xEF, 0xF2]
        self.assertIn("no value", up.texts())
        self.assertNotIn("no value", gate.texts())
        self.assertEqual((up.cells(4, 2) == grey).all(axis=2).tolist(), 2 * [[False, False, True, False]])

    def bars_of(self, projs, schemes):
        frame = pd.DataFrame([{"proj": proj, "scheme": scheme} for proj in projs for scheme in schemes])
        run_dir = self.hand_made({"artifact_keys": ["B_quant_global_summary"]}, name=f"bars{len(frame)}",
                                 B_quant_global_summary=frame.assign(w_rel_fro__median=np.arange(len(frame)) + 1.0))
        self.plot(run_dir)
        self.assert_nothing_is_cut(run_dir, ERRORS)
        return self.picture(run_dir, ERRORS)

    def test_every_bar_has_its_name_and_one_scale(self):
        for count in (3, 8, 12):  # one, two and three columns
            projs = [f"proj{i:02}" for i in range(count)]
            picture = self.bars_of(projs, [f"affine_q{i}_g64" for i in range(10)])
            bars, labels = picture.bars(), [box for text, box in picture.boxes() if " / " in text]
            self.assertEqual(len(bars), 10 * count)
            self.assertEqual([text for text in picture.texts() if " / " in text],
                             [f"{proj} / affine_q{i}_g64" for proj in projs for i in range(10)])
            for number, (bar, (_, top, right, bottom)) in enumerate(zip(bars, labels)):
                self.assertAlmostEqual(bar.middle[1], (top + bottom) / 2, delta=1)
                self.assertLess(right, bar.middle[0])
                self.assertAlmostEqual(bar.width, (number + 1) * bars[-1].width / len(bars), delta=0.1)
            tops = sorted({box[1] for box in labels})
            self.assertGreaterEqual(min(np.diff(tops)), 7)  # the size of the letters

    def test_bars_of_long_names_lie_and_no_two_have_the_same(self):
        names = [f"{i}_{'x' * 30}_{i}" for i in range(5)]
        picture = self.bars_of(names, ["affine_q4_g64"])
        self.assertEqual(len({text for text in picture.texts() if "affine_q4_g64" in text}), 5)
        self.assertGreater(np.ptp([bar.width for bar in picture.bars()]), 100)

    def lines_of(self, frame):
        run_dir = self.hand_made({"artifact_keys": ["A_weight_layer_summary"]}, A_weight_layer_summary=frame)
        self.plot(run_dir)
        self.assert_nothing_is_cut(run_dir, LAYERS)
        return self.picture(run_dir, LAYERS)

    def test_a_legend_of_long_names_leaves_half_of_the_picture_to_the_lines(self):
        projs = [f"projection_{i:02}_{'x' * 20}_end{i:02}" for i in range(50)]
        picture = self.lines_of(layer_rows(range(4), projs=projs, mean_abs__median=1.0))
        names = [(text, box) for text, box in picture.boxes() if "…" in text]
        self.assertEqual(len({text for text, _ in names}), 50)
        ends = [x for points, _ in picture.lines() for x, _ in points if len(points) == 4]
        self.assertGreater(max(ends), 300)
        self.assertLess(max(ends), min(box[0] for _, box in names) - 22)

    def test_ticks_of_close_values_differ(self):
        picture = self.lines_of(layer_rows(range(3), mean_abs__median=[1.0000001, 1.0000002, 1.0000003]))
        ticks = {text: box for text, box in picture.boxes() if text.startswith("1.000000")}
        self.assertGreater(len(ticks), 2)
        self.assertEqual(len(ticks), sum(text.startswith("1.000000") for text in picture.texts()))
        name = next(box for text, box in picture.boxes() if text == "mean_abs")
        self.assertLess(name[2], min(left for left, *_ in ticks.values()))

    def test_layers_stand_as_far_apart_as_their_numbers(self):
        picture = self.lines_of(layer_rows([-1, 0, 1, 5], mean_abs__median=[1, 2, 3, 4]))
        places = {layer: place[0] for layer, place in picture.ticks("middle").items()}
        self.assertEqual(list(places), [-1, 0, 1, 5])
        self.assertAlmostEqual(places[5] - places[1], 4 * (places[1] - places[0]), delta=0.1)
        self.assertEqual(picture.strokes(), [1, 3])  # the unknown layer is not joined to the others

    def test_many_layers_have_ticks_at_even_steps(self):
        picture = self.lines_of(layer_rows(range(94), projs=[f"p{i}" for i in range(12)], mean_abs__median=1.0))
        self.assertEqual(list(picture.ticks("middle")), list(range(0, 94, 5)))


class Names(PlotsTest):
    HOSTILE = ['<script>alert("1")</script>&amp;\'', "a\nb\x01\u202e\ufffe", "x" * 10_000, "a b", "a_b",
               "../../x", "日本"]

    def test_hostile_projections_stay_text_and_in_their_folder(self):
        run_dir = self.hand_made({"quant_error_layer_lines": True},
                                 A_weight_global_summary=pd.DataFrame(
                                     {"proj": self.HOSTILE, "mean_abs__median": 1.0}),
                                 matrix_stats=matrices(projs=self.HOSTILE),
                                 quant_sim=matrices(projs=self.HOSTILE, schemes=self.HOSTILE[:2]))
        self.plot(run_dir)
        entries = self.manifest(run_dir)["artifacts"]
        self.assertEqual(len(entries), 1 + len(self.HOSTILE) + 1)
        paths = [entry["path"] for entry in entries.values()]
        self.assertEqual(len(set(paths)), len(paths))
        for entry in entries.values():
            self.assertEqual(entry["status"], "written")
            self.assertRegex(entry["path"], r"^plots/\w+/[A-Za-z0-9._-]+\.png$")
            Picture(run_dir / entry["svg_path"])  # well-formed
        title = self.picture(run_dir, HEATMAPS + "script_alert_1_script_amp__outlier_p999_over_median")
        self.assertIn(f"{self.HOSTILE[0]}: outlier_p999_over_median", title.texts())
        self.assertFalse([e for e in title.root.iter() if e.tag.endswith("script")])
        self.assertEqual([path.name for path in self.tmp.iterdir()], ["hand"])

    def test_labels_that_give_one_file_name_are_told_apart_by_their_sha1(self):
        run_dir = self.hand_made(matrix_stats=matrices(projs=["a/b", "a b", "a_b"]))
        self.plot(run_dir)
        # printf 'a/b' | sha1sum; sorted as text "a b" comes first
        self.assert_drawn(run_dir, [HEATMAPS + name + "__outlier_p999_over_median"
                                    for name in ("a_b", "a_b__3ec69c85", "a_b__eb2980a5")])

    def test_a_metric_is_no_path(self):
        run_dir = self.hand_made({"expert_layer_heatmaps": {"metric": "../../../x"}},
                                 matrix_stats=matrices(**{"../../../x": 1.0}))
        self.plot(run_dir)
        self.assert_drawn(run_dir, [HEATMAPS + "up_proj__.._.._.._x"])


class Failures(PlotsTest):
    def entry(self, run_dir, key):
        return self.manifest(run_dir)["artifacts"][key]

    def assert_error(self, done, run_dir, key, *parts):
        entry = self.entry(run_dir, key)
        self.assertEqual((entry["status"], entry["path"], entry["svg_path"]), ("error", "", ""))
        self.assertIn("[build_plots] error:", done.stderr)
        for part in parts:
            self.assertIn(part, entry["error"])
            self.assertIn(part, done.stderr)

    def test_a_listed_table_that_is_missing_fails_after_the_others_were_drawn(self):
        run_dir = self.hand_made({"artifact_keys": ["A_weight_layer_summary", "A_weight_global_summary"]},
                                 A_weight_global_summary=GLOBAL_FRAME)
        done = self.plot(run_dir, expect=1)
        self.assert_drawn(run_dir, [GLOBAL])
        self.assertIn("[build_plots] wrote 1 plot(s)", done.stdout)
        self.assertEqual(len(self.manifest(run_dir)["artifacts"]), 2)  # none for what is optional
        self.assert_error(done, run_dir, "A_weight_layer_summary__mean_abs__median",
                          "Selected table artifact not found for plotting: A_weight_layer_summary")

    def test_a_column_of_text_is_skipped_with_the_reason(self):
        run_dir = self.hand_made({"expert_layer_heatmaps": {"metric": "dtype"}},
                                 matrix_stats=matrices(dtype="BF16"))
        done = self.plot(run_dir)
        reason = "column 'dtype' of matrix_stats is not numeric"
        entry = self.entry(run_dir, "matrix_stats__expert_layer_heatmap__dtype")
        self.assertEqual((entry["status"], entry["path"]), ("skipped", ""))
        for text in (entry["error"], done.stderr):
            self.assertIn(reason, text)

    def test_tables_were_found_although_none_of_their_pictures_could_be_drawn(self):
        many = pd.DataFrame({"proj": [f"p{i:03}" for i in range(121)], "mean_abs__median": 1.0})
        run_dir = self.hand_made(A_weight_global_summary=many)
        done = self.plot(run_dir, expect=1)
        self.assertIn("[build_plots] wrote 0 plot(s)", done.stdout)
        self.assertNotIn("no compatible tables", done.stdout)
        self.assert_error(done, run_dir, "A_weight_global_summary__mean_abs__median",
                          "has 121 values of 'mean_abs__median' for one picture, which shows at most 120")

    def test_missing_columns_are_named_and_the_others_are_drawn(self):
        frames = {"A_weight_global_summary": GLOBAL_FRAME,
                  "B_quant_global_summary": pd.DataFrame({"proj": ["a"]})}
        for number, plots in enumerate((None, {"artifact_keys": list(frames)})):
            run_dir = self.hand_made(plots, name=f"run{number}", **frames)
            done = self.plot(run_dir, expect=1)
            self.assert_drawn(run_dir, [GLOBAL])
            self.assert_error(
                done, run_dir, "B_quant_global_summary__w_rel_fro__median_by_proj_and_scheme",
                "B_quant_global_summary is missing required columns for plotting: scheme, w_rel_fro__median")

    def test_missing_data_is_an_error_only_when_it_was_asked_for(self):
        run_dir = self.hand_made({"expert_layer_heatmaps": True, "quant_error_layer_lines": True},
                                 A_weight_global_summary=GLOBAL_FRAME)
        done = self.plot(run_dir, expect=1)
        self.assert_drawn(run_dir, [GLOBAL])
        self.assert_error(done, run_dir, "matrix_stats__expert_layer_heatmap__outlier_p999_over_median",
                          "matrix_stats input not found")
        self.assert_error(done, run_dir, "quant_sim__w_rel_fro_by_proj_and_scheme",
                          "quant_sim input not found")

    def test_a_bad_layer_of_a_default_table_fails_before_anything_is_drawn(self):
        for number, bad in enumerate(("oops", 1.5)):
            frame = layer_rows([0, 1], mean_abs__median=1.0).astype({"layer": object})
            frame.loc[1, "layer"] = bad
            frame["layer"] = frame["layer"].astype(type(bad))
            run_dir = self.hand_made(name=f"run{number}", A_weight_global_summary=GLOBAL_FRAME,
                                     A_weight_layer_summary=frame)
            before = files_of(run_dir)
            done = self.plot(run_dir, expect=1)
            self.assertIn("[build_plots] error:", done.stderr)
            self.assertIn("tables/A_weight_layer_summary.parquet: "
                          "Invalid integer token in axis column 'layer' at row 1: " + repr(bad), done.stderr)
            self.assert_untouched(run_dir, before)

    def test_a_bad_layer_of_a_listed_table_or_of_data_is_an_entry(self):
        layers = layer_rows(["0", "oops"], mean_abs__median=1.0)
        stats = matrices(layers=1).assign(expert_id=["0", "oops"])
        run_dir = self.hand_made({"artifact_keys": ["A_weight_layer_summary", "A_weight_global_summary"],
                                  "expert_layer_heatmaps": True}, A_weight_global_summary=GLOBAL_FRAME,
                                 A_weight_layer_summary=layers, matrix_stats=stats)
        done = self.plot(run_dir, expect=1)
        self.assert_drawn(run_dir, [GLOBAL])
        self.assert_error(done, run_dir, "A_weight_layer_summary__mean_abs__median",
                          "Invalid integer token in axis column 'layer' at row 1: 'oops'")
        self.assert_error(done, run_dir, "matrix_stats__expert_layer_heatmap__outlier_p999_over_median",
                          "Invalid integer token in axis column 'expert_id' at row 1: 'oops'")

    def test_a_damaged_table_fails_with_its_name(self):
        for number, plots in enumerate((None, {"artifact_keys": ["A_weight_global_summary"]})):
            for end, text in ((".parquet", "PAR1 this is no Parquet file PAR1"),
                              (".csv", 'proj,mean_abs__median\nup_proj,"1.25')):
                run_dir = self.hand_made(plots, name=f"run{number}{end}")
                (run_dir / "tables").mkdir()
                (run_dir / f"tables/A_weight_global_summary{end}").write_text(text)
                done = self.plot(run_dir, expect=1)
                self.assertIn("A_weight_global_summary" + end, done.stderr)
                self.assertFalse((run_dir / "plots").exists())
                self.assertEqual((run_dir / "logs").exists(), plots is not None)

    def test_a_config_that_can_not_be_used_touches_nothing(self):
        run_dir = self.hand_made(A_weight_global_summary=GLOBAL_FRAME)
        for text, expect in (('{"plots": {"artifact_keys": ["B_quant_deltas"]}}', 2),
                             ('{"plots": {"artifact_keys": "all"}}', 2), ('{"plots": 1}', 2),
                             ('{"plots": {"expert_layer_heatmaps": {"metric": ""}}}', 2),
                             ("{", 2), ("[]", 2), (None, 1)):
            with self.subTest(text):
                config = run_dir / "analysis_config.json"
                config.unlink()
                if text is not None:
                    config.write_text(text)
                before = files_of(run_dir)
                done = self.plot(run_dir, expect=expect)
                self.assertIn("[build_plots] error:", done.stderr)
                self.assertIn("analysis_config.json", done.stderr)
                self.assert_untouched(run_dir, before)
                config.touch()

    def test_a_picture_that_can_not_be_written_fails_and_the_others_are_drawn(self):
        for number, end in enumerate((".png", ".svg")):
            run_dir = self.hand_made(name=f"run{number}", A_weight_global_summary=GLOBAL_FRAME,
                                     B_quant_global_summary=ERROR_FRAME)
            (run_dir / (GLOBAL + end)).mkdir(parents=True)
            (run_dir / (GLOBAL + end) / "mine").touch()
            done = self.plot(run_dir, expect=1)
            self.assert_error(done, run_dir, "A_weight_global_summary__mean_abs__median", GLOBAL + end)
            # PNG and SVG come together or not at all, and nothing else is left behind.
            self.assertEqual(sorted(files_of(run_dir / "plots")), [
                "global/" + path for path in (f"{GLOBAL.split('/')[-1]}{end}/mine", *(
                    ERRORS.split("/")[-1] + one for one in (".png", ".svg")))])

    def test_a_missing_run_directory_is_not_made(self):
        self.plot(self.tmp / "nowhere", expect=1)
        self.assertFalse((self.tmp / "nowhere").exists())

    def test_both_spellings_and_the_launcher_are_the_command(self):
        for name in ("build-plots", "build_plots"):
            done = run(name, "--help")
            self.assertEqual(done.returncode, 0)
            text = " ".join(done.stdout.split())
            for part in ("Build plots from table artifacts", "Run directory containing tables/ and logs/"):
                self.assertIn(part, text)
        self.assertEqual(run("report", "--run-dir", self.tmp, "--threads", 1).returncode, 2)
