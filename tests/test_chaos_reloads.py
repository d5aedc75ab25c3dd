from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from chaos import reloads
from chaos.house import house
from chaos.reloads import Held
from service.live import Live
from tests.outside import outside


@pytest.mark.slow
def test_swaps_leave_nothing_behind(tmp_path: Path):
    """Reloads from many threads and swaps under way answer rightly, in the same processes."""
    outcome = reloads.swaps(tmp_path, 0.03)
    assert [told for told in outcome.broken if not told.startswith("memory")] == []
    assert outcome.disturbed.startswith("32 promotions from 32 threads and ")
    assert " in one process, 60 promotions and " in outcome.disturbed


@pytest.mark.slow
def test_many_requests_are_answered(tmp_path: Path):
    """Requests of all sizes are answered with 200."""
    outside("wrk")
    outcome = reloads.million(tmp_path, 0.001)
    assert " 0 not answered with 200" in f" {outcome.figures}"
    assert not [told for told in outcome.broken if "200" in told]


@pytest.mark.slow
def test_a_wrong_answer_of_a_reload_is_noticed(tmp_path: Path):
    """Labels that no version gives are told."""
    made = house(tmp_path, 3)
    answers = {number: [["?", []] for _ in each] for number, each in made.answers.items()}
    assert any("answered" in told for told in reloads._reload(made._replace(answers=answers), 1)[2])


@pytest.mark.slow
def test_reloads_that_do_not_take_place_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where nobody looks for promotions no swaps are counted, and who asks for what is gone is told."""
    made = house(tmp_path, 3)
    monkeypatch.setattr(Live, "look", lambda self: None)
    monkeypatch.setattr(Live, "get", lambda self, name: SimpleNamespace(version=made.registry.champion("wine")))
    swaps, _, broken = reloads._reload(made, 1)
    assert swaps == 0
    assert "of 32 promotions from 32 threads only 0 were noticed" in broken
    assert any(told.startswith("who asks was told AttributeError") for told in broken)


@pytest.mark.parametrize(
    ("last", "told"),
    [(Held(110, 9, 4), []), (Held(111, 9, 4), ["memory"]), (Held(90, 10, 5), ["threads", "descriptors"])],
)
def test_growth_is_noticed(last: Held, told: list[str]):
    """Memory may grow by a tenth after the warm-up, descriptors and threads not at all."""
    grown = reloads._grown([Held(100, 9, 4), Held(300, 30, 30), last])
    assert [text.split()[0] for text in grown] == told
