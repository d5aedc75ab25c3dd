"""The model card (Mitchell et al. 2019): what was measured is filled in, what nobody stated is visibly blank."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pandas as pd

from modeling.tables.dataset import Card
from service.contents import Feature, Manifest, Metrics
from service.rows.values import limit

BLANK = "— not stated —"
NAMED = {
    "number": ("number", "numbers"),
    "boolean": ("truth value", "truth values"),
    "date": ("date", "dates"),
    "category": ("category", "categories"),
}
"""Each kind of feature as one and as many."""


def write(manifest: Manifest, version: int, card: Card, metrics: Metrics, facts: dict[str, str]) -> pd.DataFrame:
    """Return the card as a table of part and statement; `facts` are statements that only the notebook knows."""
    data, target = manifest.data, manifest.target
    classes = f", one of {len(target.classes)} classes" if target.classes else ""
    parts = {
        "Question": card.question,
        "Intended use": card.intended_use,
        "Limits that people know of": card.limits,
        "Whom to ask": card.contact,
        "Model": f"{manifest.model} version {version}, {manifest.estimator.replace('_', ' ')}, {manifest.created}",
        "Made by": f"commit {manifest.git_commit[:12]}" if manifest.git_commit else "",
        "Predicts": f"{target.name}{_of_unit(target.unit)}{classes}{_meant(target.meaning)}",
        "Reads": _features(manifest.features),
        "Data": f"{data.file}: {data.rows} rows, {data.training} learned from, {metrics.rows} held out",
        "Source": card.source,
        "Licence": card.licence,
        "Measured": _measured(metrics),
        **facts,
        "The gate": "; ".join(metrics.verdict.reasons),
    }
    rows = [(part, statement or BLANK) for part, statement in parts.items()]
    return pd.DataFrame([told for _, told in rows], [part for part, _ in rows], ["statement"])


def warned(X: pd.DataFrame, features: list[Feature]) -> str:
    """Return how many rows of `X` the service would answer with a warning, in a sentence."""
    count = int(outside(X, features).sum())
    seen = "outside what training saw, in a number's range or a category"
    return f"{count} of {len(X)} held-out rows lie {seen}; the service warns of such rows"


def outside(X: pd.DataFrame, features: list[Feature]) -> npt.NDArray[np.bool_]:
    """Return True for each row `[n]` that the service would warn of: out of a range, or a category never seen."""
    found = np.zeros(len(X), dtype=bool)
    for feature in features:
        values = X[feature.name]
        if feature.kind == "category":
            found |= ~values.isin([*feature.categories, ""]).to_numpy()
        else:
            # In 32 bits, as the service compares.
            low, high = np.float32(limit(feature.min, -np.inf)), np.float32(limit(feature.max, np.inf))
            numbers = values.to_numpy(dtype=np.float32)
            found |= (numbers < low) | (numbers > high)
    return found


def _measured(metrics: Metrics) -> str:
    found, chance = metrics.held_out[metrics.headline], metrics.baseline[metrics.headline]
    told = f"{metrics.headline} {found.value:.3f} (95 % interval {found.low:.3f} to {found.high:.3f})"
    return f"{told} on {metrics.rows} rows; the baseline {chance:.3f}"


def _features(features: list[Feature]) -> str:
    kinds = Counter(feature.kind for feature in features)
    nullable = sum(feature.nullable for feature in features)
    missing = f"; {nullable} of them may be missing" if nullable else "; none may be missing"
    return ", ".join(f"{count} {NAMED[kind][count > 1]}" for kind, count in kinds.items()) + missing


def _of_unit(unit: str) -> str:
    return f" ({unit})" if unit not in ("", "1", "code", "not stated") else ""


def _meant(meaning: str) -> str:
    return f": {meaning}" if meaning else ""
