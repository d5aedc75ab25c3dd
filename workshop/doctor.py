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
from workshop.menu import RIGHTS, typed


def examine() -> Iterator[tuple[bool, str]]:
    """Yield (good, what was found) for each check."""
    yield sys.version_info >= (3, 11), f"Python {sys.version.split()[0]}"
    if environment.ready(Path(sys.prefix)):
        yield True, f"the environment {sys.prefix} matches requirements.lock"
    else:
        yield False, f"the environment {sys.prefix} does not match requirements.lock: {typed('setup')} renews it"
    settings = config.read()
    if any(settings.data.glob("*.csv")):
        yield True, f"tables in {settings.data}"
    else:
        yield False, f"no tables in {settings.data}: {typed('data')} writes the samples, {typed('new')} takes yours in"
    for folder in (settings.artifacts, settings.reports):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
            yield True, f"{folder} can be written"
        else:
            yield False, f"{folder} cannot be written: {RIGHTS if existing.is_dir() else f'{existing} is no folder'}"
    free = shutil.disk_usage(config.ROOT).free / 2**30
    yield free > 1, f"{free:.0f} GiB free{'' if free > 1 else ': make room, a run needs one'}"
    yield from verification.verify_all(Registry(settings.artifacts))
