"""Published values beside ours: how many digits agree, and why others do not."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from textwrap import fill
from typing import Any

import msgspec
import pandas as pd

from modeling.tables.dataset import NOTEBOOKS

FILE = NOTEBOOKS.parent / "data" / "published.toml"
TABLE_MIME = "application/vnd.cellar.table+json"
BINARY_DIGITS = 15
"""Digits that every 64-bit number holds."""


class Comparison(msgspec.Struct, frozen=True):
    """One published value and ours; `digits` that are correct, None for a text; the `reason` where they differ."""

    quantity: str
    published: str
    ours: str
    digits: float | None
    same: bool
    reason: str


def read() -> dict[str, Any]:
    """Return the published values by their table's name; numbers are texts, with every digit that was printed."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def correct_digits(ours: float, published: str) -> float:
    """Return how many digits of a printed number ours has: its log relative error (McCullough 1998).

    It lies between 0 and the number of digits that were printed.
    """
    exact, printed = float(published), _printed(published)
    error = abs(float(ours) - exact) / (abs(exact) or 1.0)
    if not error < 1:
        return 0.0
    return round(min(float(printed), -math.log10(error)), 1) if error else float(printed)


def compare(quantity: str, published: str, ours: float | str, reason: str) -> Comparison:
    """Put a value beside the published one: the same if it is, rounded to the digits printed; else for the reason."""
    if isinstance(ours, str):
        same, shown, digits = ours == published, ours, None
    else:
        exact = Decimal(published)
        last_place = Decimal(1).scaleb(int(exact.as_tuple().exponent))
        same = math.isfinite(ours) and abs(Decimal(ours) - exact) <= last_place / 2
        shown = f"{ours:.{min(_printed(published) + 2, BINARY_DIGITS)}g}"
        digits = correct_digits(ours, published)
    return Comparison(quantity, published, shown, digits, same, "" if same else reason)


def compare_all(
    quantities: Sequence[str], published: Sequence[str], ours: Sequence[float], reason: str
) -> list[Comparison]:
    """Compare value by value."""
    return [
        compare(quantity, theirs, float(our), reason)
        for quantity, theirs, our in zip(quantities, published, ours, strict=True)
    ]


def show(name: str, about: Mapping[str, Any], comparisons: Sequence[Comparison]) -> None:
    """Show a table of comparisons, readable for a person and, under its `name`, for the command that collects them.

    `about` has its `title` and its `source`.
    """
    from IPython.display import display

    rows = [
        [c.quantity, "yes" if c.same else "no", "" if c.digits is None else f"{c.digits:.1f}", c.published, c.ours]
        for c in comparisons
    ]
    table = pd.DataFrame(rows, columns=["quantity", "same", "digits", "published", "ours"])
    reasons, source = _reasons(comparisons), about["source"]
    told = [fill(text, 100, initial_indent="  ", subsequent_indent="  ") for text in reasons]
    below = "".join(f"<p>{escape(text)}</p>" for text in [*reasons, f"Published: {source}"])
    document = {"name": name, "title": about["title"], "source": source, "rows": msgspec.to_builtins(list(comparisons))}
    display(  # type: ignore[no-untyped-call]
        {
            "text/plain": "\n".join([about["title"], _as_text(table), *told]),
            "text/html": f"<h3>{escape(about['title'])}</h3>{table.to_html(index=False, border=0)}{below}",
            TABLE_MIME: document,
        },
        raw=True,
    )


def _reasons(comparisons: Sequence[Comparison]) -> list[str]:
    """Return a sentence for each reason, with the quantities that differ for it."""
    by_reason: dict[str, list[str]] = {}
    for c in comparisons:
        if not c.same:
            by_reason.setdefault(c.reason, []).append(c.quantity)
    return [
        f"{'All differ' if len(names) == len(comparisons) else 'Different: ' + ', '.join(names)}. {reason}"
        for reason, names in by_reason.items()
    ]


def _as_text(table: pd.DataFrame) -> str:
    lines = [list(table.columns), *table.to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(cells)).rstrip()
        for cells in (zip(line, widths, strict=True) for line in lines)
    )


def _printed(published: str) -> int:
    """Return the number of significant digits that were printed."""
    return len(Decimal(published).as_tuple().digits)
