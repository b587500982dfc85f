"""Numbers that follow from a law, and the scale on which each one's profile is walked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from simlib.errors import InputError
from simlib.fit.problem import Hold
from simlib.laws.form import Constraint, Exponent, Form, Free, Units
from simlib.laws.law import Array, Indices

Scale: TypeAlias = Literal["linear", "log", "logit"]
EXPONENT_RANGE = (2e-3, 5.9)  # just inside the solver's bounds: beyond them a side counts as open
DENSITY_EXPONENT_RANGE = (-11.9, 11.9)
FAR = 12.0  # nats that a logarithm may move
STEP = 1e-4  # of theta, for derivatives by differences
STRAIGHT = 1e-5  # second derivative, of the first, below which a quantity is linear in theta
ROOT_STEPS = 20  # of the search for the coordinate at which a quantity has its value
NEAR = 1e-9  # of that value, on its scale


@dataclass(frozen=True)
class Quantity:
    """A number of a law; `of` takes an ensemble, coefficients (members,), and gives (members,).

    `scale` says where it is nearly linear: "log" for positive numbers, "logit" for shares of 1.
    """

    of: Callable[[Any], Array]
    scale: Scale = "linear"


QUANTITIES = {"c_S/(a_S+c_S)": Quantity(lambda law: law.c_S / (law.a_S + law.c_S), "logit")}


@dataclass(frozen=True)
class Axis:
    """A quantity on its scale; `hold(u)` holds it at the values u (members,)."""

    name: str
    start: float
    limits: tuple[float, float]
    to_value: Callable[[float], float]
    hold: Callable[[Array], Hold | Curve]


@dataclass(frozen=True)
class Curve:
    """Members whose `u(theta)` (members,) is held at `value` by moving one coordinate of each.

    `at` (members,) is that coordinate, as if solved for: `rows` and `bend` are what this makes of
    derivatives by the others.
    """

    u: Callable[[Array], Array]
    value: Array
    at: Indices

    def members(self, keep: Indices) -> Curve:
        """The same for some members."""
        return replace(self, value=self.value[keep], at=self.at[keep])

    def place(self, theta: Array) -> None:
        """Move the coordinates in theta (members, k) to where the quantity has its value.

        Where it has it nowhere the coordinate is no number, and so is the objective.
        """
        rows = np.arange(len(theta))
        for _ in range(ROOT_STEPS):
            gap = self.value - self.u(theta)
            if not (np.abs(gap) > 1e-12).any():
                break
            with np.errstate(all="ignore"):
                theta[rows, self.at] += gap / slopes(self.u, theta)[rows, self.at]
        lost = ~(np.abs(self.value - self.u(theta)) < NEAR)
        theta[rows[lost], self.at[lost]] = np.nan

    def rows(self, theta: Array) -> Array:
        """Derivatives (members, k) of the coordinate by the others."""
        members, slope = np.arange(len(theta)), slopes(self.u, theta)
        with np.errstate(all="ignore"):
            row = -slope / slope[members, self.at, None]
        row[members, self.at] = 0.0
        return row

    def bend(self, theta: Array, gradient: Array) -> Array:
        """What the Hessian of an objective with this gradient gains, (members, k, k)."""
        members = np.arange(len(theta))
        with np.errstate(all="ignore"):
            pull = gradient[members, self.at] / slopes(self.u, theta)[members, self.at]
        return -pull[:, None, None] * curvature(self.u, theta)


def slopes(u: Callable[[Array], Array], theta: Array) -> Array:
    """First derivatives of u at theta (members, k), by central differences."""
    members, k = theta.shape
    shift = STEP * np.concatenate([np.eye(k), -np.eye(k)])
    around = u((theta[:, None, :] + shift).reshape(-1, k)).reshape(members, 2, k)
    with np.errstate(invalid="ignore"):  # an infinite quantity has no slope
        return np.asarray((around[:, 0] - around[:, 1]) / (2 * STEP))


def curvature(u: Callable[[Array], Array], theta: Array) -> Array:
    """Second derivatives of u at theta, (members, k, k), by differences of the first."""
    members, k = theta.shape
    shift = STEP * np.concatenate([np.eye(k), -np.eye(k)])
    around = slopes(u, (theta[:, None, :] + shift).reshape(-1, k)).reshape(members, 2, k, k)
    second = (around[:, 0] - around[:, 1]) / (2 * STEP)
    return np.asarray((second + second.transpose(0, 2, 1)) / 2)


def coefficient_axis(name: str, form: Form, units: Units, theta: Array, grip: Array) -> Axis | None:
    """Of a raw coefficient: logarithmic for those that are positive, linear for the others.

    None where the fit leaves it beyond any float, so that there is nothing to walk from. `grip` is
    that of `quantity_axis`, which serves coefficients that no linear constraint holds.
    """
    entry, place = form.entries[name], form.names.index(name)
    estimate = float(form.to_law(theta, units).vector()[place])
    if not np.isfinite(estimate) or (entry.positive and estimate <= 0):
        return None
    if form.hold(name, estimate, units) is None:
        own = Quantity(lambda law: law.vector()[..., place], "log" if entry.positive else "linear")
        return quantity_axis(name, own, form, units, theta, grip)
    start = float(np.log(estimate)) if entry.positive else estimate
    to_value: Callable[[float], float] = _exp if entry.positive else float
    limits = (start - FAR, start + FAR)
    if isinstance(entry, Free):
        limits = DENSITY_EXPONENT_RANGE
    elif isinstance(entry, Exponent):
        limits = (float(np.log(EXPONENT_RANGE[0])), float(np.log(EXPONENT_RANGE[1])))

    def hold(u: Array) -> Hold:
        values = u.tolist()
        found = {x: cast(Constraint, form.hold(name, to_value(x), units)) for x in set(values)}
        return Hold.of([found[x] for x in values])

    return Axis(name, start, limits, to_value, hold)


def quantity_axis(
    name: str, quantity: Quantity, form: Form, units: Units, theta: Array, grip: Array
) -> Axis:
    """Of any number that follows from a law. Raises InputError where it is at its scale's end.

    `grip` (k,) says how far the runs resist a move of each coordinate: it is held by moving the one
    that they resist least.
    """

    def u(theta: Array) -> Array:
        with np.errstate(all="ignore"):  # far from the fit it may be no number
            law = form.to_law(theta, units)
            return np.asarray(_SCALES[quantity.scale](np.asarray(quantity.of(law), dtype=float)))

    start, slope = float(u(theta[None])[0]), slopes(u, theta[None])[0]
    if not (np.isfinite(start) and np.isfinite(slope).all() and slope.any()):
        raise InputError(f"{name} lies at the end of its scale, so it has no profile")
    at = int(np.argmax(np.abs(slope) / np.maximum(grip, 1e-300)))
    bent = curvature(u, theta + np.outer([-0.1, 0.0, 0.1], np.ones(len(theta))))
    straight = bool(np.abs(bent).max() <= STRAIGHT * np.abs(slope).max())

    def hold(values: Array) -> Hold | Curve:
        index = np.full(len(values), at)
        if not straight:
            return Curve(u, values, index)
        row = -slope / slope[at]
        row[at] = -1.0
        constant = (values - start) / slope[at] - row @ theta
        row[at] = 0.0
        return Hold(index, np.tile(row, (len(values), 1)), constant)

    middle = 0.0 if quantity.scale == "logit" else start
    limits = (min(start, middle - FAR), max(start, middle + FAR))
    return Axis(name, start, limits, _VALUES[quantity.scale], hold)


def _exp(u: float) -> float:
    return float(np.exp(u))


def _logit(value: Array) -> Array:
    return np.asarray(np.log(value) - np.log1p(-value))


_SCALES: dict[Scale, Callable[[Array], Array]] = {
    "linear": np.asarray,
    "log": np.log,
    "logit": _logit,
}
_VALUES: dict[Scale, Callable[[float], float]] = {
    "linear": float,
    "log": _exp,
    "logit": lambda u: float(1 / (1 + np.exp(-u))),
}
