"""`inv chaos`: run the experiments, one after the other, and print what each showed."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import tempfile
import time
from pathlib import Path

import chaos
from chaos.experiment import Experiment, Outcome
from service.errors import CellarError


def experiments() -> dict[int, Experiment]:
    """Return every experiment of this folder's modules, by number."""
    modules = [importlib.import_module(f"chaos.{found.name}") for found in pkgutil.iter_modules(chaos.__path__)]
    held = [each for module in modules for each in getattr(module, "EXPERIMENTS", ())]
    return {each.number: each for each in sorted(held)}


def main() -> int:
    """Run what was asked for; return how many experiments broke something."""
    known = experiments()
    parser = argparse.ArgumentParser(prog="inv chaos", description=__doc__)
    parser.add_argument("--only", default="", help=f"numbers, such as 1,4; there are {', '.join(map(str, known))}")
    parser.add_argument("--scale", type=float, default=1.0, help="0.01 for a hundredth of each")
    options = parser.parse_args()
    numbers = [int(text) for text in options.only.split(",") if text] or list(known)
    if unknown := set(numbers) - set(known):
        parser.error(f"there is no experiment {min(unknown)}: there are {', '.join(map(str, known))}")
    return sum(_tell(known[number], options.scale) for number in numbers)


def _tell(experiment: Experiment, scale: float) -> int:
    print(f"{experiment.number:>2} {experiment.title} ...", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cellar-chaos-") as folder:
        outcome: Outcome = experiment.run(Path(folder), scale)
    seconds = time.monotonic() - start
    verdict = "; ".join(outcome.broken) or "held"
    print(f"   disturbed: {outcome.disturbed}\n   showed:    {outcome.figures}", flush=True)
    print(f"   {verdict} ({seconds:.0f} s)", flush=True)
    return len(outcome.broken) > 0


if __name__ == "__main__":
    try:
        raise SystemExit(min(main(), 1))
    except CellarError as error:
        raise SystemExit(str(error)) from None
