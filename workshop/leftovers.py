"""What crashes leave behind: what is half-written, by `service.files`' rule, and versions that are half-removed."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from service import bundle
from service.files import folders, half_written
from service.registry import Registry

OLD = 24 * 60 * 60
"""Seconds after which a file that is being written, or a candidate, belongs to nobody any more."""

REMOVED = re.compile(r"\.removed-([0-9]+)\.[0-9a-f]{8}")
"""What a version's folder is called until all of the version is gone: no writer takes it for half-written."""


def is_old(path: Path) -> bool:
    """Whether a file or folder was last changed more than a day ago; not if it is gone by now."""
    try:
        return time.time() - path.lstat().st_mtime > OLD
    except FileNotFoundError:
        return False


def homes(registry: Registry) -> list[str]:
    """Return the names of the models that have a folder, one without any version too."""
    if not registry.folder.is_dir():
        return []
    folders = (path for path in registry.folder.iterdir() if path.is_dir())
    return sorted(path.name for path in folders if bundle.MODEL_NAME.fullmatch(path.name))


def removed_name(version: int) -> str:
    """Return a new name for the folder of a version that is to go."""
    return f".removed-{version}.{os.urandom(4).hex()}"


def half_removed(home: Path) -> dict[Path, int]:
    """Return what is left of versions that were to go, each folder with its version, the oldest version first."""
    found = {path: int(match[1]) for path in home.glob(".removed-*") if (match := REMOVED.fullmatch(path.name))}
    return dict(sorted(found.items(), key=lambda each: (each[1], each[0])))


def half_written_reports(reports: Path) -> list[Path]:
    """Return what is half-written among the reports: beside those of the models, of their versions, and in these."""
    return sorted({path for folder in (reports, *folders(reports)) for path in half_written(folder)})
