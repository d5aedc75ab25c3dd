"""Experiment 5: what the disk has at each rename, and at the end, by the system calls of each step."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from chaos import faults, steps
from chaos.experiment import Experiment, Outcome


class Disk:
    """What a crash may take from a disk: contents and names that were changed and not synced, by their paths.

    A folder's own entry stands for the names in it: fsync of a file keeps its content, fsync of a folder its names.
    """

    def __init__(self, below: Path) -> None:
        self.below = f"{below}/"
        self.unsynced: set[str] = set()
        self.wrong: list[str] = []

    def see(self, call: steps.Call) -> None:
        """Take one call into account."""
        paths = [path for path in call.paths if f"{path}/".startswith(self.below)]
        if call.failed or not paths:
            return
        if call.name in ("write", "pwrite64"):
            self.unsynced.add(paths[0])
        elif call.name in ("fsync", "fdatasync"):
            self.unsynced.discard(paths[0])
        elif call.name.startswith("mkdir") or "O_CREAT" in call.text:
            self._change(paths[0])
        elif call.name.startswith("rename"):
            self._rename(*paths)

    def _rename(self, old: str, new: str) -> None:
        lost = sorted(path for path in self.unsynced if f"{path}/".startswith(f"{old}/"))
        self.wrong += [f"{_plain(new)} got its name before {_plain(path)} was synced" for path in lost]
        self.unsynced -= set(lost)
        self._change(old)
        self._change(new)

    def _change(self, path: str) -> None:
        """A name came into a folder or went from it; those in the folder above all may be lost, and are not ours."""
        if f"{Path(path).parent}/".startswith(self.below):
            self.unsynced.add(str(Path(path).parent))


def _plain(path: str) -> str:
    """Return a file's name without what is drawn anew each time."""
    return re.sub(r"-\d+-[0-9a-f]{8}$", "", Path(path).name)


def run(folder: Path, scale: float) -> Outcome:
    """Trace each step once, whatever the scale."""
    counts: Counter[str] = Counter()
    broken = []
    for life in faults.lives(folder):
        done, artifacts = faults.undisturbed(life, folder)
        disk = Disk(artifacts.parent)
        for call in done.calls:
            disk.see(call)
            counts[call.name] += 1
        left = [f"{_plain(path)} was never synced" for path in sorted(disk.unsynced)]
        broken += [f"{life.step}: {wrong}" for wrong in disk.wrong + left]
    return Outcome(
        f"{counts.total()} calls, {counts['write']} writes, {counts['rename']} renames, {counts['mkdir']} folders made",
        f"{counts['fsync']} syncs",
        broken,
    )


EXPERIMENTS = (Experiment(5, "what is synced when a name is given, by the system calls of publishing", run),)
