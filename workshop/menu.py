"""The menu of commands, on top of invoke: their order, how a person types one, and how a mistake is told."""

from __future__ import annotations

import functools
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import invoke.program
from invoke.exceptions import Exit, ParseError
from invoke.parser.context import ParserContext
from invoke.program import Program
from invoke.tasks import Task, task

# invoke lists commands by the alphabet; a menu has an order, the one in which they stand in tasks.py.
vars(invoke.program)["sorted"] = list


RIGHTS = "let this user read and write there"
CALLED = "TYPED_AS"
"""The variable that tells a program which a command became what the person had typed."""
PASSING = ("bench", "chaos")
"""The commands that hand what stands after -- to such a program."""


def program() -> str:
    """Return what the person typed to get here: `inv`, or `python3` and the path of tasks.py."""
    called = os.environ.get(CALLED, sys.argv[0])
    return f"python3 {shlex.quote(called)}" if Path(called).name == "tasks.py" else "inv"


def typed(words: str) -> str:
    """Return a command as this person types it."""
    return f"{program()} {words}"


def command(**options: Any) -> Callable[[Callable[..., Any]], Task[Any]]:
    """Make a function a command; a mistake of the user's, or of the disk's, ends it in one sentence and exit code 1."""

    def register(body: Callable[..., Any]) -> Task[Any]:
        @functools.wraps(body)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            from service.errors import CellarError

            try:
                return body(*args, **kwargs)
            except CellarError as error:
                raise Exit(str(error), code=1) from None
            except OSError as error:
                if not error.filename:
                    raise
                raise Exit(_disk_refusal(error), code=1) from None
            except KeyboardInterrupt:
                raise Exit("stopped", code=130) from None

        made: Task[Any] = task(**options)(guarded)
        return made

    return register


def _disk_refusal(error: OSError) -> str:
    """Return what the disk refused, by the folder where it is a file of ours that nobody knows, with the cure."""
    from service.files import HALF_WRITTEN

    place = Path(os.fsdecode(error.filename))
    if error.filename2 or HALF_WRITTEN.fullmatch(place.name):  # a name is the business of its folder
        place = place.parent
    cure = f": {RIGHTS}" if isinstance(error, PermissionError) else ""
    return f"{place}: {error.strerror}{cure}"


def _told_plainly(step: Callable[[Program], None]) -> Callable[[Program], None]:
    """Let a step of invoke's end what cannot be understood in one sentence with the cure, and exit code 2."""

    @functools.wraps(step)
    def guarded(menu: Program) -> None:
        try:
            step(menu)
        except ParseError as error:
            raise Exit(refusal(str(error), error.context, menu.collection.task_names), code=2) from None

    return guarded


# invoke gives no place to say how it refuses, and `inv` is its own program: it finds this where it loads tasks.py.
for _step in ("parse_tasks", "parse_cleanup"):
    setattr(Program, _step, _told_plainly(getattr(Program, _step)))


def refusal(error: str, context: ParserContext | None, commands: Iterable[str | None]) -> str:
    """Return invoke's refusal of a command line as a sentence with the cure; `context` is the command it is about."""
    name = context.name if context else None
    cure = f"{typed(f'--help {name}' if name else '--list')} shows all there are"
    if context and "did not receive required" in error:
        lacking = " and ".join(str(argument.name) for argument in context.missing_positional_args)
        needed = " ".join(str(argument.name).upper() for argument in context.positional_args)
        return f"{name} lacks its {lacking}: write {typed(f'{name} {needed}')}"
    if unknown := re.fullmatch(r"No idea what ['\"](.*)['\"] is!", error, re.DOTALL):
        word = unknown[1][:80]
        if context and name in PASSING and word.startswith("-"):
            before = " ".join([name, *(str(argument.name).upper() for argument in context.positional_args)])
            return f"{name} has no option {word!r} of its own: put -- before it, as in {typed(f'{before} -- {word}')}"
        if word.startswith("-"):
            flags = [flag for flag in context.flags if flag.startswith("--")] if context else []
            return _unknown(f"{name or program()} has no option {word!r}", word, flags, cure)
        further = f"{name} takes no further word, and " if name else ""
        return _unknown(f"{further}there is no command {word!r}", word, list(filter(None, commands)), cure)
    option = re.search(r"<Argument: ([\w-]+)", error)
    if option and "needed value" in error:
        return f"the option --{option[1]} of {name} lacks its value; {cure}"
    return f"{error}; {cure}"


def _unknown(told: str, word: str, known: Sequence[str], cure: str) -> str:
    from service.errors import meant

    return f"{told}; {meant(word, known, cure)}"
