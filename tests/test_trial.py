from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service import bundle
from service.config import ROOT
from service.trial import Tried, trial

MEMORY = 1 << 30


def test_sound_and_damaged_bundles(artifacts: Path, houses_artifacts: Path):
    """Each bundle is told of: a sound one by nothing, a damaged one by what is wrong, and so are those after it."""
    wine, houses = artifacts / "wine" / "1", houses_artifacts / "houses" / "1"
    damaged = shutil.copytree(wine, artifacts / "wine" / "2")
    (damaged / bundle.MODEL).write_bytes(b"x")
    missing = artifacts / "wine" / "3"
    found = trial([wine, damaged, missing, houses], MEMORY)
    assert list(found) == [wine, damaged, missing, houses]
    assert found[wine] == Tried("", bundle.fingerprint(wine))
    assert found[houses] == Tried("", bundle.fingerprint(houses))
    assert found[damaged].why.startswith("wine/2/model.onnx is damaged")
    assert found[missing].why.startswith("wine/3/SHA256SUMS cannot be read")


def test_a_crash_is_told_and_those_behind_it_are_not(artifacts: Path, houses_artifacts: Path, spoil):
    """A model that ends the process that loads it is refused, by the signal's name; those before it were loaded."""
    spoil("OneHotEncoder", "os.kill(os.getpid(), signal.SIGSEGV)")
    wine, houses = artifacts / "wine" / "1", houses_artifacts / "houses" / "1"
    found = trial([wine, houses, shutil.copytree(wine, artifacts / "wine" / "2")], MEMORY)
    assert list(found.items()) == [
        (wine, Tried("", bundle.fingerprint(wine))),
        (houses, Tried("the process that loads it ends with SIGSEGV")),
    ]


def test_a_model_that_never_loads_is_given_up(artifacts: Path, spoil):
    """After the seconds that it may take, the process is ended."""
    spoil("", "time.sleep(600)")
    folder = artifacts / "wine" / "1"
    assert trial([folder], MEMORY, 2) == {folder: Tried("it was not loaded within 2 s")}


def test_each_of_several_models_has_its_own_seconds(artifacts: Path, houses_artifacts: Path, spoil):
    """Two that take most of their time, one after the other, are both loaded."""
    spoil("", "time.sleep(2)")
    found = trial([artifacts / "wine" / "1", houses_artifacts / "houses" / "1"], MEMORY, 3.5)
    assert [tried.why for tried in found.values()] == ["", ""]


def test_a_process_that_cannot_even_start_is_given_up(artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One that hangs before it looks at a model is ended from outside."""
    (tmp_path / "sitecustomize.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("service.trial.SPARE", 1.0)
    folder = artifacts / "wine" / "1"
    assert trial([folder], MEMORY, 1) == {folder: Tried("it was not loaded within 1 s")}


def test_a_model_that_takes_too_much_memory(artifacts: Path, spoil):
    """Memory beyond the limit is refused to the process, and the setting that allows more is named."""
    spoil("", "bytearray(1 << 29)")
    folder = artifacts / "wine" / "1"
    told = trial([folder], 100_000_000)[folder].why
    assert told.startswith("wine/1") and "100 MB" in told and "(CELLAR_MAX_MEMORY)" in told
    assert trial([folder], MEMORY)[folder].why == ""


def test_a_trial_that_nobody_waits_for_ends(artifacts: Path, spoil):
    """The process of a hanging model outlives neither its time nor the worker that was to end it."""
    spoil("", "time.sleep(600)")
    words = [sys.executable, "-m", "service.trial", str(MEMORY), "1", str(artifacts / "wine" / "1")]
    assert subprocess.run(words, check=False, cwd=ROOT, timeout=60).returncode == -signal.SIGALRM
