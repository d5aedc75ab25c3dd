from __future__ import annotations

import numpy as np
import pytest

from bench import coverage


@pytest.mark.parametrize(("table", "name"), [("diabetes", "ridge"), ("wine", "lda")])
def test_splits_cover_as_promised(table, name):
    """Over 30 random splits the mean coverage is not below 90 %, within four standard errors.

    A split's share of covered test rows is, at worst, beta-binomial: its variance is at most c (1 - c) (1 / n + 1 / m)
    for n calibration and m test rows; the mean of 30 splits is then within four times the root of a thirtieth of it.
    """
    covered, size = coverage.measure(table, name, splits=30).T
    rows = {"diabetes": 110, "wine": 44}[table]
    error = np.sqrt(0.09 * 2 / rows / 30)
    assert covered.mean() > 0.9 - 4 * error
    if table == "diabetes":
        assert covered.mean() < 0.9 + 1 / rows + 4 * error
        assert size.mean() > 100
    else:
        assert 1 <= size.mean() < 1.2
