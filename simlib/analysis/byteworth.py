"""What a byte is worth, by the bits of a weight and the zeros that share its place.

A non-zero weight of P bits in a model of sparsity S stands for `eff(P) m(S)` whole ones of a dense
model and takes `bytes(S, P)` with its share of the mask. Worths are relative to a byte of the dense
model in full precision, which is worth 1: at 2.5 so many bytes do what 2.5 times as many do there.
The worth of bits and that of zeros may come from two laws, of two sets of runs; that the two
multiply is then an assumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import LEVEL, quantile_ends, quantile_interval
from simlib.laws.law import Array, JointLaw
from simlib.laws.precision import FULL
from simlib.simulate.footprint import Storage
from simlib.simulate.split import kept_at

STEPS = 400  # sparsities that are tried, evenly spaced in ln(1 - S)
SEED = 0


@dataclass(frozen=True)
class ByteWorth:
    """The worth of a byte at sparsities (points,), with an interval over refits."""

    bits: int
    sparsity: Array
    value: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class BestSplit:
    """The bits and sparsity at which a byte is worth most, and how sure that is.

    `shares` says by bits in how many refits these are the best; `sparsity_interval` is over the
    refits in which the best bits are `bits`, `worth_interval` that of the best worth of each refit.
    """

    bits: int
    sparsity: float
    worth: float
    sparsity_interval: tuple[float, float]
    worth_interval: tuple[float, float]
    shares: dict[int, float]


def byte_worth(
    bits_law: FittedLaw,
    zeros_law: FittedLaw | None,
    S: ArrayLike,
    bits: int,
    kept: Storage,
    level: float = LEVEL,
) -> ByteWorth:
    """The worth of a byte at so many bits, where zeros are worth what `zeros_law` says, or nothing.

    Raises InputError for a law of bits of another form, for one without an ensemble, and for bits
    that it does not know.
    """
    S = np.atleast_1d(np.asarray(S, dtype=float))
    value, members = _worths(bits_law, zeros_law, S, bits, kept)
    low, high = quantile_interval(members, level)
    return ByteWorth(bits, S, value, low, high)


def best_split(
    bits_law: FittedLaw,
    zeros_law: FittedLaw | None,
    most_sparse: float,
    kept: Storage,
    level: float = LEVEL,
    among: Sequence[int] = (),
) -> BestSplit:
    """Where a byte is worth most: sparsities up to a most, bits `among` these or all known.

    Raises InputError as `byte_worth` does.
    """
    S = 0.0 - np.expm1(np.linspace(0.0, np.log1p(-most_sparse), STEPS))
    known = tuple(among) or (FULL, *bits_law.by_bits[0].bits)
    found = [_worths(bits_law, zeros_law, S, bits, kept) for bits in known]
    values = np.stack([value for value, _ in found])
    members = np.stack([member for _, member in found], axis=1)  # (members, bits, sparsities)
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    each = members.reshape(len(members), -1).argmax(axis=1)
    rows, columns = np.divmod(each, len(S))
    own = columns[rows == row] if (rows == row).any() else np.array([column])
    return BestSplit(
        known[row],
        float(S[column]),
        float(values[row, column]),
        quantile_ends(S[own], level),
        quantile_ends(members.reshape(len(members), -1).max(axis=1), level),
        {bits: float((rows == place).mean()) for place, bits in enumerate(known)},
    )


def _worths(
    bits_law: FittedLaw, zeros_law: FittedLaw | None, S: Array, bits: int, kept: Storage
) -> tuple[Array, Array]:
    """The worth of a byte, (points,), and that of every member, (members, points).

    Members of two laws are paired at random, for they were fitted to different runs.
    """
    law, ensemble = bits_law.by_bits
    full = kept_at(kept, FULL).bytes_per_nonzero(0.0)
    share = full / kept_at(kept, bits).bytes_per_nonzero(S)
    eff, members = law.worth(bits), np.asarray(ensemble.expand(1).worth(bits))
    if zeros_law is None:
        return eff * share, members * share
    if zeros_law is bits_law and isinstance(law.law, JointLaw):
        zeros, drawn = law.law.multiplier(S), ensemble.expand(1).law.multiplier(S)  # type: ignore[union-attr]
    else:
        pick = np.random.default_rng(SEED).integers(zeros_law.refits, size=bits_law.refits)
        zeros, drawn = zeros_law.joint.multiplier(S), zeros_law.members(1).multiplier(S)[pick]
    return eff * zeros * share, members * drawn * share
