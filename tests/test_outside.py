from __future__ import annotations

import pytest
from outside import outside


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
