"""Loading a version in a process of its own first: what goes wrong there does not go wrong in the service.

`python -m service.trial MEMORY SECONDS FOLDER…` is that process. It says for each bundle, in a line of JSON, what is
wrong with it; a bundle that it says nothing of is the one that it crashed on or did not finish.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from service import bundle, model
from service.config import ROOT
from service.errors import CellarError

PATIENCE = 60.0
"""Seconds in which a bundle has to be loaded."""
SPARE = 30.0
"""Seconds beyond that after which a process that does not end by itself is ended."""

NO_MEMORY = ("bad_alloc", "MemoryError", "allocate memory")
"""How Python and onnxruntime say that there is no memory left."""


class Tried(NamedTuple):
    """What became of a bundle: what is wrong with it, "" where nothing is, and the fingerprint of what was read."""

    why: str
    fingerprint: str = ""


def trial(folders: Sequence[Path], memory: int, patience: float = PATIENCE) -> dict[Path, Tried]:
    """Load bundles in another process; return what became of each, up to the one that it crashed or hung on.

    What stands behind that one was not tried. `memory` is in bytes, beyond what an empty service takes; `patience` in
    seconds for each.
    """
    words = [sys.executable, "-m", "service.trial", str(memory), str(patience), *map(str, folders)]
    child = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        output, code = child.communicate(timeout=patience * len(folders) + SPARE)[0], child.returncode
    except subprocess.TimeoutExpired:
        child.kill()
        output, code = child.communicate()[0], -signal.SIGALRM
    found = [msgspec.json.decode(line, type=Tried) for line in output.splitlines()]
    if len(found) < len(folders):
        found.append(Tried(_end(code, patience)))
    return dict(zip(folders, found, strict=False))


def _end(code: int, patience: float) -> str:
    """Return what a child's end says of the bundle that it was at."""
    if code == -signal.SIGALRM:
        return f"it was not loaded within {patience:g} s"
    if not code:
        return "it was not loaded, and nothing was said"
    return f"the process that loads it ends with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"


def _load(folder: Path, limit: str) -> Tried:
    try:
        return Tried("", model.load(folder).bundle.fingerprint)
    except MemoryError:
        return Tried(f"{bundle.told(folder, 2)} takes more memory than {limit} (CELLAR_MAX_MEMORY)")
    except CellarError as error:
        short = any(word in str(error) for word in NO_MEMORY)
        return Tried(f"{error}; it may take {limit} of memory (CELLAR_MAX_MEMORY)" if short else str(error))


def main() -> None:
    """Load each bundle and say what is wrong with it."""
    memory, patience = int(sys.argv[1]), float(sys.argv[2])
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with suppress(BrokenPipeError):  # who asked has ended
        for name in sys.argv[3:]:
            signal.setitimer(signal.ITIMER_REAL, patience)  # nobody may be left to end what hangs
            os.write(1, msgspec.json.encode(_load(Path(name), f"{memory / 1e6:,.0f} MB")) + b"\n")


if __name__ == "__main__":
    main()
