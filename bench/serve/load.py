"""The load: wrk, a closed loop of connections that each send the same request as soon as the last was answered."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from service.errors import DataError

SCRIPT = Path(__file__).with_name("wrk.lua")
PATIENCE = 30
"""Seconds that one reply may take, and that wrk may take beyond its time."""


class Figures(msgspec.Struct, frozen=True):
    """What wrk.lua prints: requests answered, microseconds in all, and by request at two quantiles, and errors."""

    requests: int
    duration: int
    p50: int
    p99: int
    errors: int


class Target(NamedTuple):
    """One request, sent again and again."""

    url: str
    body: Path
    headers: Mapping[str, str]


class Load(msgspec.Struct, frozen=True):
    """One measurement: requests per second and milliseconds of one request."""

    rate: float
    p50: float
    p99: float


def require_wrk() -> None:
    """Raise DataError where wrk is missing."""
    if not shutil.which("wrk"):
        raise DataError("wrk, which makes the load, is missing: install your system's package of it (apt install wrk)")


def command(target: Target, connections: int, seconds: int) -> list[str]:
    """Return the words that load a target for so many seconds."""
    options = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", f"{PATIENCE}s"]
    given = [word for pair in target.headers.items() for word in pair]
    return ["wrk", *options, "-s", str(SCRIPT), target.url, "--", str(target.body), *given]


def parse(told: str) -> Load:
    """Return the measurement in wrk's output; raise DataError if a request failed or none was answered."""
    lines = [line for line in told.splitlines() if line.startswith("{")]
    if not lines:
        raise DataError(f"wrk told no figures: {told.strip()[-200:] or 'it told nothing'}")
    figures = msgspec.json.decode(lines[-1], type=Figures)
    if figures.errors or not figures.requests:
        raise DataError(f"{figures.errors} of {figures.requests + figures.errors} requests failed under load")
    return Load(figures.requests / figures.duration * 1e6, figures.p50 / 1000, figures.p99 / 1000)


def run(target: Target, connections: int, seconds: int) -> Load:
    """Load a target and return the measurement."""
    words = command(target, connections, seconds)
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 2 * PATIENCE, check=False)
    return parse(done.stdout if done.returncode == 0 else done.stderr)
