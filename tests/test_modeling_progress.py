from __future__ import annotations

import pytest

from modeling import progress


class Handle:
    """What IPython returns for a display that can be changed."""

    def __init__(self, shown: list) -> None:
        self.shown = shown

    def update(self, bundle: dict, raw: bool) -> None:
        """Take the place of what is shown."""
        self.shown.append(bundle)


@pytest.fixture
def shown(monkeypatch) -> list:
    """What a notebook's reader would see, one after the other; every step may be shown."""
    found: list = []

    def display(bundle, raw, display_id):
        found.append(bundle)
        return Handle(found)

    monkeypatch.setattr(progress, "get_ipython", object)
    monkeypatch.setattr(progress, "display", display)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    return found


def test_outside_ipython_it_is_silent(capsys):
    """A plain script counts and prints nothing."""
    with progress.Steps(3) as steps:
        steps.advance("a")
    assert steps.done == 1
    assert capsys.readouterr().out == ""


def test_a_bar_moves_and_a_sentence_remains(shown):
    """Each step is told to person and pipeline, and the end leaves the count alone."""
    with progress.Steps(2, "fits") as steps:
        steps.advance("ridge")
        steps.advance("svm")
    assert [bundle.get(progress.MIME) for bundle in shown] == [
        {"done": 0, "total": 2, "what": ""},
        {"done": 1, "total": 2, "what": "ridge"},
        {"done": 2, "total": 2, "what": "svm"},
        None,
    ]
    assert shown[1]["text/plain"].endswith("] 1 of 2 fits ridge") and "###" in shown[1]["text/plain"]
    assert shown[-1] == {"text/plain": "2 of 2 fits"}


def test_a_loop_that_breaks_off_says_how_far_it_came(shown):
    """An error leaves the steps that were done."""

    def halve(steps):
        steps.advance()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), progress.Steps(3, "fits") as steps:
        halve(steps)
    assert shown[-1] == {"text/plain": "1 of 3 fits"}


def test_updates_are_few(shown, monkeypatch):
    """A thousand fast steps are not a thousand messages."""
    monkeypatch.setattr(progress, "INTERVAL", 3600)
    with progress.Steps(1000) as steps:
        for _ in range(1000):
            steps.advance()
    assert len(shown) == 3
