"""What crashes leave behind: files and folders beside their final place, whose names begin with a dot."""

from __future__ import annotations

import time
from pathlib import Path

from service import bundle
from service.registry import Registry

OLD = 24 * 60 * 60
"""Seconds after which a file that is being written, or a candidate, belongs to nobody any more."""


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


def leftovers(registry: Registry, model: str) -> list[Path]:
    """Return what lies beside the versions of a model and beside their files, left behind or being written."""
    home = registry.home(model)
    folders = [home, *(home / str(version) for version in bundle.versions(home))]
    return sorted(path for folder in folders if folder.is_dir() for path in folder.glob(".*"))
