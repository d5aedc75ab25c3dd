from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import changed

from service import bundle, promotion, publication
from service.errors import PromotionError
from service.registry import Registry
from workshop.verification import verify_all

OLD = 1_000_000_000


@pytest.fixture
def registry(artifacts: Path) -> Registry:
    """`wine` in versions 1 and 2, of which the second is champion, and 3 a candidate."""
    shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / "2")
    registry = Registry(artifacts)
    registry.promote("wine", 2, "better")
    first = bundle.read(artifacts / "wine" / "1")
    publication.write_candidate(artifacts, first.manifest, first.golden, first.model)
    return registry


def faults(registry: Registry) -> list[str]:
    """Return what is wrong."""
    return [told for good, told in verify_all(registry) if not good]


def test_what_is_sound_passes(registry: Registry):
    """Every version is loaded and answers its golden rows; a candidate is one, and no fault."""
    assert list(verify_all(registry)) == [
        (True, "wine version 1"),
        (True, "wine version 2"),
        (True, "wine version 3, a candidate"),
    ]


def test_an_empty_house_is_sound(tmp_path: Path):
    """With nothing published there is nothing wrong, and the cure is told."""
    for folder in (tmp_path, tmp_path / "none"):
        assert list(verify_all(Registry(folder))) == [(True, "nothing is published yet: inv pipeline publishes")]


def test_a_model_that_nobody_promoted_is_sound(registry: Registry):
    """A version that the gate held back is no damage."""
    for name in ("champion", "history.jsonl"):
        (registry.home("wine") / name).unlink()
    assert (True, "wine has no champion: no version was promoted") in verify_all(registry)
    assert faults(registry) == []


def test_damage_of_an_earlier_version_is_told(registry: Registry):
    """It is named with what is wrong; the champion is not affected."""
    (registry.place("wine", 1) / bundle.MODEL).write_bytes(b"")
    (told,) = faults(registry)
    assert told.startswith("wine version 1: ") and "model.onnx is damaged" in told


def test_damage_of_the_champion_is_told_with_who_could_be(registry: Registry):
    """The command that makes the sound champion before champion again stands there."""
    (registry.place("wine", 2) / bundle.GOLDEN).write_bytes(b"{}")
    damaged, champion = faults(registry)
    assert "golden.json is damaged" in damaged
    assert champion == "wine: the champion, 2, is damaged: inv promote wine 1 makes a sound one champion"


def test_the_cure_is_whole_where_the_gate_held_the_sound_one_back(registry: Registry):
    """The command that is told has what the gate asks for, and typed as it is it mends the house."""
    reasons = {"verdict": {"promote": False, "reasons": ["failed: worse"]}}
    changed(registry.place("wine", 1), metrics=reasons)
    (registry.place("wine", 2) / bundle.GOLDEN).write_bytes(b"{}")
    cure = faults(registry)[-1].removeprefix("wine: the champion, 2, is damaged: ")
    words = shlex.split(cure.removesuffix(" makes a sound one champion"))
    assert words[:5] == ["inv", "promote", "wine", "1", "--force"] and words[5] == "--reason"
    with pytest.raises(PromotionError):
        promotion.promote(registry, "wine", 1)
    promotion.promote(registry, "wine", 1, words[6], force=True)
    assert [told.split(":")[0] for told in faults(registry)] == ["wine version 2"]


@pytest.mark.parametrize("version", [3, 7])
def test_a_champion_that_is_not_published_is_told(registry: Registry, version: int):
    """A candidate and a version that is gone are none; the latest sound champion is offered."""
    (registry.home("wine") / "champion").write_text(f"{version}\n")
    told = f"wine: the champion, {version}, is not a published version: inv promote wine 2 makes a sound one champion"
    assert faults(registry) == [told]


@pytest.mark.parametrize("content", [None, b"", b"x", b"\xff", b"../1"])
def test_a_champion_file_that_says_nothing_is_told(registry: Registry, content: bytes | None):
    """Where the history knows of promotions, a file that is missing or damaged is a fault."""
    path = registry.home("wine") / "champion"
    path.unlink() if content is None else path.write_bytes(content)
    told = "wine: the file champion is missing or names no version: inv promote wine 2 makes a sound one champion"
    assert faults(registry) == [told]


def test_without_a_sound_version_training_is_the_cure(registry: Registry):
    """Where no published version is sound none can be offered."""
    for version in (1, 2):
        (registry.place("wine", version) / bundle.MODEL).write_bytes(b"")
    assert faults(registry)[-1] == "wine: the champion, 2, is damaged: train it again"


def test_history_and_champion_that_disagree_are_told(registry: Registry):
    """A crash between the two leaves a promotion on record that did not happen; nothing on record is told, too."""
    (registry.home("wine") / "champion").write_text("1\n")
    cure = "inv promote wine 1 puts it on record, or promote another"
    assert faults(registry) == [f"wine: the champion is 1, and history.jsonl ends with version 2: {cure}"]
    (registry.home("wine") / "history.jsonl").unlink()
    assert faults(registry) == [f"wine: the champion is 1, and history.jsonl says nothing: {cure}"]


def test_the_cure_cures(registry: Registry):
    """After the command that was told nothing is wrong."""
    (registry.home("wine") / "champion").write_text("1\n")
    assert len(faults(registry)) == 1
    registry.promote("wine", 1, "as inv verify says")
    assert faults(registry) == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (b'{"at": "torn', "line 3 of {} cannot be read, and what it says does not count: take it out by hand"),
        (
            b"\xff\xff\n[]\n\n",
            "lines 3, 4 of {} cannot be read, and what they say does not count: take them out by hand",
        ),
    ],
)
def test_lines_that_cannot_be_read_are_counted(registry: Registry, more: bytes, told: str):
    """A torn line, as a crash leaves it, and others that are none are named by number and file; blank ones are none."""
    path = registry.home("wine") / "history.jsonl"
    with path.open("ab") as file:
        file.write(more)
    assert faults(registry) == [f"wine: {told.format(path)}"]


def test_what_crashes_left_is_told(registry: Registry):
    """Beside versions and inside them: a fault once it is a day old, before that perhaps somebody's work."""
    home = registry.home("wine")
    names = (".4-7-0123abcd", ".champion-7-0123abcd", "2/.SHA256SUMS-7-0123abcd")
    (home / names[0]).mkdir()
    for name in (*names[1:], ".gitkeep"):
        (home / name).touch()
    assert faults(registry) == []
    young = [told for _, told in verify_all(registry)][-3:]
    assert all(told.endswith("the next to write there removes it") for told in young)
    for name in names:
        os.utime(home / name, (OLD, OLD))
    assert faults(registry) == [f"wine: {name} is what a crash left: inv prune removes it" for name in names]


def test_a_model_of_which_only_the_champion_file_is_left_is_told(registry: Registry):
    """A house whose versions were deleted by hand does not look empty and well."""
    for version in (1, 2, 3):
        shutil.rmtree(registry.place("wine", version))
    assert faults(registry) == ["wine: the champion, 2, is not a published version: train it again"]


def test_a_model_that_is_no_folder_is_told(registry: Registry):
    """A file in a model's place is a fault, and the others are checked all the same."""
    (registry.folder / "odd").write_text("")
    assert faults(registry) == ["odd cannot be read (Not a directory): mend that and try again"]
    assert (True, "wine version 1") in verify_all(registry)


def test_a_file_that_cannot_be_opened_is_told(registry: Registry):
    """What the operating system refuses is a sentence, and other models are checked all the same."""
    shutil.copytree(registry.home("wine"), registry.folder / "yeast")
    (registry.home("wine") / "history.jsonl").unlink()
    (registry.home("wine") / "history.jsonl").mkdir()
    told = faults(registry)
    assert "wine/history.jsonl cannot be read (Is a directory): mend that and try again" in told[0]
    assert any(fault.startswith("yeast") and "holds the model 'wine'" in fault for fault in told)
