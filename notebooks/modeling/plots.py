"""One style for every figure, and showing a figure with its alternative text."""

from __future__ import annotations

import warnings

import matplotlib as mpl
import pandas as pd
from cycler import cycler
from IPython.display import display
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by every common kind of colour vision, and in grey by their lightness.
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000"]


def set_style() -> None:
    """Give the figures of this notebook the common style, and let its tables show whole texts."""
    pd.set_option("display.max_colwidth", None)
    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS),
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


def show(figure: Figure, alt: str) -> None:
    """Show `figure` as a picture that says `alt` to whoever does not see it, and close it."""
    from matplotlib import pyplot

    with warnings.catch_warnings():
        # Names come in every script, and a letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph")
        display(figure, metadata={"image/png": {"alt": alt}})  # type: ignore[no-untyped-call]
    pyplot.close(figure)
