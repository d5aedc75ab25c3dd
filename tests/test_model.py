from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import bundle, model
from service.errors import BundleError
from service.rows.inputs import Inputs


class Code:
    """What a pickle can do that data cannot."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def wine(artifacts: Path) -> Path:
    """A published bundle to damage."""
    return artifacts / "wine" / "1"


@pytest.fixture
def loaded(wine_artifacts: Path) -> model.Model:
    """A model that answers."""
    return model.load(wine_artifacts / "wine" / "1")


@pytest.fixture
def inputs(loaded: model.Model) -> Inputs:
    """The golden rows as a model reads them."""
    return loaded.schema.read_records(loaded.bundle.golden.rows)


def change_golden(folder: Path, reseal: Callable[[Path], None], **fields: Any) -> None:
    """Change the golden rows of a bundle as somebody would who knows about hashes."""
    path = folder / bundle.GOLDEN
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    reseal(folder)


def test_model_answers_its_golden_rows(loaded: model.Model, inputs: Inputs):
    """A loaded model knows its name, version and classes and answers as it did when it was trained."""
    assert (loaded.name, loaded.version, loaded.classes) == ("wine", 1, [0, 1, 2])
    answer = loaded.predict(inputs)
    assert answer.values.tolist() == loaded.bundle.golden.predict
    assert answer.probabilities is not None
    assert answer.probabilities.shape == (len(inputs), 3)


def test_number_has_no_probabilities(houses_artifacts: Path):
    """A regression answers numbers `[n]` alone."""
    prices = model.load(houses_artifacts / "prices" / "1")
    answer = prices.predict(prices.schema.read_records(prices.bundle.golden.rows))
    assert answer.values.shape == (len(prices.bundle.golden.rows),)
    assert answer.probabilities is None


def test_chunks_make_no_difference(loaded: model.Model, inputs: Inputs, monkeypatch: pytest.MonkeyPatch):
    """Rows split over several runs get the labels of one run, and its probabilities within 1e-5."""
    whole = loaded.predict(inputs)
    monkeypatch.setattr(model, "CHUNK", 7)
    parts = loaded.predict(inputs)
    assert len(inputs) > 14
    assert parts.values.tolist() == whole.values.tolist()
    assert parts.probabilities is not None
    assert np.abs(parts.probabilities - whole.probabilities).max() < 1e-5


@pytest.mark.parametrize("name", ["wine", "houses", "prices"])
def test_no_rows_no_answers(name: str, wine_artifacts: Path, houses_artifacts: Path):
    """A table without rows is answered by nothing, whatever the task."""
    found = model.load((wine_artifacts if name == "wine" else houses_artifacts) / name / "1")
    assert found.predict(found.schema.read([])).values.tolist() == []


def other_label(golden: dict[str, Any]) -> dict[str, Any]:
    """Change one expected label."""
    return {"predict": [(golden["predict"][0] + 1) % 3, *golden["predict"][1:]]}


def other_probability(golden: dict[str, Any]) -> dict[str, Any]:
    """Change one expected probability by ten times the tolerance."""
    (first, *others), *rows = golden["predict_proba"]
    return {"predict_proba": [[first + 10 * golden["tolerance"], *others], *rows]}


@pytest.mark.parametrize(
    "damage",
    [
        other_label,
        other_probability,
        lambda golden: {"predict": golden["predict"][1:]},
        lambda golden: {"predict_proba": golden["predict_proba"][1:]},
        lambda golden: {"predict_proba": []},
        lambda golden: {"predict_proba": [row[:2] for row in golden["predict_proba"]]},
        lambda golden: {"rows": [], "predict": [], "predict_proba": []},
        lambda golden: {"rows": golden["rows"][::-1]},
    ],
    ids=["label", "probability", "fewer labels", "fewer rows", "none", "fewer classes", "no rows", "other order"],
)
def test_other_answers_than_when_trained_refuse_the_bundle(
    wine: Path, reseal: Callable[[Path], None], damage: Callable[[dict[str, Any]], dict[str, Any]]
):
    """A golden row whose answer differs, or that is not there, makes the bundle refused though all hashes are right."""
    change_golden(wine, reseal, **damage(json.loads((wine / bundle.GOLDEN).read_text())))
    with pytest.raises(BundleError, match=r"^wine/1 does not answer its golden rows as it did"):
        model.load(wine)


def test_ragged_golden_answers_refuse_the_bundle(wine: Path, reseal: Callable[[Path], None]):
    """Expected probabilities that are no table refuse the bundle, and nothing else is raised."""
    golden = json.loads((wine / bundle.GOLDEN).read_text())
    change_golden(wine, reseal, predict_proba=[[1.0], *golden["predict_proba"][1:]])
    with pytest.raises(BundleError, match=r"^wine/1 fails on its golden rows"):
        model.load(wine)


def test_golden_rows_that_do_not_fit_refuse_the_bundle(wine: Path, reseal: Callable[[Path], None]):
    """Golden rows with other fields than the manifest's refuse the bundle by that file's name."""
    change_golden(wine, reseal, rows=[{"alcohol": 1}])
    with pytest.raises(BundleError, match=r"^wine/1/golden\.json does not fit the manifest"):
        model.load(wine)


def test_background_that_does_not_fit_refuses_the_bundle(wine: Path, reseal: Callable[[Path], None]):
    """So do rows to explain by that the model does not read."""
    change_golden(wine, reseal, background=[{"alcohol": 1}])
    with pytest.raises(BundleError, match=r"^wine/1/golden\.json does not fit the manifest: row 0"):
        model.load(wine)


def test_pickle_is_refused_and_not_run(wine: Path, tmp_path: Path, reseal: Callable[[Path], None]):
    """A pickle under the model's name and with the right hash is refused, and none of its code runs."""
    attack = pickle.dumps(Code(tmp_path / "ran"))
    (wine / bundle.MODEL).write_bytes(attack)
    reseal(wine)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        model.load(wine)
    assert not (tmp_path / "ran").exists()
    pickle.loads(attack)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\x08\x07", b"not a model at all"], ids=repr)
def test_what_is_no_model_is_refused(wine: Path, reseal: Callable[[Path], None], content: bytes):
    """Whatever onnxruntime cannot load refuses the bundle by the file's name."""
    (wine / bundle.MODEL).write_bytes(content)
    reseal(wine)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        model.load(wine)


def test_model_of_another_bundle_is_refused(wine: Path, houses_artifacts: Path, reseal: Callable[[Path], None]):
    """A sound model that reads other features than the manifest says refuses the bundle."""
    (wine / bundle.MODEL).write_bytes((houses_artifacts / "houses" / "1" / bundle.MODEL).read_bytes())
    reseal(wine)
    with pytest.raises(BundleError, match=r"^wine/1 fails on its golden rows"):
        model.load(wine)
