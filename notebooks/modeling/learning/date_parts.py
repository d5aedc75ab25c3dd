"""Parts of dates that a model can learn from, in scikit-learn and in ONNX alike."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

PARTS = ("day", "month", "day of month", "weekday", "hour")
"""What is taken of a date: days since 1970-01-01, month 1 to 12, day 1 to 31, weekday 0 (Monday) to 6, hour.

No year, which says nearly the same as the days: two such columns take large coefficients that cancel.
"""


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Day, month, weekday and hour of dates, given as days since 1970-01-01 with the time as a fraction.

    Of `k` columns `[n, k]` it gives those of `PARTS` in turn, the hour (0 up to 24, with its fraction) only of columns
    where training saw a time of day. A missing date (NaN) is missing in all its parts. The calendar is the Gregorian
    one of ISO 8601, years 1 to 9999; the algorithm is Hinnant's (2013, chrono-compatible low-level date algorithms).
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn which columns hold times of day."""
        days = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        self.timed_ = [bool(np.any((column % 1)[~np.isnan(column)])) for column in days.T]
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the parts of the dates `X`, `[n, d]`."""
        check_is_fitted(self)
        days = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False)
        return np.column_stack(all_parts(days, self.timed_)).astype(np.float32).astype(np.float64)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return names such as `sold: month`."""
        if input_features is None:
            input_features = getattr(self, "feature_names_in_", [f"x{at}" for at in range(len(self.timed_))])
        named = [
            f"{column}: {part}"
            for column, timed in zip(input_features, self.timed_, strict=True)
            for part in _chosen(PARTS, timed)
        ]
        return np.array(named, dtype=object)


def all_parts(days: Any, timed: list[bool]) -> list[Any]:
    """Return the parts of every column `[n]`, of numpy or of a graph that is being built."""
    return [part for at, has_time in enumerate(timed) for part in _chosen(_parts(days[:, at]), has_time)]


def _chosen(parts: tuple[Any, ...], timed: bool) -> tuple[Any, ...]:
    return parts if timed else parts[:-1]


def _parts(moment: Any) -> tuple[Any, ...]:
    """Return `PARTS` of moments `[n]`; only operations that let NaN through, on whole numbers below 2 ** 53."""
    floor = np.floor
    day = floor(moment)
    # Years begin in March and eras in the year 0, so that a leap day is the last of its year.
    since = day + 719468
    era = floor(since / 146097)
    of_era = since - era * 146097
    year_of_era = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524) - floor(of_era / 146096)) / 365)
    of_year = of_era - (365 * year_of_era + floor(year_of_era / 4) - floor(year_of_era / 100))
    from_march = floor((5 * of_year + 2) / 153)
    of_month = of_year - floor((153 * from_march + 2) / 5) + 1
    month = from_march + 3 - 12 * floor(from_march / 10)
    weekday = day + 3 - 7 * floor((day + 3) / 7)
    return day, month, of_month, weekday, (moment - day) * 24
