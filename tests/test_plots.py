from __future__ import annotations

import re
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay

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
    """Each answer has a line, or a mark over categories, of its own."""
    axes = Figure().subplots()
    plots.draw_dependence(axes, values, np.arange(9.0).reshape(3, 3), ["one", "two", "three"])
    looks = {(line.get_linestyle(), line.get_marker()) for line in axes.lines}
    assert len(axes.lines) == len(looks) == 3 and axes.get_legend() is None
    if values.dtype == object:
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["u", "v", plots.short(values[2], 12)]


def test_more_classes_than_looks_are_cut_off():
    """No two answers are drawn alike."""
    axes = Figure().subplots()
    plots.draw_dependence(axes, np.array([1.0, 2.0]), np.ones((9, 2)), list(range(9)))
    assert len(axes.lines) == len(plots.LINES)


@pytest.mark.parametrize("days", [[19400.0, 19500.0, 19700.0], [19400.0, 19400.5, 19401.25], [19400.0]])
def test_dates_are_told_on_the_axis(days):
    """Over dates a few ticks say dates, to the minute where they lie close together, each a different one."""
    figure = Figure()
    axes = figure.subplots()
    plots.draw_dependence(axes, np.array(days), np.ones((1, len(days))), ["yes"], "date")
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert 1 <= len(ticks) <= 6 and len(set(ticks)) == len(ticks)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?", tick) for tick in ticks)


def test_truth_values_are_two_dots():
    """Over truth values there is no line between, and the ticks are words."""
    axes = Figure().subplots()
    plots.draw_dependence(axes, np.array([0.0, 1.0]), np.ones((1, 2)), ["yes"], "boolean")
    assert axes.lines[0].get_linestyle() == "None"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["false", "true"]


@pytest.mark.parametrize("answers", [["price"], ["one", "two", "three"]])
def test_panels_share_one_legend(answers):
    """One legend stands outside of all panels, none where there is one answer; panels without a curve are gone."""
    figure = Figure(layout="constrained")
    for axes in figure.subplots(2, 2).flat[:3]:
        plots.draw_dependence(axes, np.array([1.0, 2.0]), np.ones((len(answers), 2)), answers)
    plots.finish_panels(figure)
    figure.draw_without_rendering()
    assert len(figure.axes) == 3
    named = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert named == ([answers] if len(answers) > 1 else [])
    for legend in figure.legends:
        assert not any(legend.get_window_extent().overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_no_panel_at_all():
    """Where nothing could be drawn there is no legend."""
    figure = Figure()
    figure.subplots(2, 2)
    plots.finish_panels(figure)
    assert figure.axes == [] and figure.legends == []


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("name", ["{}", "a very lo…me MMMM{}"])
def test_a_confusion_matrix_is_drawn_whole(count, name):
    """Whatever the names and however few the classes, title, names and labels lie within the figure."""
    names = [name.format(at) for at in range(count)]
    with mpl.rc_context():
        plots.set_style()
        figure = Figure(figsize=plots.matrix_size(names))
        drawn = ConfusionMatrixDisplay(np.full((count, count), 1000), display_labels=names)
        drawn.plot(ax=figure.subplots(), colorbar=False, xticks_rotation=90)
        figure.suptitle("Confusion matrix, held-out rows")
        figure.draw_without_rendering()
        left, bottom, right, top = figure.get_tightbbox().extents
    width, height = figure.get_size_inches()
    assert 0 <= left < right <= width and 0 <= bottom < top <= height
    assert drawn.ax_.get_window_extent().width > 0.3 * 100 * count


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
