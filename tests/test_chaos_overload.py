from __future__ import annotations

from pathlib import Path

import pytest

from chaos import overload
from chaos.clients import post
from chaos.house import house
from chaos.serving import serving


@pytest.mark.slow
def test_too_much_is_refused_with_a_cure(tmp_path: Path):
    """Requests beyond what can be answered get 503 with Retry-After, the others 200."""
    outcome = overload.overload(tmp_path, 0.05)
    assert outcome.broken == []
    assert not outcome.disturbed.endswith(" 0 refused at 10 times")


@pytest.mark.slow
def test_another_status_is_noticed(tmp_path: Path):
    """A request that is answered with anything but 200 or a 503 that says when to come back is a fault."""
    with serving(house(tmp_path, 1).registry.folder) as served:
        load = overload._offer(served, post({}, overload.PATH), 50, 1)
    assert (load.answered, load.refused) == ([], 0)
    assert load.wrong == {"answered with 400": load.asked}
