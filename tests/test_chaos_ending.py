from __future__ import annotations

import functools
from pathlib import Path

import pytest

from chaos import ending
from chaos.asked import served

pytestmark = pytest.mark.slow

CARELESS = """
from service.server.worker import Worker
Worker.close = lambda self: self.loop.stop()
from service.__main__ import main
main()
"""


def test_signals_under_load_lose_nothing(tmp_path: Path):
    """Two of each signal hit requests on their way, and none of them is lost."""
    outcome = ending.run(tmp_path, 0.04)
    assert outcome.broken == []
    assert outcome.disturbed.startswith("2 SIGTERM") and "replaced 4 workers" in outcome.disturbed


def test_a_worker_that_just_stops_is_noticed(tmp_path: Path):
    """Of a server that ends at once the experiment tells the requests that were lost."""
    outcome = ending.run(tmp_path, 0.02, functools.partial(served, program=("-c", CARELESS)))
    assert any("requests were lost" in each for each in outcome.broken)
