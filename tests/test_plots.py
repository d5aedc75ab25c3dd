from __future__ import annotations

import warnings

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from modeling import plots

mpl.use("Agg")


@given(st.text(max_size=60), st.integers(3, 40))
def test_a_short_name_fits_and_keeps_both_ends(text, most):
    """A name is never longer than there is room, stays as it is where it fits, and keeps its first and last letter."""
    found = plots.short(text, most)
    assert len(found) <= most
    if len(text) <= most:
        assert found == text
    else:
        assert found[0] == text[0] and found[-1] == text[-1] and "…" in found


@given(st.integers(0, 300), st.integers(1, 100), st.integers(0, 9))
def test_some_rows_are_drawn_once_and_in_order(count, most, seed):
    """All rows where they are few, else as many different ones as asked, the same for the same seed."""
    rows = plots.some(count, seed, most)
    assert len(rows) == min(count, most) and (np.diff(rows) > 0).all()
    assert all(0 <= row < count for row in rows)
    assert rows.tolist() == plots.some(count, seed, most).tolist()


@pytest.mark.parametrize(
    "values", [np.array([1.0, 2.0, 5.0]), np.array(["u", "v", "a very long category"], dtype=object)]
)
def test_dependence_is_told_apart_without_colour(values):
    """Each answer has a line, or a mark over categories, of its own, and a legend where there are several."""
    axes = Figure().subplots()
    plots.draw_dependence(axes, values, np.arange(9.0).reshape(3, 3), ["one", "two", "three"])
    looks = {(line.get_linestyle(), line.get_marker()) for line in axes.lines}
    assert len(axes.lines) == len(looks) == 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two", "three"]
    if values.dtype == object:
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["u", "v", plots.short(values[2], 12)]


def test_one_answer_needs_no_legend():
    """A regression has one line, and more classes than looks are cut off."""
    axes = Figure().subplots()
    plots.draw_dependence(axes, np.array([1.0, 2.0]), np.ones((1, 2)), ["price"])
    assert axes.get_legend() is None
    many = Figure().subplots()
    plots.draw_dependence(many, np.array([1.0, 2.0]), np.ones((9, 2)), list(range(9)))
    assert len(many.lines) == len(plots.LINES)


def test_colours_differ_in_grey():
    """Printed without colour, neighbouring colours of the cycle differ in lightness, or their lines in dashes."""
    greys = [np.array(mpl.colors.to_rgb(colour)) @ [0.299, 0.587, 0.114] for colour in plots.COLOURS[:5]]
    assert len(plots.LINES) == len(set(map(str, plots.LINES))) == 5
    assert abs(greys[0] - greys[1]) > 0.2


def test_a_letter_without_a_glyph_is_shown_without_a_warning(monkeypatch):
    """A category in a script that the font has not is drawn, and no warning names a folder of the machine."""
    drawn = []
    monkeypatch.setattr(plots, "display", lambda figure, **given: drawn.append((figure.canvas.draw(), given)))
    figure = Figure()
    figure.subplots().set_title("北")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.show(figure, alt="A title in Chinese")
    assert drawn[0][1]["metadata"]["image/png"]["alt"] == "A title in Chinese"
