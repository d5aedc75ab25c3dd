"""What is wrong with somebody's JSON, its text or its shape, in a person's words instead of the parser's."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from service.errors import RequestError

KINDS = {
    "object": "an object",
    "array": "a list",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}
"""msgspec's words for what is wanted, and a person's."""

GIVEN = {**KINDS, "float": "a number with a point", "bool": "a truth value"}
"""The same for what came in its place."""

EXPECTED = re.compile(r"Expected `([a-z |]+)`(.*?)(?:, got `(\w+)`)?(?: - at `\$\.?(.*)`)?", re.DOTALL)
BOUNDS = ((">= ", "at least "), ("<= ", "at most "), (" of length", ""), (".0", ""))
NO_NUMBER = re.compile(rb"-?(NaN|Infinity)", re.IGNORECASE)

Kind = TypeVar("Kind")


def convert(document: object, kind: type[Kind], whole: str = "the body") -> Kind:
    """Return decoded JSON as a `kind`, or raise RequestError naming what does not fit; `whole` is what it is called."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise RequestError(misshapen(error, whole)) from error


def misshapen(error: msgspec.ValidationError, whole: str = "the body") -> str:
    """Return what does not fit the shape that was asked for: 'version' must be a number, got a text."""
    text = str(error)
    if text.startswith("Number out of range"):
        return f"{whole} holds a number that is too large"
    if missing := re.match(r"Object missing required field `(\w+)`(?: - at `\$\.?(.*)`)?", text):
        return f"{_named(missing[2], whole)} lacks the field {missing[1]!r}"
    found = EXPECTED.fullmatch(text)
    if not found:
        return f"{whole} has another shape: {text}"
    wanted, bound, got, place = found.groups()
    given = "" if got is None else f", got {GIVEN.get(got, got)}"
    return f"{_named(place, whole)} must be {_wanted(wanted, bound)}{given}"


def unreadable(error: Exception, text: bytes) -> str:
    """Return why a text is no JSON: in which byte, counted from 0, and what may be meant."""
    if isinstance(error, UnicodeDecodeError):
        return "its text is not UTF-8"
    told = str(error).removeprefix("JSON is malformed: ")
    at = re.search(r"\(byte (\d+)\)", told)
    # The parser stops before the word, or behind its sign.
    if at and (word := NO_NUMBER.match(text, max(int(at[1]) - 1, 0)) or NO_NUMBER.match(text, int(at[1]))):
        return f"{told}; JSON has no {word[0].decode()}, and says null of a number that is missing"
    return "it ends too early" if told == "Input data was truncated" else told


def _named(place: str | None, whole: str) -> str:
    return repr(place[:80]) if place else whole


def _wanted(kinds: str, bound: str) -> str:
    told = " or ".join(KINDS.get(kind, kind) for kind in kinds.split(" | "))
    if "multiple of 1.0" in bound:
        return KINDS["int"]
    for words, ours in BOUNDS:
        bound = bound.replace(words, ours)
    letters = " letters" if kinds == "str" and bound else ""
    return f"{told}{' of' * bool(bound)}{bound}{letters}"
