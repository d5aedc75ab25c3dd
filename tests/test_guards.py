from __future__ import annotations

import time

import numpy as np
import pytest

from modeling.grading import guards
from modeling.grading.guards import Contestant, Limits
from modeling.tables import columns
from service.contents import Metric, Verdict
from service.model import load

LIMITS = Limits(recall_drop=0.1, growth=10.0)
PASSED = Verdict(True, ["passed: accuracy 1.000 against 1.000"], 3, Metric(0.0))


class Answering:
    """A model that answers as an array says, row by row, after a pause and with a file of some size."""

    def __init__(self, model, answers=None, pause=0.0, size=None):
        self.model, self.answers, self.pause = model, answers, pause
        self.manifest, self.classes = model.manifest, model.classes
        self.bundle = type("Bundle", (), {"model": model.bundle.model if size is None else bytes(size)})

    def predict(self, inputs):
        """Answer the rows."""
        time.sleep(self.pause)
        found = self.model.predict(inputs)
        return (
            type(found)(self.answers[: len(found.values)], found.probabilities) if self.answers is not None else found
        )


@pytest.fixture(scope="module")
def served(trained_wine):
    """The wine model that is served, its held-out rows and their true classes."""
    table = trained_wine.held_out
    model = load(trained_wine.folder)
    return model, table[model.schema.names], table["cultivar"].to_numpy()


def check(served, limits=LIMITS, **other):
    """Hold a model that differs from the served one as told against it."""
    model, X, y = served
    return guards.check(y, Contestant(Answering(model, **other), X), Contestant(model, X), limits)


def test_the_same_model_passes(served):
    """A model against itself: no recall falls, no answer is slower than matters, no file larger."""
    checks = check(served)
    assert [good for good, _ in checks] == [True] * 4
    assert [told for _, told in checks] == [
        "the recall of no class falls by more than 0.1",
        "one row answered within 5 ms",
        "100 rows answered within 5 ms",
        "a file of no more than 10 MB",
    ]


def test_a_class_that_is_forgotten_is_told(served):
    """However good the others are, the class whose recall falls furthest holds the version back, by name."""
    model, X, y = served
    answers = model.predict(guards.as_estimator(model).read(X)).values.copy()
    of_two = np.flatnonzero((y == 2) & (answers == 2))
    answers[of_two[:3]] = 0
    (good, told), *_ = check(served, answers=answers)
    before, now = len(of_two) / (y == 2).sum(), (len(of_two) - 3) / (y == 2).sum()
    assert not good
    assert told == (
        f"the recall of class 2 falls from {before:.3f} to {now:.3f}, on {(y == 2).sum()} of its rows, "
        "by more than 0.1 (recall_drop)"
    )
    assert check(served, Limits(0.5, 10.0), answers=answers)[0][0]


@pytest.mark.parametrize(("lost", "good"), [(1, True), (2, False)])
def test_a_recall_may_fall_by_the_amount_and_no_further(lost, good):
    """With ten rows of a class, one is the amount and two are more."""
    y = np.repeat([0, 1], 10)
    ours = np.where(np.arange(20) < lost, 1, y)
    assert guards._recall(y, ours, y, 0.1)[0] is good
    assert guards._recall(y, y, ours, 0.0) == (True, "the recall of no class falls by more than 0")


@pytest.mark.parametrize(("pause", "growth", "good"), [(0.02, 3.0, False), (0.02, 1e9, True), (0.0, 0.0, True)])
def test_answers_may_not_become_far_slower(served, pause, growth, good):
    """A slow answer to one row and to a batch fails by the factor; one within a few milliseconds never does."""
    one, batch = check(served, Limits(0.1, growth), pause=pause)[1:3]
    assert one[0] is batch[0] is good
    assert ("of the champion" in one[1]) == (pause > 0)
    assert good or (one[1].startswith("one row answered in 2") and one[1].endswith("3 is the most (growth)"))


@pytest.mark.parametrize(
    ("size", "growth", "good"), [(11_000_000, 10.0, False), (11_000_000, 1e9, True), (9_000_000, 1.0, True)]
)
def test_a_file_may_not_become_far_larger(served, size, growth, good):
    """A large file fails by the factor; one of a few megabytes never does."""
    found, told = check(served, Limits(0.1, growth), size=size)[-1]
    assert found is good
    assert good or told.startswith("a file of 11 MB against 0.0011 of the champion, ")


def test_a_regression_has_no_recall(trained_prices):
    """Numbers are held by time and size alone."""
    model = load(trained_prices.folder)
    pair = Contestant(model, columns.as_model_input(trained_prices.held_out, model.schema.names))
    assert len(guards.check(np.zeros(len(pair.X)), pair, pair, LIMITS)) == 3


def test_without_rows_nothing_is_said(served):
    """Where no row is held out from both, the gate has refused already and there is nothing to ask."""
    model, X, y = served
    pair = Contestant(model, X.iloc[:0])
    assert guards.check(y[:0], pair, pair, LIMITS) == []


@pytest.mark.parametrize("good", [True, False])
def test_one_rail_is_enough_to_hold_a_version_back(good):
    """The verdict keeps what it says, gains a sentence for each rail, and passes only if all do."""
    verdict = guards.hold(PASSED, [(True, "a"), (good, "b")])
    assert verdict.promote is good
    assert verdict.reasons == [*PASSED.reasons, "passed: a", f"{'passed' if good else 'failed'}: b"]
    assert (verdict.champion, verdict.difference) == (3, PASSED.difference)
    assert not guards.hold(Verdict(False, ["failed: x"]), [(True, "a")]).promote


def test_times_are_taken_in_turn(monkeypatch):
    """Each round asks everyone once, so that whatever slows the machine slows all; a hiccup moves no median."""
    clock, asked = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def taking(name, seconds):
        def ask():
            asked.append(name)
            clock[0] += 0.09 if len(asked) < 4 else seconds

        return ask

    found = guards.medians([taking("a", 0.001), taking("b", 0.002)], rounds=9)
    assert found == pytest.approx([0.001, 0.002]) and asked == ["a", "b"] * 9


def test_slow_answers_are_not_asked_for_ever(monkeypatch):
    """Once patience ends no round begins, but a median needs a few."""
    monkeypatch.setattr(guards, "PATIENCE", 0.0)
    asked = []
    guards.medians([lambda: asked.append(1)], rounds=1000)
    assert len(asked) == guards.FEWEST
