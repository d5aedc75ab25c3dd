from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from service import config
from service.errors import CellarError


def test_defaults_are_the_house():
    """Without variables and arguments the project's own folders are used and `wine` answers."""
    found = config.read(environ={})
    assert found.artifacts == Path(__file__).parents[1] / "artifacts"
    assert (found.default_model, found.max_rows) == ("wine", 100_000)


def test_variables_override_defaults_and_arguments_override_both(tmp_path: Path):
    """An environment variable comes before the default, and an argument before the variable."""
    environ = {"CELLAR_MAX_ROWS": "5", "CELLAR_MAX_BODY": "7", "CELLAR_ARTIFACTS": str(tmp_path), "OTHER": "x"}
    found = config.read({"max_body": 9}, environ)
    assert (found.max_rows, found.max_body, found.artifacts) == (5, 9, tmp_path)


def test_empty_variable_is_none():
    """A variable that is set to nothing leaves the default."""
    assert config.read(environ={"CELLAR_MAX_ROWS": ""}).max_rows == 100_000


def test_folder_of_a_variable_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A relative folder, or one below ~, is fixed when the settings are read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = config.read(environ={"CELLAR_ARTIFACTS": "here", "CELLAR_REPORTS": "~/there"})
    assert (found.artifacts, found.reports) == (tmp_path / "here", tmp_path / "there")


@pytest.mark.parametrize("given", [{"reports": "here"}, {"reports": Path("here")}])
def test_folder_of_an_argument_is_made_absolute(given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A relative folder given by the caller, as text or path, means the same as in a variable."""
    monkeypatch.chdir(tmp_path)
    assert config.read(given, {}).reports == tmp_path / "here"


@pytest.mark.parametrize("text", ["x", "1.5", "1e3", "-"])
def test_wrong_variable_is_named(text: str):
    """A limit that is no whole number is refused by the variable's name and its value."""
    with pytest.raises(CellarError, match=f"CELLAR_MAX_ROWS must be a whole number, got '{text}'"):
        config.read(environ={"CELLAR_MAX_ROWS": text})


def test_misspelt_setting_is_refused():
    """An argument that is no setting is an error, not silence."""
    with pytest.raises(Exception, match="max_row"):
        config.read({"max_row": 3}, {})


def test_the_version_is_the_projects():
    """What the service tells is the version that pyproject.toml names."""
    assert tomllib.loads((config.ROOT / "pyproject.toml").read_text())["project"]["version"] == config.VERSION


@pytest.mark.parametrize(("name", "text"), [("poll", "0"), ("poll", "nan"), ("poll", "inf"), ("deadline", "inf")])
def test_seconds_without_sense_are_told(name, text):
    """What would spin, or never end, is refused by the name of the variable."""
    with pytest.raises(CellarError, match=f"CELLAR_{name.upper()} must be a "):
        config.read(environ={f"CELLAR_{name.upper()}": text})
