"""Print the largest difference between ONNX and scikit-learn of every estimator, edge rows included."""

from __future__ import annotations

import warnings

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from modeling.exporting import export, parity
from modeling.learning import estimators
from modeling.tables import columns, dataset
from service.config import ROOT
from service.errors import DataError


def measure(table: str) -> None:
    """Print a line for each estimator of a table's task: difference, rows compared, size of the file."""
    data = dataset.load(ROOT / "data" / f"{table}.csv")
    X = columns.as_model_input(data.table, columns.choose_features(data, []))
    classify = data.task == "classification"
    y = data.table[data.target]
    y = columns.as_labels(y, columns.has_whole_labels(y)) if classify else y.to_numpy(dtype=float)
    features = columns.describe_features(data, X, [])
    for name in estimators.names(data.task):
        family = estimators.find(name, data.task)
        scale = StandardScaler() if family.scaled else "passthrough"
        prepare = ColumnTransformer([("numbers", scale, list(range(X.shape[1])))])
        pipeline = Pipeline([("prepare", prepare), ("estimator", family.estimator(0))]).fit(X, y)
        rows = parity.parity_rows(pipeline, X, features)
        model = export.to_onnx(pipeline, X)
        try:
            difference = f"{parity.check_parity(model, pipeline, rows, 1.0 if classify else float(y.std())):.1e}"
        except DataError as error:
            difference = f"refused: {error}"
        print(f"{table:10}{name:24}{len(rows):>7}{len(model) / 1024:>10.1f}  {difference}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"{'table':10}{'estimator':24}{'rows':>7}{'KiB':>10}  difference")
    for table in ("wine", "diabetes"):
        measure(table)
