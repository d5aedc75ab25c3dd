from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.server.pace import PATIENCE, SLOWEST, is_too_slow

SECONDS = st.floats(0, 1e6)


@given(begun=SECONDS, took=SECONDS, quiet=SECONDS)
def test_who_moves_nothing_for_long_is_too_slow(begun: float, took: float, quiet: float):
    """However much moved before, a client that is silent for longer than PATIENCE is given up; one at rate is not."""
    now = begun + took + quiet
    enough = int((now - begun) * SLOWEST) + 1
    assert is_too_slow(now, begun, begun + took, enough) == (now - (begun + took) > PATIENCE)


@given(begun=SECONDS, took=SECONDS, rate=st.floats(0, SLOWEST * 0.99))
def test_a_crumb_now_and_then_is_not_enough(begun: float, took: float, rate: float):
    """Below SLOWEST bytes a second every client is given up sooner or later, and none before PATIENCE."""
    assert not is_too_slow(begun + min(took, PATIENCE - 1), begun, begun, 0)
    late = PATIENCE * SLOWEST / (SLOWEST - rate) + took + 1
    assert is_too_slow(begun + late, begun, begun + late, int(rate * late))


@given(now=SECONDS, begun=SECONDS, moved=SECONDS, count=st.integers(0, 1 << 40), more=st.integers(0, 1 << 20))
def test_more_bytes_are_never_slower(now: float, begun: float, moved: float, count: int, more: int):
    """Who would be waited for is also waited for with more bytes."""
    assert is_too_slow(now, begun, moved, count) or not is_too_slow(now, begun, moved, count + more)
