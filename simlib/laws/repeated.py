"""Repeated data: what seeing the same tokens or images again is worth, dense and sparse.

Wu et al. 2026 (arXiv 2606.01155), after Muennighoff et al. 2023 (arXiv 2305.16264): of D tokens
drawn from U distinct ones, every further pass is worth less than the one before, and sparse models
go on learning from passes that a dense model gains little from. S, N, D and the loss are those of
`simlib.laws.law`; U is in the unit of D. Every coefficient is a float or an array, as in an
ensemble.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simlib.laws.base import Array, Coefficient, Coefficients, Law, fraction, positive

PUBLISHED_EPOCHS = 16.0  # passes in the longest runs that Wu et al. fitted (their abstract)


def saturating(amount: ArrayLike, distinct: ArrayLike, R: ArrayLike) -> Array:
    """`U + U R (1 - exp(-r / R))`, `r = amount / U - 1`: what `amount` counts as; itself up to U.

    Muennighoff et al. 2023, equation 5. At most `U (1 + R)`, however often U is used.
    """
    amount, R = np.asarray(amount, dtype=float), np.asarray(R, dtype=float)
    distinct = np.asarray(np.minimum(distinct, amount), dtype=float)
    again = amount / distinct - 1
    return np.asarray(distinct * (1 - R * np.expm1(-again / R)))


@dataclass(frozen=True)
class Repetition(Coefficients):
    """`R(S) = R (1 + l S + q S^2)`: passes after the first that count at most, by sparsity."""

    R: Coefficient
    l: Coefficient = 0.0  # noqa: E741  the paper's letter
    q: Coefficient = 0.0

    def saturation(self, S: ArrayLike) -> Array:
        """R(S); positive for the published coefficients at every sparsity."""
        S = fraction(S)
        return np.asarray(self.R * (1 + self.l * S + self.q * S**2))

    def effective(self, S: ArrayLike, amount: ArrayLike, distinct: ArrayLike) -> Array:
        """The amount of fresh data, or of used parameters, that `amount` is worth at sparsity S."""
        amount, distinct = positive("amount", amount), positive("distinct", distinct)
        return saturating(amount, distinct, self.saturation(S))


@dataclass(frozen=True)
class WithRepeats:
    """Any law of fresh data, with D counted as `repetition` says."""

    law: Law
    repetition: Repetition

    def __call__(self, S: ArrayLike, N: ArrayLike, D: ArrayLike, U: ArrayLike) -> Array:
        """Predicted loss in nats of D drawn from U distinct tokens or images; all broadcast."""
        return self.law(S, N, self.repetition.effective(S, D, U))


@dataclass(frozen=True)
class RepeatedDataLaw:
    """`E + A (s^eps + P (1-s)^mu) / N_eff^alpha + B / D_eff^beta`, s = 1 - S the density.

    Wu et al. 2026 (arXiv 2606.01155). N are the non-zero parameters; `D_eff` is D saturating beyond
    U, and `N_eff` is N saturating beyond `N_opt(U, s)`, the size that makes the best of U fresh
    tokens: where the law falls equally fast with N as with D.
    """

    E: Coefficient
    A: Coefficient
    B: Coefficient
    alpha: Coefficient
    beta: Coefficient
    eps: Coefficient
    mu: Coefficient
    P: Coefficient
    parameters: Repetition
    data: Repetition

    def __call__(self, S: ArrayLike, N: ArrayLike, D: ArrayLike, U: ArrayLike) -> Array:
        """Predicted loss in nats; S, N, D, U broadcast. Raises InputError outside their domain."""
        S, N, D = fraction(S), positive("nonzero_params", N), positive("data_seen", D)
        U = np.minimum(positive("unique data", U), D)
        size = self.parameters.effective(S, N, self.best_params(S, U))
        data = self.data.effective(S, D, U)
        factor = self.A * self.sparsity_factor(S)
        return np.asarray(self.E + factor * size**-self.alpha + self.B * data**-self.beta)

    def sparsity_factor(self, S: ArrayLike) -> Array:
        """`s^eps + P (1-s)^mu`: 1 for a dense model."""
        S = fraction(S)
        return np.asarray((1 - S) ** self.eps + self.P * S**self.mu)

    def best_params(self, S: ArrayLike, U: ArrayLike) -> Array:
        """`N_opt(U, s) = (alpha A f(s) / (beta B) U^beta)^(1/alpha)`, compute-optimal at 6 N D."""
        ratio = self.alpha * self.A * self.sparsity_factor(S) / (self.beta * self.B)
        U = positive("unique data", U)
        return np.asarray((ratio * U**self.beta) ** (1 / self.alpha))


# Their fit: language models up to 1.9e9 parameters, sparsity up to 93.75%, 16 passes.
PUBLISHED_REPEATED = RepeatedDataLaw(
    E=2.3480,
    A=188.81,
    B=447.21,
    alpha=0.32682,
    beta=0.32682,
    eps=-0.00968,
    mu=0.84662,
    P=-0.27289,
    parameters=Repetition(11.0876, 1.90396, -2.79909),
    data=Repetition(4.40475, 1.82138, -1.36531),
)
