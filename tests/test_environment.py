from __future__ import annotations

import importlib
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from workshop import environment as original

UV_PIN = "uv==9.9.9 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
LOCK = f"thing==1.0 \\\n    --hash=sha256:cc\n{UV_PIN}wcwidth==0.9 \\\n    --hash=sha256:dd\n"
TASKS = """from workshop import environment
if __name__ == "__main__":
    environment.enter()
import os, sys
print(sys.prefix, sys.argv[1:], os.environ.get("VIRTUAL_ENV"), os.environ["PATH"].split(":")[0], sep="|")
import modeling
"""
UV = """#!/bin/sh
[ "$1" = --version ] && { echo "uv 9.9.9 (stand-in)"; exit 0; }
echo "$UV_DEFAULT_INDEX uv $*" >> "$CALLS"
eval "$UV_DOES"
"""
PIP = """import os, pathlib, sys
if "install" in sys.argv:
    open(os.environ["CALLS"], "a").write("pip " + " ".join(sys.argv[1:]) + "\\n")
    if sys.argv[-1].endswith("uv.txt"):
        open(os.environ["CALLS"], "a").write(open(sys.argv[-1]).read())
    exec(os.environ.get("PIP_DOES", ""))
"""
HIDES_PIP = """import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name in ("pip", "ensurepip"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
"""
FAILS = "echo 'error: no route' >&2; echo '  cause: refused' >&2; exit 2"
WAITS = ': > "$CALLS.begun"; exec /bin/sleep 5'


class House:
    """A copy of the project in a temporary folder, with stand-ins for uv and pip."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin = folder / "a house", folder / "bin"
        self.venv, self.calls = self.root / ".venv", folder / "calls"
        self.modules = folder / "modules"
        for made in (self.bin, self.root / "workshop", self.root / "notebooks" / "modeling", self.modules / "pip"):
            made.mkdir(parents=True)
        for name in ("environment", "installers", "pins"):
            shutil.copy(Path(original.__file__).with_name(f"{name}.py"), self.root / "workshop")
        (self.root / "notebooks" / "modeling" / "__init__.py").touch()
        (self.root / "workshop" / "__init__.py").touch()
        (self.root / "tasks.py").write_text(TASKS)
        (self.root / "requirements.lock").write_text(LOCK)
        (self.modules / "pip" / "__init__.py").touch()
        (self.modules / "pip" / "__main__.py").write_text(PIP)
        self.script(self.bin / "uv", UV)
        self.folder = folder

    def script(self, path: Path, text: str) -> None:
        """Write something that can be started."""
        path.write_text(text)
        path.chmod(0o755)

    def environ(self, **settings: object) -> dict[str, str]:
        """Name all environment variables of a command; nothing of this machine's comes through."""
        known = {"PATH": self.bin, "HOME": self.folder, "CALLS": self.calls, "PYTHONPATH": self.modules}
        return {name: str(value) for name, value in {**known, **settings}.items()}

    def start(self, *arguments: str, python: str | Path = sys.executable, **settings: object) -> subprocess.Popen[str]:
        """Start a command, from another folder."""
        return subprocess.Popen(
            [python, self.root / "tasks.py", *arguments],
            env=self.environ(**settings),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **settings: object) -> tuple[int, str, str]:
        """Run a command and return its exit status and what it printed."""
        process = self.start(*arguments, **settings)
        out, err = process.communicate(timeout=30)
        return process.returncode, out.strip(), err.strip()

    def called(self) -> list[str]:
        """Read which installers were called, and how."""
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def outdated(self) -> None:
        """Put an environment there that an older requirements.lock made."""
        self.venv.mkdir()
        (self.venv / "cellar.stamp").write_text("old")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A fresh clone."""
    return House(tmp_path)


@pytest.fixture
def module(house: House):
    """The module as it stands in the house, to call its functions."""
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "workshop"}
    sys.path.insert(0, str(house.root))
    yield importlib.import_module("workshop.environment")
    sys.path.remove(str(house.root))
    for name in [name for name in sys.modules if name.partition(".")[0] == "workshop"]:
        del sys.modules[name]
    sys.modules.update(ours)


def only_sentence(stderr: str) -> str:
    """Return the one line that is left besides the announcement."""
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if not line.startswith("Making .venv")]
    assert len(lines) == 1, stderr
    return lines[0]


def test_first_start_makes_the_environment_and_goes_on(house: House):
    """On a bare machine the command makes .venv, says so, and runs there with its own arguments."""
    code, out, err = house.run("train", "--data", "two words")
    assert (code, out) == (0, f"{house.venv}|['train', '--data', 'two words']|{house.venv}|{house.venv / 'bin'}")
    assert err.startswith("Making .venv") and "... done in" in err
    (call,) = house.called()
    assert call.endswith(f"--require-hashes -r {house.root}/requirements.lock")


def test_second_start_goes_on_at_once(house: House):
    """A stamped environment is entered in silence and nothing is installed again."""
    house.run()
    assert house.run()[2] == ""
    assert house.run(python=house.venv / "bin" / "python")[2] == ""
    assert len(house.called()) == 1


def test_changed_lock_makes_the_environment_again(house: House):
    """Another requirements.lock gives another environment, and the outdated one is gone."""
    house.run()
    (house.root / "requirements.lock").write_text(LOCK + "# changed\n")
    assert house.run(python=house.venv / "bin" / "python")[0] == 0
    assert len(house.called()) == 2
    assert not (house.root / ".venv.old").exists()


def test_unstamped_environment_is_replaced(house: House):
    """A .venv that a killed process left is thrown away."""
    house.venv.mkdir()
    (house.venv / "half").touch()
    assert house.run()[0] == 0
    assert not (house.venv / "half").exists()


def test_stamp_holds_lock_python_and_place(house: House, module, monkeypatch: pytest.MonkeyPatch):
    """An environment is ready for one lock, one Python and one place only."""
    house.run()
    assert module.ready(house.venv)
    configuration = house.venv / "pyvenv.cfg"
    text = configuration.read_text()
    configuration.write_text(text.replace("version = 3.", "version = 4."))
    assert not module.ready(house.venv)
    configuration.write_text(text)
    with monkeypatch.context() as patch:
        patch.setattr(module, "ROOT", Path("/elsewhere"))
        assert not module.ready(house.venv)
    (house.root / "requirements.lock").write_text("")
    assert not module.ready(house.venv)


def test_environment_without_its_python_is_not_ready(house: House, module):
    """A .venv whose Python was uninstalled is made again instead of failing to start."""
    house.run()
    (house.venv / "bin" / "python").unlink()
    assert not module.ready(house.venv)


def test_pip_brings_the_pinned_uv(house: House):
    """Without uv on PATH, pip installs uv's own block of the lock, hashes and all, and uv does the rest."""
    uv = str(house.venv / "bin" / "uv")
    made = f"open({uv!r}, 'w').write({UV!r}); os.chmod({uv!r}, 0o755)"
    (house.bin / "uv").unlink()
    assert house.run(PIP_DOES=made)[0] == 0
    calls = house.called()
    assert "--require-hashes" in calls[0]
    assert "\n".join(calls[1:4]) + "\n" == UV_PIN
    assert "uv pip install" in calls[4]


def test_other_uv_is_not_used(house: House):
    """A uv of another version than the lock pins is left alone."""
    house.script(house.bin / "uv", UV.replace("9.9.9", "8.0.0"))
    assert house.run()[0] == 0
    assert all(call.startswith("pip ") for call in house.called() if "install" in call)


def test_pip_installs_where_uv_cannot(house: House):
    """Where uv fails, pip installs the same lock with the same hashes."""
    assert house.run(UV_DOES=FAILS)[0] == 0
    assert [call.split()[0] for call in house.called()] == ["uv", "pip"]
    assert "--require-hashes" in house.called()[-1]


def test_uv_learns_the_mirror_of_pip(house: House):
    """The index that pip is told by PIP_INDEX_URL reaches uv, unless uv was told its own."""
    house.run(PIP_INDEX_URL="https://mirror.example/simple")
    assert house.called()[0].startswith("https://mirror.example/simple uv")


def test_own_index_of_uv_stays(house: House):
    """An index that uv was told itself goes before the one of pip."""
    house.run(PIP_INDEX_URL="https://mirror.example/simple", UV_DEFAULT_INDEX="https://own.example/simple")
    assert house.called()[0].startswith("https://own.example/simple uv")


def test_failure_says_one_sentence_and_leaves_nothing(house: House):
    """When nothing can install, one sentence names both causes and the cure, and no .venv is left."""
    code, _, err = house.run(UV_DOES=FAILS, PIP_DOES="sys.exit('ERROR: no match\\n[notice] new pip')")
    assert code == 1
    sentence = only_sentence(err)
    assert "uv: refused" in sentence and "pip: no match" in sentence and "check the network" in sentence
    assert not house.venv.exists()


def test_bare_python_without_any_installer_says_what_to_install(house: House):
    """Without uv, pip and ensurepip the sentence names the packages to install."""
    (house.bin / "uv").unlink()
    (house.modules / "sitecustomize.py").write_text(HIDES_PIP)
    code, _, err = house.run()
    assert code == 1 and "python3-venv or python3-pip" in only_sentence(err)
    assert not house.venv.exists()


def test_missing_lock_is_one_sentence(house: House):
    """A clone without requirements.lock learns how to get it back."""
    (house.root / "requirements.lock").unlink()
    code, _, err = house.run()
    assert code == 1 and "git checkout requirements.lock" in only_sentence(err)


def test_old_python_is_one_sentence(module, monkeypatch: pytest.MonkeyPatch):
    """A Python older than 3.11 is refused with the version it has."""
    monkeypatch.setattr(module.sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed, but .* is 3\.9; start it with"):
        module.enter()


def test_unusable_path_is_one_sentence(house: House):
    """What the file system refuses is told with its path."""
    (house.root / ".venv.lock").mkdir()
    code, _, err = house.run()
    assert code == 1 and ".venv.lock" in only_sentence(err)


def test_outdated_environment_comes_back_after_a_failure(house: House):
    """A failed renewal leaves the older environment as it was."""
    house.outdated()
    assert house.run(UV_DOES=FAILS, PIP_DOES="sys.exit('ERROR: no match')")[0] == 1
    assert (house.venv / "cellar.stamp").read_text() == "old"
    assert not (house.root / ".venv.old").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_leaves_what_was(house: House, number: int, code: int):
    """Ctrl-C and a polite kill in the middle stop uv, too, and bring the older environment back."""
    house.outdated()
    process = house.start(UV_DOES=WAITS)
    wait_for(house.folder / "calls.begun")
    process.send_signal(number)
    _, err = process.communicate(timeout=4)
    assert process.returncode == code and "Traceback" not in err
    assert (house.venv / "cellar.stamp").read_text() == "old"


def test_two_at_once_make_it_once(house: House):
    """The second of two processes waits, says so, and finds the environment made."""
    first = house.start(UV_DOES=': > "$CALLS.begun"; /bin/sleep 0.3')
    wait_for(house.folder / "calls.begun")
    code, _, err = house.run()
    assert first.wait(timeout=10) == 0 and code == 0
    first.communicate()
    assert err == "another process is making the environment, waiting"
    assert len(house.called()) == 1


def wait_for(path: Path) -> None:
    """Wait until a stand-in has begun."""
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} never came"
        time.sleep(0.01)


def test_breaking_variables_are_dropped_and_the_others_kept(house: House, module, monkeypatch: pytest.MonkeyPatch):
    """PYTHONHOME would break .venv and goes; everything else stays."""
    seen = {}
    monkeypatch.setattr(module.os, "execve", lambda path, arguments, environ: seen.update(environ))
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    monkeypatch.setenv("KEPT", "yes")
    module.go_on()
    assert "PYTHONHOME" not in seen and seen["KEPT"] == "yes"


@pytest.fixture
def conda(house: House) -> Path:
    """An environment that stands for conda's, with the two pins of the lock but without uv."""
    prefix = house.folder / "conda"
    venv.create(prefix, symlinks=True)
    for name, pin in [("thing", "1.0"), ("wcwidth", "0.9")]:
        install(prefix, name, pin)
    return prefix


def install(prefix: Path, name: str, pin: str) -> None:
    """Pretend that a package is installed."""
    (packages,) = prefix.glob("lib/python*/site-packages")
    (packages / f"{name}-{pin}.dist-info").mkdir()
    (packages / f"{name}-{pin}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {pin}\n")


def test_conda_environment_with_the_pins_is_used(house: House, conda: Path):
    """A conda environment that holds the lock is stamped and used as it is, the first time and after."""
    install(conda, "uv", "9.9.9")
    for _ in range(2):
        code, out, err = house.run(python=conda / "bin" / "python", CONDA_PREFIX=conda, CONDA_DEFAULT_ENV="any")
        assert (code, err) == (0, "") and out.startswith(f"{conda}|")
    assert (conda / "cellar.stamp").exists() and not house.venv.exists()


def test_conda_base_without_the_pins_is_left_alone(house: House, conda: Path):
    """Somebody's base environment is not ours: .venv is made."""
    code, out, _ = house.run(python=conda / "bin" / "python", CONDA_PREFIX=conda, CONDA_DEFAULT_ENV="base")
    assert code == 0 and out.startswith(f"{house.venv}|")
    assert not (conda / "cellar.stamp").exists()


def test_outdated_conda_environment_of_ours_names_the_cure(house: House, conda: Path):
    """The conda environment named cellar that lacks a pin says which, and how to bring it up to date."""
    code, _, err = house.run(python=conda / "bin" / "python", CONDA_PREFIX=conda, CONDA_DEFAULT_ENV="cellar")
    assert code == 1 and not house.venv.exists()
    assert "uv==9.9.9" in only_sentence(err) and "conda env update -f environment.yml" in err


def test_other_active_environment_is_ignored(house: House, conda: Path):
    """A virtual environment that happens to be active gives way to .venv."""
    out = house.run(python=conda / "bin" / "python", VIRTUAL_ENV=conda)[1]
    assert out.startswith(f"{house.venv}|") and f"|{house.venv}|" in out


def test_module_is_light(house: House):
    """The check of every start imports nothing that is slow to import."""
    code = "import sys, workshop.environment; print({'venv', 'logging', 'importlib.metadata'} & set(sys.modules))"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, check=False, cwd=house.root, env=house.environ(), capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
