from __future__ import annotations

import pytest

from modeling.choices import CHOICES, LEAST, SHARES, check_choices
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


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, 90.0, float("nan"), float("inf")])
def test_a_share_lies_between_none_and_all(name, value):
    """A share that is none, all, a percentage or no number is refused, and the sentence names the parameter."""
    check_choices(**{name: 0.25})
    with pytest.raises(DataError, match=rf"the parameter `{name}` must lie between 0 and 1, got "):
        check_choices(**{name: value})


def test_a_misspelt_word_is_told_the_nearest():
    """A word that is nearly one of the choices is answered with that one."""
    with pytest.raises(DataError, match=r"must be one of impute, drop, got 'imptue'; did you mean 'impute'\?"):
        check_choices(missing="imptue")


@pytest.mark.parametrize("name", LEAST)
def test_a_limit_is_a_number_from_its_least_on(name):
    """What is below it, or not a number, would let everything pass or nothing: it is named, and the default is good."""
    (default,) = [
        read[name].default for step in STEPS if name in (read := parameters.read(NOTEBOOKS / f"{step}.ipynb"))
    ]
    check_choices(**{name: default})
    check_choices(**{name: LEAST[name]})
    for value in (LEAST[name] - 0.1, float("nan")):
        with pytest.raises(DataError, match=f"`{name}` must be a number of at least {LEAST[name]:g}, got"):
            check_choices(**{name: value})
