from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from outside import outside

from chaos import attacks, faults, steps, tracing
from service import bundle
from service.errors import DataError

pytestmark = pytest.mark.slow

WITHOUT_STAGING = """
from service import publication
def write_folder(place, content):
    place.mkdir()
    for name, data in content.items():
        (place / name).write_bytes(data)
publication.write_folder = write_folder
"""

TRUSTING_TRIAL = """
import sys
if "service.trial" in sys.orig_argv:
    from chaos import readers
    from service import model
    load = model.load
    def trust_and_load(folder):
        readers.trust(folder)
        return load(folder)
    model.load = trust_and_load
"""


@pytest.fixture(autouse=True)
def _strace() -> None:
    """What all of these look through."""
    outside("strace")


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The function that has every Python that is started from now on begin with some code."""

    def put(code: str) -> None:
        (tmp_path / "early").mkdir()
        (tmp_path / "early" / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "early"))

    return put


def test_faults_leave_the_old_or_the_new(tmp_path: Path):
    """Of kills and errors of the disk at system calls of publishing each hits, and nothing is half-done."""
    outcome = faults.run(tmp_path, 0.012)
    assert outcome.broken == []
    assert "SIGKILL" in outcome.disturbed and "ENOSPC" in outcome.disturbed


def test_faults_notice_a_bundle_written_in_place(tmp_path: Path, breaking):
    """A writer that gives a folder its name before it is whole is caught."""
    breaking(WITHOUT_STAGING)
    outcome = faults.run(tmp_path, 0.03)
    assert any("neither old nor new" in each for each in outcome.broken)


def test_names_are_given_to_what_the_disk_has(tmp_path: Path):
    """Whatever gets its final name was synced before, and its folder after."""
    outcome = tracing.run(tmp_path, 1)
    assert outcome.broken == []
    assert "4 renames" in outcome.disturbed


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os.fsync = lambda _: None", "write: 1 got its name before model.onnx was synced"),
        ("from service import files; files.sync = lambda _: None", "promote: wine was never synced"),
    ],
)
def test_a_name_given_too_early_is_noticed(tmp_path: Path, breaking, code: str, told: str):
    """Files, or folders, that are not synced are named with the step."""
    breaking(code)
    assert told in tracing.run(tmp_path, 1).broken


def test_attacks_are_refused(tmp_path: Path):
    """Some bundles that reach for other files, or bring code, do no harm to the service, and do elsewhere."""
    outcome = attacks.run(tmp_path, 0.2)
    assert outcome.broken == []
    assert outcome.disturbed.startswith("5 attacks, 2 of which ")


def test_fifteen_of_all_attacks_are_to_do_harm():
    """What the full experiment proves of the others is that they are refused."""
    assert len([name for name in attacks.ATTACKS if not name.startswith(attacks.HARMLESS)]) == 15
    assert len(attacks.ATTACKS) == 25


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hard link at model.onnx", "hard link at model.onnx: the file outside was read"),
        ("link at the folder", "/outside/model.onnx was opened"),
        ("pickle", "pickle: a process was started"),
    ],
)
def test_attacks_that_succeed_are_noticed(
    tmp_path: Path, breaking, monkeypatch: pytest.MonkeyPatch, name: str, told: str
):
    """Where nothing is checked, the file outside that was read and the process that was started are told."""
    breaking(TRUSTING_TRIAL)
    monkeypatch.setattr(attacks, "ATTACKS", {name: attacks.ATTACKS[name]})
    assert any(told in each for each in attacks.run(tmp_path, 1).broken)


def test_an_attack_that_is_served_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A version that is not refused, and answers in place of the old one, is told."""
    monkeypatch.setattr(attacks, "ATTACKS", {"none": lambda ground: None})
    monkeypatch.setattr("chaos.damage.PATIENCE", 3)
    broken = attacks.run(tmp_path, 1).broken
    assert "none does no harm where nothing is checked" in broken
    assert any("none: version 3 was never refused" in each for each in broken)
    assert any("answered wrongly (200 by version 3)" in each for each in broken)


def test_a_step_is_undone_by_nothing_but_its_fault(wine_artifacts: Path, tmp_path: Path):
    """A step without a fault says that it is done; one with an error says which, at the call that was asked for."""
    words = ["chaos.steps", "write", str(tmp_path / "artifacts"), str(wine_artifacts / "wine" / "1")]
    assert steps.run(words, tmp_path / "log")[:2] == (0, "done")
    failed = steps.run(words, tmp_path / "log", "-e", "inject=rename:error=ENOSPC:when=1")
    assert (failed.status, failed.told.split(":")[0]) == (1, "OSError")
    assert [call.name for call in failed.calls if "(INJECTED)" in call.text] == ["rename"]
    assert bundle.versions(tmp_path / "artifacts" / "wine") == [1]


def test_without_strace_the_cure_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Where strace is missing the message says how to get it."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(DataError, match="apt-get install strace"):
        steps.run(["chaos.steps"], tmp_path / "log")
