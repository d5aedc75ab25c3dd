from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import shapes
from service.calls import decode
from service.errors import RequestError


class Asked(msgspec.Struct):
    """A shape with every kind of value."""

    number: Annotated[float, msgspec.Meta(ge=1, le=9, multiple_of=1)] = 1
    text: Annotated[str, msgspec.Meta(max_length=3)] = ""
    truth: bool = False
    texts: list[str] = []
    more: dict[str, int | str | None] | None = None


class Whole(msgspec.Struct):
    """A shape of which something is needed."""

    asked: Asked


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (7, "the body must be an object, got a whole number"),
        ({}, "the body lacks the field 'asked'"),
        ({"asked": []}, "'asked' must be an object, got a list"),
        ({"asked": {"number": "7"}}, "'asked.number' must be a number, got a text"),
        ({"asked": {"number": True}}, "'asked.number' must be a number, got a truth value"),
        ({"asked": {"number": 2.5}}, "'asked.number' must be a whole number"),
        ({"asked": {"number": 0}}, "'asked.number' must be a number of at least 1"),
        ({"asked": {"number": 10}}, "'asked.number' must be a number of at most 9"),
        ({"asked": {"number": 10**400}}, "the body holds a number that is too large"),
        ({"asked": {"text": "four"}}, "'asked.text' must be a text of at most 3 letters"),
        ({"asked": {"truth": 1}}, "'asked.truth' must be true or false, got a whole number"),
        ({"asked": {"texts": ["a", None]}}, "'asked.texts[1]' must be a text, got null"),
        (
            {"asked": {"more": {"a": 1.5}}},
            "'asked.more[...]' must be a whole number or a text or null, got a number with",
        ),
    ],
)
def test_what_does_not_fit_is_told(document: Any, told: str):
    """What is wrong is named by its place, with what is wanted and what came, in a person's words."""
    with pytest.raises(RequestError) as caught:
        shapes.convert(document, Whole)
    assert str(caught.value).startswith(told)
    with pytest.raises(RequestError) as read:
        decode(msgspec.json.encode(document), msgspec.json.Decoder(Whole).decode)
    assert str(read.value) == str(caught.value)


def test_the_whole_has_a_name():
    """A part of a body is called what the caller calls it."""
    with pytest.raises(RequestError, match=r"^'frame' lacks the field 'asked'$"):
        shapes.convert({}, Whole, "'frame'")


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["asked", *Asked.__struct_fields__]), inner)
    ),
)


@given(DOCUMENTS)
def test_no_word_of_the_parser_gets_through(document: Any):
    """Whatever is sent, it fits, or is told without the parser's own words."""
    told = ""
    try:
        shapes.convert(document, Whole)
    except RequestError as error:
        told = str(error)
    assert not any(word in told for word in ("Expected", "`", "float", "array", "int,", "bool"))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"a": NaN}', "invalid character (byte 6); JSON has no NaN, and says null of a number that is missing"),
        (b"[-Infinity]", "invalid character (byte 2); JSON has no -Infinity, and says null"),
        (b'{"a": 1', "it ends too early"),
        (b"[1,]", "trailing comma in array (byte 3)"),
        (b'"\xff"', "its text is not UTF-8"),
        (b"[1e999]", "the body holds a number that is too large"),
        (b"['a']", "invalid character (byte 1)"),
    ],
)
def test_what_is_no_json_is_told(body: bytes, told: str):
    """Where reading stopped is told, and of what pandas and Python write for a missing number what to send for it."""
    with pytest.raises(RequestError) as caught:
        decode(body)
    assert str(caught.value).removeprefix("the body is not JSON: ").startswith(told)
