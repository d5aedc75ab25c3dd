"""An environment for each peer, of the few packages that its `peers/<name>.txt` pins, in .venv-bench/<name>."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bench.serve.setups import PEERS
from service.errors import DataError
from service.files import sha256
from workshop import installers
from workshop.pins import ROOT, EnvironmentSetupError

CACHE = ROOT / ".venv-bench"


def prefix(name: str) -> Path:
    """Return the folder of an environment, made or renewed if need be, "" being this one; DataError if that fails."""
    if not name:
        return Path(sys.prefix)
    folder, pins = CACHE / name, PEERS / f"{name}.txt"
    stamp, wanted = folder / "bench.stamp", sha256(pins.read_bytes() + sys.version.encode())
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Making .venv-bench/{name} ...", file=sys.stderr, flush=True)
        try:
            _make(folder, pins)
        except EnvironmentSetupError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DataError(f"its environment cannot be made from {pins.name}: {error}") from error
        stamp.write_text(wanted)
    return folder


def _make(folder: Path, pins: Path) -> None:
    uv = installers.uv_on_path() or str(Path(sys.prefix) / "bin" / "uv")
    mirror = installers.mirror(installers.find_pip())
    installers.run([uv, "venv", "--clear", "--python", sys.executable, str(folder)])
    python = str(folder / "bin" / "python")
    installers.run([uv, "pip", "install", "--compile-bytecode", "--python", python, "-r", str(pins)], **mirror)
