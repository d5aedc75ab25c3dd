"""The command: which set-ups and models, how long, and where the tables go."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.serve import figures, load, rounds
from bench.serve.setups import ALWAYS, MOST, OPTIONAL, Setup
from bench.serve.trained import train
from service.errors import CellarError, DataError

MODELS = {"linear": "logistic_regression", "forest": "random_forest"}


def main(words: Sequence[str] | None = None) -> int:
    """Print tables and goals; return 1 if our own service could not be measured, 130 if Ctrl-C ended it."""
    options = _options(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that being told to stop ends the servers, too
    try:
        setups = [*ALWAYS, *_peers(options.peers)]
        load.require_wrk()
        pages = [_page(model, setups, options) for model in options.models.split(",")]
    except CellarError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    if options.markdown:
        Path(options.markdown).write_text("\n\n".join(pages) + "\n", encoding="utf-8")
    return 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="inv bench serve --", description="Our service against its peers.")
    parser.add_argument("--quick", action="store_true", help="one round, a second each, the linear model")
    parser.add_argument("--peers", default="", help=f"all, or some of {','.join(OPTIONAL)}")
    parser.add_argument("--models", default="linear,forest", help="linear, forest, or both, the default")
    parser.add_argument("--rounds", type=int, default=5, help="how often every set-up takes its turn")
    parser.add_argument("--seconds", type=int, default=3, help="how long each case is loaded in each round")
    parser.add_argument("--markdown", default="", help="a file to which the tables are written, too")
    options = parser.parse_args(words)
    if options.quick:
        options.rounds, options.seconds, options.models = 1, 1, "linear"
    if min(options.rounds, options.seconds) < 1:
        parser.error("--rounds and --seconds must be 1 or more")
    if unknown := set(options.models.split(",")) - set(MODELS):
        parser.error(f"--models knows linear and forest, not {', '.join(sorted(unknown))}")
    return options


def _peers(asked: str) -> list[Setup]:
    names = list(OPTIONAL) if asked == "all" else [name for name in asked.split(",") if name]
    if unknown := [name for name in names if name not in OPTIONAL]:
        raise DataError(f"no peer is called {unknown[0][:40]!r}: --peers takes all, or some of {', '.join(OPTIONAL)}")
    return [OPTIONAL[name] for name in names]


def _page(model: str, setups: Sequence[Setup], options: argparse.Namespace) -> str:
    """Measure one model; print and return its tables."""
    with tempfile.TemporaryDirectory(prefix="cellar-bench-") as name:
        trained = train(Path(name), MODELS[model], MOST)
        found = rounds.measure(setups, trained, Path(name), options.rounds, options.seconds)
    goals = figures.goals(found, setups, model == "forest")
    title = f"The {model} model: requests per second (p50 / p99, ms), median of {options.rounds} rounds"
    page = f"{title}\n\n{figures.markdown(figures.summary(found))}\n\n{figures.told(goals)}"
    print(page, end="\n\n", flush=True)
    return page


if __name__ == "__main__":
    sys.exit(main())
