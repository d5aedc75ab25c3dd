"""Checks of the machine and the house, each a fact and whether it is as it should be."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from service import config
from service.registry import Registry
from workshop import environment, verification


def examine() -> Iterator[tuple[bool, str]]:
    """Yield (good, what was found) for each check."""
    yield sys.version_info >= (3, 11), f"Python {sys.version.split()[0]}"
    yield environment.ready(Path(sys.prefix)), f"the environment {sys.prefix} matches requirements.lock"
    settings = config.read()
    yield any(settings.data.glob("*.csv")), f"tables in {settings.data}"
    for folder in (settings.artifacts, settings.reports):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        yield os.access(existing, os.W_OK), f"{folder} can be written"
    free = shutil.disk_usage(config.ROOT).free / 2**30
    yield free > 1, f"{free:.0f} GiB free"
    yield from verification.verify_all(Registry(settings.artifacts))
