from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.utils.validation import check_is_fitted

from modeling.exporting import export
from modeling.grading.served import as_estimator, first_sound
from modeling.tables import columns
from service.errors import InputError
from service.model import load


def served(trained):
    """Return a served model as an estimator, and its held-out rows as it reads them."""
    model = load(trained.folder)
    return as_estimator(model), columns.as_model_input(trained.held_out, model.schema.names)


@pytest.mark.parametrize("name", ["trained_wine", "trained_houses", "trained_prices"])
def test_it_answers_as_the_service_does(name, request):
    """Labels, numbers and probabilities are those of the model on the same rows, read as requests are."""
    estimator, X = served(request.getfixturevalue(name))
    model = estimator.model
    answer = model.predict(export.as_inputs(X, model.manifest.features))
    assert estimator.predict(X).tolist() == answer.values.tolist()
    if model.classes:
        assert estimator.predict_proba(X).tolist() == answer.probabilities.tolist()
        assert estimator.classes_.tolist() == model.classes
        assert (estimator.classes_[answer.probabilities.argmax(axis=1)] == answer.values).all()
    else:
        assert estimator.predict(X).dtype == np.float64


@pytest.mark.parametrize(("name", "classify"), [("trained_houses", True), ("trained_prices", False)])
def test_scikit_learn_takes_it_for_a_fitted_estimator(name, classify, request):
    """It is of its kind, needs no fitting, and fitting it changes nothing."""
    estimator, X = served(request.getfixturevalue(name))
    check_is_fitted(estimator)
    assert (is_classifier(estimator), is_regressor(estimator)) == (classify, not classify)
    before = estimator.predict(X).tolist()
    assert estimator.fit(X).predict(X).tolist() == before


def test_scikit_learn_looks_at_what_is_served(trained_prices):
    """Permutation importance and partial dependence run on it, for numbers with gaps and for categories."""
    estimator, X = served(trained_prices)
    y = trained_prices.held_out["price"].to_numpy()
    found = permutation_importance(estimator, X, y, n_repeats=3, random_state=0)
    assert X.columns[found.importances_mean.argmax()] == "living area (m²)"
    side = "<script>alert(1)</script>"
    kinds = {side: np.array(["Süd", "北"], dtype=object)}
    south, north = partial_dependence(estimator, X, [side], custom_values=kinds)["average"][0]
    assert south > north
    curve = partial_dependence(estimator, X, ["living area (m²)"], grid_resolution=5)["average"][0]
    assert (np.diff(curve) > 0).all()


def test_a_row_that_no_request_may_hold_is_refused(trained_wine):
    """A missing value where training saw none is refused in the service's own words."""
    estimator, X = served(trained_wine)
    with pytest.raises(InputError, match="'alcohol' must not be missing"):
        estimator.predict(X.assign(alcohol=np.nan))


def test_the_first_sound_version_is_found(artifacts):
    """Damaged versions are passed over, and what is wrong with each is told."""
    place = artifacts / "wine" / "1"
    assert first_sound(load, [place])[0].version == 1
    found, damaged = first_sound(load, [artifacts / "wine" / "9", place])
    assert found.version == 1 and [str(error)[:16] for error in damaged] == ["wine/9/SHA256SUM"]
    assert first_sound(load, []) == (None, [])
