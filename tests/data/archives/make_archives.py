"""Writes the archives described in README.md into this folder."""
import io
import pathlib
import zipfile

import numpy as np

FOLDER = pathlib.Path(__file__).parent
ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(4, dtype=np.float64) + 0.5,
}


class Pipe(io.RawIOBase):
    """Takes bytes and cannot seek, as a pipe."""

    def __init__(self):
        self.taken = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.taken += data
        return len(data)


pipe = Pipe()
np.savez_compressed(pipe, **ARRAYS)
(FOLDER / "streamed_deflated.npz").write_bytes(pipe.taken)

zipfile.ZIP_FILECOUNT_LIMIT = 1  # above this many members, zipfile writes the ZIP64 end record
np.savez(FOLDER / "zip64_end.npz", **ARRAYS)
