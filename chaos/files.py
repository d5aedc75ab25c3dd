"""Served files that vanish, tear or change while they are served, and what a restart makes of that."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests

from chaos.experiment import Experiment, Outcome
from chaos.house import House, house, serving
from service import bundle

WORKERS, PAUSE = 2, 1.5


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
FILES = (bundle.MODEL, bundle.MANIFEST, bundle.GOLDEN, bundle.METRICS, bundle.SUMS)


def spoil(folder: Path, scale: float) -> Outcome:
    """Spoil each file of the champion in each way under a client, then start anew."""
    made = house(folder, 2)
    made.registry.promote("wine", 2, "to be spoilt")
    deeds = [(deed, name) for deed in DEEDS for name in FILES if deed is not _hide or os.geteuid()]
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
    what, seen = f"{deed.__name__[1:]} {name}", list[tuple[int, int]]()
    try:
        with serving(made.registry.folder, WORKERS, poll=0.1) as served:
            over = threading.Event()
            client = threading.Thread(target=_ask, args=(served.address, made.rows[0], seen, over))
            client.start()
            deed(place / name)
            time.sleep(PAUSE)
            over.set()
            client.join()
        if not seen or set(seen) != {(200, 2)}:
            broken.append(f"{what}: answered {sorted(set(seen))}")
        with serving(made.registry.folder, WORKERS) as served:
            ready = requests.get(f"{served.address}/health/ready", timeout=30).json()
            told = ready["refused"].get("wine", "")
            if "version 2 was refused" not in told or "version 1 is served instead" not in told:
                broken.append(f"{what}: after the restart it says {ready}")
            _ask(served.address, made.rows[0], again := [], None)
            if again != [(200, 1)]:
                broken.append(f"{what}: after the restart it answers {again}")
    finally:
        shutil.rmtree(place)
        kept.rename(place)
    return len(seen)


def _ask(address: str, row: list[float], seen: list[tuple[int, int]], over: threading.Event | None) -> None:
    """Note status and version of predictions until it is over, of one without an end to wait for."""
    with requests.Session() as session:
        while True:
            reply = session.post(f"{address}/predict", json={"instances": [row]}, timeout=30)
            seen.append((reply.status_code, reply.json().get("version", 0)))
            if over is None or over.is_set():
                return


EXPERIMENTS = (Experiment(12, "served files spoilt, then a restart", spoil),)
