"""Where a set-up runs: its environment, a folder for what it writes, the model's files, the requests it is sent."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from bench.serve import environments
from bench.serve.load import Target
from bench.serve.setups import PEERS, Case, Setup
from bench.serve.trained import Trained
from bench.serve.wire import Request
from service.errors import DataError
from workshop.pins import ROOT
from workshop.server import free_port

PATIENCE = 60
"""Seconds that a set-up may take to get ready, and then to its first prediction."""
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


class Place(NamedTuple):
    """One set-up, ready to be started."""

    setup: Setup
    trained: Trained
    scratch: Path
    prefix: Path
    requests: dict[Case, Request]

    def body(self, case: Case) -> Path:
        """Return the file that holds the body of a case's request."""
        return self.scratch / f"{case.name}.body"

    def target(self, case: Case, port: int) -> Target:
        """Return what wrk is to send, and where."""
        path, _ = self.setup.asked()[case]
        return Target(f"http://127.0.0.1:{port}{path}", self.body(case), self.requests[case].headers)


def prepare(setup: Setup, trained: Trained, folder: Path) -> Place:
    """Make the environment, the requests and what is served; raise DataError where that cannot be."""
    scratch = folder / setup.name.replace(" ", "-")
    scratch.mkdir()
    requests = {case: wire.write(trained.rows[: case.rows], trained.names) for case, (_, wire) in setup.asked().items()}
    place = Place(setup, trained, scratch, environments.prefix(setup.environment), requests)
    for case, request in requests.items():
        place.body(case).write_bytes(request.body)
    if setup.before and start(place, setup.before).wait(PATIENCE):
        raise DataError(f"it cannot be made ready: {last_words(place)}")
    return place


def start(place: Place, words: str, port: int = 0) -> subprocess.Popen[bytes]:
    """Start a program of a set-up; what it tells goes to a file, and Ctrl-C does not reach it."""
    known = _known(place, port)
    path = os.pathsep.join([str(place.prefix / "bin"), os.environ.get("PATH", os.defpath)])
    own = {
        "PATH": path,
        "PYTHONPATH": str(PEERS),
        "HOME": str(place.scratch),
        "TMPDIR": str(place.scratch),
        **ONE_THREAD,
    }
    given = {name: text.format(**known) for name, text in place.setup.environ.items()}
    with (place.scratch / "log").open("wb") as log:
        return subprocess.Popen(
            [word.format(**known) for word in shlex.split(words)],
            cwd=place.scratch,
            env={**os.environ, **own, "BENCH_FILES": str(place.trained.files), **given},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def last_words(place: Place) -> str:
    """Return the last line that a set-up told."""
    lines = (place.scratch / "log").read_text(errors="replace").strip().splitlines()
    return lines[-1][-200:] if lines else "it told nothing"


def _known(place: Place, port: int) -> dict[str, object]:
    """Return what the {fields} of a set-up stand for."""
    folder = place.prefix / "bin"
    return {
        "port": port,
        "port2": free_port(),
        "port3": free_port(),
        "bin": folder,
        "python": folder / "python" if place.setup.environment else sys.executable,
        "peers": PEERS,
        "root": ROOT,
        "files": place.trained.files,
        "artifacts": place.trained.artifacts,
        "scratch": place.scratch,
        "names": "\t".join(place.trained.names),
    }
