"""Experiment 14: bundles made by an attacker, with right hashes: they reach for other files, or bring code."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bench.serve.trained import train
from chaos import steps
from chaos.clients import Client, faults
from chaos.crowd import told
from chaos.damage import asked, wait_until_refused
from chaos.experiment import Experiment, Outcome
from chaos.hostile import ATTACKS, TOKEN, Ground, ground
from chaos.serving import Served, serving, wait_until_serving
from service.errors import DataError
from service.registry import CHAMPION

CALLS = "%process,open,openat,openat2,read,pread64"
OPENED = re.compile(r"^\d+ +(?:<\.\.\. )?open.* = \d+<(/[^>]*)>$", re.M)
FORKS = re.compile(r"^\d+ +(?:v?fork\(|clone3?\((?!.*CLONE_THREAD))", re.M)
TRIAL = re.compile(r'^\d+ +execve\([^\n]*"service.trial"', re.M)
STARTS = re.compile(r"^\d+ +execve\(", re.M)
HARMLESS = ("link at the folder", "manifest", "tensor", "node", "another")
"""How the names of those attacks begin that onnxruntime, or a name, stops where nothing is checked."""
POLL, SOUND = 0.05, 2
"""Seconds between two looks of the service, and the version that it is to go on with."""


def run(folder: Path, scale: float) -> Outcome:
    """Promote each bundle in a service that is looked at, and have it loaded by somebody who checks nothing."""
    trained = folder / "served"
    good = train(trained, "logistic_regression", 1).artifacts / steps.MODEL / "1"
    names = list(ATTACKS)[:: max(1, round(1 / scale))]
    harmed = [name for name in names if _does_harm(name, folder / name.replace(" ", "-"), good)]
    tame = [name for name in names if name not in harmed and not name.startswith(HARMLESS)]
    broken = [f"{name} does no harm where nothing is checked" for name in tame]
    log, clients = folder / "log", list[Client]()
    with serving(good.parents[1], under=_tracer(log), workers=1, poll=POLL) as served:
        usual = _usual(Log(log), served, good)
        with asked(served, clients, SOUND):
            for number, name in enumerate(names, SOUND + 1):
                made = ground(shutil.copytree(good, good.with_name(str(number))))
                ATTACKS[name](made)
                broken += [f"{name}: {wrong}" for wrong in _promote(made, Log(log), served, usual)]
    seen = told(clients)
    broken += faults(seen)
    return Outcome(
        f"{len(names)} attacks, {len(harmed)} of which read the file outside or start a process where nothing is "
        "checked",
        f"{len(names)} promoted in a running service and refused, with nothing read outside and no process started but "
        f"the trial's; {seen.answered} requests answered meanwhile by the version before",
        broken,
    )


class Log:
    """What strace writes down from now on."""

    def __init__(self, path: Path) -> None:
        self.path, self.begin = path, path.stat().st_size

    def text(self) -> str:
        """Return it, as far as it goes by now."""
        with self.path.open(errors="replace") as file:
            file.seek(self.begin)
            return file.read()

    def opened(self) -> set[str]:
        """Return what was opened, whatever number a process has, but for what is counted once a second."""
        paths = {re.sub(r"^/proc/\d+", "/proc/N", path) for path in OPENED.findall(self.text())}
        return {path for path in paths if "/cellar-metrics-" not in path}


def _tracer(log: Path) -> list[str]:
    if not (strace := shutil.which("strace")):
        raise DataError("strace is not installed: apt-get install strace")
    return [strace, "-D", "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(log)]


def _usual(log: Log, served: Served, good: Path) -> set[str]:
    """Have a good version served, and return what was opened for that."""
    place = shutil.copytree(good, good.with_name(str(SOUND)))
    (place.parent / CHAMPION).write_text(f"{SOUND}\n")
    wait_until_serving(served, steps.MODEL, SOUND)
    return log.opened()


def _promote(made: Ground, log: Log, served: Served, usual: set[str]) -> list[str]:
    """Promote a bundle as nobody may who has the gate before him; return what was wrong until it was refused."""
    place = made.place
    (place.parent / CHAMPION).write_text(f"{place.name}\n")
    wrong = wait_until_refused(served, int(place.name))
    # The version before it may have been looked at once more.
    wrong += [f"{path} was opened" for path in log.opened() - usual if not path.startswith(f"{place.parent}/")]
    return wrong + _harm(log.text(), made)


def _harm(calls: str, made: Ground) -> list[str]:
    """Return what processes did that nobody wants, by their system calls and by the mark that is left."""
    trials = len(TRIAL.findall(calls))
    started = len(STARTS.findall(calls)) > trials or len(FORKS.findall(calls)) > trials or made.mark.exists()
    made.mark.unlink(missing_ok=True)
    read = TOKEN.decode() in calls
    return ["the file outside was read"] * read + ["a process was started"] * started


def _does_harm(name: str, folder: Path, good: Path) -> bool:
    """Have a process load a bundle that checks nothing."""
    made = ground(shutil.copytree(good, folder / "artifacts" / steps.MODEL / "2"))
    ATTACKS[name](made)
    log = folder / "log"
    steps.run(["chaos.readers", str(made.place), str(good)], log)
    return bool(_harm(log.read_text(), made))


EXPERIMENTS = (Experiment(14, "bundles that reach for other files or bring code", run),)
