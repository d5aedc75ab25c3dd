"""Served files that vanish, tear or change while they are served, and what a restart makes of that."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import requests

from chaos.clients import Client, by_version, faults, post
from chaos.crowd import asking
from chaos.experiment import Experiment, Outcome
from chaos.house import House, house
from chaos.serving import serving
from service import bundle

PAUSE = 1.5


def _delete(path: Path) -> None:
    path.unlink()


def _tear(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _scribble(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def _hide(path: Path) -> None:
    path.chmod(0)


def _replace(path: Path) -> None:
    path.unlink()
    path.mkdir()


DEEDS: tuple[Callable[[Path], None], ...] = (_delete, _tear, _scribble, _replace, _hide)
ROOT_RIGHTS = os.geteuid() == 0
UNDER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if ROOT_RIGHTS and shutil.which("setpriv") else ()
"""What takes the right from root to read what nobody may read."""
FILES = (bundle.MODEL, bundle.MANIFEST, bundle.GOLDEN, bundle.METRICS, bundle.SUMS)


def spoil(folder: Path, scale: float) -> Outcome:
    """Spoil each file of the champion in each way under a client, then start anew."""
    made = house(folder, 2)
    made.registry.promote("wine", 2, "to be spoilt")
    deeds = [(deed, name) for deed in DEEDS for name in FILES if deed is not _hide or UNDER or not ROOT_RIGHTS]
    deeds = deeds[:: max(1, round(1 / scale))]
    broken: list[str] = []
    answered = sum(_spoil(made, deed, name, broken) for deed, name in deeds)
    return Outcome(
        f"{len(deeds)} times a file of the champion was spoilt, in {len({deed for deed, _ in deeds})} ways",
        f"{answered} predictions meanwhile; {len(deeds)} restarts with the version before",
        broken,
    )


def _spoil(made: House, deed: Callable[[Path], None], name: str, broken: list[str]) -> int:
    """Spoil one file while it is served and start anew; return how many predictions were answered meanwhile."""
    place = made.registry.place("wine", 2)
    kept = shutil.copytree(place, place.with_name(".kept"))
    what, sent = f"{deed.__name__[1:]} {name}", post({"instances": made.rows[:1]})
    try:
        with serving(made.registry.folder, under=UNDER, poll=0.1) as served:
            client = Client(served.port, repeat(by_version(sent, 2)), least=1)
            with asking([client]):
                deed(place / name)
                time.sleep(PAUSE)
        broken += [f"{what}: {told}" for told in faults(client.seen)]
        with serving(made.registry.folder, under=UNDER) as served:
            ready = requests.get(f"{served.address}/health/ready", timeout=30).json()
            told = ready["refused"].get("wine", "")
            if "version 2 was refused" not in told or "version 1 is served instead" not in told:
                broken.append(f"{what}: after the restart it says {ready}")
            again = Client(served.port, [by_version(sent, 1)])
            again.run()
            broken += [f"{what}: after the restart {told}" for told in faults(again.seen)]
    finally:
        shutil.rmtree(place)
        kept.rename(place)
    return client.seen.answered


EXPERIMENTS = (Experiment(12, "served files spoilt, then a restart", spoil),)
