"""One step of a model's life in a process of its own, so that strace can write it down, fail its calls or kill it."""

from __future__ import annotations

import ctypes
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from service import bundle, publication
from service.config import ROOT
from service.errors import CellarError, DataError
from service.registry import Registry

MODEL = "wine"
PATIENCE = 60
WAITING = {"select", "pselect6", "restart_syscall"}
SET_PTRACER, ANY_PROCESS = 0x59616D61, ctypes.c_ulong(-1)


class Call(NamedTuple):
    """A system call of a step: the `count`-th of its name, as strace wrote it."""

    name: str
    count: int
    text: str

    @property
    def paths(self) -> list[str]:
        """Return the paths that it names, be it by an open file or by a text."""
        return [by_text or by_file for by_file, by_text in re.findall(r'<(/[^>]*)>|"(/[^"]*)"', self.text)]

    @property
    def failed(self) -> bool:
        """Return whether it came to nothing."""
        return " = -1 " in self.text


class Done(NamedTuple):
    """How a step ended: its status (negative for a signal), what it told last, and its calls."""

    status: int
    told: str
    calls: list[Call]


def write(artifacts: Path, source: bundle.Bundle) -> None:
    """Write a candidate."""
    publication.write_candidate(artifacts, source.manifest, source.golden, source.model)


def publish(artifacts: Path, source: bundle.Bundle) -> None:
    """Publish version 1."""
    assert source.metrics
    publication.publish(artifacts / MODEL / "1", source.metrics)


def promote(artifacts: Path, source: bundle.Bundle) -> None:
    """Promote version 2 over version 1."""
    Registry(artifacts).promote(MODEL, 2, "a step", over=1)


STEPS: dict[str, Callable[[Path, bundle.Bundle], None]] = {"write": write, "publish": publish, "promote": promote}


def run(words: list[str], log: Path, *options: str) -> Done:
    """Run a module with its words to the end, and strace with its options beside it once it is ready for its step."""
    if not (strace := shutil.which("strace")):
        raise DataError("strace is not installed: apt-get install strace")
    # One thread, so that the calls come in one order.
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    step = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=alone, **pipes)
    try:
        _wait_until_ready(step)
        looking = [strace, "-f", "-y", "-s", "4096", "-o", str(log), *options, "-p", str(step.pid)]
        tracer = subprocess.Popen(looking, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr
        if "attached" not in (told := tracer.stderr.readline()):
            raise RuntimeError(f"strace cannot look on: {told}")
        output, error = step.communicate("go\n", PATIENCE)
        tracer.communicate()
    finally:
        step.kill()
        step.communicate()
    return Done(step.returncode, (output + error).strip().rpartition("\n")[2], _calls(log.read_text()))


def _wait_until_ready(step: subprocess.Popen[str]) -> None:
    """Return when a step waits for its start."""
    assert step.stdout
    if step.stdout.readline() != "ready\n":
        raise RuntimeError(f"the step did not get ready: {step.communicate()[1][-500:]}")
    while step.poll() is None and psutil.Process(step.pid).status() != psutil.STATUS_SLEEPING:
        time.sleep(0.001)


def _calls(text: str) -> list[Call]:
    """Return the calls until the step says how it went, each counted by its name as strace counts."""
    counts: Counter[str] = Counter()
    calls = []
    for name, line in re.findall(r"^\d+ +(\w+)(\(.*)$", text, re.M):
        counts[name] += 1
        if name not in WAITING:
            calls.append(Call(name, counts[name], line))
        if name == "write" and line.startswith("(1<"):
            break
    return calls


def perform(act: Callable[[], object]) -> int:
    """Wait until somebody looks on, do the step, and say how it went."""
    # Where only a parent may look on (Yama), this lets any process do so.
    ctypes.CDLL(None).prctl(SET_PTRACER, ANY_PROCESS, 0, 0, 0)
    print("ready", flush=True)
    # Not by reading, which is what steps do: whether this call is seen, and counted, is a matter of chance.
    select.select([0], [], [])
    try:
        act()
    except (CellarError, OSError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    print("done", flush=True)
    return 0


def main() -> int:
    """Do the step that the words name: the step, the artifacts, and the bundle to take the content from."""
    name, artifacts, source = sys.argv[1:]
    read = bundle.read(Path(source))
    return perform(lambda: STEPS[name](Path(artifacts), read))


if __name__ == "__main__":
    raise SystemExit(main())
