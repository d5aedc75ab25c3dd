from __future__ import annotations

import subprocess
import sys

import pytest

from bench import pipeline
from service import bundle
from service.registry import Registry
from workshop.execution import ROOT


@pytest.mark.slow
def test_the_script_does_the_work_of_the_notebooks(tmp_path, monkeypatch):
    """Run by plain Python, the notebooks' code publishes a champion and renders every figure."""
    monkeypatch.setenv("CELLAR_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    script = tmp_path / "wine.py"
    script.write_text(pipeline.as_script(ROOT / "data" / "wine.csv"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    registry = Registry(tmp_path / "artifacts")
    assert registry.champion("wine") == 1 and bundle.read(registry.place("wine", 1)).metrics
    sizes = [int(line) for line in done.stdout.splitlines() if line.isdigit()]
    assert len(sizes) >= 7 and min(sizes) > 1000


def test_the_last_value_of_a_cell_is_shown():
    """As in a notebook, a cell's last line is shown if it is a value, and only that one."""
    assert pipeline._printing("1 + 1\nx = 2\nx + 1") == "1 + 1\nx = 2\ndisplay(x + 1)"
    assert pipeline._printing("x = 2") == "x = 2"


def test_a_run_that_fails_is_no_measurement():
    """A side that ends badly ends the measurement, with its reason."""
    with pytest.raises(SystemExit, match=r"nothing to compare: .*no such table"):
        pipeline.seconds_of([[sys.executable, "-c", "raise SystemExit('no such table')"]])
