from __future__ import annotations

import io
import re

import pytest

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
