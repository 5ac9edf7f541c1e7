"""moescope doctor: what it says of this machine, of a folder's disk, and of the real MLX where it is."""

import json
import os
import pathlib
import platform

from support import PROGRAM, AcceptanceTest, run


class Doctor(AcceptanceTest):
    def test_json_tells_the_machine_and_times_a_folder(self):
        (self.tmp / "cache" / "snapshot").mkdir(parents=True)
        (self.tmp / "cache" / "snapshot" / "model.safetensors").write_bytes(bytes(3_000_000))
        (self.tmp / "README.md").write_text("less")
        done = run("doctor", self.tmp, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        said = json.loads(done.stdout)
        self.assertEqual(said["system"], f"{platform.system()} {platform.release()} {platform.machine()}")
        self.assertEqual(said["cores"], len(os.sched_getaffinity(0)))
        self.assertEqual(said["memory_bytes"], os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        self.assertEqual(said["disk"]["bytes"], 3_000_000)
        self.assertEqual(pathlib.Path(said["disk"]["file"]).name, "model.safetensors")
        self.assertAlmostEqual(said["disk"]["bytes_per_second"] * said["disk"]["seconds"], 3_000_000, delta=1)
        for part in (said["system"], said["simd_target"], said["arrow"], said["disk"]["file_system"]):
            self.assertIn(part, said["line"])
        self.assertNotIn(str(self.tmp), said["line"])
        if (pathlib.Path(PROGRAM).parent / "moescope_mlx.so").exists():
            self.assertEqual(said["mlx"]["probes"]["rounds_bf16"], "twice")  # of its CPU
            self.assertIn(f"MLX {said['mlx']['version']} cpu affine_negative=", said["line"])
        else:
            self.assertIn("MLX plugin", said["mlx_missing"])

    def test_the_last_line_is_whole(self):
        line = json.loads(run("doctor", "--json").stdout)["line"]
        self.assertEqual(run("doctor").stdout.splitlines()[-1], line)

    def test_without_mlx_it_says_so_and_a_folder_that_is_not_there_is_an_error(self):
        done = run("doctor", self.tmp / "absent", env={"MOESCOPE_MLX_PLUGIN": str(self.tmp / "none.so")})
        self.assertEqual(done.returncode, 1)
        self.assertIn("none.so", done.stdout)
        self.assertIn("no MLX", done.stdout.splitlines()[-1])
        self.assertIn("absent", done.stderr)
