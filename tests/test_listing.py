from __future__ import annotations

import re
import shutil

from conftest import changed

from service import bundle
from service.registry import Registry
from workshop import listing


def test_every_version_is_a_line(houses_artifacts):
    """Model, version, estimator, metric, time and the reason of the promotion stand in columns."""
    header, *rows = listing.table(Registry(houses_artifacts)).splitlines()
    assert header.split()[:5] == ["model", "version", "estimator", "metric", "trained"]
    assert [row.split()[:3] for row in rows] == [
        ["houses", "1", "logistic_regression"],
        ["prices", "1", "linear_regression"],
    ]
    assert re.search(r"accuracy \d\.\d{3} .*, made for the tests$", rows[0])
    assert {row.index("1") for row in rows} == {header.index("version")}


def test_only_the_champion_has_a_reason(artifacts):
    """Newest first; a version that is not champion has nothing in the last column."""
    shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / "2")
    _, second, first = listing.table(Registry(artifacts)).splitlines()
    assert second.split()[1] == "2" and "made for the tests" not in second
    assert first.split()[1] == "1" and "made for the tests" in first


def test_what_the_gate_said_stands_beside_a_version(artifacts):
    """Of a version that is not champion the last column has the verdict: passed, or held back and why."""
    for number in ("2", "3"):
        shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / number)
    reasons = ["failed: worse", "passed: small", "failed: " + "slow " * 40]
    changed(artifacts / "wine" / "2", metrics={"verdict": {"promote": False, "reasons": reasons}})
    _, third, second, first = listing.table(Registry(artifacts)).splitlines()
    assert third.endswith("  passed")
    assert "  held back: worse; slow slow" in second and second.endswith("slow")
    assert "passed" not in first


def test_commands_are_told_as_they_are_typed(artifacts, monkeypatch):
    """Who runs tasks.py by Python is told commands so."""
    (artifacts / "wine" / "1" / bundle.MANIFEST).write_text("{}")
    monkeypatch.setattr("sys.argv", ["tasks.py", "models"])
    assert "damaged: python3 tasks.py verify" in listing.table(Registry(artifacts))


def test_an_empty_house_says_what_to_do(tmp_path):
    """Without a published version the cure is told."""
    assert listing.table(Registry(tmp_path / "no")) == "Nothing is published yet: inv pipeline publishes."


def test_a_long_reason_is_cut_to_the_terminal(artifacts):
    """A line of the list stays a line: a reason has nothing that would move the cursor, and a terminal its width."""
    reason = "two\nlines \x1b[2J and " + "much more " * 40
    Registry(artifacts).promote("wine", 1, reason)
    _, line = listing.table(Registry(artifacts)).splitlines()
    assert "two lines  [2J and much more" in line and line.endswith("much more")
    _, cut = listing.table(Registry(artifacts), 100).splitlines()
    assert len(cut) == 100 and cut == f"{line[:99]}…"


def test_damage_is_listed(artifacts):
    """A version that cannot be read is still a line, with the command that tells more."""
    (artifacts / "wine" / "1" / bundle.MANIFEST).write_text("{}")
    assert "damaged: inv verify" in listing.table(Registry(artifacts))


def test_a_model_that_is_no_folder_is_listed(artifacts):
    """A file in a model's place, and one whose history is a folder, are lines that say so, beside the others."""
    (artifacts / "odd").write_text("")
    (artifacts / "wild" / "1").mkdir(parents=True)
    (artifacts / "wild" / "history.jsonl").mkdir()
    _, odd, wild, wine = listing.table(Registry(artifacts)).splitlines()
    assert odd.split(maxsplit=1) == ["odd", "odd cannot be read (Not a directory): mend that and try again"]
    assert wild.split(maxsplit=1)[1].startswith("wild/history.jsonl cannot be read (Is a directory)")
    assert wine.endswith("made for the tests")


def test_a_metric_without_a_value_is_unknown(artifacts, reseal):
    """A metric that could not be computed does not stop the list."""
    path = artifacts / "wine" / "1" / bundle.METRICS
    path.write_text(re.sub(r'("accuracy": \{\s*"value": )[\d.]+', r"\1null", path.read_text()))
    reseal(path.parent)
    assert "accuracy unknown" in listing.table(Registry(artifacts))


def test_what_became_of_a_version_is_told(artifacts):
    """Champion, held back and candidate are told apart, with metric and reasons."""
    registry = Registry(artifacts)
    assert re.fullmatch(r"wine version 1 is the champion: accuracy \d\.\d{3}", listing.verdict(registry, "wine", 1))
    (artifacts / "wine" / "champion").unlink()
    told = listing.verdict(registry, "wine", 1)
    assert re.match(r"wine version 1 is published and not the champion: accuracy \d\.\d{3} \(\w+: accuracy", told)
    sums = artifacts / "wine" / "1" / bundle.SUMS
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if bundle.METRICS not in line))
    assert listing.verdict(registry, "wine", 1) == "wine version 1 is a candidate: evaluate it next"
    assert listing.verdict(registry, "wine", 0) == "wine was explored"
