"""Removing what can be made again."""

from __future__ import annotations

import shutil

from service import config

CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")


def clean(everything: bool) -> None:
    """Remove caches, and if `everything` is to go, the models and their reports, too."""
    for name in CACHES:
        shutil.rmtree(config.ROOT / name, ignore_errors=True)
    if not everything:
        return
    settings = config.read()
    shutil.rmtree(settings.artifacts, ignore_errors=True)
    for path in settings.reports.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "README.md":
            path.unlink()
