from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import DataError
from workshop import parameters
from workshop.execution import NOTEBOOKS, STEPS

PATHS = [NOTEBOOKS / f"{step}.ipynb" for step in STEPS]
TRAIN = NOTEBOOKS / "02_train.ipynb"


@pytest.mark.parametrize("notebook", PATHS, ids=STEPS)
def test_every_parameter_has_a_default_and_a_help(notebook):
    """Each parameter of each notebook is a plain value with a help text, and `data` comes first."""
    found = parameters.read(notebook)
    assert next(iter(found)) == "data"
    for name, parameter in found.items():
        assert name == parameter.name
        assert type(parameter.default) in (str, int, float, bool, list), name
        assert len(parameter.help) > 10 and parameter.help[0] != "#", name


def test_one_name_means_one_thing():
    """A parameter that two notebooks share is of one type in both."""
    kinds = {}
    for notebook in PATHS:
        for name, parameter in parameters.read(notebook).items():
            assert kinds.setdefault(name, type(parameter.default)) is type(parameter.default), name


def test_reading_sees_types_and_helps(tmp_path):
    """Annotated and plain lines are read with their defaults; a `#` inside of a text is no help."""
    source = 'a = "x # y"  # first\nb: list = []  # second = b\nc = -1  # third'
    cells = [
        {"metadata": {}, "source": "a = 2"},
        {"metadata": {"tags": ["parameters"]}, "source": source.splitlines(keepends=True)},
    ]
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    assert [(p.name, p.default, p.help) for p in parameters.read(notebook).values()] == [
        ("a", "x # y", "first"),
        ("b", [], "second = b"),
        ("c", -1, "third"),
    ]


@pytest.mark.parametrize("source", ["a = open('x')", "a = b = 1", "import os", "a = 1 + n"])
def test_reading_runs_nothing(tmp_path, source):
    """A cell with more than literals is an error of the notebook's author, never run."""
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(json.dumps({"cells": [{"metadata": {"tags": ["parameters"]}, "source": source}]}))
    if source == "a = b = 1":
        assert set(parameters.read(notebook)) == {"a"}
    else:
        with pytest.raises((AssertionError, ValueError)):
            parameters.read(notebook)


@pytest.mark.parametrize(
    ("word", "name", "text"),
    [
        ("test_size=0.3", "test_size", "0.3"),
        ("target=a=b", "target", "a=b"),
        ("target=", "target", ""),
        ("target=größe (m²)", "target", "größe (m²)"),
    ],
)
def test_a_word_becomes_a_name_and_a_text(word, name, text):
    """`name=value` splits at the first `=`."""
    assert parameters.parse([word]) == {name: text}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("test_size", "0.3", 0.3),
        ("test_size", "1", 1.0),
        ("seed", "7", 7),
        ("model", "007", "007"),
        ("model", "2024", "2024"),
        ("features", "['a', 'b']", ["a", "b"]),
        ("features", "a, b", ["a", "b"]),
        ("target", "__import__('os').system('false')", "__import__('os').system('false')"),
    ],
)
def test_a_text_becomes_what_the_notebook_expects(name, text, value):
    """What is typed is read as the type of the parameter's default; for a text it stays as it was typed."""
    assert parameters.choose(TRAIN, {name: text}) == {name: value}


@pytest.mark.parametrize(
    "text", ["x", "", "1.5", "True", "(" * 5000, "-" * 100_000 + "1", "{[]: 1}", "\0", "__import__('os')"]
)
def test_a_text_of_another_type_is_refused(text):
    """What cannot be read as the type of the parameter ends in a sentence, and never runs."""
    with pytest.raises(DataError, match=r"the parameter `seed` .* must be of type int"):
        parameters.choose(TRAIN, {"seed": text})


@pytest.mark.parametrize(
    "word", ["", "seed", "=1", "Seed=1", "a b=1", "a;import os=1", "a\n=1", "a.b=1", "1a=1", "ä=1"]
)
def test_a_hostile_or_missing_name_is_refused(word):
    """What is not a plain lower-case name never gets near a notebook."""
    with pytest.raises(DataError, match=r"is not a parameter: write name=value, such as test_size=0\.3"):
        parameters.parse([word])


@settings(deadline=None)
@given(st.text(max_size=60))
def test_parsing_ends_in_a_value_or_a_sentence(word):
    """Whatever is typed, the answer is a parameter or a DataError, nothing else."""
    try:
        (name,) = parameters.parse([word])
    except DataError:
        return
    assert name.isascii() and name.isidentifier() and word.startswith(f"{name}=")


def test_choosing_keeps_what_the_notebook_has():
    """Of what was given a notebook gets what it knows; a whole number may stand for a float, a list may be a text."""
    given = {"seed": 3, "test_size": 1, "features": "hue, ash,", "promote": "never", "nonsense": 1}
    chosen = parameters.choose(TRAIN, given)
    assert chosen == {"seed": 3, "test_size": 1.0, "features": ["hue", "ash"]}
    assert type(chosen["test_size"]) is float
    assert parameters.choose(NOTEBOOKS / "01_explore.ipynb", given) == {"seed": 3}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"seed": "x"}, r"`seed` \(of the split, .*\) must be of type int, got 'x'"),
        ({"seed": True}, r"`seed` .* must be of type int, got True"),
        ({"seed": 1.5}, r"`seed` .* must be of type int, got 1\.5"),
        ({"test_size": "0,3"}, r"`test_size` .* must be of type float, got"),
        ({"model": 7}, r"`model` .* must be of type str, got 7"),
        ({"features": {"a": 1}}, r"`features` .* must be of type list, got"),
        ({"estimator": None}, r"`estimator` .* must be of type str, got None"),
        ({"model": ["x" * 500]}, r"`model` .* must be of type str, got .{80}$"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(given, told):
    """A wrong type is told by the parameter's name, help, type and value, cut short."""
    with pytest.raises(DataError, match=told):
        parameters.choose(TRAIN, given)


@pytest.mark.parametrize("name", ["import os", "__builtins__", "x" * 500])
def test_an_unknown_name_is_refused(name):
    """A name that no notebook knows is answered with those that they do, cut short."""
    with pytest.raises(
        DataError, match=r"no notebook has a parameter .*; the parameters are .*data, .*test_size"
    ) as caught:
        parameters.check_known(PATHS, {name: 1})
    assert len(str(caught.value)) < 300
    parameters.check_known(PATHS, {"test_size": 0.5, "promote": "never", "task": "regression"})


@pytest.mark.parametrize(("name", "near"), [("tset_size", "test_size"), ("taks", "task"), ("feature", "features")])
def test_a_misspelt_name_is_told_the_nearest(name, near):
    """A name that is nearly one of ours is answered with that one."""
    with pytest.raises(DataError, match=f"no notebook has a parameter '{name}'; did you mean '{near}'"):
        parameters.check_known(PATHS, {name: 1})
