"""What a fit needs to see of a run table, and the refusals that come before any time is spent."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from simlib.errors import InputError
from simlib.laws.form import Form
from simlib.laws.law import Array, Bools, Indices
from simlib.laws.precision import FULL
from simlib.runs.cells import Columns

DIGITS = 4  # of a loss that two seeds may share by chance


class Observations(Protocol):
    """Anything with these four columns of shape (runs,); `simlib.runs.table.RunTable` is one."""

    @property
    def sparsity(self) -> Array: ...
    @property
    def nonzero_params(self) -> Array: ...
    @property
    def data_seen(self) -> Array: ...
    @property
    def loss(self) -> Array: ...


def columns(runs: Observations, form: Form) -> Columns:
    """The four columns of a run table, checked for what would make a fit of `form` meaningless.

    Raises InputError for missing or impossible values, repeated rows, too few runs, and too few
    different values of S, N or D to tell the coefficients apart.
    """
    S, N, D, L = (
        np.asarray(v, dtype=float)
        for v in (runs.sparsity, runs.nonzero_params, runs.data_seen, runs.loss)
    )
    if not S.shape == N.shape == D.shape == L.shape or L.ndim != 1:
        shapes = (S.shape, N.shape, D.shape, L.shape)
        raise InputError(
            f"sparsity, size, data and loss must be equally long columns, got {shapes}"
        )
    _refuse("sparsity", S, (S >= 0) & (S < 1), "must lie in [0, 1)")
    _refuse("nonzero_params", N, N > 0, "must be positive")
    _refuse("data_seen", D, D > 0, "must be positive")
    _refuse("loss", L, L > 0, "must be positive; leave out runs that diverged")
    found = Columns(S, N, D, L)
    _refuse_repeats(found, _told_apart(runs))
    _refuse_too_few(found, form)
    return found


def bits(runs: Observations) -> Array:
    """Bits of a weight in each run, (runs,): 16 where a table says nothing of them."""
    records = getattr(runs, "records", ())
    own = [getattr(record, "weight_bits", None) or FULL for record in records]
    found = getattr(runs, "weight_bits", own or np.full(len(runs.loss), FULL))
    return np.asarray(found, dtype=float)


def _refuse(name: str, values: Array, good: Bools, why: str) -> None:
    good = good & np.isfinite(values)
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(f"run {row + 1}: {name} is {values[row]}; it {why}")


def _told_apart(runs: Observations) -> Array:
    """A number for each seed that a table names, (runs,); 0 where it says nothing."""
    seeds = [getattr(record, "seed", None) for record in getattr(runs, "records", ())]
    known = {seed: float(number) for number, seed in enumerate(dict.fromkeys(seeds))}
    return np.array([known[s] for s in seeds]) if seeds else np.zeros(len(runs.loss))


def _refuse_repeats(runs: Columns, seed: Array) -> None:
    """Raise InputError for one run that stands twice.

    Seeds tell runs apart. Where a table names none, losses of few digits may be equal by chance,
    but not those of all runs.
    """
    columns = np.stack([seed, runs.L, runs.D, runs.N, runs.S])
    order = np.lexsort(columns)  # equal rows side by side, in the order of the table
    same = (np.diff(columns[:, order], axis=1) == 0).all(axis=0)
    if same.any() and not _by_chance(runs.L, order, same):
        row = int(order[np.argmax(same)])
        times = int((columns == columns[:, row : row + 1]).all(axis=0).sum())
        raise InputError(
            f"run {row + 1} stands {times} times in the table with one and the same loss; "
            "repeated rows would narrow every interval: remove the copies"
        )


def _by_chance(loss: Array, order: Indices, same: Bools) -> bool:
    """Whether equal rows, side by side in `order`, may be several runs with rounded losses."""
    alone = ~(np.append(same, False) | np.append(False, same))
    repeated = loss[order][~alone]
    rounded = np.array([float(f"{value:.{DIGITS}g}") for value in repeated])
    return bool(alone.any() and (rounded == repeated).all())


def _refuse_too_few(runs: Columns, form: Form) -> None:
    k = len(form.names)
    if len(runs) <= k:
        raise InputError(
            f"{len(runs)} runs cannot fix the {k} coefficients of the {form.name} law: "
            f"at least {k + 1} are needed"
        )
    named = (("sparsity", runs.S), ("nonzero_params", runs.N), ("data_seen", runs.D))
    for (name, values), least in zip(named, form.distinct, strict=True):
        have = 1 + int((np.diff(np.sort(values)) > 0).sum())
        if have < least:
            dense = form.name == "joint" and not runs.S.any()
            remedy = ": add sparse runs, or fit the form dense" * dense
            raise InputError(
                f"the runs have {have} different value{'s' * (have != 1)} of {name}, and the "
                f"{form.name} law needs at least {least} to tell its coefficients apart{remedy}"
            )
    if form.name == "dense" and (runs.S > 0).any():
        raise InputError("the dense law fits dense runs only: keep the runs with sparsity 0")
