"""Removing what nobody needs any more: old versions with their reports, stale candidates, what crashes left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from service import bundle
from service.errors import BundleError
from service.files import delete, locked, remove_half_written, sync
from service.registry import Registry
from workshop.leftovers import half_removed, half_written_reports, homes, is_old, removed_name


def prune(registry: Registry, reports: Path, keep: int) -> Iterator[str]:
    """Remove what is `superfluous` and what crashes left, among the reports if it is a day old; yield what was removed.

    A version is first renamed out of sight, then its reports are deleted and then its folder: a crash leaves it whole
    or gone, and the rest of it to the next time.
    """
    for name in (name for name in homes(registry) if not registry.fault(name)):
        yield from _prune(registry, reports / name, name, keep)
    for path in filter(is_old, half_written_reports(reports)):
        delete(path)
        yield f"{path.relative_to(reports)} among the reports, which a crash left"


def superfluous(registry: Registry, name: str, keep: int) -> list[int]:
    """Return the versions that may go: candidates older than a day, and of the others those that are not to be kept.

    Kept are the champion, the sound ones that rollbacks lead to from it and those that were champion last, `keep` of
    each, and the `keep` newest sound ones that are published. What is damaged stands in for none of them.
    """
    numbers = bundle.versions(registry.home(name))
    candidates = [version for version in numbers if _is_candidate(registry.place(name, version))]
    old = [version for version in candidates if is_old(registry.place(name, version))]
    once = [version for version in numbers if version not in candidates]
    sound = [version for version in once if _is_sound(registry.place(name, version))]
    latest = [version for version in registry.candidates_to_serve(name) if version in sound]
    kept = {*_ways_back(registry, name, keep, latest), *latest[:keep]}
    kept |= {*sound[-keep:], *once[-1:]}  # the last, damaged or not: no number is given twice
    return sorted({*old, *once} - kept)


def _ways_back(registry: Registry, name: str, keep: int, latest: list[int]) -> set[int]:
    """Return the champion, the `keep` sound ones to go back to from it, and what rollbacks pass on their way there.

    Where they lead to too few, as past what is lost or cannot be read, the `latest` champions fill up.
    """
    line = _line_of_champions(registry, name)
    order = dict.fromkeys([*(version for version in line if version in latest), *latest])
    goals = [version for version in order if version != registry.champion(name)][:keep]
    reach = max((line.index(version) for version in goals if version in line), default=0)
    return {*line[: reach + 1], *goals}


def _line_of_champions(registry: Registry, name: str) -> list[int]:
    """Return the champion and where rollbacks lead from it, one after the other."""
    line: list[int] = []
    version = registry.champion(name)
    while version is not None and version not in line:
        line.append(version)
        version = registry.champion_before(name, version)
    return line


def _is_sound(folder: Path) -> bool:
    try:
        bundle.read(folder)
    except BundleError:
        return False
    return True


def _is_candidate(folder: Path) -> bool:
    try:
        return bundle.METRICS not in bundle.read_sums(folder)
    except BundleError:
        return False


def _prune(registry: Registry, reports: Path, name: str, keep: int) -> list[str]:
    home = registry.home(name)
    with locked(home):  # so that none is promoted, and no number given anew, while it goes
        left = [f"{name}: {path.relative_to(home)}, which a crash left" for path in remove_half_written(home)]
        for version in superfluous(registry, name, keep):
            registry.place(name, version).rename(home / removed_name(version))
        sync(home)
        gone = half_removed(home)
        for path, version in gone.items():
            if not registry.place(name, version).exists():  # else a crash let a new candidate have the number
                delete(reports / str(version))
            delete(path)
    return left + [f"{name} version {version}" for version in gone.values()]
