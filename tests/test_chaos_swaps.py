from __future__ import annotations

from pathlib import Path

import pytest

from chaos import swaps
from chaos.house import House, house
from chaos.serving import serving


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Two versions that answer every row differently."""
    return house(tmp_path_factory.mktemp("house"), 2)


@pytest.mark.slow
def test_nobody_notices_promotions(tmp_path: Path):
    """Every answer is that of one version while they are swapped, and no connection goes back."""
    outcome = swaps.promotions(tmp_path, 0.02)
    assert outcome.broken == []
    assert outcome.disturbed.startswith("4 promotions, ")


@pytest.mark.slow
def test_an_answer_of_no_version_is_noticed(made: House):
    """A client that gets other numbers than the table holds says so."""
    answers = {number: [["?", []] for _ in each] for number, each in made.answers.items()}
    with serving(made.registry.folder) as served:
        seen = swaps._asked(made._replace(answers=answers), served, 8, lambda: None)
    assert all(one.wrong for one in seen)
    assert {told for one in seen for told in one.wrong} == {"200: version 1 answered as []"}


@pytest.mark.parametrize(
    ("versions", "back"),
    [([1, 1, 2, 3, 1], False), ([2, 3, 3, 1], False), ([1, 3, 2], True), ([2, 1, 2], True), ([4], True)],
)
def test_a_version_that_comes_back_is_noticed(versions: list[int], back: bool):
    """Versions have to be seen in the order in which they were promoted; some may be missed."""
    assert bool(swaps._goes_back(versions, [1, 2, 3, 1])) is back
