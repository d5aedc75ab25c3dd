"""The parameters that take one of a few words or a number within limits: told by notebooks, and before they start."""

from __future__ import annotations

from typing import Any

from service.errors import DataError, meant

CHOICES = {
    "task": ("", "classification", "regression"),
    "search": ("grid", "random", "none"),
    "missing": ("impute", "drop"),
    "scale": ("auto", "yes", "no"),
    "promote": ("if_better", "never", "always"),
}


SHARES = ("test_size", "coverage")
"""Parameters that are a share: more than nothing, less than all."""

LEAST = {"folds": 2}


def check_choice(parameter: str, value: Any) -> None:
    """Raise DataError unless `value` is one that the parameter may have; one that is no choice may have any."""
    if parameter in SHARES and not 0 < value < 1:
        raise DataError(f"the parameter `{parameter}` must lie between 0 and 1, got {value:g}")
    if parameter in LEAST and value < LEAST[parameter]:
        raise DataError(f"the parameter `{parameter}` must be at least {LEAST[parameter]}, got {value}")
    allowed = CHOICES.get(parameter, (value,))
    if value not in allowed:
        words = ", ".join(filter(None, allowed)) + (", or empty" if "" in allowed else "")
        near = meant(str(value), filter(None, allowed), "")
        told = f"the parameter `{parameter}` must be one of {words}, got {value!r:.80}"
        raise DataError(f"{told}; {near}" if near else told)
