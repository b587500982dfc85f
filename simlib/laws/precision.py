"""Few bits: what a weight of P bits is worth, in any law of sparsity, size and data.

Symbols and units are those of `simlib.laws.law`; P is the number of bits of a weight, `FULL` where
it is trained in full precision. A coefficient is a float or an array, as in an ensemble.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.laws.base import Array, Coefficient, Indices, Terms, positive
from simlib.laws.form import ByBits, Form, Multiplier, Row
from simlib.laws.law import DENSE, JOINT, DenseLaw, JointLaw

FULL = 16  # bits that a weight trained in full precision counts as


@dataclass(frozen=True)
class WithBits:
    """`L(S, N, D, P) = law(S, N eff(P), D)`, with one free number eff for each P in `bits`.

    Panferov et al. 2025 (arXiv 2502.05003) state it for the dense law; around the
    joint law it says that zeros and few bits do not interact: a weight of P bits is worth eff(P) in
    full precision whatever the sparsity, and `eff(S) eff(P)` of a dense one. `eff(16) = 1`.
    """

    law: JointLaw | DenseLaw
    eff: tuple[Coefficient, ...]
    bits: tuple[int, ...]

    def names(self) -> tuple[str, ...]:
        """Coefficient names in their fixed order: those of the law, then `eff(8)` and so on."""
        return (*self.law.names(), *map(_eff, self.bits))

    @classmethod
    def from_coefficients(cls, coefficients: Mapping[str, float]) -> Self:
        """A law from its coefficients by name; the names `eff(4)` tell the bits."""
        eff = {int(n[4:-1]): float(v) for n, v in coefficients.items() if n.startswith("eff(")}
        law = JointLaw if "a_S" in coefficients else DenseLaw
        return cls(law.from_coefficients(coefficients), tuple(eff.values()), tuple(eff))

    def from_vector(self, values: ArrayLike) -> Self:
        """A law of the same bits from coefficients stacked along the last axis, shape (..., k)."""
        values = np.asarray(values, dtype=float)
        k = len(self.law.names())
        eff = tuple(np.moveaxis(values[..., k:], -1, 0))
        return replace(self, law=self.law.from_vector(values[..., :k]), eff=eff)

    def vector(self) -> Array:
        """Coefficients stacked along a new last axis, shape (..., k)."""
        columns = (*np.moveaxis(self.law.vector(), -1, 0), *self.eff)
        return np.stack(np.broadcast_arrays(*columns), axis=-1).astype(float)

    def expand(self, dims: int) -> Self:
        """The same law with `dims` trailing axes of length 1 added to every coefficient."""
        vector = self.vector()
        return self.from_vector(vector.reshape(*vector.shape[:-1], *(1,) * dims, vector.shape[-1]))

    def worth(self, P: ArrayLike) -> Array:
        """`eff(P)`. Raises InputError for bits that the law does not know."""
        index = bit_index(self.bits, P)
        return np.asarray(sum(np.where(index == i, e, 0.0) for i, e in enumerate((1.0, *self.eff))))

    def terms(self, S: ArrayLike, N: ArrayLike, D: ArrayLike, P: ArrayLike = FULL) -> Terms:
        """The size, data and floor terms of the loss, broadcast to one shape."""
        return self.law.terms(S, positive("nonzero_params", N) * self.worth(P), D)

    def __call__(self, S: ArrayLike, N: ArrayLike, D: ArrayLike, P: ArrayLike = FULL) -> Array:
        """Predicted loss in nats; S, N, D and P broadcast. Raises InputError outside the domain."""
        return self.law(S, positive("nonzero_params", N) * self.worth(P), D)

    def at(self, P: int) -> JointLaw | DenseLaw:
        """The law of weights of P bits: of the same kind, with a larger size term."""
        law = self.law
        exponent = law.b_N if isinstance(law, JointLaw) else law.alpha
        factor = self.worth(P) ** -exponent
        names = ("a_S", "c_S") if isinstance(law, JointLaw) else ("A",)
        return replace(law, **{name: getattr(law, name) * factor for name in names})


def bit_index(bits: Sequence[int], P: ArrayLike) -> Indices:
    """0 for `FULL`, i for `bits[i - 1]`. Raises InputError for bits that are none of these."""
    known = np.array([FULL, *bits])
    same = np.asarray(P)[..., None] == known
    if not same.any(axis=-1).all():
        stranger = np.ravel(P)[np.argmin(same.any(axis=-1).ravel())]
        have = ", ".join(map(str, known))
        raise InputError(f"weights of {stranger:g} bits are unknown to the law, which has {have}")
    return np.asarray(same.argmax(axis=-1))


def _eff(bits: int) -> str:
    return f"eff({bits})"


def with_bits_form(P: Array, sparse: bool) -> Form:
    """The form for runs of P bits (runs,): around the joint law if some are sparse, else the dense.

    Raises InputError for runs that do not tell what bits are worth.
    """
    levels = tuple(np.unique(P)[::-1].astype(int).tolist())
    if levels[0] != FULL or len(levels) < 2:
        raise InputError(
            f"the runs have weights of {', '.join(map(str, levels))} bits: what few bits are worth "
            f"shows beside runs in full precision, which count as {FULL} bits"
        )
    base, exponent = (JOINT, "b_N") if sparse else (DENSE, "alpha")
    index = bit_index(levels[1:], P)
    own: Row = {
        _eff(bits): np.where(index == i, 1.0, 0.0) for i, bits in enumerate(levels[1:], start=1)
    }

    def rows(S: Array, n: Array, d: Array) -> list[Row]:
        return [{**row, **own} if exponent in row else row for row in base.rows(S, n, d)]

    def build(**values: Any) -> WithBits:
        law = base.law(**{name: values[name] for name in base.names})
        return WithBits(law, tuple(values[key] for key in own), levels[1:])

    return Form(
        "bits",
        WithBits,
        {**base.entries, **dict.fromkeys(own, Multiplier(exponent))},
        rows,
        curved=base.curved,
        distinct=base.distinct,
        build=build,
        order=(*base.names, *own),
        more=(P,),
    )


BITS = ByBits("bits", WithBits, with_bits_form)
