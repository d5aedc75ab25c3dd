"""Experiment 4: a kill, and errors of the disk, at every system call of writing, publishing and promoting."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bench.serve.trained import train
from chaos import steps
from chaos.experiment import Experiment, Outcome
from service import bundle, publication
from service.errors import CellarError
from service.registry import Registry

ERRORS = ("ENOSPC", "EIO", "EROFS", "EMFILE")
AT_ONCE = 2


class Life(NamedTuple):
    """A step with the folder of artifacts that it starts from, and how many versions and events come of it."""

    step: str
    start: Path
    source: bundle.Bundle
    is_new: Callable[[Path], bool]


class Fault(NamedTuple):
    """What goes wrong at the call `at` of a step: a signal that ends it, or an error."""

    life: Life
    calls: list[steps.Call]
    at: int
    what: str

    def __str__(self) -> str:
        return f"{self.life.step}: {self.what} at {self.calls[self.at].name} {self.at}"


class Seen(NamedTuple):
    """What came of a fault: whether it hit, whether the state is the new one, how much was left, and what broke."""

    hit: bool
    new: bool
    leftovers: int
    broken: str


def run(folder: Path, scale: float) -> Outcome:
    """Let each fault hit once, from the same start."""
    faults = [fault for life in lives(folder) for fault in _faults(life, folder)]
    faults = faults[:: round(1 / scale) | 1]  # an odd step, which meets every error
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = list(pool.map(lambda numbered: _suffer(numbered[1], folder / f"f{numbered[0]}"), enumerate(faults)))
    counts = Counter(fault.what for fault, each in zip(faults, seen, strict=True) if each.hit)
    missed = [f"{fault} did not hit" for fault, each in zip(faults, seen, strict=True) if not each.hit]
    new = sum(each.new for each in seen)
    return Outcome(
        f"{sum(counts.values())} of {len(faults)} faults hit: {', '.join(f'{n} {what}' for what, n in counts.items())}",
        f"{len(seen) - new} left the old, {new} the new; {sum(each.leftovers for each in seen)} things to remove",
        missed + [f"{fault}: {each.broken}" for fault, each in zip(faults, seen, strict=True) if each.broken],
    )


def lives(folder: Path) -> list[Life]:
    """Train a model and return the three steps: of a model that is new, of its candidate, and of a second version."""
    source = bundle.read(train(folder / "trained", "logistic_regression", 1).artifacts / steps.MODEL / "1")
    none, candidate, two = (folder / "start" / name for name in ("none", "candidate", "two"))
    none.mkdir(parents=True)
    steps.write(candidate, source)
    for _ in range(2):
        place = publication.write_candidate(two, source.manifest, source.golden, source.model)
        assert source.metrics
        publication.publish(place, source.metrics)
    Registry(two).promote(steps.MODEL, 1, "the start")
    return [
        Life("write", none, source, _is_written),
        Life("publish", candidate, source, _is_published),
        Life("promote", two, source, _is_promoted),
    ]


def undisturbed(life: Life, folder: Path) -> tuple[steps.Done, Path]:
    """Do a step once with nothing going wrong; return how it went and the artifacts that it left."""
    artifacts = folder / f"undisturbed-{life.step}" / "artifacts"
    shutil.copytree(life.start, artifacts)
    done = steps.run(_words(life, artifacts), folder / "log")
    if done.status or not life.is_new(artifacts):
        raise RuntimeError(f"{life.step} fails undisturbed: {done.told}")
    return done, artifacts


def _faults(life: Life, folder: Path) -> list[Fault]:
    """Return a kill for each call of a step from where its files come in, and errors for those to its files."""
    done, artifacts = undisturbed(life, folder)
    ours = [at for at, call in enumerate(done.calls) if any(path.startswith(str(artifacts)) for path in call.paths)]
    kills = [Fault(life, done.calls, at, "SIGKILL") for at in range(ours[0], len(done.calls))]
    return kills + [Fault(life, done.calls, at, error) for at in ours for error in ERRORS]


def _words(life: Life, artifacts: Path) -> list[str]:
    return ["chaos.steps", life.step, str(artifacts), str(life.source.folder)]


def _suffer(fault: Fault, folder: Path) -> Seen:
    """Let a fault hit and look at what it left; then do the step again, and look at what that leaves."""
    artifacts = shutil.copytree(fault.life.start, folder / "artifacts")
    call = fault.calls[fault.at]
    how = f"signal={fault.what}" if fault.what == "SIGKILL" else f"error={fault.what}"
    options = ["-e", f"inject={call.name}:{how}:when={call.count}"]
    done = steps.run(_words(fault.life, artifacts), folder / "log", *options)
    left = hidden(artifacts)
    try:
        new = fault.life.is_new(artifacts)
        broken = _judge(fault, done, new, left) or _again(fault.life, artifacts, new)
    except (CellarError, OSError, AssertionError) as error:
        new, broken = False, f"neither old nor new: {error}"
    shutil.rmtree(folder)
    return Seen(_hit(fault, done), new, len(left), broken)


def _hit(fault: Fault, done: steps.Done) -> bool:
    """Return whether the fault came where it was meant to: after the same calls, and with its effect."""
    before = [call.name for call in fault.calls[: fault.at + 1]]
    same = [call.name for call in done.calls[: fault.at + 1]] == before
    if fault.what == "SIGKILL":
        return same and done.status == -9 and len(done.calls) == fault.at + 1
    return same and "(INJECTED)" in done.calls[fault.at].text


def _judge(fault: Fault, done: steps.Done, new: bool, left: list[Path]) -> str:
    """Return what is wrong after a fault, "" if nothing."""
    if done.status == 0 and not new:
        return "it said that it was done and was not"
    if left and fault.what != "SIGKILL":
        return f"it left {left[0].name}"
    return ""


def _again(life: Life, artifacts: Path, new: bool) -> str:
    """Do the step again unless it is done, then one that holds the model's lock; return what is wrong after that."""
    if not new:
        steps.STEPS[life.step](artifacts, life.source)
    if not life.is_new(artifacts):
        return "a second try did not do it"
    return f"{left[0].name} was not collected" if (left := hidden(artifacts)) else ""


def hidden(artifacts: Path) -> list[Path]:
    """Return what stands under names that nobody is to see."""
    return sorted(artifacts.glob("**/.*"))


def _is_written(artifacts: Path) -> bool:
    """Return whether the candidate is there, or raise if it is there in part."""
    return _numbers(artifacts) == [1] and not _whole(artifacts, 1).metrics


def _is_published(artifacts: Path) -> bool:
    """Return whether the candidate was published."""
    assert _numbers(artifacts) == [1], "the candidate is gone"
    found = _whole(artifacts, 1).metrics is not None
    assert found == (Registry(artifacts).versions(steps.MODEL) == [1]), "published for some"
    return found


def _is_promoted(artifacts: Path) -> bool:
    """Return whether version 2 is champion and the history says so, or raise if only one of the two is so."""
    registry = Registry(artifacts)
    champion, told = registry.champion(steps.MODEL), [event.version for event in registry.history(steps.MODEL)]
    assert (champion, told) in ((1, [1]), (2, [1, 2])), f"champion {champion}, but the history has {told}"
    assert all(_whole(artifacts, version).metrics for version in (1, 2))
    return champion == 2


def _numbers(artifacts: Path) -> list[int]:
    return bundle.versions(artifacts / steps.MODEL)


def _whole(artifacts: Path, version: int) -> bundle.Bundle:
    """Return a version whose every file is what its sums say."""
    return bundle.read(artifacts / steps.MODEL / str(version))


EXPERIMENTS = (Experiment(4, "a kill and errors of the disk at every system call of publishing", run),)
