from __future__ import annotations

import functools
from pathlib import Path

import pytest

from chaos import slow
from chaos.asked import served

pytestmark = pytest.mark.slow

POLITE = """
import time
from service.server import outgoing
def make(self):
    for piece in self.pieces:
        self.server.call(self._write, piece)
        time.sleep(0.001)
        while self.outgoing.full and self.exchange is self.turn.active:
            time.sleep(0.01)
    self.server.call(self._look, True, None)
outgoing.Pieces._make = make
from service.__main__ import main
main()
"""

SHARED = """
from service.server import worker
worker.THREADS = 2
worker.Worker.coming = property(lambda self: self.whole, lambda self, crew: None)
from service.__main__ import main
main()
"""


def test_slow_clients_are_not_felt(tmp_path: Path):
    """Dozens of slow clients of each kind are there, and all others are answered."""
    outcome = slow.run(tmp_path, 0.1)
    assert outcome.broken == []
    assert "[50, 10, 10, 10, 30] at once" in outcome.disturbed


def test_threads_that_wait_for_slow_readers_are_noticed(tmp_path: Path):
    """Where threads wait until a reply is taken, the experiment tells that most readers got none."""
    outcome = slow.run(tmp_path, 0.1, functools.partial(served, program=("-c", POLITE)))
    assert any("to fetch a long reply slowly only" in each for each in outcome.broken)


def test_threads_that_wait_for_slow_clients_are_noticed(tmp_path: Path):
    """Where slow bodies take the threads of others, the experiment tells that others were not answered."""
    outcome = slow.run(tmp_path, 0.1, functools.partial(served, program=("-c", SHARED)))
    assert any("requests of others were not answered" in each for each in outcome.broken)
