"""Experiment 3: every kind of damage to a bundle's bytes, seen before a parser is, and a service that goes on."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import repeat
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import msgspec
import numpy as np
import onnxruntime
import requests

from bench.serve.trained import train
from chaos.clients import Client, by_version, faults, post
from chaos.crowd import asking, told
from chaos.experiment import Experiment, Outcome
from chaos.serving import Served, serving
from service import bundle
from service.errors import BundleError
from service.model import load
from service.registry import CHAMPION, Registry

MODEL = "wine"
OLD = 1
RANDOM, LENGTHS, LIVE = 5000, 200, 60
POLL, PATIENCE = 0.05, 30
SEED = 0
ROW = [13.2, 1.78, 2.14, 11.2, 100, 2.65, 2.76, 0.26, 1.28, 4.38, 1.05, 3.4, 1050]


class Damage(NamedTuple):
    """A file of a bundle with other content than its own."""

    kind: str
    name: str
    content: bytes


def run(folder: Path, scale: float) -> Outcome:
    """Load every damaged bundle, and have a running service promote some of them."""
    artifacts = train(folder, "logistic_regression", 1).artifacts
    place = artifacts / MODEL / "2"
    shutil.copytree(artifacts / MODEL / str(OLD), place)
    every = list(_damages(place))
    damages = every[:: max(1, round(1 / scale))]
    with counted() as calls:
        load(place)
        whole = calls()
        loaded = [unseen for damage in damages if (unseen := _load_damaged(place, damage))]
        parsed = calls() - whole
    shutil.rmtree(place)
    some = every[:: max(1, len(every) // max(2, round(LIVE * scale)))]
    asked, wrong = _serve_damaged(Registry(artifacts), some)
    counts = Counter(damage.kind for damage in damages)
    if whole.total() == 0:
        wrong.append("nobody counted: not even a whole bundle was parsed")
    if parsed.total():
        wrong.append(f"parsers were given what was damaged: {dict(parsed)}")
    return Outcome(
        f"{', '.join(f'{count} {kind}' for kind, count in counts.items())}; {len(some)} promoted in a running service",
        f"{len(damages) - len(loaded)} refused, {parsed.total()} calls of parsers (a whole bundle: {whole.total()}); "
        f"{asked} requests answered by the old version",
        loaded + wrong,
    )


@contextmanager
def counted() -> Iterator[Callable[[], Counter[str]]]:
    """Count how often JSON is parsed and a graph is loaded, wherever that is done from."""
    with ExitStack() as stack:
        spies = {
            name: stack.enter_context(mock.patch.object(owner, name, wraps=getattr(owner, name)))
            for owner, name in ((msgspec.json, "decode"), (onnxruntime, "InferenceSession"))
        }
        yield lambda: Counter({name: spy.call_count for name, spy in spies.items()})


def _damages(place: Path) -> Iterator[Damage]:
    """Yield one changed bit for every byte, at random for the model, and every file cut off at many lengths."""
    draw = np.random.default_rng(SEED)
    for name in (bundle.MANIFEST, bundle.METRICS, bundle.SUMS):
        content = (place / name).read_bytes()
        yield from (Damage("flipped bytes", name, _flip(content, at, at % 8)) for at in range(len(content)))
    for name in (bundle.MODEL, bundle.GOLDEN):
        content = (place / name).read_bytes()
        for at, bit in zip(draw.integers(0, len(content), RANDOM), draw.integers(0, 8, RANDOM), strict=True):
            yield Damage("random flips", name, _flip(content, int(at), int(bit)))
    for path in sorted(place.iterdir()):
        content = path.read_bytes()
        sizes = np.unique(np.linspace(0, len(content) - 1, LENGTHS).astype(int))
        # Sums without their last line are those of a candidate, whose files are whole: no damage.
        cuts = [cut for size in sizes if not (cut := content[:size]).endswith(b"\n") or path.name != bundle.SUMS]
        yield from (Damage("truncations", path.name, cut) for cut in cuts)


def _flip(content: bytes, at: int, bit: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


def _load_damaged(place: Path, damage: Damage) -> str:
    """Return "" if a damaged bundle is refused."""
    path = place / damage.name
    whole = path.read_bytes()
    path.write_bytes(damage.content)
    try:
        found = load(place)
        return f"{damage.kind} in {damage.name} went unseen" if found.bundle.metrics else ""
    except BundleError:
        return ""
    finally:
        path.write_bytes(whole)


def _serve_damaged(registry: Registry, damages: list[Damage]) -> tuple[int, list[str]]:
    """Promote damaged versions, one after the other, while a service is asked; return how often, and what was wrong."""
    wrong, clients = list[str](), list[Client]()
    with serving(registry.folder, poll=POLL) as served, asked(served, clients):
        for version, damage in enumerate(damages, OLD + 1):
            _promote_damaged(registry, version, damage)
            wrong += wait_until_refused(served, version)
    with serving(registry.folder) as served, asked(served, clients):
        wrong += [] if "is served instead" in _refusal(served) else ["the service does not say what it serves instead"]
    seen = told(clients)
    return seen.answered, wrong + faults(seen)


def _promote_damaged(registry: Registry, version: int, damage: Damage) -> None:
    """Point at a version that nobody saw whole."""
    home = registry.home(MODEL)
    beside = shutil.copytree(registry.place(MODEL, OLD), home / f"copy-{version}")
    (beside / damage.name).write_bytes(damage.content)
    beside.rename(registry.place(MODEL, version))
    (home / CHAMPION).write_text(f"{version}\n")


def wait_until_refused(served: Served, version: int) -> list[str]:
    """Return once every worker, as far as ten requests in a row can tell, refused a version; else what is wrong."""
    give_up, times = time.monotonic() + PATIENCE, 0
    while times < 10:
        if time.monotonic() > give_up:
            return [f"version {version} was never refused: {_refusal(served)[:200]}"]
        times = times + 1 if f"version {version} was refused" in _refusal(served) else 0
    return []


def _refusal(served: Served) -> str:
    refused = requests.get(f"{served.address}/models", timeout=PATIENCE).json()["refused"]
    return str(refused.get(MODEL, ""))


def asked(served: Served, clients: list[Client], version: int = OLD) -> AbstractContextManager[None]:
    """Have a client more ask for predictions all the while, which one version is to answer."""
    sent = post({"features": ROW}, f"/models/{MODEL}/predict")
    clients.append(Client(served.port, repeat(by_version(sent, version)), patience=PATIENCE, least=1))
    return asking(clients[-1:])


EXPERIMENTS = (Experiment(3, "damaged bytes in every file of a bundle", run),)
