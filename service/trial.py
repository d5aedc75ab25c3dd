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

import msgspec

from service import bundle, model
from service.config import ROOT
from service.errors import CellarError

PATIENCE = 60
"""Seconds in which all that is tried has to be loaded."""

NO_MEMORY = ("bad_alloc", "MemoryError", "allocate memory")
"""How Python and onnxruntime say that there is no memory left."""


def trial(folders: Sequence[Path], memory: int, patience: float = PATIENCE) -> dict[Path, str]:
    """Return what is wrong with each bundle, "" where nothing is: it is damaged, crashes, hangs, or takes too much.

    `memory` is in bytes, beyond what an empty service takes.
    """
    found: dict[Path, str] = {}
    left = list(folders)
    while left:
        told, end = _try(left, memory, patience)
        found |= zip(left, told, strict=False)
        left = left[len(told) :]
        if left:
            found[left.pop(0)] = end or "it was not loaded, and nothing was said"
    return found


def _try(folders: Sequence[Path], memory: int, patience: float) -> tuple[list[str], str]:
    """Return what a child said of the first of `folders`, and what became of it at the next."""
    words = [sys.executable, "-m", "service.trial", str(memory), str(patience), *map(str, folders)]
    child = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        output, end = child.communicate(timeout=patience)[0], ""
    except subprocess.TimeoutExpired:
        child.kill()
        output, end = child.communicate()[0], f"it was not loaded within {patience:g} s"
    if child.returncode and not end:
        name = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit code {child.returncode}"
        end = f"the process that loads it ends with {name}"
    return [msgspec.json.decode(line) for line in output.splitlines()], end


def _load(folder: Path, limit: str) -> str:
    try:
        model.load(folder)
    except MemoryError:
        return f"{bundle.told(folder, 2)} takes more memory than {limit} (CELLAR_MAX_MEMORY)"
    except CellarError as error:
        short = any(word in str(error) for word in NO_MEMORY)
        return f"{error}; it may take {limit} of memory (CELLAR_MAX_MEMORY)" if short else str(error)
    return ""


def main() -> None:
    """Load each bundle and say what is wrong with it."""
    memory, patience = int(sys.argv[1]), float(sys.argv[2])
    signal.alarm(int(patience) + 2)  # who waits for it may be gone by then
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    if pages:
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name in sys.argv[3:]:
        told = _load(Path(name), f"{memory / 1e6:,.0f} MB")
        with suppress(BrokenPipeError):  # who asked has ended
            os.write(1, msgspec.json.encode(told) + b"\n")


if __name__ == "__main__":
    main()
