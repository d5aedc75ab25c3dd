"""Experiment 14: bundles made by an attacker, with right hashes: they reach for other files, or bring code."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from bench.serve.trained import train
from chaos import steps
from chaos.damage import asking, wait_until_refused
from chaos.experiment import Experiment, Outcome
from chaos.house import Served, serving, wait_until_serving
from service import bundle
from service.errors import DataError
from service.files import sha256
from service.registry import CHAMPION

TOKEN = b"no-business-of-a-model"
FILES = (*bundle.CANDIDATE_FILES, bundle.METRICS, bundle.SUMS)
CALLS = "%process,open,openat,openat2,read,pread64"
OPENED = re.compile(r"^\d+ +(?:<\.\.\. )?open.* = \d+<(/[^>]*)>$", re.M)
FORKS = re.compile(r"^\d+ +(?:v?fork\(|clone3?\((?!.*CLONE_THREAD))", re.M)
TRIAL = re.compile(r'^\d+ +execve\([^\n]*"service.trial"', re.M)
STARTS = re.compile(r"^\d+ +execve\(", re.M)
POLL, SOUND = 0.05, 2
"""Seconds between two looks of the service, and the version that it is to go on with."""


class Ground(NamedTuple):
    """Where an attack is made: the bundle's folder, a file outside of it that nobody may read, a mark to be left."""

    place: Path
    secret: Path
    mark: Path


Attack = Callable[[Ground], None]


class Payload:
    """Whoever unpickles this runs a program, which leaves the mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def run(folder: Path, scale: float) -> Outcome:
    """Promote each bundle in a service that is looked at, and have it loaded by somebody who checks nothing."""
    trained = folder / "served"
    good = train(trained, "logistic_regression", 1).artifacts / steps.MODEL / "1"
    names = list(ATTACKS)[:: max(1, round(1 / scale))]
    harmed = sum(_does_harm(name, folder / name.replace(" ", "-"), good) for name in names)
    broken = [] if harmed else ["no attack did harm to whoever checks nothing"]
    log = folder / "log"
    with serving(good.parents[1], 1, tracer=_tracer(log), poll=POLL) as served:
        usual = _usual(Log(log), served, good)
        with asking(served) as answers:
            for number, name in enumerate(names, SOUND + 1):
                ground = _ground(shutil.copytree(good, good.with_name(str(number))))
                ATTACKS[name](ground)
                broken += [f"{name}: {wrong}" for wrong in _promote(ground, Log(log), served, usual)]
    counts = Counter(answers)
    broken += [f"{count} times the answer was {told}" for told, count in counts.items() if told != f"version {SOUND}"]
    return Outcome(
        f"{len(names)} attacks, {harmed} of which read the file outside or start a process where nothing is checked",
        f"{len(names)} promoted in a running service and refused, with nothing read outside and no process started but "
        f"the trial's; {counts.total()} requests answered meanwhile by the version before",
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


def _promote(ground: Ground, log: Log, served: Served, usual: set[str]) -> list[str]:
    """Promote a bundle as nobody may who has the gate before him; return what was wrong until it was refused."""
    place = ground.place
    (place.parent / CHAMPION).write_text(f"{place.name}\n")
    wrong = [told] if (told := wait_until_refused(served, int(place.name))) else []
    # The version before it may have been looked at once more.
    wrong += [f"{path} was opened" for path in log.opened() - usual if not path.startswith(f"{place.parent}/")]
    return wrong + _harm(log.text(), ground)


def _harm(calls: str, ground: Ground) -> list[str]:
    """Return what processes did that nobody wants, by their system calls and by the mark that is left."""
    trials = len(TRIAL.findall(calls))
    started = len(STARTS.findall(calls)) > trials or len(FORKS.findall(calls)) > trials or ground.mark.exists()
    ground.mark.unlink(missing_ok=True)
    read = TOKEN.decode() in calls
    return ["the file outside was read"] * read + ["a process was started"] * started


def _does_harm(name: str, folder: Path, good: Path) -> bool:
    """Have a process load a bundle that checks nothing."""
    ground = _ground(shutil.copytree(good, folder / "artifacts" / steps.MODEL / "2"))
    ATTACKS[name](ground)
    log = folder / "log"
    steps.run(["chaos.readers", str(ground.place), str(good)], log)
    return bool(_harm(log.read_text(), ground))


def _ground(place: Path) -> Ground:
    secret = place.parents[2] / "secret.bin"
    secret.unlink(missing_ok=True)
    secret.write_bytes(TOKEN * 4)
    return Ground(place, secret, secret.with_name("mark"))


def _seal(place: Path) -> None:
    """Write the sums anew, so that every hash is right."""
    names = [name for name in FILES if name != bundle.SUMS]
    lines = [f"{sha256((place / name).read_bytes())}  {name}\n" for name in names]
    (place / bundle.SUMS).write_text("".join(lines))


def _link(make: Callable[[Path, Path], None], name: str, ground: Ground) -> None:
    """Put a link to the file outside in a file's place."""
    if name == bundle.SUMS:
        ground.secret.write_bytes((ground.place / name).read_bytes() + TOKEN)
    (ground.place / name).unlink()
    make(ground.secret, ground.place / name)
    if name != bundle.SUMS:
        _seal(ground.place)


def _link_folder(ground: Ground) -> None:
    ground.place.rename(ground.secret.with_name("outside"))
    ground.place.symlink_to(ground.secret.with_name("outside"))


def _sums(name: str, ground: Ground) -> None:
    """Have the sums name a file outside, in place of the metrics."""
    text = (ground.place / bundle.SUMS).read_text()
    line = f"{sha256(ground.secret.read_bytes())}  {name.format(secret=ground.secret)}\n"
    (ground.place / bundle.SUMS).write_text(re.sub(r"\w+  metrics.json\n", line, text))


def _manifest(model: str, ground: Ground) -> None:
    """Have the manifest name a model whose folder is another one."""
    path = ground.place / bundle.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": model}))
    _seal(ground.place)


def _model(make: Callable[[Ground], bytes], ground: Ground) -> None:
    (ground.place / bundle.MODEL).write_bytes(make(ground))
    _seal(ground.place)


def _external(location: str, ground: Ground) -> bytes:
    """Return a graph one of whose tensors is in another file."""
    os.link(ground.secret, ground.place / "weights.bin")
    weights = TensorProto(name="W", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location.format(secret=ground.secret), "offset": "0", "length": "4"}.items():
        weights.external_data.add(key=key, value=value)
    return _graph([helper.make_node("Add", ["numbers", "W"], ["out"])], weights)


def _context(ground: Ground) -> bytes:
    """Return a graph whose node is to be read from another file."""
    cache = {"embed_mode": 0, "ep_cache_context": str(ground.secret)}
    return _graph([helper.make_node("EPContext", ["numbers"], ["out"], domain="com.microsoft", **cache)])


def _graph(nodes: list[Any], *weights: TensorProto) -> bytes:
    given, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in ("numbers", "out"))
    graph = helper.make_graph(nodes, "g", [given], [out], list(weights))
    imports = [helper.make_opsetid("", 15), helper.make_opsetid("com.microsoft", 1)]
    return onnx.ModelProto(ir_version=8, graph=graph, opset_import=imports).SerializeToString()


def _runtime_format(ground: Ground) -> bytes:
    """Return the bundle's own graph in onnxruntime's other format, which has no guard."""
    path = ground.secret.with_name("model.ort")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(ground.place / bundle.MODEL, options)
    return path.read_bytes()


def _dumped(dump: Callable[[Any, Path], object], ground: Ground) -> bytes:
    """Return what a library of pickles writes for something that runs a program."""
    path = ground.secret.with_name("dumped.npy")
    dump(Payload(ground.mark), path)
    return path.read_bytes()


def _pickle(value: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def _npy(value: Any, path: Path) -> None:
    np.save(path, np.array([value], dtype=object), allow_pickle=True)


LOCATIONS = ("weights.bin", "../../../secret.bin", "{secret}", "*/_ORT_MEM_ADDR_/*")
ATTACKS: dict[str, Attack] = {
    **{f"link at {name}": partial(_link, lambda to, at: at.symlink_to(to), name) for name in FILES},
    **{f"hard link at {name}": partial(_link, os.link, name) for name in FILES},
    "link at the folder": _link_folder,
    **{f"sums of file {at}": partial(_sums, name) for at, name in enumerate(("../../../secret.bin", "{secret}"))},
    **{f"manifest of model {at}": partial(_manifest, name) for at, name in enumerate(("../wine", "..", "/etc"))},
    **{f"tensor elsewhere {at}": partial(_model, partial(_external, name)) for at, name in enumerate(LOCATIONS)},
    "node elsewhere": partial(_model, _context),
    "another format": partial(_model, _runtime_format),
    "pickle": partial(_model, partial(_dumped, _pickle)),
    "joblib": partial(_model, partial(_dumped, joblib.dump)),
    "npy": partial(_model, partial(_dumped, _npy)),
}


EXPERIMENTS = (Experiment(14, "bundles that reach for other files or bring code", run),)
