"""Dates: from the text on the wire to the number that a model reads, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

SUCH = "2024-05-01"
"""How a date is written, for whoever wrote it otherwise."""

_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_LONG, _SHORT = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])", "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
_DAY = f"(?:[0-9]{{4}}-(?:{_LONG}|{_SHORT}|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
_HOUR, _MINUTE = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
_TIME = rf"{_HOUR}:{_MINUTE}(?::[0-5][0-9](?:\.[0-9]{{1,6}})?)?(?:Z|[+-]{_HOUR}:?{_MINUTE})?"
PATTERN = rf"(?!0000|0001-01-01.+\+|9999-12-31.+-){_DAY}(?:[T ]{_TIME})?"
"""What a date is, the calendar included, in words that JSON Schema shares; in UTC it lies in the years 1 to 9999."""

WRITTEN = re.compile(PATTERN)
EPOCH = datetime(1970, 1, 1)
MICROSECOND, DAY = timedelta(microseconds=1), timedelta(days=1) // timedelta(microseconds=1)
FIRST, LAST = (datetime.min - EPOCH) // MICROSECOND, (datetime.max - EPOCH) // MICROSECOND


def read(texts: Iterable[str | None]) -> npt.NDArray[np.datetime64]:
    """Return dates `[n]` in UTC to the microsecond, NaT for None, or raise ValueError at the first that is none.

    ISO 8601: `2024-05-01`, with a time (`2024-05-01T10:30`, `2024-05-01 10:30:00.5`) and with `Z` or an offset.
    """
    return np.array([None if text is None else _moment(text) for text in texts], dtype="datetime64[us]")


def days(moments: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
    """Return days `[n]` since 1970-01-01, a time of day as the fraction, NaN for NaT; in 32 bits it is the same day."""
    microseconds = moments.astype("datetime64[us]").astype(np.int64)
    whole = microseconds // DAY
    exact = microseconds / DAY
    latest = np.nextafter((whole + 1).astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    return np.where(np.isnat(moments), np.nan, np.minimum(exact, latest))


def are_told(moments: npt.NDArray[np.datetime64]) -> bool:
    """Whether all moments `[n]`, in whatever unit, lie in the years 1 to 9999, or are NaT."""
    if moments.dtype == "datetime64[ns]":
        return True  # they reach from 1677 to 2262
    first, last = (np.datetime64(year).astype(moments.dtype) for year in ("0001-01-01", "10000-01-01"))
    return bool((np.isnat(moments) | ((first <= moments) & (moments < last))).all())


def text(day: float) -> str:
    """Return days since 1970-01-01 as a date, with the time of day where there is one."""
    # What lies beyond the years 1 to 9999 is no date that anyone sent.
    moment = EPOCH + timedelta(microseconds=min(max(round(float(day) * DAY), FIRST), LAST))
    return moment.isoformat() if moment.time() != datetime.min.time() else moment.date().isoformat()


def _moment(text: str) -> datetime:
    if not WRITTEN.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is no date such as {SUCH}")
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
