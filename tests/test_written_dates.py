from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modeling.tables.written_dates import as_iso, date_order
from service.rows import dates


@given(st.datetimes())
def test_iso_stays_iso(moment):
    """What is ISO already is not touched, whatever comes first in other dates."""
    for order in ("", "day", "month"):
        assert as_iso(moment.isoformat(), order) == moment.isoformat()
    assert (
        dates.read([as_iso(f"{moment.day}.{moment.month}.{moment.year:04}T10:30", "day")])[0].item().day == moment.day
    )


def test_the_order_of_dates_needs_a_witness():
    """Points say that the day is first, a number over 12 says what is the day, two that disagree say nothing."""
    assert date_order(["2024-05-01"]) == ""
    assert date_order(["1.5.2024"]) == date_order(["1/5/2024", "13/5/2024"]) == "day"
    assert date_order(["1/5/2024", "5/13/2024"]) == "month"
    assert date_order(["13/5/2024", "5/13/2024"]) is None
    assert date_order(["1/5/2024"], "month") == "month"
    assert date_order(["13/5/2024"], "month") is None
