from __future__ import annotations

from itertools import accumulate

import pytest

from bench import lane


def test_a_stage_has_its_own_time_only(monkeypatch):
    """What a watched function spends in another is the other's, even if it fails."""
    ticks = accumulate([0, 3, 4, 5])  # seconds until: outer begins, inner begins, inner ends, outer ends
    monkeypatch.setattr(lane.time, "perf_counter", lambda: next(ticks))
    stopwatch = lane.Stopwatch()

    def fail() -> None:
        raise KeyError

    inner = stopwatch.watch("inner", fail)

    def call() -> None:
        with pytest.raises(KeyError):
            inner()

    stopwatch.watch("outer", call)()
    assert stopwatch.spent == {"inner": 4, "outer": 3 + 5}


@pytest.mark.slow
def test_the_budget_of_a_request(tmp_path, monkeypatch, capfd):
    """Every stage takes time, what is not answered is left out, and the log does not reach the table."""
    monkeypatch.setattr(lane, "CALLS", 50)
    asks = (lane.ASKS[0], lane.Ask("nowhere", "/nowhere", lane.V1))
    heading, line = lane.measure(tmp_path, asks)
    assert line[:2] == ["native, lists", "1"] and len(heading) == len(line)
    assert all(float(figure) > 0 for figure in line[2:])
    out, err = capfd.readouterr()
    assert out == "" and "nowhere is left out: it was answered 404" in err
    assert b'"route":"native"' in (tmp_path / "log").read_bytes()
