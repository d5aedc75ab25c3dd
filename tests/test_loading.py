from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from service import bundle, publication
from service.errors import BundleError, LoadingError
from service.loading import BRIEF, LONGEST, SHORTEST, Loader, Version, Waiting, untried
from service.registry import Registry
from service.trial import PATIENCE, Tried
from tests.conftest import changed

WINE = ("wine", 1)


@pytest.fixture
def registry(artifacts: Path) -> Registry:
    """`wine` version 1."""
    return Registry(artifacts)


@pytest.fixture
def other(artifacts: Path, tmp_path: Path) -> Path:
    """A sound bundle of the same model and version with another manifest."""
    place = shutil.copytree(artifacts / "wine" / "1", tmp_path / "other" / "wine" / "1")
    changed(place, manifest={"created": "2031-01-01T00:00:00+00:00"})
    return place


class Trials:
    """Trials that go as they are told, and remember what they were given."""

    def __init__(self, why: str = "", before: Callable[[], object] = list, after: Callable[[], object] = list) -> None:
        self.why, self.before, self.after = why, before, after
        self.folders: list[Path] = []
        self.patience: list[float] = []

    def __call__(self, folders: Sequence[Path], *, patience: float) -> dict[Path, Tried]:
        """Go as told."""
        self.folders += folders
        self.patience.append(patience)
        self.before()
        found = untried(folders, patience=patience)
        self.after()
        return {folder: Tried(self.why) if self.why else tried for folder, tried in found.items()}


def put(content: Path, place: Path) -> None:
    """Put a bundle's files into another's place."""
    shutil.rmtree(place)
    shutil.copytree(content, place)


def test_what_was_not_tried_is_not_loaded(registry: Registry):
    """A version is new until it was tried, and then it is loaded; to try it again is not needed."""
    trials = Trials()
    loader = Loader(registry, trials)
    assert loader.is_new(WINE)
    with pytest.raises(LoadingError, match="wine version 1 is to be tried first: ask again"):
        loader.load(WINE)
    loader.attempt([WINE])
    loader.attempt([WINE])
    assert not loader.is_new(WINE)
    assert loader.load(WINE).version == 1
    assert len(trials.folders) == 1


def test_what_is_swapped_in_after_the_trial_is_not_loaded(registry: Registry, other: Path):
    """Another sound bundle that takes the place of the one that was tried is tried itself before it is loaded."""
    place = registry.place(*WINE)
    trials = Trials(after=lambda: put(other, place))
    loader = Loader(registry, trials)
    loader.attempt([WINE])
    with pytest.raises(LoadingError):
        loader.load(WINE)
    loader.attempt([WINE])
    assert loader.load(WINE).manifest.created.startswith("2031")
    assert len(trials.folders) == 2


def test_what_is_swapped_in_while_it_is_read_is_not_loaded(
    registry: Registry, other: Path, monkeypatch: pytest.MonkeyPatch
):
    """The bundle that takes the place between the look at the sums and the reading of the files is refused."""
    loader = Loader(registry, untried)
    loader.attempt([WINE])
    read = bundle.read

    def swap_and_read(folder: Path) -> bundle.Bundle:
        put(other, folder)
        return read(folder)

    monkeypatch.setattr(bundle, "read", swap_and_read)
    with pytest.raises(BundleError, match="wine/1 is another than was tried"):
        loader.load(WINE)
    monkeypatch.undo()
    assert loader.is_new(WINE)


def test_what_is_swapped_in_before_it_is_tried_counts_as_what_it_is(registry: Registry, other: Path):
    """Of two bundles that change places under way the one that the trial read is sound, the other is still new."""
    place = registry.place(*WINE)
    first = shutil.copytree(place, other.parents[2] / "first" / "wine" / "1")
    loader = Loader(registry, Trials(before=lambda: put(other, place), after=lambda: put(first, place)))
    loader.attempt([WINE])
    assert loader.is_new(WINE)
    put(other, place)
    assert loader.load(WINE).manifest.created.startswith("2031")


def test_a_version_is_tried_briefly_then_at_length_and_ever_more_rarely(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    """What is refused waits for twice as long each time, up to a limit, and then has its full time."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    trials = Trials("it hangs")
    loader, waits = Loader(registry, trials), []
    loader.attempt([WINE])
    for _ in range(11):
        before = now[0]
        while not loader.is_due(WINE):
            loader.attempt([WINE])
            now[0] += 0.5
        waits.append(now[0] - before)
        loader.attempt([WINE])
        with pytest.raises(BundleError, match="it hangs"):
            loader.load(WINE)
    assert waits == [min(SHORTEST * 2**at, LONGEST) for at in range(11)]
    assert trials.patience == [BRIEF] + [PATIENCE] * 11
    assert loader.reloads == {("wine", "refused"): 12}


def test_one_trial_at_a_time(registry: Registry):
    """Threads that have versions tried at once wait for each other, and each version is tried once."""
    versions = [("wine", number) for number in range(1, 5)]
    for version in versions[1:]:
        shutil.copytree(registry.place(*WINE), registry.place(*version))
    running, most = [0], [0]

    def begin() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.02)

    def end() -> None:
        running[0] -= 1

    trials = Trials(before=begin, after=end)
    loader = Loader(registry, trials)
    threads = [threading.Thread(target=loader.attempt, args=([version],)) for version in versions * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert sorted(trials.folders) == [registry.place(*version) for version in versions]


def test_what_waits_for_its_trial_waits_once():
    """A version that is put again before its trial is over is tried once, and after that it may wait anew."""
    waiting, tried = Waiting(), list[Sequence[Version]]()

    def attempt(versions: Sequence[Version]) -> None:
        waiting.put(versions[0])
        tried.append(versions)
        raise OSError("full")

    for version in (WINE, ("wine", 2), WINE):
        waiting.put(version)
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            waiting.next(attempt, 0)
    waiting.next(attempt, 0)
    assert tried == [[WINE], [("wine", 2)]]
    waiting.put(WINE)
    with pytest.raises(OSError, match="full"):
        waiting.next(attempt, 0)


def test_where_no_process_can_be_started_the_reason_is_told(registry: Registry):
    """What keeps the trial from taking place refuses the version, and is told."""

    def full(folders: Sequence[Path], *, patience: float) -> dict[Path, Tried]:
        raise OSError(12, "Cannot allocate memory")

    loader = Loader(registry, full)
    loader.attempt([WINE])
    with pytest.raises(BundleError, match=r"no process can be started to try it in \(Cannot allocate memory\)"):
        loader.load(WINE)


def test_what_the_trial_takes_for_sound_and_is_not_is_refused(registry: Registry):
    """A version that is damaged after its trial, or was never evaluated, is refused in its own process."""
    loader = Loader(registry, untried)
    loader.attempt([WINE])
    path = registry.place(*WINE) / bundle.MODEL
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        loader.load(WINE)
    assert not loader.is_new(WINE)


def test_what_was_never_evaluated_is_refused(registry: Registry):
    """A candidate may pass its trial and is not loaded."""
    source = bundle.read(registry.place(*WINE))
    publication.write_candidate(registry.folder, source.manifest, source.golden, source.model)
    loader = Loader(registry, untried)
    loader.attempt([("wine", 2)])
    with pytest.raises(BundleError, match="wine/2 was never evaluated: run 03_evaluate"):
        loader.load(("wine", 2))
