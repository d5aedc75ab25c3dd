from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service import bundle, files, promotion, publication
from service.errors import PromotionError
from service.registry import Registry
from workshop.leftovers import half_removed, removed_name
from workshop.pruning import prune, superfluous
from workshop.verification import verify_all

OLD = 1_000_000_000


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """The folder of reports, with a page for each of ten versions."""
    for version in range(1, 11):
        place = tmp_path / "reports" / "wine" / str(version)
        place.mkdir(parents=True)
        (place / "03_evaluate.html").touch()
    return tmp_path / "reports"


@pytest.fixture
def registry(artifacts: Path) -> Registry:
    """`wine` in nine published versions, of which 1, 3 and 4 were champion in turn, and 10, a candidate."""
    for number in range(2, 10):
        shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / str(number))
    registry = Registry(artifacts)
    for version in (3, 4):
        registry.promote("wine", version, "better")
    first = bundle.read(artifacts / "wine" / "1")
    publication.write_candidate(artifacts, first.manifest, first.golden, first.model)
    return registry


def pages(reports: Path) -> list[int]:
    """Return of which versions there are pages."""
    return sorted(int(path.name) for path in (reports / "wine").iterdir())


def test_old_versions_go_with_their_reports(registry: Registry, reports: Path):
    """The champion, where rollbacks lead, and the newest stay, and are sound; each that went is told."""
    assert list(prune(registry, reports, 2)) == [f"wine version {version}" for version in (2, 5, 6, 7)]
    assert registry.versions("wine") == [1, 3, 4, 8, 9] and registry.candidates("wine") == [10]
    assert pages(reports) == [1, 3, 4, 8, 9, 10]
    assert all(good for good, _ in verify_all(registry))
    assert registry.rollback("wine") == 3 and registry.rollback("wine") == 1


def test_one_rollback_is_always_left(registry: Registry, reports: Path):
    """However few are to be kept, the champion before is among them."""
    list(prune(registry, reports, 1))
    assert registry.versions("wine") == [3, 4, 9]
    assert registry.rollback("wine") == 3


def test_a_second_time_there_is_nothing_to_remove(registry: Registry, reports: Path):
    """What is kept is kept; with room for all nothing goes."""
    assert list(prune(registry, reports, 9)) == []
    assert list(prune(registry, reports, 3)) != []
    assert list(prune(registry, reports, 3)) == []


def test_what_was_rolled_back_from_is_no_way_back(registry: Registry, reports: Path):
    """After a rollback the champion's own predecessor stays, and the versions that were champion last."""
    registry.rollback("wine")
    list(prune(registry, reports, 1))
    assert registry.versions("wine") == [1, 3, 9]
    assert registry.rollback("wine") == 1


def test_candidates_go_when_they_are_a_day_old(registry: Registry, reports: Path):
    """A young one may be somebody's who is about to evaluate it."""
    assert "wine version 10" not in list(prune(registry, reports, 9))
    os.utime(registry.place("wine", 10), (OLD, OLD))
    assert list(prune(registry, reports, 9)) == ["wine version 10"]
    assert registry.candidates("wine") == [] and pages(reports) == list(range(1, 10))


def test_what_crashes_left_goes(registry: Registry, reports: Path):
    """Folders, files and links, beside versions and inside them; nothing that a link leads to, and nobody's own."""
    home = registry.home("wine")
    (reports.parent / "precious").mkdir()
    (home / ".11-7-0123abcd" / "deep").mkdir(parents=True)
    for file in (home / "4" / ".metrics.json-7-0123abcd", home / ".gitkeep"):
        file.touch()
    (home / ".12-7-0123abcd").symlink_to(reports.parent / "precious")
    names = (".11-7-0123abcd", ".12-7-0123abcd", "4/.metrics.json-7-0123abcd")
    assert list(prune(registry, reports, 9)) == [f"wine: {name}, which a crash left" for name in names]
    assert [path.name for path in home.glob("**/.*")] == [".gitkeep"]
    assert (reports.parent / "precious").is_dir()


def test_what_crashes_left_among_reports_goes_when_it_is_a_day_old(registry: Registry, reports: Path):
    """No lock says whether somebody is still at it; what is older is removed wherever runs write."""
    places = [".run-7-0123abcd", "reproduce/.reproduce-7-0123abcd", "wine/3/.run.json-7-0123abcd"]
    for place in [*places, ".run-8-0123abcd"]:
        (reports / place).mkdir(parents=True)
    for place in places:
        os.utime(reports / place, (OLD, OLD))
    assert list(prune(registry, reports, 9)) == [f"{place} among the reports, which a crash left" for place in places]
    assert [path.name for path in reports.glob("**/.*")] == [".run-8-0123abcd"]


def test_a_kill_at_any_step_leaves_a_version_whole_or_gone(
    wine_artifacts: Path, tmp_path: Path, reports: Path, tmp_path_factory: pytest.TempPathFactory
):
    """Killed before each thing that it does to a folder, versions that can be seen are whole, and what is left of the
    others is told, survives a promotion by another, and goes with its reports the next time."""
    steps = 0
    while True:
        steps += 1
        house = tmp_path_factory.mktemp("killed")
        registry, pages_of = _two(house, wine_artifacts, reports)
        killed = _killed_at(steps, registry, pages_of)
        for version in registry.versions("wine"):
            bundle.read(registry.place("wine", version))
            assert (pages_of / "wine" / str(version) / "03_evaluate.html").is_file()
        left = half_removed(registry.home("wine"))
        told = [fault for good, fault in verify_all(registry) if not good]
        assert told == [
            f"wine: {path.name} is left of version 2: inv prune removes it and its reports" for path in left
        ]
        registry.promote("wine", 3, "by somebody who takes the lock")
        list(prune(registry, pages_of, 1))
        assert registry.versions("wine") == [1, 3] == pages(pages_of)
        assert list(registry.home("wine").glob("**/.*")) == []
        if not killed:
            break
    assert steps > 10


def _two(house: Path, wine_artifacts: Path, reports: Path) -> tuple[Registry, Path]:
    """Return three published versions of `wine`, of which 1 is champion and 2 superfluous, with their reports."""
    shutil.copytree(wine_artifacts, house / "artifacts")
    for number in (2, 3):
        shutil.copytree(wine_artifacts / "wine" / "1", house / "artifacts" / "wine" / str(number))
    for number in (1, 2, 3):
        shutil.copytree(reports / "wine" / str(number), house / "reports" / "wine" / str(number))
    return Registry(house / "artifacts"), house / "reports"


def _killed_at(step: int, registry: Registry, reports: Path) -> bool:
    """Prune in a process that kills itself before its nth change of a folder; return whether it came so far."""

    def prune_until() -> None:
        left = iter(range(step - 1))

        def count(event: str, arguments: tuple[object, ...]) -> None:
            if event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree") and next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        list(prune(registry, reports, 1))

    process = multiprocessing.get_context("fork").Process(target=prune_until)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def test_pages_of_a_number_that_is_used_again_stay(registry: Registry, reports: Path):
    """Where a crash left a candidate's rest and its number went to another, that one's pages are not its pages."""
    (registry.home("wine") / removed_name(10)).mkdir()
    assert list(prune(registry, reports, 9)) == ["wine version 10"]
    assert registry.candidates("wine") == [10] and 10 in pages(reports)


def test_what_is_about_to_be_promoted_is_refused_and_not_lost(registry: Registry, reports: Path):
    """A promotion that comes too late is told that there is no such version; the champion is not touched."""
    list(prune(registry, reports, 1))
    with pytest.raises(PromotionError, match=r"no published version 6 \(published: 3, 4, 9\)"):
        registry.promote("wine", 6, "too late")
    assert registry.champion("wine") == 4


def test_a_promotion_that_waited_for_the_lock_looks_again(
    registry: Registry, reports: Path, monkeypatch: pytest.MonkeyPatch
):
    """A version that was pruned between the first look and the lock never becomes champion."""
    locked = files.locked

    def late(folder: Path, until: float):
        shutil.rmtree(registry.place("wine", 6), ignore_errors=True)
        return locked(folder, until)

    monkeypatch.setattr(files, "locked", late)
    with pytest.raises(PromotionError, match="no published version 6"):
        registry.promote("wine", 6, "raced")
    assert registry.champion("wine") == 4 and registry.history("wine")[-1].version == 4


def test_the_newest_number_stays_though_it_is_damaged(registry: Registry, reports: Path):
    """No number names two models: the newest that may have been served stays, older damaged ones go."""
    for version in (2, 9):
        (registry.place("wine", version) / bundle.SUMS).write_bytes(b"")
    shutil.rmtree(registry.place("wine", 10))
    list(prune(registry, reports, 1))
    assert bundle.versions(registry.home("wine")) == [3, 4, 8, 9]


@pytest.mark.parametrize("file", [bundle.MODEL, bundle.SUMS])
def test_a_damaged_champion_does_not_count(registry: Registry, reports: Path, file: str):
    """With the champion before it damaged, the one before that stays, and a rollback leads there where it can."""
    (registry.place("wine", 3) / file).write_bytes(b"")
    list(prune(registry, reports, 1))
    assert registry.champion("wine") == 4
    assert {1, 4, 9} <= set(registry.versions("wine")) <= {1, 3, 4, 9}
    if file == bundle.MODEL:
        assert promotion.rollback(registry, "wine").version == 1


def test_what_is_damaged_is_none_of_the_newest(registry: Registry, reports: Path):
    """As many sound ones stay as are asked for; the champion stays, damaged or not, and who would answer for it."""
    for version in (4, 8, 9):
        (registry.place("wine", version) / bundle.MODEL).write_bytes(b"")
    list(prune(registry, reports, 1))
    assert registry.versions("wine") == [3, 4, 7, 9]


def test_without_a_champion_file_the_history_counts(registry: Registry, reports: Path):
    """What would be served in its place stays."""
    (registry.home("wine") / "champion").unlink()
    list(prune(registry, reports, 2))
    assert registry.versions("wine") == [3, 4, 8, 9]


def test_a_model_whose_folder_is_none_is_passed(registry: Registry, reports: Path):
    """What can be removed of the others is removed."""
    removed = superfluous(registry, "wine", 1)
    (registry.folder / "odd").write_text("")
    assert removed and set(prune(registry, reports, 1)) >= {f"wine version {number}" for number in removed}


def test_an_empty_house_has_nothing(tmp_path: Path):
    """No folder, no reports, nothing to remove and no error."""
    assert list(prune(Registry(tmp_path / "none"), tmp_path / "nothing", 5)) == []


STEPS = st.lists(st.one_of(st.integers(1, 9), st.just("back")), max_size=12)


@settings(deadline=None, max_examples=40)
@given(steps=STEPS, keep=st.integers(1, 4))
def test_every_rollback_within_reach_survives(
    tmp_path_factory: pytest.TempPathFactory, wine_artifacts: Path, steps: list[int | str], keep: int
):
    """Whatever was promoted and rolled back, `keep` rollbacks lead where they led before, and the newest are there."""
    registry = _house(tmp_path_factory, wine_artifacts)
    for step in steps:
        try:
            registry.rollback("wine") if step == "back" else registry.promote("wine", int(step), "so")
        except PromotionError:
            continue
    twin = Registry(shutil.copytree(registry.folder, registry.folder.parent / "twin"))
    list(prune(registry, registry.folder, keep))
    assert registry.versions("wine")[-keep:] == twin.versions("wine")[-keep:]
    assert set(superfluous(twin, "wine", keep)) == set(twin.versions("wine")) - set(registry.versions("wine"))
    assert [_back(registry) for _ in range(keep)] == [_back(twin) for _ in range(keep)]


def _house(tmp_path_factory: pytest.TempPathFactory, wine_artifacts: Path) -> Registry:
    folder = tmp_path_factory.mktemp("many") / "artifacts"
    for number in range(1, 10):
        shutil.copytree(wine_artifacts / "wine" / "1", folder / "wine" / str(number))
    return Registry(folder)


def _back(registry: Registry) -> int | None:
    try:
        return registry.rollback("wine")
    except PromotionError:
        return None
