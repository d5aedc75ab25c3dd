"""How a file writes its dates: as ISO 8601, or with the day or the month first."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from service.rows import dates

OTHER_DATE = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})([T ].*)?", re.ASCII)
YEAR_FIRST = re.compile(r"(\d{4})([-./])(\d{1,2})\2(\d{1,2})([T ].*)?", re.ASCII)


def date_order(texts: Iterable[str], given: str = "") -> str | None:
    """Return how dates are written: "" as ISO, "day" or "month" first where only that can be; None if as neither.

    Points are a day's mark wherever they are used; with slashes and hyphens some day must be over 12.
    """
    order = given
    for text in texts:
        match = OTHER_DATE.fullmatch(text)
        if not match:
            continue
        first, second = int(match[1]), int(match[3])
        found = "day" if match[2] == "." or first > 12 else "month" if second > 12 else ""
        if order and found and found != order:
            return None
        order = order or found
    return order


def looks_like_date(text: object) -> bool:
    """Whether a text may be meant as a date."""
    return bool(re.match(r"\d{4}[-./]\d{1,2}[-./]\d|\d{1,2}[./-]\d{1,2}[./-]\d{4}", str(text).strip()))


def as_dates(texts: pd.Series, order: str) -> pd.Series:
    """Return texts `[n]` as moments in UTC, NaT where missing, or raise ValueError at the first that is no date."""
    codes, different = pd.factorize(texts)
    read = dates.read(as_iso(str(text).strip(), order) for text in different)
    moments = np.append(read, np.datetime64("NaT", "us"))[codes]
    return pd.Series(moments, index=texts.index, name=texts.name)


def as_iso(text: str, order: str) -> str:
    """Return a date as ISO 8601 writes it; what is no date stays what it is."""
    if match := YEAR_FIRST.fullmatch(text):
        return f"{match[1]}-{match[3]:0>2}-{match[4]:0>2}{match[5] or ''}"
    match = OTHER_DATE.fullmatch(text) if order else None
    if not match:
        return text
    day, month = (match[1], match[3]) if order == "day" else (match[3], match[1])
    return f"{match[4]}-{month:0>2}-{day:0>2}{match[5] or ''}"
