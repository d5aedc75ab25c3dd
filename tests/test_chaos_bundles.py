from __future__ import annotations

import threading
from pathlib import Path

import pytest

from chaos import copying, damage, promoting
from service import bundle, model
from service.registry import Registry

pytestmark = pytest.mark.slow


def test_a_bundle_is_loaded_once_it_is_whole(tmp_path: Path):
    """Whatever file comes last, nobody loads the bundle before its last byte."""
    outcome = copying.run(tmp_path, 0.03)
    assert outcome.broken == []
    assert "4 orders of 5 files" in outcome.disturbed


def test_a_bundle_that_is_loaded_too_early_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A reader that checks no hashes loads what is cut off, and that is told."""
    monkeypatch.setattr(bundle, "_read_verified", lambda path, _: bundle._read_file(path))
    monkeypatch.setattr(model, "_replay", lambda _: None)
    assert any("loaded before it was whole" in each for each in copying.run(tmp_path, 0.05).broken)


def test_a_reader_that_ends_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What ends the reader beside, before its first look, is told, and that it never looked."""
    served = copying.served

    def fail_beside(registry: Registry) -> int:
        if threading.current_thread() is not threading.main_thread():
            raise OSError("gone")
        return served(registry)

    monkeypatch.setattr(copying, "served", fail_beside)
    broken = copying.run(tmp_path, 0.01).broken
    assert broken == ["the reader beside ended: OSError('gone')", "the reader beside never looked"]


def test_damage_is_refused_before_it_is_parsed(tmp_path: Path):
    """Changed and missing bytes are refused, no parser sees them, and a running service answers as before."""
    outcome = damage.run(tmp_path, 0.01)
    assert outcome.broken == []
    assert "0 calls of parsers" in outcome.figures


def test_damage_that_goes_unseen_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where hashes are not checked, parsers are given damaged bytes, and that is told."""
    monkeypatch.setattr(bundle, "_read_verified", lambda path, _: bundle._read_file(path))
    broken = damage.run(tmp_path, 0.01).broken
    assert any("parsers were given what was damaged" in each for each in broken)
    assert any("in metrics.json went unseen" in each for each in broken)


def test_one_of_all_promoters_wins(tmp_path: Path):
    """Of eight that promote over the same champion one wins each round, and the history tells so."""
    outcome = promoting.run(tmp_path, 0.01)
    assert outcome.broken == []
    assert "10 rounds: 70 of 80 came too late" in outcome.disturbed


def test_promoters_without_a_lock_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the lock holds nobody out, and writing takes its time, several win or trip each other, and that is told."""
    (tmp_path / "early").mkdir()
    code = "import fcntl, os, time; fcntl.flock = lambda *_: None; os.fsync = lambda _: time.sleep(0.05)"
    (tmp_path / "early" / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "early"))
    broken = promoting.run(tmp_path, 0.01).broken
    assert any("had the winners" in each or "was told StorageError" in each for each in broken)
