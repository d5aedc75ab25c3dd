from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from service.app import create_app
from service.config import Config
from workshop import parameters

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def page(name: str) -> str:
    """Return the text of one page of the documentation."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_command_is_documented():
    """Each command of the menu stands in docs/commands.md, and nothing there is not a command."""
    listing = subprocess.run(
        [sys.executable, "-m", "invoke", "--list"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    commands = re.findall(r"^  (\w+)  ", listing.stdout, re.M)
    assert len(commands) > 10
    assert set(re.findall(r"`inv ([a-z]+)", page("docs/commands.md"))) == set(commands)


def test_every_setting_is_documented():
    """Each field of the service's settings stands in docs/commands.md with its default."""
    text = page("docs/commands.md")
    for field in msgspec.structs.fields(Config):
        default = field.default if not isinstance(field.default, Path) else f"{field.default.name}/"
        assert re.search(rf"\| `CELLAR_{field.name.upper()}` \|.*\| `?{re.escape(str(default))}`? \|", text), field.name


def test_every_variable_of_the_code_is_documented():
    """No CELLAR_ variable is read anywhere that docs/commands.md does not name."""
    sources = [*ROOT.glob("*/*.py"), *ROOT.glob("service/*/*.py"), ROOT / "tasks.py"]
    read = {name for path in sources for name in re.findall(r"CELLAR_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8"))}
    assert read <= set(re.findall(r"CELLAR_[A-Z_]+[A-Z]", page("docs/commands.md")))


def test_every_route_is_documented(tmp_path: Path):
    """Each address that the service answers stands in docs/api.md with its method."""
    app = create_app({"artifacts": tmp_path, "reports": tmp_path})
    text = page("docs/api.md")
    for rule in app.url_map.iter_rules():
        if rule.endpoint != "static":
            (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            assert f"`{method} {rule.rule.replace('<int:', '<')}`" in text, rule.rule


@pytest.mark.parametrize("notebook", ["01_explore", "02_train", "03_evaluate", "reproduce"])
def test_every_parameter_is_documented(notebook: str):
    """Each parameter of each notebook stands in docs/notebooks.md."""
    for name in parameters.read(ROOT / "notebooks" / f"{notebook}.ipynb"):
        assert f"`{name}`" in page("docs/notebooks.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path):
    """A relative link in the documentation names a file that is there."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target
