from __future__ import annotations

import pytest
from outside import clients, outside


def test_a_program_is_found():
    """A program that is installed is named by its path."""
    assert outside("sh").endswith("/sh")


def test_a_missing_program_skips(monkeypatch):
    """Where a program is missing its test is skipped, and the reason says how to get it."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install no-such-program"):
        outside("no-such-program")


def test_a_missing_program_fails_in_ci(monkeypatch):
    """Where CI is set nothing may be skipped in silence."""
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        outside("no-such-program")


def test_what_cannot_be_downloaded_is_told_in_one_sentence(monkeypatch, tmp_path):
    """A package that no index has fails with its name and the cure, and is tried again the next time."""
    monkeypatch.setenv("CI", "true")
    lock = tmp_path / "none.lock"
    lock.write_text(f"cellar-no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("UV_DEFAULT_INDEX", tmp_path.as_uri())
    for _ in range(2):
        with pytest.raises(pytest.fail.Exception, match=r"none.lock cannot be installed, check the network: .*no-such"):
            clients(tmp_path / "environment", lock)


def test_the_clients_environment_is_made_once(monkeypatch, tmp_path):
    """It holds what its lock names, and is taken as it is until the lock changes."""
    monkeypatch.setenv("CI", "true")
    lock = tmp_path / "one.lock"
    lock.write_text("")
    python = clients(tmp_path / "environment", lock)
    (tmp_path / "environment" / "left").touch()
    assert clients(tmp_path / "environment", lock) == python
    assert (tmp_path / "environment" / "left").exists()
    lock.write_text("# changed\n")
    clients(tmp_path / "environment", lock)
    assert not (tmp_path / "environment" / "left").exists()
