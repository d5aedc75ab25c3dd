from __future__ import annotations

import getpass
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import changed

from service import bundle, promotion
from service.contents import Metric, Verdict
from service.errors import NotFoundError, PromotionError
from service.promotion import held_back
from service.registry import Registry

FAILED = Verdict(False, ["passed: accuracy 0.9 against the baseline's 0.4", "failed: accuracy 0.9 against 1.0"], 1)

Judged = Callable[..., None]


@pytest.fixture
def registry(artifacts: Path) -> Registry:
    """`wine` in versions 1, which is champion, 2 and 3."""
    for number in (2, 3):
        shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / str(number))
    return Registry(artifacts)


@pytest.fixture
def judge(registry: Registry) -> Judged:
    """The function that changes what version 2's metrics say, as another evaluation would have."""

    def change(**changes: Any) -> None:
        changed(registry.place("wine", 2), metrics=msgspec.to_builtins(changes))

    return change


def test_promotion_returns_its_event(registry: Registry):
    """What the gate lets pass needs neither force nor a reason, and the event says what was done."""
    event = promotion.promote(registry, "wine", 2)
    assert event == registry.history("wine")[-1]
    assert (event.action, event.version, event.previous, event.reason) == ("promote", 2, 1, "promoted by hand")
    assert promotion.promote(registry, "wine", 3, " a whim ").reason == "a whim"
    assert registry.champion("wine") == 3


def test_rollback_returns_its_event(registry: Registry):
    """The champion before is champion again, with the reason or one of its own."""
    for version in (2, 3):
        promotion.promote(registry, "wine", version)
    event = promotion.rollback(registry, "wine", "it was worse")
    assert (event.action, event.version, event.previous, event.reason) == ("rollback", 2, 3, "it was worse")
    assert promotion.rollback(registry, "wine").reason == "rolled back by hand"
    with pytest.raises(PromotionError, match="no earlier champion"):
        promotion.rollback(registry, "wine")


@pytest.mark.parametrize(("reason", "force"), [("", False), ("I want it", False), ("", True), (" \n", True)])
def test_what_the_gate_held_back_stays_so(registry: Registry, judge: Judged, reason: str, force: bool):
    """Without force, or by force without a reason, it is refused with what the gate said, and nothing changes."""
    judge(verdict=FAILED)
    with pytest.raises(
        PromotionError,
        match=r"held wine version 2 back \(failed: accuracy 0.9 against 1.0\): to .* --force and --reason",
    ):
        promotion.promote(registry, "wine", 2, reason, force)
    assert registry.champion("wine") == 1 and len(registry.history("wine")) == 1


def test_force_stands_on_record(registry: Registry, judge: Judged):
    """Promoted in spite of the gate, the history says why and what the gate said; it can be gone back from."""
    judge(verdict=FAILED)
    event = promotion.promote(registry, "wine", 2, "a tree can be drawn", force=True)
    assert event.reason == "a tree can be drawn (by force; the gate: failed: accuracy 0.9 against 1.0)"
    assert registry.champion("wine") == 2
    assert promotion.rollback(registry, "wine").version == 1


def test_force_where_none_is_needed_changes_nothing(registry: Registry):
    """A version that the gate lets pass is promoted as ever."""
    assert promotion.promote(registry, "wine", 2, force=True).reason == "promoted by hand"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"verdict": Verdict(True, [])}, "it has no verdict"),
        ({"rows": 0}, "its verdict rests on 0 rows and no accuracy"),
        ({"held_out": {}}, r"its verdict rests on \d+ rows and no accuracy"),
        ({"held_out": {"accuracy": Metric(None)}}, r"its verdict rests on \d+ rows and no accuracy"),
        ({"verdict": Verdict(False, ["passed: all of it"])}, "passed: all of it"),
    ],
)
def test_a_verdict_that_says_nothing_lets_nothing_pass(
    registry: Registry, judge: Judged, changes: dict[str, Any], told: str
):
    """A verdict without reasons, on no rows, or on a figure that is none is a refusal."""
    assert held_back(registry, "wine", 2) == ""
    judge(**changes)
    with pytest.raises(PromotionError, match=rf"held wine version 2 back \({told}\)"):
        promotion.promote(registry, "wine", 2)


def test_a_missing_verdict_is_damage(registry: Registry):
    """Metrics without a verdict are not understood, so nothing can be promoted by them, by force neither."""
    path = registry.place("wine", 2) / bundle.METRICS
    document = msgspec.json.decode(path.read_bytes())
    del document["verdict"]
    path.write_bytes(msgspec.json.encode(document))
    changed(path.parent)
    with pytest.raises(PromotionError, match=r"wine version 2 cannot be promoted: .*metrics.json is not understood"):
        promotion.promote(registry, "wine", 2, "now", force=True)


def test_a_damaged_version_is_refused(registry: Registry):
    """A version whose bytes are not those that were published never becomes champion."""
    (registry.place("wine", 2) / bundle.MODEL).write_bytes(b"x")
    with pytest.raises(PromotionError, match=r"wine version 2 cannot be promoted: .*model.onnx is damaged"):
        promotion.promote(registry, "wine", 2, "now", force=True)
    assert registry.champion("wine") == 1


@pytest.mark.parametrize(
    ("model", "told"),
    [("beer", "the models are wine"), ("wien", "did you mean 'wine'"), ("../wine", "did you mean 'wine'")],
)
def test_a_model_that_is_not_there(registry: Registry, model: str, told: str):
    """A name that no model has, or can have, is refused by both, with the nearest or with those that there are."""
    for call in (lambda: promotion.promote(registry, model, 1), lambda: promotion.rollback(registry, model)):
        with pytest.raises(NotFoundError, match=f"no model is called '{model}'; {told}"):
            call()


def test_the_champion_is_not_promoted_again(registry: Registry, judge: Judged):
    """Who promotes what is champion already changes nothing, by force neither, and gets no event."""
    assert promotion.promote(registry, "wine", 1, "a whim", force=True) is None
    judge(verdict=FAILED)
    promotion.promote(registry, "wine", 2, "a whim", force=True)
    assert promotion.promote(registry, "wine", 2) is None
    assert [event.version for event in registry.history("wine")] == [1, 2]


def test_a_champion_that_the_history_does_not_know_is_put_on_record(registry: Registry):
    """What `inv verify` advises where the history was lost is done."""
    (registry.home("wine") / "history.jsonl").write_text("")
    (registry.home("wine") / "champion").write_text("1\n")
    event = promotion.promote(registry, "wine", 1)
    assert event and (event.version, event.previous) == (1, 1) and registry.history("wine") == [event]


def test_who_asked_stands_on_record(registry: Registry):
    """An event says by whom: who was named, or else who runs this process."""
    assert promotion.promote(registry, "wine", 2, by="http from 10.0.0.7").by == "http from 10.0.0.7"
    assert promotion.rollback(registry, "wine", by="http from ::1").by == "http from ::1"
    assert promotion.promote(registry, "wine", 3).by == getpass.getuser()


def test_the_verdict_in_few_words():
    """What passed is told so, and of what was held back what spoke against it."""
    assert promotion.verdict("") == "passed"
    told = "failed: r2 0.2 against 0.4 (a difference of -0.2), on 23 held-out rows; failed: slower"
    assert promotion.verdict(told) == "held back: r2 0.2 against 0.4; slower"


@pytest.mark.parametrize("version", [0, 4, -1])
def test_a_version_that_is_not_there(registry: Registry, version: int):
    """It is told with those that are."""
    with pytest.raises(PromotionError, match=r"no published version -?\d \(published: 1, 2, 3\)"):
        promotion.promote(registry, "wine", version, "now", force=True)


def test_the_objection_is_what_failed():
    """What passed does not speak against a version; if nothing failed, all that was said does."""
    assert FAILED.objection == "failed: accuracy 0.9 against 1.0"
    assert Verdict(False, ["only 3 rows", "passed: b"]).objection == "only 3 rows"
    assert Verdict(True, ["passed: a", "passed: b"]).objection == "passed: a; passed: b"


def test_of_two_at_once_one_promotes(registry: Registry, monkeypatch: pytest.MonkeyPatch):
    """Who promotes while another does so is told, be it by hand or over HTTP."""
    held_back = promotion.held_back

    def late(*given: Any) -> str:
        registry.promote("wine", 2, "faster")
        return held_back(*given)

    monkeypatch.setattr(promotion, "held_back", late)
    with pytest.raises(PromotionError, match="another champion by now, version 2"):
        promotion.promote(registry, "wine", 3)
    assert registry.champion("wine") == 2


def test_a_rollback_passes_damaged_versions(registry: Registry):
    """What cannot be read is passed over, on record; where nothing sound is left, that is said."""
    for version in (2, 3):
        registry.promote("wine", version, "next")
    (registry.place("wine", 2) / bundle.MODEL).write_bytes(b"x")
    event = promotion.rollback(registry, "wine", "it was worse")
    assert (event.action, event.version, event.previous) == ("rollback", 1, 3)
    assert event.reason == "it was worse (past version 2, damaged)"
    registry.promote("wine", 3, "again")
    for version in (1, 2):
        (registry.place("wine", version) / bundle.MODEL).write_bytes(b"x")
    with pytest.raises(PromotionError, match=r"no earlier champion that is sound \(damaged: "):
        promotion.rollback(registry, "wine")
