"""The parameters of a notebook, read from its own cell: what names there are, of what type, with what help."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from service.errors import DataError, meant


class Parameter(msgspec.Struct, frozen=True):
    """One line of a parameters cell."""

    name: str
    default: Any
    help: str


def read(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name, as its cell tagged `parameters` states them."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    (source,) = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    lines = source.splitlines()
    found = {}
    for statement in ast.parse(source).body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        assert isinstance(target, ast.Name), f"{notebook.name}: {ast.unparse(statement)!r} is not a parameter"
        help_text = lines[statement.lineno - 1].partition("  # ")[2]
        found[target.id] = Parameter(target.id, ast.literal_eval(statement.value), help_text)  # type: ignore[attr-defined]
    return found


def choose(notebook: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return those of the `given` parameters that the notebook has, each checked for its type."""
    known = read(notebook)
    return {name: _checked(known[name], value) for name, value in given.items() if name in known}


def check_known(notebooks: list[Path], given: dict[str, Any]) -> None:
    """Raise DataError if a given parameter stands in none of the notebooks."""
    known = {name for notebook in notebooks for name in read(notebook)}
    for name in given:
        if name not in known:
            near = meant(name, known, f"the parameters are {', '.join(sorted(known))}")
            raise DataError(f"no notebook has a parameter {name[:40]!r}; {near}")


def parse(words: Sequence[str]) -> dict[str, str]:
    """Return {name: text} for words such as `test_size=0.3`."""
    given = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
            raise DataError(f"{word[:80]!r} is not a parameter: write name=value, such as test_size=0.3")
        given[name] = text
    return given


def _meant(text: str) -> Any:
    """Return the value that a text from the command line stands for; one that is no Python literal stays a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def _checked(parameter: Parameter, value: Any) -> Any:
    kind = type(parameter.default)
    if isinstance(value, str) and kind is list and not value.startswith("["):
        return [word.strip() for word in value.split(",") if word.strip()]
    if isinstance(value, str) and kind is not str:
        value = _meant(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise DataError(
            f"the parameter `{parameter.name}` ({parameter.help}) must be of type {kind.__name__}, got {value!r:.80}"
        )
    return value
