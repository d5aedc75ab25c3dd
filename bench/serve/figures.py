"""From the rounds to medians, ratios, goals and tables. A ratio is of two figures of one round, then the median."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from bench.serve.load import Load
from bench.serve.setups import BARE, BULK, FASTAPI, HUNDRED, JSON_CASES, ML_SERVER, ONE, OURS, SKETCH, Case, Setup

IN_PROCESS = "onnxruntime in process"


class Run(NamedTuple):
    """What one round showed of one set-up: seconds to the first prediction, MB after the load, and the loads."""

    cold: float
    memory: float
    loads: Mapping[Case, Load]


Rounds = Mapping[str, Sequence[Run]]
"""The runs of each set-up by its name, all of the same rounds."""


class Goal(NamedTuple):
    """What was wanted and what was found."""

    text: str
    found: str
    met: bool


def median(runs: Iterable[Run], figure: Callable[[Run], float]) -> float:
    """Return the median of a figure over the rounds."""
    return statistics.median(figure(run) for run in runs)


def ratio(rounds: Rounds, other: str, figure: Callable[[Run], float], theirs: Callable[[Run], float]) -> float:
    """Return the median over the rounds of our figure divided by the other set-up's."""
    pairs = zip(rounds[OURS.name], rounds[other], strict=True)
    return statistics.median(figure(ours) / theirs(run) for ours, run in pairs)


def _cold(run: Run) -> float:
    return run.cold


def _memory(run: Run) -> float:
    return run.memory


def rate(case: Case) -> Callable[[Run], float]:
    """Return what reads the requests per second of a case."""
    return lambda run: run.loads[case].rate


def goals(rounds: Rounds, setups: Sequence[Setup], forest: bool) -> list[Goal]:
    """Return the goals that these set-ups allow to judge."""
    names = {setup.role: [other.name for other in setups if other.role == setup.role] for setup in setups}
    frameworks = names.get("framework", [])
    wanted = [(ONE, FASTAPI.name, 3.0), *((ONE, name, 25.0) for name in frameworks), (ONE, BARE.name, 0.7)]
    wanted += [(HUNDRED, FASTAPI.name, 2.5), (BULK, ML_SERVER.name, 1.1 if forest else 2.0)]
    found = [_faster(rounds, *goal) for goal in wanted if goal[1] in rounds]
    if IN_PROCESS in rounds:
        bulk = [case for case in OURS.more if all(case in run.loads for run in rounds[OURS.name])]
        found += [_faster(rounds, case, IN_PROCESS, 0.5, BULK) for case in bulk]
    others = [name for name in (*names.get("app", []), *frameworks) if name in rounds]
    found += [_sooner(rounds, case, others) for case in JSON_CASES if others]
    cold = median(rounds[OURS.name], _cold)
    found.append(Goal("cold start to the first prediction under 0.8 s", f"{cold:.2f} s", cold < 0.8))
    if SKETCH.name in rounds:
        held = ratio(rounds, SKETCH.name, _memory, _memory)
        found.append(Goal(f"memory no more than {SKETCH.name}", f"{held:.2f} times", held <= 1))
    return found


def _faster(rounds: Rounds, case: Case, other: str, wanted: float, theirs: Case | None = None) -> Goal:
    found = ratio(rounds, other, rate(case), rate(theirs or case))
    return Goal(f"{case.name}: at least {wanted:g} times {other}", f"{found:.2f} times", found >= wanted)


def _sooner(rounds: Rounds, case: Case, others: Sequence[str]) -> Goal:
    """Return the goal that ours has the lowest p99, against the peer whose p99 comes nearest."""

    def p99(run: Run) -> float:
        return run.loads[case].p99

    by_name = {name: ratio(rounds, name, p99, p99) for name in others}
    nearest = max(by_name, key=lambda name: by_name[name])
    found = f"{by_name[nearest]:.2f} times {nearest}'s"
    return Goal(f"{case.name}: p99 below every peer's", found, by_name[nearest] < 1)


def summary(rounds: Rounds) -> list[list[str]]:
    """Return the table of medians, its heading first: requests per second (p50/p99 in ms), seconds, MB."""
    cases = list(dict.fromkeys(case for runs in rounds.values() for run in runs for case in run.loads))
    heading = ["", *(f"{case.name}, {case.connections} at once" for case in cases), "cold start, s", "memory, MB"]
    return [heading, *(_line(name, runs, cases) for name, runs in rounds.items())]


def _line(name: str, runs: Sequence[Run], cases: Sequence[Case]) -> list[str]:
    shown = [_load([run.loads[case] for run in runs if case in run.loads]) for case in cases]
    if name == IN_PROCESS:
        return [name, *shown, "", ""]
    return [name, *shown, f"{median(runs, _cold):.2f}", f"{median(runs, _memory):.0f}"]


def _load(loads: Sequence[Load]) -> str:
    if not loads:
        return ""
    found, p50, p99 = (statistics.median(figures) for figures in zip(*map(_triple, loads), strict=True))
    return f"{found:,.0f} ({p50:.3g} / {p99:.3g})"


def _triple(load: Load) -> tuple[float, float, float]:
    return load.rate, load.p50, load.p99


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table as markdown that is also readable as it stands: its columns are aligned."""
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in table
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def told(goals: Sequence[Goal]) -> str:
    """Return the goals as a table."""
    return markdown(
        [["goal", "found", ""], *([goal.text, goal.found, "met" if goal.met else "not met"] for goal in goals)]
    )
