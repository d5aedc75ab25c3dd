from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICE = sorted((ROOT / "service").rglob("*.py"))

LAYERS = [
    {"errors", "files", "rows.dates"},
    {"contents", "config", "shapes"},
    {"bundle", "rows.values", "calibration"},
    {"onnx_file", "runtime", "registry", "publication"},
    {"rows.inputs", "promotion"},
    {"rows.json_rows"},
    {"model"},
    {"trial", "explanation", "openapi.schemas"},
    {"loading"},
    {"live"},
    {"calls"},
    {"include", "web.lane", "web.current", "web.figures", "web.replies", "web.tokens"},
    {"web.exposition"},
    {"web.metrics"},
    {"tables"},
    {"openapi.operations"},
    {"openapi.descriptions", "openapi.tables"},
    {"openapi.control", "openapi.protocols"},
    {"openapi.document"},
    {"dialects", "web.catalogue", "web.control", "web.documentation"},
    {"web.edge"},
    {"app"},
    {"server.stream", "server.pace", "server.crowd", "server.listening"},
    {"server.exchange"},
    {"server.incoming", "server.outgoing", "server.crew"},
    {"server.connection"},
    {"server.worker", "server.arbiter"},
    {"__main__"},
]
"""Each module of the service imports only from layers above it in this list, never from its own."""

WHOLE = {"dialects", "tables"}
"""Folders that stand in one layer with all that is in them."""

ROOMS = ["service", "notebooks/modeling", "workshop", "bench", "chaos", "tests"]
"""Each imports only from those before it."""

FOREIGN = {"sklearn", "pandas", "matplotlib", "papermill", "nbconvert", "onnx", "skl2onnx", "modeling", "workshop"}


def imports(path: Path) -> set[str]:
    """Return the full names of all that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by dots"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(module: str) -> int:
    """Return which layer a module of the service is in."""
    (found,) = [at for at, names in enumerate(LAYERS) if module in names]
    return found


def named(parts: list[str]) -> str:
    """Return what the layers call a module, from the parts of its name below `service`."""
    return parts[0] if parts[0] in WHOLE or not (ROOT / "service" / parts[0]).is_dir() else ".".join(parts[:2])


def own(path: Path) -> str:
    """Return what the layers call a file of the service."""
    return named(list(path.relative_to(ROOT / "service").with_suffix("").parts))


@pytest.mark.parametrize("path", SERVICE, ids=lambda path: str(path.relative_to(ROOT)))
def test_service_imports_nothing_of_the_workshop(path: Path):
    """No file of the service imports what only training needs."""
    assert not {name.split(".")[0] for name in imports(path)} & FOREIGN


@pytest.mark.parametrize("path", SERVICE, ids=lambda path: str(path.relative_to(ROOT)))
def test_service_imports_point_one_way(path: Path):
    """errors < contents < bundle < registry, inputs < model < live < dialects, catalogue < app: nobody looks upward."""
    if path.name == "__init__.py":
        assert imports(path) == set()
        return
    below = {named(name.split(".")[1:]) for name in imports(path) if name.split(".")[0] == "service"} - {own(path)}
    upward = {name for name in below if layer(name) >= layer(own(path))}
    assert not upward, f"{own(path)} imports {upward}"


@pytest.mark.parametrize("path", [path for path in SERVICE if path.parent.name == "server"], ids=lambda path: path.name)
def test_the_server_stands_apart(path: Path):
    """It would serve any application of this kind: it knows how a request is told, and its errors, and no more."""
    assert {named(name.split(".")[1:]) for name in imports(path) if name.startswith("service.")} <= {
        "calls",
        "errors",
        *(f"server.{each.stem}" for each in path.parent.glob("*.py")),
    }


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_entered_one_way(room: str):
    """What serves knows nothing of what trains, that nothing of the commands, and these nothing of what tests them."""
    beyond = {each.rpartition("/")[2] for each in ROOMS[ROOMS.index(room) + 1 :]}
    for path in (ROOT / room).rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & beyond, path


def test_every_module_has_its_layer():
    """A new file of the service is put into a layer, and no layer names a file that is gone."""
    assert {own(path) for path in SERVICE if path.name != "__init__.py"} == set.union(*LAYERS)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks" / "modeling").rglob("*.py")), ids=lambda path: path.name)
def test_modeling_knows_only_the_contract(path: Path):
    """What the notebooks share imports the bundle, its errors and how rows are read, nothing of the web or workshop."""
    names = {name.split(".")[0] for name in imports(path)}
    assert not names & {"flask", "workshop", "papermill", "gunicorn"}
    below = {named(name.split(".")[1:]) for name in imports(path) if name.split(".")[0] == "service"}
    rows = {"rows.dates", "rows.inputs", "rows.values"}
    assert below <= {"contents", "bundle", "calibration", "errors", "config", "files", "runtime", *rows}


def test_serving_loads_nothing_of_the_workshop():
    """A fresh interpreter that imports the application, and the server, has loaded none of the training packages."""
    program = "import sys, service.app, service.__main__; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"flask", "onnxruntime", "service"} <= loaded
    assert not loaded & FOREIGN


def test_serving_loads_nothing_that_writes_bundles():
    """What only a notebook does is not loaded where models are served."""
    program = "import sys, service.app, service.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"service.bundle", "service.contents"} <= set(done.stdout.split())
    assert "service.publication" not in done.stdout.split()
