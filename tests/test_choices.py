from __future__ import annotations

import pytest

from modeling.choices import CHOICES, LEAST, check_choices
from service.errors import DataError
from workshop import parameters
from workshop.execution import NOTEBOOKS, STEPS


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_is_a_parameter_whose_help_names_it(name):
    """Each choice is a parameter of some notebook, its default is one of the words, and its help tells them all."""
    found = [read[name] for step in STEPS if name in (read := parameters.read(NOTEBOOKS / f"{step}.ipynb"))]
    assert found
    for parameter in found:
        check_choices(**{name: parameter.default})
        assert all(word in parameter.help for word in CHOICES[name])


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", ["x" * 500, "Grid ", 1, None])
def test_another_word_is_refused_with_the_choices(name, value):
    """What is none of the words is told with those that are, cut short."""
    told = rf"the parameter `{name}` must be one of .*{CHOICES[name][-1]}.*, got "
    with pytest.raises(DataError, match=told) as caught:
        check_choices(**{name: value})
    assert len(str(caught.value)) < 200


def test_what_is_no_choice_is_free():
    """A parameter that takes any value takes any."""
    check_choices(seed=7)


@pytest.mark.parametrize("name", LEAST)
def test_a_limit_is_a_number_from_its_least_on(name):
    """What is below it, or not a number, would let everything pass or nothing: it is named, and the default is good."""
    (default,) = [
        read[name].default for step in STEPS if name in (read := parameters.read(NOTEBOOKS / f"{step}.ipynb"))
    ]
    check_choices(**{name: default})
    check_choices(**{name: LEAST[name]})
    for value in (LEAST[name] - 0.1, float("nan")):
        with pytest.raises(DataError, match=f"the parameter `{name}` must be a number of at least 0, got"):
            check_choices(**{name: value})
