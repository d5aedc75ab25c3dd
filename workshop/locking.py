"""Deriving the locks: every wheel pinned with its hashes, no index address in the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from service.config import ROOT

CLIENTS = ("tests/clients/requirements.in", "tests/clients/requirements.lock")
PAIRS = (
    ("requirements.in", "requirements.lock"),
    ("service/requirements.in", "service/requirements.lock"),
    CLIENTS,
)


def write_locks() -> list[Path]:
    """Write every lock anew and return their paths; the service's keeps to the versions of the workshop's."""
    words = "pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet".split()
    for source, lock in PAIRS:
        constraint = ["--constraint", PAIRS[0][1]] if lock == PAIRS[1][1] else []
        command = [sys.executable, "-m", "uv", *words, *constraint, source, "--output-file", lock]
        subprocess.run(command, cwd=ROOT, check=True)
    return [ROOT / lock for _, lock in PAIRS]
