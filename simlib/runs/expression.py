"""Arithmetic over the columns of a table, walked step by step: never evaluated by Python."""

from __future__ import annotations

import ast
import keyword
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simlib.errors import InputError

Values = NDArray[Any]  # (rows,): float, bool, or object where they are texts
LONGEST = 1000  # characters of an expression
CONSTANTS = {"ln2": float(np.log(2))}
FUNCTIONS: dict[str, Callable[[Values], Values]] = {
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "exp": np.exp,
    "sqrt": np.sqrt,
}
ARITHMETIC: dict[type[ast.operator], Callable[[Values, Values], Values]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Values, Values], Values]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
GRAMMAR = (
    "an expression holds columns, numbers, 'texts', + - * / **, comparisons, and, or, not, in, and "
    f"{', '.join(FUNCTIONS)}"
)


@dataclass(frozen=True)
class Expression:
    """An expression over columns, such as `1-dense/total` or `router=='S-Base' and step>0`.

    A column whose name is no Python name, such as `val-loss`, is taken whole wherever that name
    stands: it is not `val` minus `loss`.
    """

    text: str

    def columns(self, header: Sequence[str]) -> set[str]:
        """The columns that it reads. Raises InputError for what is no expression."""
        tree, names = self._parsed(header)
        called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
        used = (n for n in ast.walk(tree) if isinstance(n, ast.Name) and n not in called)
        return {names.get(n.id, n.id) for n in used} - (set(CONSTANTS) - set(header))

    def is_column(self, header: Sequence[str]) -> bool:
        """Whether it is a column as it stands, whose texts may be kept."""
        return self.text.strip() in header

    def values(self, columns: Mapping[str, Sequence[str]], rows: int) -> Values:
        """Its value in each row, (rows,): floats, truths or texts; NaN where a cell is no number.

        Raises InputError for what is no expression and for a column that there is not.
        """
        tree, names = self._parsed(list(columns))
        walk = _TreeWalk(self.text, columns, names, rows)
        try:
            with np.errstate(all="ignore"):
                return walk.value(tree)
        except RecursionError:
            raise walk.refusal() from None

    def _parsed(self, header: Sequence[str]) -> tuple[ast.expr, dict[str, str]]:
        """The tree, and the columns behind the names in it that stand for odd ones."""
        text = self.text.strip()
        if len(text) > LONGEST:
            raise InputError(
                f"{text[:40]!r}... is longer than {LONGEST} characters: write it short"
            )
        if text in header:
            return ast.Name("column_0_"), {"column_0_": text}
        odd = sorted({name for name in header if _is_odd(name)}, key=len, reverse=True)
        stand_in = {name: f"column_{number}_" for number, name in enumerate(odd)}
        if odd:
            either = "|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in odd)
            text = re.sub(rf"'[^']*'|\"[^\"]*\"|{either}", lambda m: stand_in.get(m[0], m[0]), text)
        try:
            tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise InputError(f"{self.text!r:.80} cannot be read: {GRAMMAR}") from error
        return tree, {place: name for name, place in stand_in.items()}


def _is_odd(name: str) -> bool:
    """Whether a column's name is none that an expression can hold as it stands."""
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    return not plain and any(c.isalpha() for c in name) and name not in ("and", "or", "not", "in")


@dataclass(frozen=True)
class _TreeWalk:
    """One walk over an expression's tree."""

    text: str
    columns: Mapping[str, Sequence[str]]
    names: Mapping[str, str]
    rows: int

    def value(self, node: ast.expr) -> Values:
        match node:
            case ast.Constant(value=bool() | bytes() | complex() | None):
                pass
            case ast.Constant(value=str() as text):
                return np.full(self.rows, text, dtype=object)
            case ast.Constant(value=int() | float() as number):
                return np.full(self.rows, float(str(number)))  # beyond any float is infinite
            case ast.Name(id=name):
                return self.column(self.names.get(name, name))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=inner):
                found = self.number(inner)
                return -found if isinstance(sign, ast.USub) else found
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                return ~self.truth(inner)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
                return ARITHMETIC[type(op)](self.number(left), self.number(right))
            case ast.BoolOp(op=op, values=parts):
                both = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return np.asarray(both.reduce([self.truth(part) for part in parts]))
            case ast.Compare(left=left, ops=ops, comparators=others):
                pairs = zip(ops, [left, *others], others, strict=False)
                return np.asarray(np.logical_and.reduce([self.compared(*pair) for pair in pairs]))
            case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if name in FUNCTIONS:
                return np.asarray(FUNCTIONS[name](self.number(inner)))
        raise self.refusal()

    def refusal(self) -> InputError:
        return InputError(f"{self.text!r:.80} cannot be computed: {GRAMMAR}")

    def column(self, name: str) -> Values:
        if name in self.columns:
            return np.array(self.columns[name], dtype=object)
        if name in CONSTANTS:
            return np.full(self.rows, CONSTANTS[name])
        raise InputError(
            f"there is no column {name!r} for {self.text!r:.80}; there are "
            f"{', '.join(self.columns)}"
        )

    def number(self, node: ast.expr) -> Values:
        found = self.value(node)
        if found.dtype == bool or (isinstance(node, ast.Constant) and found.dtype == object):
            raise self.refusal()
        return numbers(found)

    def truth(self, node: ast.expr) -> Values:
        found = self.value(node)
        if found.dtype != bool:
            raise self.refusal()
        return found

    def compared(self, op: ast.cmpop, one: ast.expr, other: ast.expr) -> Values:
        if isinstance(op, ast.In | ast.NotIn) and isinstance(other, ast.Tuple | ast.List):
            equal = [self.compared(ast.Eq(), one, each) for each in other.elts]
            found = np.asarray(np.logical_or.reduce(equal)) if equal else np.zeros(self.rows, bool)
            return found if isinstance(op, ast.In) else ~found
        if type(op) not in COMPARISONS:
            raise self.refusal()
        sides = (self.value(one), self.value(other))
        if not any(
            isinstance(side, ast.Constant) and isinstance(side.value, str) for side in (one, other)
        ):
            sides = (self.number(one), self.number(other))
        elif not isinstance(op, ast.Eq | ast.NotEq) or any(v.dtype != object for v in sides):
            raise self.refusal()
        return np.asarray(COMPARISONS[type(op)](*sides)).astype(bool)


def numbers(values: Values) -> Values:
    """Cells as floats, NaN where a cell is no number."""
    return np.array([_number(v) for v in values]) if values.dtype == object else values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
