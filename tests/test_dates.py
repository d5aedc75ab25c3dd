from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.rows import dates

MOMENTS = st.datetimes()
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
NEAR = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))


def day(text: str) -> float:
    """Return a date's number as a model reads it."""
    return float(np.float32(dates.days(dates.read([text]))[0]))


@given(MOMENTS)
def test_a_date_is_read_as_python_reads_it(moment):
    """What `isoformat` writes comes back, from the year 1 to 9999, to the microsecond."""
    assert dates.read([moment.isoformat(), moment.isoformat(" ")]).tolist() == [moment, moment]


@given(NEAR, ZONES)
def test_an_offset_is_taken_to_utc(moment, zone):
    """The same instant written in any zone is one date."""
    elsewhere = moment.replace(tzinfo=UTC).astimezone(zone)
    assert dates.read([elsewhere.isoformat(), moment.isoformat() + "Z"]).tolist() == [moment, moment]


@given(st.text(alphabet="0123456789-", min_size=10, max_size=10) | st.dates().map(str))
@example("2000-02-29")
@example("1900-02-29")
@example("2023-02-29")
@example("0000-01-01")
@example("2024-11-31")
def test_the_pattern_knows_the_calendar(text):
    """A text of ten characters is a date where Python's own calendar has that day."""
    try:
        known = date.fromisoformat(text).isoformat() == text
    except ValueError:
        known = False
    assert bool(dates.WRITTEN.fullmatch(text)) == known


@given(MOMENTS)
def test_what_is_shown_is_read_as_the_same_number(moment):
    """The text of a 32-bit number of days is that number again, so that limits and golden rows hold."""
    number = day(moment.isoformat())
    assert day(dates.text(number)) == number


@given(MOMENTS)
@example(datetime(2023, 12, 31, 23, 59, 59))
@example(datetime(1969, 12, 31, 23, 59, 59, 999999))
@example(datetime.max)
def test_rounding_never_changes_the_day(moment):
    """The last seconds of a day, and of a year, stay in it in 32 bits, and are shown so."""
    number = day(moment.isoformat())
    assert np.floor(number) == (moment - datetime(1970, 1, 1)).days
    assert dates.text(number)[:10] == moment.date().isoformat()


@given(st.dates())
def test_a_day_is_a_whole_number_and_comes_back(some):
    """A date without a time is exact in 32 bits and is shown without one."""
    assert day(some.isoformat()) == (some - date(1970, 1, 1)).days
    assert dates.text(day(some.isoformat())) == some.isoformat()


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    """Whatever is sent ends in a date or in ValueError with a short message."""
    told = ""
    try:
        assert not np.isnat(dates.read([text])[0])
    except ValueError as error:
        told = str(error)
    assert len(told) < 200


@pytest.mark.parametrize(
    "text",
    "2024 2024-05 2024-5-1 20240501 2024-02-30 2024-05-01T24:00 2024-05-01T10 2024-05-01T10:30+99:00 "
    "2024-05-01T10:30+10:75 2024-05-01T10:30+1075 2024-05-01T10:30+24:00 1900-02-29 2023-02-29 2024-04-31 2024-13-01 "
    "0001-01-01T00:00+01:00 9999-12-31T23:59-01:00 \uff12024-05-01 2024-05-01T10:30:00.1234567 2024-W18-3".split(),
)
def test_what_is_no_date_is_refused(text):
    """Other forms, days that are none, and years outside of 1 to 9999 are refused."""
    with pytest.raises(ValueError, match=r"date|years|day|time|offset|month"):
        dates.read([text])


def test_a_missing_date_is_nan():
    """None is no date and no number."""
    assert np.isnan(dates.days(dates.read([None]))).all() and dates.days(dates.read([])).shape == (0,)
