"""What an experiment is: something that goes wrong on purpose, and what has to hold all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Outcome(NamedTuple):
    """What an experiment showed: the disturbance that was seen to happen, the figures, and what did not hold."""

    disturbed: str
    figures: str
    broken: list[str]


class Experiment(NamedTuple):
    """An experiment by its number and title.

    `run` gets an empty folder to work in and a scale: 1 for all of it, less for a shorter one of the same kind.
    """

    number: int
    title: str
    run: Callable[[Path, float], Outcome]
