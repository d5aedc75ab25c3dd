"""The target of a table: which task it is, and whether there is something in it to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from modeling.tables.form import Form, as_numbers
from modeling.tables.kinds import Kind, is_number, stray_text, unclear
from service.errors import DataError

Task = Literal["classification", "regression"]

MOST_CLASSES = 20
"""Whole numbers with at most so many values, each three times on average, are classes unless the card says no."""

POINT = Form(decimal=".")

UNLEARNED: dict[Kind, str] = {
    "date": "holds dates, no classes or numbers",
    "identifier": "is an identifier",
    "text": "is a free text",
}
"""What a target of some kinds is told, of which nobody said that it is to be learned."""


def told(value: object) -> str:
    """Return a value as a sentence shows it: 1, not np.int64(1)."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def task_of(target: pd.Series) -> Task:
    """Return the task that follows from a target's values: texts and few whole numbers are classes."""
    if not is_number(target):
        return "classification"
    whole = bool((target.dropna() % 1 == 0).all())
    few = target.nunique() <= min(MOST_CLASSES, target.count() / 3)
    return "classification" if whole and few else "regression"


def check_written(path: Path, target: pd.Series, kind: Kind, form: Form) -> None:
    """Raise DataError if a target is nearly all numbers, or numbers or dates that could be read in two ways."""
    stray, doubtful = stray_text(target, form), unclear(target, form) if kind == "text" else ""
    if stray:
        raise DataError(f"{_named(path, target)} is {stray}: correct it")
    if doubtful:
        raise DataError(f"{_named(path, target)}: {doubtful}")


def check_kind(path: Path, target: pd.Series, kind: Kind, note: str) -> None:
    """Raise DataError if a target is of a kind that tells rows apart; `note` is what makes it one."""
    if kind not in UNLEARNED:
        return
    why = f" ({note})" if note else ""
    better = "" if kind == "date" else f', or say `kind = "{_learned(target)}"` of it in the card'
    raise DataError(f"{_named(path, target)} {UNLEARNED[kind]}{why}: choose another target{better}")


def check_target(path: Path, target: pd.Series, task: Task, form: Form = POINT) -> None:
    """Raise DataError if there is nothing in a target to learn."""
    name = _named(path, target)
    if target.isna().all():
        raise DataError(f"{name} has no values: choose another target")
    if task == "regression" and not is_number(target):
        present = target.dropna()
        text = present[as_numbers(present, form).isna()].head(1).tolist() or present.tolist()
        raise DataError(
            f"{name} holds texts such as {text[0]!r}: a regression needs numbers, "
            f"so correct them{otherwise('classification')}"
        )
    if is_number(target) and np.isinf(target).any():
        raise DataError(f"{name} holds an infinite number: correct it or remove the row")
    if target.nunique() < 2:
        raise DataError(
            f"{name} has only one value, {told(target.dropna().iloc[0])}: "
            "there is nothing to learn; add rows of another"
        )
    if task == "classification" and target.value_counts().min() < 2:
        rare, cure = target.value_counts().idxmin(), otherwise("regression") if is_number(target) else ""
        raise DataError(f"{name} has only one row of class {told(rare)}: add rows of it or remove it{cure}")


def otherwise(task: Task) -> str:
    """Return the end of a sentence that names the other task as the cure."""
    return f', or say `task = "{task}"` as parameter or in the card'


def _named(path: Path, target: pd.Series) -> str:
    return f"{path.name}: the target {target.name!r}"


def _learned(target: pd.Series) -> Kind:
    return "number" if is_number(target) else "category"
