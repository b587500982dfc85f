"""What few bits are worth in runs that cannot carry a law of their own.

QuEST trained weights alone of 1 to 4 bits at about 100 tokens a parameter only, where size and data
cannot be told apart. The same models in full precision are part of a wider table: a law of that
table says how large a model in full precision reaches a run's loss on its data, and that size over
the run's own is what its bits are worth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw, Range, Residual
from simlib.laws.law import Array, DenseLaw
from simlib.laws.precision import FULL
from simlib.runs.table import RunTable

SEED = 0


def law_beside(law_file: FittedLaw, runs: RunTable, name: str) -> FittedLaw:
    """A law with the size and data terms of another, and the worth of bits from `runs`, all dense.

    The worth of P bits is the geometric mean over the runs of P bits. Member by member it comes
    from that member's terms and from the runs drawn with replacement among those of P bits. Runs in
    full precision are passed over. Raises InputError for a law of another form, for sparse runs,
    for none of few bits, and for a loss that no size reaches.
    """
    law, ensemble = law_file.by_bits
    if not isinstance(law.law, DenseLaw) or not isinstance(ensemble.law, DenseLaw):
        raise InputError(f"the law {law_file.name!r} knows sparse models: take one of dense models")
    runs = RunTable(r for r in runs if r.weight_bits and r.weight_bits < FULL)
    if not len(runs) or runs.sparsity.any():
        raise InputError("no run has few bits, or some are sparse: what dense ones are worth shows")
    P = runs.column("weight_bits").astype(int)
    levels = tuple(int(p) for p in np.unique(P)[::-1])
    one = _log_worth(law.law, runs)
    many = _log_worth(ensemble.law.expand(1), runs)  # (members, runs)
    if not (np.isfinite(one).all() and np.isfinite(many).all()):
        raise InputError(f"{law_file.name!r} has no model in full precision of so low a loss")
    rng = np.random.default_rng(SEED)
    value, drawn = [], []
    for bits in levels:
        own = np.flatnonzero(bits == P)
        picks = rng.choice(own, size=(len(many), len(own)))
        value.append(float(np.exp(one[own].mean())))
        drawn.append(np.exp(np.take_along_axis(many, picks, axis=1).mean(axis=1)))
    found = replace(law, eff=tuple(value), bits=levels)
    members = replace(ensemble, eff=tuple(drawn), bits=levels)
    residual = np.log(found(runs.sparsity, runs.nonzero_params, runs.data_seen, P) / runs.loss)
    worst = int(np.argmax(np.abs(residual)))
    tails = np.quantile(members.vector(), [(1 - law_file.level) / 2, (1 + law_file.level) / 2], 0)
    return replace(
        law_file,
        name=name,
        law=found,
        ensemble=members,
        runs=len(runs),
        range=Range.of(runs.sparsity, runs.nonzero_params, runs.data_seen),
        log_rmse=float(np.sqrt((residual**2).mean())),
        worst=Residual(worst, float(residual[worst])),
        intervals={
            f"eff({bits})": (float(ends[0]), float(ends[1]))
            for bits, ends in zip(levels, tails.T[len(law.law.names()) :], strict=True)
        },
        profile_intervals={},
        warnings=(f"size and data terms are those of {law_file.name}; these runs give eff alone",),
    )


def _log_worth(law: DenseLaw, runs: RunTable) -> Array:
    """log of the size in full precision that reaches each run's loss, over its own."""
    with np.errstate(divide="ignore"):
        size = law.solve_nonzero_params(runs.data_seen, runs.loss)
    return np.asarray(np.log(size / runs.nonzero_params))
