"""Rough handling: closed streams, full disks, hostile names. Each test is a fault that was found."""

import os
import subprocess
import sys
import unittest
import zipfile

import numpy as np

from support import PROGRAM, AcceptanceTest, experts, run


class Streams(AcceptanceTest):
    def test_tables_are_whole_when_the_standard_streams_are_closed(self):
        run_dir = self.run_dir(self.model(experts(count=2)))
        for closed in ("2>&-", "1>&-", "0<&- 1>&- 2>&-"):
            with self.subTest(closed):
                done = subprocess.run(["bash", "-c", f'"$0" collect-data --run-dir "$1" {closed}',
                                       PROGRAM, str(run_dir)], timeout=60, capture_output=True)
                self.assertEqual(done.returncode, 0)
                for name, rows in (("tensor_inventory", 6), ("matrix_stats", 6), ("quant_sim", 18)):
                    self.assertEqual(len(self.table(run_dir, name)), rows)

    @unittest.skipUnless(os.path.exists("/dev/full"), "needs Linux's /dev/full")
    def test_a_full_disk_under_stdout_is_a_failure(self):
        for command in (["config", "schema"], ["--version"], ["--help"]):
            with self.subTest(command), open("/dev/full", "w") as full:
                done = subprocess.run([PROGRAM, *command], stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, 1)

    def test_control_characters_of_names_do_not_reach_the_terminal(self):
        name = "model.layers.0.mlp.experts.0.\x1b]0;pwn\x07.up_proj.weight"
        run_dir = self.run_dir(self.model({name: np.ones((32, 40), np.float32)}))
        done = self.collect(run_dir, expect=3)  # no scheme fits 40 columns
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertEqual(self.table(run_dir, "matrix_stats").source_tensor[0], name)

    def test_more_threads_than_any_machine_has_are_a_usage_error(self):
        run_dir = self.run_dir(self.model(experts(count=1)))
        self.collect(run_dir, "--threads", "4294967295", expect=2)
        self.collect(run_dir, "--threads", "1024")


class Input(AcceptanceTest):
    def test_a_path_too_long_for_the_system_is_an_error(self):
        run_dir = self.run_dir(self.model(experts(count=1)))
        self.collect(run_dir, "--model-path", "/" + "x" * 5000, expect=1)
        self.assertEqual(self.log(run_dir, "run_failure.json")["error"]["type"], "SystemExit")

    def test_coverage_does_not_count_what_could_not_be_read(self):
        folder = self.tmp / "crc"
        folder.mkdir()
        path = folder / "w.npz"
        np.savez_compressed(path, **experts(count=2))
        with zipfile.ZipFile(path) as archive:
            member = archive.infolist()[0]
        data = bytearray(path.read_bytes())
        central = data.rfind(b"PK\x01\x02" , 0, data.rfind(b"PK\x05\x06"))
        while data[central + 46:central + 46 + len(member.filename)] != member.filename.encode():
            central = data.rfind(b"PK\x01\x02", 0, central)
        data[central + 16] ^= 0xFF  # the CRC-32 of the first member
        path.write_bytes(data)
        run_dir = self.run_dir(folder)
        self.collect(run_dir, "--keep-going", expect=3)
        coverage = self.log(run_dir, "run_health.json")["expert_coverage"]
        self.assertEqual(coverage["expert_parameters"], 6 * 64 * 128)
        self.assertEqual(coverage["analysed_parameters"], 5 * 64 * 128)
        self.assertAlmostEqual(coverage["share"], 5 / 6)
        self.assertEqual(len(self.table(run_dir, "unmatched_tensors")), 1)

    @unittest.skipIf(sys.platform == "darwin", "macOS has only UTF-8 file names")
    def test_a_file_name_that_is_no_utf8_makes_a_readable_table(self):
        folder = os.fsencode(self.tmp) + b"/nu\xff"
        os.mkdir(folder)
        model = self.model(experts(count=1))
        os.rename(model / "model.safetensors", folder + b"/m\xfe.safetensors")
        run_dir = self.run_dir(self.tmp)
        files = set(self.table(run_dir, "matrix_stats").file) if self.collect(run_dir) else set()
        self.assertEqual(files, {f"{self.tmp}/nu\\xff/m\\xfe.safetensors"})

    def test_a_config_that_is_no_json_leaves_a_failure_log(self):
        run_dir = self.run_dir(self.model(experts(count=1)))
        (run_dir / "analysis_config.json").write_text("{")
        self.collect(run_dir, expect=2)
        failure = self.log(run_dir, "run_failure.json")
        self.assertEqual((failure["status"], failure["index"]["status"]), ("error", "not_initialized"))
        self.assertIsNone(failure["model_path"]["source"])


class WholeOrNothing(AcceptanceTest):
    def test_a_log_that_cannot_be_written_leaves_the_old_tables(self):
        run_dir = self.run_dir(self.model(experts(count=1)))
        self.collect(run_dir)
        old = {path: path.read_bytes() for path in (run_dir / "data").iterdir()}
        (run_dir / "logs" / "run_health.json").unlink()
        for log in (run_dir / "logs").iterdir():
            log.unlink()
        (run_dir / "logs").rmdir()
        (run_dir / "logs").write_text("in the way")
        self.model(experts(count=2))
        self.collect(run_dir, expect=1)
        self.assertEqual({path: path.read_bytes() for path in (run_dir / "data").iterdir()}, old)


if __name__ == "__main__":
    unittest.main()
