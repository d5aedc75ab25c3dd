from __future__ import annotations

from pathlib import Path

import pytest

from chaos import __main__ as chaos
from chaos.experiment import Experiment, Outcome


def test_every_experiment_has_its_number():
    """The experiments are numbered as they are told of, each with a title."""
    found = chaos.experiments()
    assert list(found) == sorted(found)
    assert all(each.title and each.number == number for number, each in found.items())


def test_what_broke_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command prints what each experiment showed, and fails if something did not hold."""

    def run(folder: Path, scale: float) -> Outcome:
        assert folder.is_dir() and not list(folder.iterdir())
        return Outcome("one kill", f"scale {scale:g}", ["it died"] if scale == 1 else [])

    monkeypatch.setattr(chaos, "experiments", lambda: {3: Experiment(3, "a kill", run)})
    monkeypatch.setattr("sys.argv", ["chaos", "--only", "3"])
    assert chaos.main() == 1
    assert "it died" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["chaos", "--scale", "0.5"])
    assert chaos.main() == 0
    assert "disturbed: one kill\n   showed:    scale 0.5\n   held" in capsys.readouterr().out


def test_an_unknown_number_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A number that no experiment has is named, with those that there are."""
    monkeypatch.setattr("sys.argv", ["chaos", "--only", "999"])
    with pytest.raises(SystemExit):
        chaos.main()
    assert "there is no experiment 999: there are" in capsys.readouterr().err
