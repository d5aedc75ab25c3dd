from __future__ import annotations

import importlib.util
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import changed

from service.registry import Registry
from workshop.server import free_port

ROOT = Path(__file__).parents[1]
MENU = (
    "setup doctor data lab explore train evaluate pipeline serve predict models promote rollback verify prune "
    "reproduce test bench lint format lock clean"
).split()

PREDICT_WIEN = ("predict", "-i", "data/wine.csv", "-o", "/nowhere/out.csv", "-m", "wien")


@pytest.fixture(scope="module")
def menu():
    """The commands by name, as invoke reads them."""
    from invoke.collection import Collection

    spec = importlib.util.spec_from_file_location("tasks_of_the_house", ROOT / "tasks.py")
    tasks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tasks)
    return Collection.from_module(tasks).tasks


def fails(done: subprocess.CompletedProcess[str], told: str, code: int = 1) -> None:
    """Check that a command ended in one sentence on stderr, an exit code and nothing else."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(told + r"[^\n]*\n", done.stderr), done.stderr


def test_the_menu_stands_in_the_order_of_work(inv):
    """`inv --list` begins with setup, the steps of the pipeline follow one another, and each line fits 80 columns."""
    lines = [line for line in inv("--list").stdout.splitlines() if line.startswith("  ")]
    names = [line.split()[0] for line in lines]
    assert [name for name in names if name in MENU] == MENU
    assert all(len(line) <= 80 for line in lines)
    assert all(re.fullmatch(r"  \w+ +\S.*[.?]", line) for line in lines), lines


def test_the_menu_appears_at_once(inv):
    """Nothing heavy is imported to show the menu."""
    words = [sys.executable, "-X", "importtime", "-m", "invoke", "--list"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "invoke" in loaded
    assert not loaded & {"numpy", "pandas", "sklearn", "papermill", "flask", "onnxruntime", "msgspec"}


@pytest.mark.parametrize("name", MENU)
def test_every_option_is_explained(menu, name):
    """The help of a command has a sentence for it and words for each option."""
    assert re.fullmatch(r"\w[^\n]*[.?]", menu[name].__doc__)
    assert not [argument.name for argument in menu[name].get_arguments() if not argument.help]


def test_python_without_the_environment_finds_it(tmp_path):
    """`python3 tasks.py`, from any folder, shows the same menu."""
    words = [sys.executable, str(ROOT / "tasks.py"), "--list"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [name for name in names if name in MENU] == MENU


def test_predict_without_its_file(inv, tmp_path):
    """A file of rows that is not there is told."""
    fails(inv("predict", "-i", "no.csv", "-o", str(tmp_path / "out.csv")), r"no\.csv cannot be read \(No such file")


def test_predict_with_an_unknown_model(inv, tmp_path):
    """A model that is not there is told with those that are."""
    done = inv("predict", "-i", "data/wine.csv", "-o", str(tmp_path / "out.csv"), "-m", "beer")
    fails(done, r"no model is called 'beer'; the models are wine")


def test_predict_writes_one_line_for_each_row(inv, tmp_path):
    """The command says how many predictions it wrote, and where."""
    out = tmp_path / "out.csv"
    done = inv("predict", "-i", "data/wine.csv", "-o", str(out))
    assert done.returncode == 0 and done.stdout == f"178 predictions of wine version 1 written to {out}\n"
    assert len(out.read_text().splitlines()) == 179


def test_promote_of_a_missing_version(inv):
    """A version that is not published is told with those that are."""
    fails(inv("promote", "wine", "9", "--reason", "x"), r"wine has no published version 9 \(published: 1\)")


def test_promote_keeps_a_reason(inv, artifacts):
    """Without `--reason` the history says that somebody promoted by hand."""
    shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / "2")
    assert inv("promote", "wine", "2", artifacts=artifacts).returncode == 0
    assert inv("promote", "wine", "1", "--reason", "a whim", artifacts=artifacts).returncode == 0
    history = Registry(artifacts).history("wine")
    assert [event.reason for event in history[-2:]] == ["promoted by hand", "a whim"]


def test_promote_of_the_champion(inv, artifacts):
    """To promote what is champion already is told so, and adds nothing to the history."""
    done = inv("promote", "wine", "1", "--reason", "a whim", artifacts=artifacts)
    assert (done.returncode, done.stdout) == (0, "wine version 1 is the champion already: nothing is changed\n")
    assert len(Registry(artifacts).history("wine")) == 1


@pytest.mark.parametrize("words", [("promote", "wien", "1"), ("rollback", "wien"), PREDICT_WIEN])
def test_a_misspelt_model_is_told_the_nearest(inv, words):
    """A name that is nearly a model's is answered with that one."""
    fails(inv(*words), r"no model is called 'wien'; did you mean 'wine'\?")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("promote",), r"promote lacks its model and version: write inv promote MODEL VERSION"),
        (("promote", "wine"), r"promote lacks its version: write inv promote MODEL VERSION"),
        (("frobnicate",), r"there is no command 'frobnicate'; inv --list shows all there are"),
        (("promot", "wine", "3"), r"there is no command 'promot'; did you mean 'promote'\?"),
        (("--help", "frobnicate"), r"there is no command 'frobnicate'; inv --list shows all there are"),
        (("serve", "--prot", "5"), r"serve has no option '--prot'; did you mean '--port'\?"),
        (("lint", "--frob"), r"lint has no option '--frob'; inv --help lint shows all there are"),
        (
            ("models", "zzz"),
            r"models takes no further word, and there is no command 'zzz'; inv --help models",
        ),
        (("predict", "--input"), r"the option --input of predict lacks its value; inv --help predict shows all"),
    ],
)
def test_a_command_line_that_cannot_be_understood(inv, words, told):
    """It is told in one sentence with the cure, as the person called the program, and ends with exit code 2."""
    fails(inv(*words), told, 2)
    words = [sys.executable, "tasks.py", *words]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    fails(done, told.replace("inv ", r"python3 tasks\.py "), 2)


def test_promote_and_rollback_go_forth_and_back(inv, artifacts):
    """What the gate held back needs --force and a reason; the way back is one command."""
    shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / "2")
    changed(artifacts / "wine" / "2", metrics={"verdict": {"promote": False, "reasons": ["failed: worse"]}})
    told = r"the gate held wine version 2 back \(failed: worse\): to promote it .*, give both --force and --reason"
    for words in ((), ("--force",), ("--reason", "I want it")):
        fails(inv("promote", "wine", "2", *words, artifacts=artifacts), told)
    done = inv("promote", "wine", "2", "--force", "--reason", "I want it", artifacts=artifacts)
    assert done.returncode == 0 and done.stdout.startswith("wine version 2 is champion now")
    done = inv("rollback", "wine", "--reason", "oh", artifacts=artifacts)
    assert done.stdout.startswith("wine version 1 is champion again")
    reasons = [event.reason for event in Registry(artifacts).history("wine")[1:]]
    assert reasons == ["I want it (by force; the gate: failed: worse)", "oh"]


def test_prune_says_what_it_removed(inv, artifacts, tmp_path):
    """Versions beyond those to keep go, each in a line, and the list of reports is written anew; then nothing does."""
    for version in (2, 3):
        shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / str(version))
    assert inv("prune", artifacts=artifacts).stdout == "There is nothing to remove.\n"
    done = inv("prune", "--keep", "1", artifacts=artifacts)
    index = tmp_path / "reports" / "index.html"
    assert done.stdout == f"removed wine version 2\nAll versions: {index}\n"
    assert Registry(artifacts).versions("wine") == [1, 3] and index.is_file()
    assert inv("verify", artifacts=artifacts).returncode == 0


@pytest.mark.parametrize("words", [("promote", "wine", "1"), ("rollback", "wine"), ("prune",)])
def test_what_the_disk_refuses_is_told(inv, artifacts, words):
    """A file that cannot be read or written ends a command in its name and the reason."""
    (artifacts / "wine" / "history.jsonl").unlink()
    (artifacts / "wine" / "history.jsonl").mkdir()
    fails(inv(*words, artifacts=artifacts), r"wine/history\.jsonl cannot be read \(Is a directory\)")


@pytest.fixture
def read_only(artifacts):
    """The folder of `wine` in which nothing may be written, and the words that make root obey that."""
    for version in (2, 3):
        shutil.copytree(artifacts / "wine" / "1", artifacts / "wine" / str(version))
    (artifacts / "wine").chmod(0o555)
    yield artifacts / "wine", ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    (artifacts / "wine").chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write anywhere")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("promote", "wine", "2"), r"wine cannot be written \(Permission denied\): mend that"),
        (("prune", "--keep", "1"), r"{}: Permission denied: let this user read and write there"),
    ],
)
def test_a_folder_that_may_not_be_written_is_named(inv, read_only, words, told):
    """Not the file of a passing name that was to be written there; and with the cure."""
    folder, before = read_only
    fails(inv(*words, before=before, artifacts=folder.parent), told.format(folder))


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root may write anywhere")
def test_doctor_says_what_cannot_be_written(inv, read_only):
    """The line says what is so, not what should be."""
    folder, before = read_only
    told = inv("doctor", before=before, artifacts=folder).stdout
    assert f"BAD  {folder} cannot be written: let this user read and write there" in told


def test_models_is_cut_only_for_a_terminal(inv, artifacts):
    """Into a file or a pipe every reason goes whole; a terminal gets lines of its width."""
    Registry(artifacts).promote("wine", 1, "long " * 60)
    assert inv("models", artifacts=artifacts).stdout.rstrip().endswith("long " * 59 + "long")
    terminal, its_end = pty.openpty()
    environ = {**os.environ, "CELLAR_ARTIFACTS": str(artifacts), "COLUMNS": "80"}
    subprocess.run([sys.executable, "-m", "invoke", "models"], cwd=ROOT, env=environ, stdout=its_end, check=True)
    _, line = os.read(terminal, 100_000).decode().splitlines()
    assert len(line) == 80 and line.endswith("…")
    for end in (terminal, its_end):
        os.close(end)


@pytest.mark.parametrize("keep", ["0", "-1", "many"])
def test_prune_keeps_one_at_least(inv, keep):
    """To keep none, or no number, is refused."""
    fails(inv("prune", f"--keep={keep}"), rf"--keep must be a whole number between 1 and 1000000, got '{keep}'")


def test_rollback_without_an_earlier_champion(inv):
    """Where there is nothing to go back to, that is told."""
    fails(inv("rollback", "wine"), r"wine has no earlier champion to go back to")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--parameter", "tset_size=0.3"), r"no notebook has a parameter 'tset_size'; did you mean 'test_size'"),
        (("--parameter", "nonsense"), r"'nonsense' is not a parameter: write name=value, such as test_size=0\.3"),
        (("--parameter", "folds=many"), r"the parameter `folds` .* must be of type int, got 'many'"),
        (("--parameter", "missing=keep"), r"the parameter `missing` must be one of impute, drop, got 'keep'"),
        (("--parameter", "promote=yes"), r"the parameter `promote` must be one of if_better, never, always, got"),
        (("--data", "wien"), r"there is no table 'wien': did you mean 'wine'"),
        (("--data", "nothing"), r"there is no table 'nothing': name a file in .* or give a path"),
        (("--model", "a/b", "--data", "wine"), r"the parameter `model`: 'a/b' cannot name a model"),
        (("--model", "mine"), r"2 tables would become one model, 'mine': name one of the tables"),
    ],
)
def test_a_mistake_in_a_command_starts_nothing(inv, tmp_path, words, told):
    """What cannot be right is told before a notebook runs."""
    fails(inv("pipeline", *words), told)
    assert not (tmp_path / "reports").exists()


def test_an_unknown_measurement(inv):
    """A name that nothing measures is told with those that there are."""
    fails(inv("bench", "nothing"), r"nothing measures 'nothing'; bench/ has .*pipeline.*serve")
    fails(inv("bench", "serv"), r"nothing measures 'serv'; did you mean 'serve'")


def test_words_for_a_measurement(inv):
    """What stands after -- reaches the measurement, which judges it."""
    fails(inv("bench", "serve", "--", "--peers", "nobody"), r"no peer is called 'nobody'")


@pytest.mark.parametrize("step", ["train", "pipeline"])
def test_an_unknown_estimator(inv, tmp_path, step):
    """An estimator that is none of ours is told before a notebook starts, in one sentence, with the list."""
    told = r"wine: the parameter `estimator`: 'magic' is not .* choose among auto, logistic"
    fails(inv(step, "--data", "wine", "--estimator", "magic"), told)
    assert not (tmp_path / "reports").exists()


@pytest.mark.kernel
def test_a_seed_is_a_number(inv, tmp_path):
    """`--seed 5` reaches the notebook."""
    done = inv("train", "--data", "wine", "--seed", "5", artifacts=tmp_path / "artifacts")
    assert done.returncode == 0, done.stderr
    assert '"seed": 5' in (tmp_path / "artifacts" / "wine" / "1" / "manifest.json").read_text()


def test_serve_on_a_taken_port(inv):
    """A port that is in use is told with the cure."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        fails(inv("serve", "--port", str(port)), rf"cannot listen on 127\.0\.0\.1:{port} \(Address already in use\)")


def test_serve_without_tables(inv, tmp_path):
    """Without a model and without tables to make one, the folder is told with the cure."""
    port = str(free_port())
    done = inv("serve", "--port", port, artifacts=tmp_path / "none", data=tmp_path / "no")
    fails(done, r"the folder of tables .*/no is missing: make it, or set CELLAR_DATA")


@pytest.mark.parametrize("name", ["models", "verify", "doctor", "predict"])
def test_a_wrong_setting_is_told(inv, name, tmp_path):
    """A variable that is no number is named."""
    words = ("-i", "data/wine.csv", "-o", str(tmp_path / "o.csv")) if name == "predict" else ()
    done = inv(name, *words, max_rows="many")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr == "CELLAR_MAX_ROWS must be a whole number, got 'many'\n"


def test_models_lists_and_verify_checks(inv):
    """The two looks at what is published, on a sound house."""
    assert re.search(r"^wine +1 +logistic_regression +accuracy \d", inv("models").stdout, re.MULTILINE)
    assert inv("verify").stdout == "ok   wine version 1\n"


def test_verify_fails_for_damage(inv, artifacts):
    """A damaged bundle is named and the command fails."""
    (artifacts / "wine" / "1" / "model.onnx").write_bytes(b"x")
    done = inv("verify", artifacts=artifacts)
    assert done.returncode == 1
    assert done.stdout.startswith("BAD  wine version 1: ") and "is damaged" in done.stdout
    assert done.stderr == "2 of these checks failed; each says what to do\n"


@pytest.mark.parametrize(("words", "told"), [((), "--input is missing"), (("--input", "x.csv"), "--output is missing")])
def test_a_prediction_needs_both_files(inv, words, told):
    """Without a file to read or to write, the command says which is missing."""
    fails(inv("predict", *words), told)


def test_a_prediction_by_a_version_that_is_not_there(inv, tmp_path):
    """A version that is not published is told with those that are, and nothing is written."""
    done = inv("predict", "-i", "data/wine.csv", "-o", str(tmp_path / "out.csv"), "--version", "9")
    fails(done, r"wine has no published version 9 \(published: 1\)")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.slow
def test_ctrl_c_stops_the_service_in_order(tmp_path, wine_artifacts):
    """Pressed in the terminal it ends the command, the server and both workers, soon and without complaint."""
    port = free_port()
    serving = subprocess.Popen(
        [sys.executable, "-m", "invoke", "serve", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "CELLAR_ARTIFACTS": str(wine_artifacts), "CELLAR_REPORTS": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while "Stop with Ctrl-C" not in serving.stdout.readline():
        assert serving.poll() is None
    os.killpg(serving.pid, signal.SIGINT)
    _, told = serving.communicate(timeout=30)
    assert serving.returncode == 0 and "Killing" not in told and "ERROR" not in told
