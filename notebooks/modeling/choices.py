"""Parameters that take one of a few words, or a number within limits: told before anything starts, and by notebooks."""

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
LEAST = {"folds": 2, "recall_drop": 0.0, "growth": 0.0}


def check_choices(**values: Any) -> None:
    """Raise DataError unless each parameter's value is one that it may have; one without a rule may have any."""
    for parameter, value in values.items():
        told = _objection(parameter, value)
        if told:
            raise DataError(f"the parameter `{parameter}` must {told}")


def _objection(parameter: str, value: Any) -> str:
    if parameter in SHARES and not 0 < value < 1:
        return f"lie between 0 and 1, got {value:g}"
    if parameter in LEAST and not value >= LEAST[parameter]:
        return f"be a number of at least {LEAST[parameter]:g}, got {value}"
    allowed = CHOICES.get(parameter, (value,))
    if value in allowed:
        return ""
    words = ", ".join(filter(None, allowed)) + (", or empty" if "" in allowed else "")
    near = meant(str(value), filter(None, allowed), "")
    return f"be one of {words}, got {value!r:.80}{near and f'; {near}'}"
