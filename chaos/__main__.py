"""`inv chaos`: run the experiments, one after the other, and print what each showed."""

from __future__ import annotations

import argparse
import importlib
import math
import pkgutil
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import chaos
from chaos.experiment import Experiment, Outcome
from service.errors import CellarError
from workshop.menu import typed


def experiments() -> dict[int, Experiment]:
    """Return every experiment of this folder's modules, by number."""
    modules = [importlib.import_module(f"chaos.{found.name}") for found in pkgutil.iter_modules(chaos.__path__)]
    held = [each for module in modules for each in getattr(module, "EXPERIMENTS", ())]
    return {each.number: each for each in sorted(held)}


class Parser(argparse.ArgumentParser):
    """A command line that is refused in one sentence."""

    def error(self, message: str) -> NoReturn:
        """End with what is wrong and where all is said."""
        self.exit(2, f"{message}; {self.prog} --help shows all there are\n")


def main() -> int:
    """Run what was asked for; return how many experiments broke something."""
    known = experiments()
    listed = ", ".join(map(str, known))
    parser = Parser(prog=typed("chaos --"), description="Run experiments that disturb the service, and tell what held.")
    parser.add_argument("--only", default="", help=f"numbers, such as 1,4; there are {listed}")
    parser.add_argument("--scale", default="1", help="0.01 for a hundredth of each")
    options = parser.parse_args()
    texts = options.only.split(",") if options.only else [str(number) for number in known]
    for text in texts:
        if text not in map(str, known):
            parser.error(f"--only: there is no experiment {text[:40]!r}, there are {listed}")
    scale = _scale(options.scale)
    if not scale:
        parser.error(f"--scale must be a number above 0, such as 0.01, got {options.scale[:40]!r}")
    return sum(_tell(known[int(text)], scale) for text in texts)


def _scale(text: str) -> float:
    """Return a number above zero, 0 for what is none."""
    try:
        scale = float(text)
    except ValueError:
        return 0
    return scale if 0 < scale < math.inf else 0


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
