from __future__ import annotations

import inspect

import pytest

from service import errors
from service.errors import CellarError, InputError, Problem, RequestError

TREE = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, CellarError)]


@pytest.mark.parametrize("kind", TREE)
def test_every_error_knows_its_status_and_title(kind: type[CellarError]):
    """Each class says when it is raised and owns an HTTP status; the caller's faults, and only they, are 4xx."""
    assert kind.__doc__
    assert kind.__doc__.startswith("Raised if ") or kind is CellarError
    assert kind.__name__.endswith("Error")
    assert kind.title
    assert 400 <= kind.status < 600
    if issubclass(kind, RequestError):
        assert kind.status < 500


def test_problem_is_told_with_what_is_known():
    """A problem reads as a sentence, with row and field where it has them."""
    assert str(Problem("must be a number, got 'high'", 3, "alcohol")) == "row 3: 'alcohol' must be a number, got 'high'"
    assert str(Problem("has 2 values", 0)) == "row 0: has 2 values"
    assert str(Problem("is empty")) == "is empty"


@pytest.mark.parametrize(
    ("count", "kept", "end"),
    [(1, 1, "wrong"), (2, 2, "(and 1 more)"), (20, 20, "(and 19 more)"), (21, 20, "(and many more)")],
)
def test_input_error_keeps_problems_up_to_the_cap(count: int, kept: int, end: str):
    """The first problem is the message; how many others there are is said, and only so many are kept."""
    error = InputError([Problem("is wrong", row) for row in range(count)])
    assert len(error.problems) == kept
    assert str(error).startswith("row 0: is wrong")
    assert str(error).endswith(end)


def test_the_nearest_name_is_meant_or_what_else_to_do():
    """A name that is nearly a known one is asked for by that; one that is near none, however long, gets the cure."""
    assert errors.meant("tset_size", ["test_size", "seed"], "choose") == "did you mean 'test_size'?"
    assert errors.meant("x" * 100_000, ["test_size", "seed"], "choose") == "choose"
