from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chaos import __main__ as chaos
from chaos.experiment import Experiment, Outcome
from service.config import ROOT


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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--only", "999"), "--only: there is no experiment '999', there are 1, 2"),
        (("--only", "five"), "--only: there is no experiment 'five', there are 1, 2"),
        (("--only", "1,,2"), "--only: there is no experiment '', there are 1, 2"),
        (("--scale", "nan"), "--scale must be a number above 0, such as 0.01, got 'nan'"),
        (("--scale", "-1"), "--scale must be a number above 0, such as 0.01, got '-1'"),
        (("--scale", "inf"), "--scale must be a number above 0, such as 0.01, got 'inf'"),
        (("--scale", "half"), "--scale must be a number above 0, such as 0.01, got 'half'"),
        (("--once",), "unrecognized arguments: --once"),
    ],
)
def test_what_cannot_be_run_is_told(words: tuple[str, ...], told: str):
    """A number that no experiment has, and a scale that is none, end in one sentence, by the name that was typed."""
    done = subprocess.run(
        [sys.executable, "tasks.py", "chaos", "--", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(told) and len(done.stderr.splitlines()) == 1
    assert done.stderr.endswith("; python3 tasks.py chaos -- --help shows all there are\n")
