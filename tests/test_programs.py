from __future__ import annotations

import subprocess
import sys

import pytest

from service.config import ROOT
from service.errors import DataError
from workshop import programs


def test_a_program_that_went_well_lets_others_follow():
    """One that ends well returns; of one that does not, the exit code is ours."""
    programs.run("this")
    with pytest.raises(SystemExit) as caught:
        programs.run("platform_that_is_not_there")
    assert caught.value.code == 1


def test_to_become_a_program_hands_it_the_words(tmp_path):
    """It runs in place of this one, at the root of the house, with the words split as a shell does."""
    program = "from workshop import programs; programs.become('timeit', '-n1 -r1 \"import os; print(os.getcwd())\"')"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == str(ROOT)


def test_a_measurement_is_a_file_or_a_folder_of_bench():
    """Both are found by name; another name is told with the nearest, or with all of them."""
    assert [programs.measurement(name) for name in ("explain", "serve")] == ["bench.explain", "bench.serve"]
    with pytest.raises(DataError, match=r"nothing measures 'explian'; did you mean 'explain'\?"):
        programs.measurement("explian")
    with pytest.raises(DataError, match="nothing measures 'zzz'; bench/ has coverage, explain"):
        programs.measurement("zzz")
