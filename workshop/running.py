"""Running notebooks as a command asks for it, and telling what came of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from service import config
from service.errors import DataError
from service.registry import Registry
from workshop import parameters
from workshop.execution import STEPS, Job, Outcome
from workshop.listing import verdict
from workshop.pipeline import find_tables, run_all
from workshop.progress import Progress
from workshop.reports import write_index


def run_notebooks(
    steps: Sequence[str] = STEPS,
    data: str = "",
    parameter: Sequence[str] | None = None,
    force: bool = False,
    **named: str,
) -> bool:
    """Run notebooks for one table or for all, tell what came of each, and return whether all went well.

    `named` are parameters that have an option of their own, "" where it was not given; `parameter` others, as
    name=value. DataError, before anything starts, if one of them cannot be right.
    """
    if not data and named.get("target"):
        raise DataError("--target names a column of one table: name the table with --data")
    given = {**parameters.parse(parameter or []), **{name: value for name, value in named.items() if value}}
    outcomes = run_all([Job(table, given, tuple(steps)) for table in find_tables(data)], Progress(), force)
    _tell(outcomes, Registry(config.read().artifacts))
    return not any(outcome.error for outcome in outcomes)


def _tell(outcomes: Sequence[Outcome], registry: Registry) -> None:
    for outcome in outcomes:
        if not outcome.ran:
            since = f"{outcome.model}: nothing changed since version {outcome.version}"
            print(f"{since} ({outcome.report}); --force runs it again")
        elif not outcome.error:
            print(f"{verdict(registry, outcome.model, outcome.version)}\n  {outcome.report}")
    print(f"All versions: {write_index(config.read().reports, registry)}")
    for outcome in outcomes:
        if outcome.error:
            page = f" (see {outcome.report})" if outcome.report else ""
            print(f"{outcome.name}: {outcome.error}{page}", file=sys.stderr)
