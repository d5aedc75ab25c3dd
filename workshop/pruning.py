"""Removing what nobody needs any more: old versions with their reports, stale candidates, what crashes left."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from service import bundle
from service.errors import BundleError
from service.files import locked, sync_folder
from service.registry import Registry
from workshop.leftovers import homes, is_old, leftovers

REMOVED = re.compile(r"\.removed-([0-9]+)-[0-9a-f]+")
"""What a version's folder is called once the version is gone."""


def prune(registry: Registry, reports: Path, keep: int) -> Iterator[str]:
    """Remove what is `superfluous`, and what crashes left a day ago or earlier; yield what was removed.

    A version is first renamed out of sight and then deleted: a crash leaves it whole or gone, and the rest of it to
    the next time.
    """
    for name in (name for name in homes(registry) if not registry.fault(name)):
        _hide(registry, name, keep)
        for path in leftovers(registry, name):
            hidden = REMOVED.fullmatch(path.name)
            if hidden:
                _delete_reports(registry, reports, name, int(hidden[1]))
            if hidden or is_old(path):
                _delete(path)
                yield f"{name} version {hidden[1]}" if hidden else f"{name}: {path.name}, which a crash left"
    for path in filter(is_old, sorted(reports.glob(".run-*"))):
        _delete(path)
        yield f"{path.name} among the reports, which a crash left"


def superfluous(registry: Registry, name: str, keep: int) -> list[int]:
    """Return the versions that may go: candidates older than a day, and of the others those that are not to be kept.

    Kept are the champion, those that rollbacks lead to from it and that were champion last, `keep` of each, and the
    `keep` newest that are published.
    """
    numbers = bundle.versions(registry.home(name))
    candidates = [version for version in numbers if _is_candidate(registry.place(name, version))]
    old = [version for version in candidates if is_old(registry.place(name, version))]
    once = [version for version in numbers if version not in candidates]
    kept = {*_line_of_champions(registry, name, keep), *registry.candidates_to_serve(name)[:keep]}
    kept |= {*registry.versions(name)[-keep:], *once[-1:]}  # the last, damaged or not: no number is given twice
    return sorted({*old, *once} - kept)


def _line_of_champions(registry: Registry, name: str, keep: int) -> list[int]:
    """Return the champion and where rollbacks lead from it, one after the other, at most `keep` of them."""
    line: list[int] = []
    version = registry.champion(name)
    while version is not None and version not in line and len(line) <= keep:
        line.append(version)
        version = registry.champion_before(name, version)
    return line


def _is_candidate(folder: Path) -> bool:
    try:
        return bundle.METRICS not in bundle.read_sums(folder)
    except BundleError:
        return False


def _hide(registry: Registry, name: str, keep: int) -> None:
    home = registry.home(name)
    with locked(home):  # so that none is promoted while it goes
        for version in superfluous(registry, name, keep):
            registry.place(name, version).rename(home / f".removed-{version}-{os.urandom(4).hex()}")
        sync_folder(home)


def _delete_reports(registry: Registry, reports: Path, name: str, version: int) -> None:
    if not registry.place(name, version).exists():  # the number of a candidate may be another one's by now
        shutil.rmtree(reports / name / str(version), ignore_errors=True)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)  # who publishes at this moment removes it, too
    else:
        path.unlink()
