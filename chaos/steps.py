"""One step of a model's life in a process of its own, so that strace can write it down, fail its calls or kill it."""

from __future__ import annotations

import ctypes
import os
import re
import select
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from service import bundle
from service.errors import CellarError
from service.registry import Registry

COMMAND = [sys.executable, "-m", "chaos.steps"]
MODEL = "wine"
ROOT = Path(__file__).resolve().parents[1]
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
    bundle.write_candidate(artifacts, source.manifest, source.golden, source.model)


def publish(artifacts: Path, source: bundle.Bundle) -> None:
    """Publish version 1."""
    assert source.metrics
    bundle.publish(artifacts / MODEL / "1", source.metrics)


def promote(artifacts: Path, source: bundle.Bundle) -> None:
    """Promote version 2 over version 1."""
    Registry(artifacts).promote(MODEL, 2, "a step", over=1)


STEPS: dict[str, Callable[[Path, bundle.Bundle], None]] = {"write": write, "publish": publish, "promote": promote}


def run(words: list[str], log: Path, *options: str) -> Done:
    """Run a step to its end, strace beside it with the given options from where the step itself begins."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # One thread, so that the calls come in one order.
    step = subprocess.Popen([*COMMAND, *words], cwd=ROOT, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}, **pipes)
    try:
        assert step.stdout
        if step.stdout.readline() != "ready\n":
            raise RuntimeError(f"the step did not get ready: {step.communicate()[1][-500:]}")
        while psutil.Process(step.pid).status() != psutil.STATUS_SLEEPING:
            time.sleep(0.001)
        words = ["strace", "-f", "-y", "-s", "4096", "-o", str(log), *options, "-p", str(step.pid)]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr
            if "attached" not in (told := tracer.stderr.readline()):
                raise RuntimeError(f"strace cannot look on: {told}")
            output, error = step.communicate("go\n")
            tracer.stderr.read()
    finally:
        step.kill()
    return Done(step.returncode, (output + error).strip().rpartition("\n")[2], _calls(log.read_text()))


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


def perform(prepare: Callable[[], Callable[[], object]]) -> int:
    """Get ready, wait until somebody looks on, do the step, and say how it went."""
    act = prepare()
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
    return perform(lambda: lambda: STEPS[name](Path(artifacts), read))


if __name__ == "__main__":
    raise SystemExit(main())
