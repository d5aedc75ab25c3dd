from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshop import progress

RUN = [("start", "wine", "01_explore", 3), ("cell", "wine", "01_explore"), ("end", "wine", "01_explore", True)]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def test_a_log_gets_a_line_for_each_notebook(capsys):
    """Where nobody watches, a finished notebook is one line, and no bar is drawn."""
    show = progress.Progress()
    for message in RUN:
        show(message)
    told = capsys.readouterr()
    assert re.fullmatch(r" +wine 01_explore +done in \d+\.\d s\n", told.err) and told.out == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    """Where somebody watches, a bar names job, notebook and cells, and gives way to the line of what is done."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    show = progress.Progress()
    for message in RUN:
        show(message)
    drawn = screen.getvalue()
    assert re.search(r"wine 01_explore .*0/3 cells", drawn) and drawn.endswith(" s\n")


@pytest.mark.parametrize("screen", [io.StringIO, Terminal])
def test_two_jobs_are_told_apart(monkeypatch, screen):
    """Notebooks of two tables that run at once each have their own line."""
    stream = screen()
    monkeypatch.setattr("sys.stderr", stream)
    show = progress.Progress()
    for job in ("wine", "diabetes"):
        show(("start", job, "01_explore", 2))
    for job in ("diabetes", "wine"):
        show(("cell", job, "01_explore"))
        show(("end", job, "01_explore", False))
    assert "wine" in stream.getvalue() and "diabetes" in stream.getvalue()
    assert stream.getvalue().count("failed after") == 2
    assert not show.bars


PART = ("part", "wine", "02_train")


def positions(messages, monkeypatch):
    """Return where the bar stood after each message, and what it said."""
    monkeypatch.setattr("sys.stderr", Terminal())
    show = progress.Progress()
    found = []
    for message in [("start", "wine", "02_train", 4), *messages]:
        show(message)
        bar = show.bars["wine", "02_train"].bar
        found.append((bar.n, bar.unit))
    return found


def test_the_bar_moves_within_a_cell(monkeypatch):
    """A long cell moves the bar by fractions and says what it is at; its end makes it whole."""
    cell = ("cell", "wine", "02_train")
    found = positions([cell, (*PART, 12, 60, "random_forest"), (*PART, 60, 60, "svm"), cell], monkeypatch)
    assert [position for position, _ in found] == [0, 1, 1.2, 2, 2]
    assert found[2][1] == "1/4 cells, random_forest 12/60" and found[4][1] == "2/4 cells"


PARTS = st.tuples(st.just("part"), st.integers(0, 99), st.integers(0, 9))


@given(st.lists(st.just(("cell",)) | PARTS, max_size=9))
def test_the_bar_never_goes_back(messages):
    """Whatever a cell tells, even of two loops one after the other, the bar stays or moves on, within its cell."""
    told = [(what, "wine", "02_train", *((*rest, "x") if rest else ())) for what, *rest in messages]
    with pytest.MonkeyPatch.context() as patch:
        found = [position for position, _ in positions(told, patch)]
    assert found == sorted(found)
    assert found[-1] <= sum(message[0] == "cell" for message in told) + 1


def test_parts_are_silent_in_a_log(capsys):
    """Where nobody watches, nothing is told of the inside of a cell."""
    show = progress.Progress()
    for message in (RUN[0], ("part", "wine", "01_explore", 1, 2, "x")):
        show(message)
    assert capsys.readouterr().err == ""


def test_parts_of_two_jobs_move_their_own_bar(monkeypatch):
    """Two tables side by side each have their bar."""
    monkeypatch.setattr("sys.stderr", Terminal())
    show = progress.Progress()
    for job in ("wine", "diabetes"):
        show(("start", job, "02_train", 2))
    show(("part", "diabetes", "02_train", 1, 2, "ridge"))
    assert show.bars["wine", "02_train"].bar.n == 0
    assert show.bars["diabetes", "02_train"].bar.n == 0.5
