"""Input that lies, is damaged, or changes while it is read: what of it is refused, and that nothing else suffers."""

import json
import math
import os
import shutil
import signal
import struct
import subprocess
import time
import unittest
import zipfile
import zlib

import numpy as np
import pyarrow.parquet as pq

from support import PROGRAM, AcceptanceTest, experts, run

ESCAPE = "\x1b]0;pwn\x07\u009b2J\u202e"


def npy_member(descr, array):
    """An npy file whose `descr` is this text."""
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {array.shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + array.tobytes()


def gguf(tensors):
    """A GGUF file; tensors: (name as bytes, ggml type, ne, data)."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 0)
    body = b""
    for name, kind, ne, data in tensors:
        out += struct.pack("<Q", len(name)) + name + struct.pack("<I", len(ne))
        out += b"".join(struct.pack("<Q", size) for size in ne)
        out += struct.pack("<IQ", kind, len(body))
        body += data + b"\0" * (-len(data) % 32)
    return out + b"\0" * (-len(out) % 32) + body


def controls(text):
    return {character for character in text if not character.isprintable() and character != "\n"}


def deflated_zeros(shape):
    """The npz archive of one float16 array of zeros, deflated 1000 : 1; no more than 2^32 of them are really there."""
    head = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head
    size = 2 * math.prod(shape)
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    start = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = start + piece * min(256, size >> 24) + packer.flush()
    name = b"model.layers.0.mlp.experts.up_proj.weight.npy"
    large = struct.pack("<HHQ", 1, 8, len(head) + size)  # the ZIP64 field: the size after inflating
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 45, 0, 8, 0, 0, 0, len(data), 0xFFFFFFFF,
                        len(name), 0) + name
    central = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 45, 45, 0, 8, 0, 0, 0, len(data),
                          0xFFFFFFFF, len(name), len(large), 0, 0, 0, 0, 0) + name + large
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(data), 0)
    return local + data + central + end


class RobustTest(AcceptanceTest):
    def write(self, name, data, folder="model"):
        (self.tmp / folder).mkdir(exist_ok=True)
        (self.tmp / folder / name).write_bytes(data)
        return self.tmp / folder


class NpyTypes(RobustTest):
    SPELLINGS = {"float32": "<f4", "<f": "<f4", "f": "<f4", "e": "<f2", ">e": ">f2", "d": "<f8",
                 "half": "<f2", "single": "<f4", "float": "<f8", ">d": ">f8", "=f": "<f4"}

    def test_every_spelling_that_numpy_reads_is_read_as_numpy_does(self):
        rng = np.random.default_rng(5)
        (self.tmp / "model").mkdir()
        arrays = {}
        with zipfile.ZipFile(self.tmp / "model" / "w.npz", "w") as archive:
            for expert, (descr, usual) in enumerate(self.SPELLINGS.items()):
                name = f"model.layers.0.mlp.experts.{expert}.down_proj.weight"
                arrays[expert] = rng.standard_normal((4, 32)).astype(usual)
                archive.writestr(name + ".npy", npy_member(descr, arrays[expert]))
        run_dir = self.run_dir(self.tmp / "model")
        self.collect(run_dir)
        stats = self.table(run_dir, "matrix_stats").set_index("expert_id")
        self.assertEqual(sorted(stats.index), sorted(arrays))
        for expert, array in arrays.items():
            rms = np.sqrt(np.mean(array.astype(np.float64) ** 2))
            self.assertAlmostEqual(stats.rms[expert], rms, delta=1e-6 * rms)

    def test_a_type_that_is_not_read_is_named(self):
        (self.tmp / "model").mkdir()
        with zipfile.ZipFile(self.tmp / "model" / "w.npz", "w") as archive:
            for expert, descr in enumerate(("<f4", "g", "<float32")):
                array = np.ones((4, 32), "<f4" if expert != 1 else np.longdouble)
                archive.writestr(f"model.layers.0.mlp.experts.{expert}.down_proj.weight.npy",
                                 npy_member(descr, array))
        run_dir = self.run_dir(self.tmp / "model")
        self.collect(run_dir, expect=3)
        self.assertEqual(self.table(run_dir, "matrix_stats").expert_id.tolist(), [0])
        reasons = self.table(run_dir, "unmatched_tensors").reason.tolist()
        self.assertEqual(len(reasons), 2)
        for reason, descr in zip(reasons, ("'g'", "'<float32'")):
            self.assertIn(descr, reason)
            self.assertNotIn("quantized", reason)

    def test_a_pickled_array_is_refused_by_name(self):
        np.save(self.tmp / "w.npy", np.array({"a": 1}), allow_pickle=True)
        for command in (["inspect", self.tmp / "w.npy"],
                        ["analyze", self.tmp / "w.npy", "--out", self.tmp / "out"]):
            done = run(*command)
            self.assertEqual(done.returncode, 1)
            self.assertIn("pickle", done.stderr)


class Shrinking(RobustTest):
    """The second of two files loses its end while the first one is measured."""

    def shrink(self, *arguments):
        model = self.model({f"model.layers.0.mlp.experts.{e}.up_proj.weight":
                            np.ones((64, 64), np.float32) for e in range(2)}, file="a.safetensors")
        nbytes = 64 * 1024 * 1024 * 2  # zeros that take no room on the disk
        header = json.dumps({"model.layers.1.mlp.experts.up_proj.weight": {
            "dtype": "F16", "shape": [64, 1024, 1024], "data_offsets": [0, nbytes]}}).encode()
        with open(model / "b.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            file.truncate(8 + len(header) + nbytes)
        run_dir = self.run_dir(model)
        child = subprocess.Popen([PROGRAM, "collect-data", "--run-dir", run_dir, "--threads", "2",
                                  *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                 text=True)
        while "(1/2)" not in child.stderr.readline():
            self.assertIsNone(child.poll())
        os.truncate(model / "b.safetensors", 4096)
        stderr = child.communicate(timeout=60)[1]
        self.assertEqual([str(path) for path in run_dir.rglob("*.tmp")], [])
        return run_dir, child.returncode, stderr

    def test_it_is_an_error_with_a_log_and_leaves_nothing(self):
        run_dir, code, stderr = self.shrink()
        self.assertEqual(code, 1, stderr)
        self.assertIn("b.safetensors: became shorter", stderr)
        self.assertIn("shorter", self.log(run_dir, "run_failure.json")["error"]["message"])
        self.assertEqual(list((run_dir / "data").iterdir()), [])

    def test_keep_going_refuses_its_matrices_and_measures_the_others(self):
        run_dir, code, stderr = self.shrink("--keep-going")
        self.assertEqual(code, 3, stderr)
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(stats[stats.layer == 0].rms.tolist(), [1, 1])
        self.assertLess(len(stats[stats.layer == 1]), 64)
        unmatched = self.table(run_dir, "unmatched_tensors")
        self.assertEqual(len(unmatched), 1)
        self.assertIn("shorter", unmatched.reason[0])


class Inflating(RobustTest):
    def test_ctrl_c_is_heard_while_a_member_is_inflated(self):
        run_dir = self.run_dir(self.write("w.npz", deflated_zeros((96, 4096, 4096))))  # 3 GiB
        child = subprocess.Popen([PROGRAM, "collect-data", "--run-dir", run_dir],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                 env={**os.environ, "TMPDIR": str(self.tmp)})
        while "scanning" not in child.stderr.readline():
            self.assertIsNone(child.poll())
        time.sleep(0.5)  # well inside
        interrupted = time.monotonic()
        child.send_signal(signal.SIGINT)
        stderr = child.communicate(timeout=60)[1]
        self.assertEqual(child.returncode, 130, stderr)
        self.assertLess(time.monotonic() - interrupted, 3)
        self.assertEqual(list(run_dir.rglob("*.tmp")), [])

    def test_a_member_too_large_for_the_temporary_folder_is_refused_before_it_is_written(self):
        run_dir = self.run_dir(self.write("w.npz", deflated_zeros((1, 1 << 20, 1 << 29))))  # 1 PiB
        done = self.collect(run_dir, expect=1)
        self.assertIn("TMPDIR", done.stderr)
        self.assertIn(str(2 ** 50 // 1000)[:6], done.stderr)


class Killed(RobustTest):
    """What a command leaves that is killed while it writes."""

    def test_temporary_files_of_processes_that_are_gone_are_removed(self):
        run_dir = self.run_dir(self.model(experts(count=1)))
        gone = subprocess.Popen(["true"])
        gone.wait()
        for folder in ("data", "logs", "tables"):
            for pid in (gone.pid, os.getpid()):
                (run_dir / folder / f".matrix_stats.parquet.{pid}-0.tmp").write_text("left")
        self.collect(run_dir)
        self.assertEqual(run("build-tables", "--run-dir", run_dir).returncode, 0)
        self.assertEqual(sorted(path.relative_to(run_dir).parts[0]
                                for path in run_dir.rglob("*.tmp")), ["data", "logs", "tables"])
        self.assertEqual(list(run_dir.rglob(f"*.{gone.pid}-0.tmp")), [])

    def refused(self, run_dir, commands):
        for command in commands:
            with self.subTest(command):
                done = run(*command, "--run-dir", run_dir)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("collect-data", done.stderr)

    ALL = (["build-tables"], ["build-plots"], ["report"], ["show"],
           ["show", "--table", "quant_sim"])

    def test_outputs_of_two_models_are_told_by_every_command_until_they_are_written_again(self):
        run_dir = self.run_dir(self.model(experts(count=1)))
        self.collect(run_dir)
        self.assertEqual(run("build-tables", "--run-dir", run_dir).returncode, 0)
        other = self.model(experts(count=2), name="other")
        health = run_dir / "logs" / "run_health.json"
        health.unlink()
        (health / "in the way").mkdir(parents=True)  # the tables get their names, this one does not
        self.collect(run_dir, "--model-path", other, expect=1)
        self.refused(run_dir, self.ALL)
        shutil.rmtree(health)
        self.refused(run_dir, self.ALL)
        self.collect(run_dir, "--model-path", other)
        for command in self.ALL:
            self.assertEqual(run(*command, "--run-dir", run_dir).returncode, 0, command)
        self.assertEqual([path.name for path in run_dir.glob(".*")], [])


class Texts(RobustTest):
    def test_gguf_texts_that_are_no_utf8_make_valid_parquet(self):
        data = np.ones((2, 8, 32), np.float32).tobytes()
        model = self.write("m.gguf", gguf([(b"blk.0.ffn_up_exps.weight", 0, (32, 8, 2), data),
                                           (b"blk.0.\xff\xc3.weight", 0, (32, 8, 2), data)]))
        run_dir = self.run_dir(model)
        self.collect(run_dir)
        for path in (run_dir / "data").glob("*.parquet"):
            pq.read_table(path).validate(full=True)
        self.assertEqual(self.table(run_dir, "tensor_inventory").tensor_name.tolist(),
                         ["blk.0.ffn_up_exps.weight", "blk.0.\\xff\\xc3.weight"])
        self.assertEqual(len(self.table(run_dir, "matrix_stats")), 2)

    def test_control_characters_of_a_projection_reach_no_terminal(self):
        model = self.model({f"model.layers.0.mlp.experts.{e}.{ESCAPE}.weight":
                            np.random.default_rng(e).standard_normal((32, 64)).astype(np.float32)
                            for e in range(2)})

        def rule(config):
            config["extract_rules"] = [
                {"name": ESCAPE, "match": ".*experts\\.(\\d+)\\.(.*)\\.weight$", "ndim": 2,
                 "layout": {"rows_axis": 0, "cols_axis": 1}, "expert_group": 1, "proj_group": 2}]
            config["quant_schemes"][0]["name"] = ESCAPE
        run_dir = self.tmp / "out" / "m" / "analysis"
        made = self.run_dir(model, rule)
        run_dir.parent.mkdir(parents=True)
        made.rename(run_dir)
        commands = [["analyze", model, "--out", self.tmp / "out", "--model-id", "m"],
                    ["inspect", model], ["inspect", model, "--json"],
                    ["inspect", model, "--tensors"],
                    *[[command, "--run-dir", run_dir] for command in
                      ("collect-data", "build-tables", "build-plots", "report", "show")],
                    *[["show", "--run-dir", run_dir, "--table", "quant_sim", "--format", form]
                      for form in ("table", "json", "markdown")],
                    ["show", "--run-dir", run_dir, "--where", "proj=" + ESCAPE],
                    ["show", "--run-dir", run_dir, "--where", ESCAPE + "=1"]]
        for command in commands:
            with self.subTest(command):
                done = run(*command)
                self.assertEqual(controls(done.stdout + done.stderr), set())
                self.assertIn(done.returncode, (0, 2, 3), done.stderr)
        self.assertEqual(set(self.table(run_dir, "matrix_stats").proj), {ESCAPE})


class Sizes(RobustTest):
    def test_an_axis_that_no_table_can_hold_is_refused(self):
        header = json.dumps({"x": {"dtype": "F32", "shape": [0, 2**63, 2], "data_offsets": [0, 0]}})
        model = self.write("model.safetensors",
                           struct.pack("<Q", len(header)) + header.encode())
        run_dir = self.run_dir(model)
        self.assertIn("9223372036854775808", self.collect(run_dir, expect=1).stderr)
        self.assertFalse((run_dir / "data" / "tensor_inventory.parquet").exists())

    def test_the_largest_axis_stands_in_the_inventory_as_it_is(self):
        header = json.dumps({"x": {"dtype": "F32", "shape": [0, 2**63 - 1],
                                   "data_offsets": [0, 0]}})
        model = self.write("model.safetensors",
                           struct.pack("<Q", len(header)) + header.encode())
        self.model(experts(count=1), file="more.safetensors")
        run_dir = self.run_dir(model)
        self.collect(run_dir)
        inventory = self.table(run_dir, "tensor_inventory").set_index("tensor_name")
        self.assertEqual(list(inventory["shape"]["x"]), [0, 2**63 - 1])


class GgmlTypes(RobustTest):
    def test_an_unknown_type_refuses_that_tensor_and_no_other(self):
        data = np.ones((2, 8, 32), np.float32).tobytes()
        model = self.write("m.gguf", gguf([(b"blk.0.ffn_up_exps.weight", 0, (32, 8, 2), data),
                                           (b"blk.0.ffn_gate_exps.weight", 137, (32, 8, 2),
                                            b"\x55" * 288),
                                           (b"blk.0.ffn_down_exps.weight", 0, (8, 32, 2), data),
                                           (b"blk.1.ffn_down_exps.weight", 4, (8, 32, 2),
                                            b"\x55" * 100)]))
        self.assertEqual(run("inspect", model).returncode, 3)
        run_dir = self.run_dir(model)
        self.collect(run_dir, expect=3)
        stats = self.table(run_dir, "matrix_stats")
        self.assertEqual(set(stats.source_tensor),
                         {"blk.0.ffn_up_exps.weight", "blk.0.ffn_down_exps.weight"})
        self.assertTrue((stats.rms == 1).all())
        refused = self.table(run_dir, "unmatched_tensors").set_index("tensor_name").reason
        self.assertIn("ggml type 137", refused["blk.0.ffn_gate_exps.weight"])
        self.assertIn("ggml type 4", refused["blk.1.ffn_down_exps.weight"])
        sizes = self.table(run_dir, "tensor_inventory").set_index("tensor_name").nbytes
        self.assertEqual(sizes["blk.0.ffn_gate_exps.weight"], 288)
        self.assertEqual(sizes["blk.1.ffn_down_exps.weight"], 128)  # up to the file's end


if __name__ == "__main__":
    unittest.main()
