"""Features computed from others by expressions such as `rooms / households`, in scikit-learn and in ONNX alike."""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from service.errors import DataError, meant

LONGEST, DEEPEST = 300, 50
"""Limits of an expression: its characters, and how far its operations nest."""

OPERATORS: dict[type, np.ufunc] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.Pow: np.power,
    ast.USub: np.negative,
}

FUNCTIONS: dict[str, np.ufunc] = {
    "log": np.log,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.absolute,
    "min": np.minimum,
    "max": np.maximum,
}


class Apply(NamedTuple):
    """An operation on terms: a number stands for itself, a text for the column of that name."""

    function: np.ufunc
    terms: tuple[Term, ...]


Term = Apply | float | str


class Derived(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Columns computed from columns, rounded to 32 bits.

    `names` are those of the columns `[n, k]` that it gets, `expressions` the features `[n, d]` that it gives. A result
    is missing (NaN) where a value that it needs is missing, or where some operation in it has no finite result, as a
    division by zero. `fit` raises DataError for an expression that cannot be used.
    """

    def __init__(self, expressions: Sequence[str], names: Sequence[str]) -> None:
        self.expressions = expressions
        self.names = names

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the expressions, and that each has a result in some row of `X`."""
        columns = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan")
        self.terms_ = [parse(text, self.names) for text in self.expressions]
        for text, values in zip(self.expressions, self._compute(columns).T, strict=True):
            if np.isnan(values).all():
                raise DataError(f"{_where(text)} has no finite result in any row: correct it or leave it out")
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """Return the derived features `[n, d]` of the rows `X`."""
        check_is_fitted(self)
        return self._compute(validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the expressions as they were written."""
        return np.array(self.expressions, dtype=object)

    def _compute(self, columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        with np.errstate(all="ignore"):
            results = [evaluate(term, columns, self.names) for term in self.terms_]
        return np.column_stack(results).astype(np.float64)


def check_expressions(expressions: Sequence[str], names: Sequence[str], others: Sequence[str]) -> None:
    """Raise DataError unless every expression can be computed from the columns `names`, the features that are numbers.

    `others` are the rest of the table's columns.
    """
    for at, text in enumerate(expressions):
        if text in expressions[:at]:
            raise DataError(f"{_where(text)} is given twice: leave one out")
        parse(text, names, others)


def parse(text: str, names: Sequence[str], others: Sequence[str] = ()) -> Term:
    """Return an expression as a term over the columns `names`; `others` are the table's other columns.

    Raise DataError, which names the expression, the place and the cure, for anything but numbers, columns, the
    operators + - * / and ** with a constant exponent, and the functions log, exp, sqrt, abs, min and max. A name that
    is no plain word stands between backticks.
    """
    return _Parser(text, names, others).parse()


def evaluate(term: Term, columns: Any, names: Sequence[str]) -> Any:
    """Return a term's value, `[n]` in 32 bits, for columns `[n, k]`: of numpy, or of a graph that is being built."""
    return _finite(_value(term, columns, names).astype(np.float32))


def _value(term: Term, columns: Any, names: Sequence[str]) -> Any:
    if isinstance(term, str):
        return columns[:, list(names).index(term)]
    if isinstance(term, float):
        return np.float64(term)
    return _finite(term.function(*(_value(inner, columns, names) for inner in term.terms)))


def _finite(value: Any) -> Any:
    """Return `value` with NaN for infinite ones, because infinity minus itself is none."""
    return value + (value - value)


class _Parser:
    def __init__(self, text: str, names: Sequence[str], others: Sequence[str]) -> None:
        self.text, self.names, self.others = text, names, others
        self.quoted: dict[int, str] = {}

    def parse(self) -> Term:
        if not isinstance(self.text, str) or not self.text.strip():
            raise DataError(f"{_where(self.text)} is no expression: write one such as 'rooms / households'")
        if len(self.text) > LONGEST:
            raise self._refused(f"is longer than {LONGEST} characters: make two of it")
        term = self._term(self._tree(), 1)
        if not _columns(term):
            raise self._refused("names no column: write an expression of columns")
        return term

    def _tree(self) -> ast.expr:
        # A name in backticks becomes a word as long as itself, so that places stay.
        plain = re.sub("`([^`]+)`", self._quote, self.text).replace("\n", " ")
        stripped = plain.lstrip()
        self.indent = len(plain) - len(stripped)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(stripped, mode="eval").body
        except SyntaxError as error:
            place = (error.offset or 1) + self.indent
            raise self._refused(
                f"cannot be read at character {place}: correct it; a name that is no plain word needs `backticks`"
            ) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise self._refused("cannot be read: write a simpler one") from error
        self.line = stripped.encode()
        return tree

    def _quote(self, found: re.Match[str]) -> str:
        self.quoted[found.start()] = found[1]
        return "_" * len(found[0])

    def _term(self, node: ast.AST, depth: int) -> Term:
        if depth > DEEPEST:
            raise self._refused(f"nests deeper than {DEEPEST} operations: make two of it")
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
                return self._number(node)
            case ast.Name():
                return self._column(node)
            case ast.UnaryOp(op=ast.USub()):
                return Apply(np.negative, (self._term(node.operand, depth + 1),))
            case ast.BinOp() if type(node.op) in OPERATORS:
                terms = (self._term(node.left, depth + 1), self._term(node.right, depth + 1))
                if isinstance(node.op, ast.Pow):
                    self._check_exponent(node.right, terms[1])
                return Apply(OPERATORS[type(node.op)], terms)
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
                return self._call(node, FUNCTIONS[name], depth)
        raise self._refused(
            f"has {self._shown(node)}, which cannot be computed: "
            f"use columns, numbers, + - * / **, {', '.join(FUNCTIONS)}"
        )

    def _number(self, node: ast.Constant) -> float:
        try:
            number = float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            raise self._refused(f"has {self._shown(node)}, a number too large: write a smaller one")
        return number

    def _column(self, node: ast.Name) -> str:
        start, end = self._span(node)
        name = self.quoted.get(start, self.text[start:end])
        if name in self.names:
            return name
        where = f"names {name[:80]!r} at character {start + 1}"
        if name in self.others:
            raise self._refused(f"{where}, which is no feature of numbers: use another, or name it in `features`")
        near = meant(name, self.names, f"the columns of numbers are {', '.join(self.names[:20])}")
        raise self._refused(f"{where}, which is no column to compute with; {near}")

    def _call(self, node: ast.Call, function: np.ufunc, depth: int) -> Apply:
        if len(node.args) != function.nin:
            count = f"{function.nin} value{'s' if function.nin > 1 else ''}"
            raise self._refused(f"has {self._shown(node)}, which takes {count}: correct it")
        return Apply(function, tuple(self._term(argument, depth + 1) for argument in node.args))

    def _check_exponent(self, node: ast.expr, exponent: Term) -> None:
        if isinstance(exponent, Apply) and exponent.function is np.negative:
            exponent = exponent.terms[0]
        if not isinstance(exponent, float) or exponent == 0:
            raise self._refused(f"has the exponent {self._shown(node)}: write a number other than 0")

    def _span(self, node: Any) -> tuple[int, int]:
        """Return where a node begins and ends in the text; `ast` counts bytes."""
        start, end = (len(self.line[:at].decode()) + self.indent for at in (node.col_offset, node.end_col_offset))
        return start, end

    def _shown(self, node: Any) -> str:
        start, end = self._span(node)
        return f"{self.text[start:end][:80]!r} at character {start + 1}"

    def _refused(self, why: str) -> DataError:
        return DataError(f"{_where(self.text)} {why}")


def _columns(term: Term) -> bool:
    """Whether a term depends on any column."""
    return isinstance(term, str) or (isinstance(term, Apply) and any(map(_columns, term.terms)))


def _where(text: object) -> str:
    return f"the parameter `derived`: {str(text)[:100]!r}"
