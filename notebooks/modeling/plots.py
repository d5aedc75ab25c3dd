"""One style for every figure, and showing a figure with its alternative text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from cycler import cycler
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from modeling import legible

Array = npt.NDArray[Any]

# Okabe and Ito (2008): told apart by every common kind of colour vision, and in grey by their lightness.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]

LINES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]
"""Dashes beside the colours: in grey print a line is told by them."""

MOST_POINTS = 5000
"""Dots drawn in a scatter plot: more are one blot."""


def set_style() -> None:
    """Give the figures of this notebook the common style, and let its tables show whole texts."""
    pd.set_option("display.max_colwidth", None)
    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS),
            "legend.fontsize": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e6e6e6",
            "figure.figsize": (7.0, 4.0),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "text.parse_math": False,
        }
    )


def short(label: object, most: int = 18) -> str:
    """Return a class's or category's name as a figure has room for it: its beginning and its end."""
    text = str(label)
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-((most - 1) // 2) :]}"


def some(count: int, seed: int, most: int = MOST_POINTS) -> npt.NDArray[np.intp]:
    """Return the numbers of the rows to draw, all of `count` or a seeded sample, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def draw_dependence(
    axes: Axes,
    values: npt.NDArray[Any],
    averages: npt.NDArray[Any],
    answers: Sequence[object],
    kind: str = "number",
) -> None:
    """Draw mean answers `[answers, values]` over a feature's values: lines over numbers and dates, else dots."""
    text = values.dtype == object or kind == "boolean"
    places = np.arange(len(values)) if text else values
    for at, (answer, average) in enumerate(zip(answers[: len(LINES)], averages, strict=False)):
        look = {"linestyle": "", "marker": "os^Dv"[at]} if text else {"linestyle": LINES[at]}
        axes.plot(places, average, color=COLOURS[at], label=short(answer), **look)
    if text:
        axes.set_xticks(places, [short(legible.value(value, kind), 12) for value in values], rotation=30, ha="right")
        axes.set_xlim(-0.5, len(values) - 0.5)
    elif kind == "date":
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda day, _: legible.value(day, kind)))


def matrix_size(names: Sequence[str]) -> tuple[float, float]:
    """Return width and height, in inches, of a square matrix with these names beside and below it, and a title."""
    side = 1.2 + 0.42 * len(names) + 0.08 * max(map(len, names))
    return max(side, 3.6), side + 0.2


def finish_panels(figure: Figure) -> None:
    """Remove the panels where nothing was drawn, and give the others one legend if they draw several answers."""
    for axes in figure.axes:
        if not axes.has_data():
            axes.remove()
    found, names = figure.axes[0].get_legend_handles_labels() if figure.axes else ([], [])
    if len(found) > 1:
        figure.legend(found, names, loc="outside lower center", ncols=min(len(found), 3))


def show(figure: Figure, alt: str) -> None:
    """Show `figure` as a picture that says `alt` to whoever does not see it, and close it."""
    from matplotlib import pyplot

    with warnings.catch_warnings():
        # A letter that the font has not is drawn as a box; the warning would tell of folders of this machine.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        display(figure, metadata={"image/png": {"alt": alt}})  # type: ignore[no-untyped-call]
    pyplot.close(figure)
