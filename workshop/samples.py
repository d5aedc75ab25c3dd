"""The two sample data sets, written from scikit-learn's own copies."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sklearn.datasets import load_diabetes, load_wine

from service.files import replace_file


def wine() -> pd.DataFrame:
    """Return the wines with their cultivar as the last column."""
    frame: pd.DataFrame = load_wine(as_frame=True).frame
    return frame.rename(columns={"target": "cultivar"})


def diabetes() -> pd.DataFrame:
    """Return the patients in raw units with the disease's progression as the last column."""
    frame: pd.DataFrame = load_diabetes(scaled=False, as_frame=True).frame
    return frame.rename(columns={"target": "progression"})


SAMPLES = {"wine": wine, "diabetes": diabetes}


def write(folder: Path) -> list[Path]:
    """Write every sample into the folder as CSV and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in SAMPLES.items():
        replace_file(folder / f"{name}.csv", _csv(load()).encode())
    return [folder / f"{name}.csv" for name in SAMPLES]


def _csv(frame: pd.DataFrame) -> str:
    """Return the frame as CSV text with every number in its shortest exact form."""
    rows = frame.astype(float).to_numpy().tolist()
    lines = [",".join(frame.columns), *(",".join(map(_shortest, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def _shortest(number: float) -> str:
    """Return the fewest digits that read back as the same number."""
    return repr(number).removesuffix(".0")
