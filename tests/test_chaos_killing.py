from __future__ import annotations

import functools
from pathlib import Path

import pytest

from chaos import killing
from chaos.asked import served

pytestmark = pytest.mark.slow

LATE = """
import time
from service.server.worker import Worker
run = Worker.run
Worker.run = lambda self: (time.sleep(3), run(self))
from service.__main__ import main
main()
"""


def test_killed_workers_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Three killed workers take nothing with them but what they were at, and all serve again, however busy it is."""
    monkeypatch.setattr(killing, "BACK", 60)
    outcome = killing.run(tmp_path, 0.015)
    assert outcome.broken == []
    assert outcome.disturbed.startswith("3 workers killed")


def test_a_worker_that_comes_back_late_is_noticed(tmp_path: Path):
    """The experiment tells that a worker took too long, and how long."""
    outcome = killing.run(tmp_path, 0.005, functools.partial(served, program=("-c", LATE)))
    (told,) = outcome.broken
    assert told.startswith("a worker was back after")
