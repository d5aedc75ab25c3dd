from __future__ import annotations

import sys

import pytest
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext

from service.errors import DataError
from workshop import menu


@pytest.mark.parametrize(
    ("called", "typed"),
    [
        ("/house/.venv/bin/inv", "inv verify"),
        ("tasks.py", "python3 tasks.py verify"),
        ("../my house/tasks.py", "python3 '../my house/tasks.py' verify"),
        ("-c", "inv verify"),
    ],
)
def test_a_command_is_told_as_it_is_typed(monkeypatch, called, typed):
    """Who called tasks.py is told so, by the path that leads there; anybody else is told of `inv`."""
    monkeypatch.setattr(sys, "argv", [called, "models"])
    assert menu.typed("verify") == typed


def test_a_program_that_a_command_became_tells_what_was_typed(monkeypatch):
    """Its own name is not what the person knows it by."""
    monkeypatch.setattr(sys, "argv", ["/house/chaos/__main__.py"])
    monkeypatch.setenv(menu.CALLED, "tasks.py")
    assert menu.typed("chaos --") == "python3 tasks.py chaos --"


@pytest.mark.parametrize(
    ("context", "cure"),
    [
        (ParserContext("chaos"), "put -- before it, as in inv chaos -- --only"),
        (
            ParserContext("bench", args=[Argument("name", positional=True)]),
            "put -- before it, as in inv bench NAME -- --only",
        ),
        (ParserContext("lint"), "inv --help lint shows all there are"),
    ],
)
def test_an_option_of_what_a_command_runs_is_told_its_place(context, cure):
    """Where words after -- go on to another program, an option before it is told so."""
    told = menu.refusal("No idea what '--only' is!", context, [])
    assert told.startswith(f"{context.name} has no option '--only'") and told.endswith(cure)


def test_a_refusal_that_is_not_foreseen_is_told_with_the_cure():
    """What invoke says otherwise is passed on, with the command that shows more."""
    told = menu.refusal("'x' is ambiguous", ParserContext("lint"), ["lint"])
    assert told == "'x' is ambiguous; inv --help lint shows all there are"
    assert menu.refusal("No idea what '--x' is!", ParserContext(), []).startswith("inv has no option '--x'; inv --list")
    assert len(menu.refusal(f"No idea what '{'x' * 500}' is!", None, [])) < 200


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (DataError("no such thing"), 1, "no such thing"),
        (
            PermissionError(13, "Permission denied", "/x"),
            1,
            "/x: Permission denied: let this user read and write there",
        ),
        (OSError(28, "No space left on device", "/x"), 1, "/x: No space left on device"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_a_command_ends_in_a_sentence(error, code, told):
    """A mistake of the user's, one of the disk's and Ctrl-C end it without a traceback, each with its exit code."""

    @menu.command()
    def broken(c):
        raise error

    with pytest.raises(Exit) as caught:
        broken.body(None)
    assert (caught.value.code, caught.value.message) == (code, told)


def test_a_fault_of_ours_is_not_hidden():
    """What no user can mend keeps its traceback."""

    @menu.command()
    def broken(c):
        raise OSError("a socket")

    with pytest.raises(OSError, match="a socket"):
        broken.body(None)
