"""Bundles made by an attacker, with right hashes: they reach for other files, or bring code."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from service import bundle
from service.files import sha256

TOKEN = b"no-business-of-a-model"
FILES = (*bundle.CANDIDATE_FILES, bundle.METRICS, bundle.SUMS)


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


def ground(place: Path) -> Ground:
    """Return where an attack on a bundle is made, with a new file outside of it."""
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
