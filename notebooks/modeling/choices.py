"""The parameters that take one of a few words, and which: told before anything starts and by the notebooks alike."""

from __future__ import annotations

from typing import Any

from service.errors import DataError

CHOICES = {
    "task": ("", "classification", "regression"),
    "search": ("grid", "random", "none"),
    "missing": ("impute", "drop"),
    "scale": ("auto", "yes", "no"),
    "promote": ("if_better", "never", "always"),
}


def check_choice(parameter: str, value: Any) -> None:
    """Raise DataError unless `value` is one that the parameter may have; one that is no choice may have any."""
    allowed = CHOICES.get(parameter, (value,))
    if value not in allowed:
        words = ", ".join(filter(None, allowed)) + (", or empty" if "" in allowed else "")
        raise DataError(f"the parameter `{parameter}` must be one of {words}, got {value!r:.80}")
