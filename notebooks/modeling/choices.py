"""Parameters that take one of a few words, or no number below a limit: told before anything starts and by notebooks."""

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
LEAST = {"recall_drop": 0.0, "growth": 0.0}


def check_choices(**values: Any) -> None:
    """Raise DataError unless each parameter's value is one that it may have; one without a rule may have any."""
    for parameter, value in values.items():
        allowed = CHOICES.get(parameter, (value,))
        if value not in allowed:
            words = ", ".join(filter(None, allowed)) + (", or empty" if "" in allowed else "")
            raise DataError(f"the parameter `{parameter}` must be one of {words}, got {value!r:.80}")
        if parameter in LEAST and not value >= LEAST[parameter]:
            least = f"a number of at least {LEAST[parameter]:g}"
            raise DataError(f"the parameter `{parameter}` must be {least}, got {value}")
