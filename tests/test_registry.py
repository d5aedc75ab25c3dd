from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service import bundle, publication
from service.errors import BundleError, BusyError, NotFoundError, PromotionError, StorageError
from service.files import locked
from service.live import Live
from service.registry import CHAMPION, HISTORY, Registry

HOSTILE = ["", ".", "..", "../wine", "a/b", "/etc", "%2e%2e", "WINE", "Wine", "wine\n", "wine\0", "w" * 65, "é"]


@pytest.fixture
def registry(artifacts: Path) -> Registry:
    """`wine` in versions 1, 2, 9 and 10, the first one champion, and 11 a candidate."""
    for number in (2, 9, 10):
        shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / str(number))
    first = bundle.read(artifacts / "wine" / "1")
    publication.write_candidate(artifacts, first.manifest, first.golden, first.model)
    return Registry(artifacts)


def test_versions_are_the_published_ones_by_number(registry: Registry):
    """10 comes after 9, and a candidate is no version to be had."""
    assert registry.versions("wine") == [1, 2, 9, 10]


def test_models_have_a_published_version(registry: Registry):
    """A folder without a published bundle, or with a name that no model has, is no model."""
    (registry.folder / "empty").mkdir()
    (registry.folder / "Upper").mkdir()
    (registry.folder / "file").touch()
    shutil.copytree(registry.place("wine", 11), registry.folder / "candidate" / "1")
    assert registry.models() == ["wine"]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Go on without the rights of root, who may read everything."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_a_folder_that_cannot_be_read_is_named_with_its_fault(wine_artifacts: Path):
    """It takes no other model with it: the others are listed, and whoever asks it for more is told why not."""
    with TemporaryDirectory() as folder:  # not in pytest's own, which nobody else may enter
        Path(folder).chmod(0o755)
        registry = Registry(Path(folder))
        shutil.copytree(wine_artifacts / "wine", registry.home("wine"))
        (registry.folder / "closed").mkdir(0)
        with as_nobody():
            assert (registry.names(), registry.models()) == (["closed", "wine"], ["wine"])
            assert registry.fault("closed") == "closed cannot be read (Permission denied): mend that and try again"
            for ask in (registry.versions, registry.champion, registry.history, registry.candidates_to_serve):
                with pytest.raises(BundleError, match=r"closed.* cannot be read"):
                    ask("closed")
            live = Live(registry)
            live.look()
            assert live.get("wine").version == 1
            assert live.refused == {"closed": registry.fault("closed")}


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.with_name("elsewhere").write_text("2\n")
    path.symlink_to("elsewhere")


def _shared(path: Path) -> None:
    path.with_name("elsewhere").write_text("2\n")
    path.hardlink_to(path.with_name("elsewhere"))


def _endless(path: Path) -> None:
    path.touch()
    os.truncate(path, 60_000_000_000)


@pytest.mark.parametrize("spoil", [_pipe, _link, _shared, _endless])
@pytest.mark.parametrize("name", [CHAMPION, HISTORY])
def test_only_a_file_of_its_own_is_read(registry: Registry, name: str, spoil: Callable[[Path], None]):
    """A pipe is not waited for, a link not followed, what is endless not read: each is told, and nothing promoted."""
    path = registry.home("wine") / name
    path.unlink()
    spoil(path)
    ask = registry.champion if name == CHAMPION else registry.history
    for attempt in (ask, lambda model: registry.promote(model, 2, "no")):
        with pytest.raises(BundleError, match=rf"wine/{name} cannot be read \(.+\): mend that and try again"):
            attempt("wine")


def test_a_models_folder_may_be_a_link(registry: Registry, tmp_path: Path):
    """Who keeps a model on another disk promotes it as any other."""
    registry.home("wine").rename(tmp_path / "other-disk")
    registry.home("wine").symlink_to(tmp_path / "other-disk")
    registry.promote("wine", 2, "second")
    assert (registry.champion("wine"), len(registry.history("wine"))) == (2, 2)


def test_no_folder_no_models(tmp_path: Path):
    """Before the first training there is nothing, and that is no error."""
    registry = Registry(tmp_path / "none")
    assert registry.models() == []
    assert registry.versions("wine") == []
    assert registry.champion("wine") is None
    assert registry.history("wine") == []


def test_promotion_is_recorded(registry: Registry):
    """Promoting changes the champion and says in the history who, what, before and why."""
    registry.promote("wine", 10, "better on the test rows")
    assert registry.champion("wine") == 10
    event = registry.history("wine")[-1]
    assert (event.action, event.version, event.previous, event.reason) == ("promote", 10, 1, "better on the test rows")
    assert event.by
    assert event.at.endswith("+00:00")


def test_reason_of_many_lines_stays_one_event(registry: Registry):
    """A reason with line breaks and other letters comes back as it was."""
    registry.promote("wine", 2, 'two\nlines, "quotes" and ü')
    assert len(registry.history("wine")) == 2
    assert registry.history("wine")[-1].reason == 'two\nlines, "quotes" and ü'


@pytest.mark.parametrize("version", [0, 3, 11, -1, 999])
def test_only_published_versions_are_promoted(registry: Registry, version: int):
    """A candidate or a version that does not exist is refused with those that do, and nothing changes."""
    with pytest.raises(PromotionError, match=r"published: 1, 2, 9, 10"):
        registry.promote("wine", version, "no")
    assert registry.champion("wine") == 1
    assert len(registry.history("wine")) == 1


def test_who_does_not_come_to_write_promotes_nothing(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    """Where somebody else keeps the lock, or it is too late, nothing is promoted, and that is told."""
    told = "somebody else is writing to wine, nothing is changed: try again"
    with locked(registry.home("wine")), monkeypatch.context() as patched:
        patched.setattr("service.registry.PATIENCE", 0.05)
        with pytest.raises(BusyError, match=told):
            registry.promote("wine", 2, "no")
    with pytest.raises(BusyError, match=told):
        registry.promote("wine", 2, "no", until=time.monotonic())
    assert (registry.champion("wine"), len(registry.history("wine"))) == (1, 1)
    registry.promote("wine", 2, "now", until=time.monotonic() + 30)
    with pytest.raises(BusyError, match=told):
        registry.rollback("wine", until=time.monotonic())
    assert registry.champion("wine") == 2


def test_rollback_goes_back_step_by_step(registry: Registry):
    """Each rollback goes one champion further back, never to what was gone back from, and is recorded as such."""
    registry.promote("wine", 2, "second")
    registry.promote("wine", 10, "third")
    assert registry.rollback("wine", "it was worse") == 2
    assert registry.champion("wine") == 2
    assert registry.rollback("wine") == 1
    assert [event.action for event in registry.history("wine")] == ["promote"] * 3 + ["rollback"] * 2
    assert registry.history("wine")[3].reason == "it was worse"


def test_rollback_without_an_earlier_champion(registry: Registry):
    """The first champion cannot be rolled back."""
    with pytest.raises(PromotionError, match="no earlier champion"):
        registry.rollback("wine")


def test_rollback_passes_over_what_is_gone(registry: Registry):
    """A version that was deleted is not gone back to."""
    registry.promote("wine", 2, "second")
    shutil.rmtree(registry.place("wine", 1))
    with pytest.raises(PromotionError, match="no earlier champion"):
        registry.rollback("wine")
    assert registry.champion("wine") == 2


def test_versions_to_serve_are_the_champions_latest_first(registry: Registry):
    """The champion comes first, then earlier champions; what was never promoted does not come at all."""
    for version in (9, 2, 9, 10):
        registry.promote("wine", version, "next")
    assert registry.candidates_to_serve("wine") == [10, 9, 2, 1]


def test_candidate_is_never_to_be_served(registry: Registry):
    """A champion file that names a candidate is refused with the reason, and the champion before is served."""
    (registry.home("wine") / "champion").write_text("11\n")
    live = Live(registry)
    live.look()
    assert live.champions["wine"].version == 1
    assert "version 11 was refused" in live.refused["wine"] and "version 1 is served instead" in live.refused["wine"]


@pytest.mark.parametrize("content", [b"", b"x", b"\xff", b"1 2", b"../1"])
def test_damaged_champion_file_means_none(registry: Registry, content: bytes):
    """A champion file that holds no number names no champion, and the history still knows the earlier one."""
    (registry.home("wine") / "champion").write_bytes(content)
    assert registry.champion("wine") is None
    assert registry.candidates_to_serve("wine") == [1]


def test_unreadable_lines_of_the_history_are_passed_over(registry: Registry):
    """A torn line does not hide the others."""
    with (registry.home("wine") / "history.jsonl").open("ab") as file:
        file.write(b'{"at": "torn\n\xff\xff\n{"at": "\xff"}\n\n')
    registry.promote("wine", 2, "after the torn line")
    assert [event.version for event in registry.history("wine")] == [1, 2]


def test_a_promotion_cut_off_from_its_history_is_told_and_recorded(registry: Registry):
    """The pointer tells of a promotion that a crash kept out of the history; the next promotion records it."""
    path = registry.home("wine") / "history.jsonl"
    before = path.read_bytes()
    registry.promote("wine", 2, "cut off")
    path.write_bytes(before + b'{"at": "to')
    assert [event.version for event in registry.history("wine")] == [1, 2]
    registry.promote("wine", 9, "next")
    assert [event.reason for event in registry.history("wine")][1:] == ["cut off", "next"]
    assert len(path.read_bytes().splitlines()) == 4


def test_a_history_that_cannot_be_written_refuses_the_next_promotion(registry: Registry):
    """One promotion is kept by the pointer; a second one would push it out, and is refused."""
    path = registry.home("wine") / "history.jsonl"
    path.rename(path.with_suffix(".kept"))
    path.mkdir()
    with pytest.raises(BundleError, match="cannot be read"):
        registry.promote("wine", 2, "no history")
    assert registry.champion("wine") == 1


def test_what_somebody_went_back_from_is_served_last(registry: Registry):
    """Of the earlier champions those come first that nobody rejected, or that were promoted again since."""
    for version in (9, 2, 10):
        registry.promote("wine", version, "next")
    registry.rollback("wine")
    assert registry.candidates_to_serve("wine") == [2, 9, 1, 10]
    registry.promote("wine", 10, "again")
    assert registry.candidates_to_serve("wine") == [10, 2, 9, 1]


@pytest.mark.parametrize("content", [None, b"", b"two\n"])
def test_a_lost_pointer_is_told(registry: Registry, content: bytes | None):
    """Where there was a champion, a pointer that is gone or names no version is told with the cure."""
    assert registry.lost_champion("wine") == ""
    pointer = registry.home("wine") / "champion"
    pointer.unlink() if content is None else pointer.write_bytes(content)
    assert registry.lost_champion("wine") == "wine/champion is missing or names no version: promote one"


def test_a_disk_that_refuses_is_told_by_the_models_name(registry: Registry):
    """A promotion that cannot be written says so in a sentence that names no temporary file."""
    with TemporaryDirectory() as folder:  # not in pytest's own, which nobody else may enter
        Path(folder).chmod(0o755)
        home = shutil.copytree(registry.home("wine"), Path(folder) / "wine")
        home.chmod(0o555)
        refused = pytest.raises(StorageError, match=r"^wine cannot be written \(Permission denied\): mend that")
        with as_nobody(), refused:
            Registry(Path(folder)).promote("wine", 2, "no")
        assert Registry(Path(folder)).champion("wine") == 1
        home.chmod(0o755)


def test_history_is_only_appended_to(registry: Registry):
    """What stands in the history stays there byte for byte."""
    path = registry.home("wine") / "history.jsonl"
    before, inode = path.read_bytes(), os.stat(path).st_ino
    registry.promote("wine", 2, "second")
    registry.rollback("wine")
    assert path.read_bytes().startswith(before)
    assert os.stat(path).st_ino == inode


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_is_not_found(registry: Registry, name: str):
    """A name that no model can have is refused by every way in, and no folder is looked at."""
    for call in (
        registry.home,
        registry.versions,
        registry.champion,
        registry.history,
        registry.rollback,
        registry.candidates_to_serve,
        lambda name: registry.place(name, 1),
        lambda name: registry.promote(name, 1, "x"),
    ):
        with pytest.raises(NotFoundError, match="no model is called"):
            call(name)
