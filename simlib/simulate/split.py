"""The best split of a number of bytes: more weights, more bits in each, or zeros among them.

A law of the form bits says what a weight of P bits is worth (`simlib.laws.precision`), a storage
what it takes. For each P that the law knows, size, sparsity and data are the best within the bytes
and the budget (`simlib.simulate.allocate`); the best of these is the split. Where the bytes are
what holds the size back, it maximises `eff(P) eff(S) / bytes(S, P)`, whatever the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import LEVEL, check_level, quantile_ends
from simlib.laws.law import DenseLaw, JointLaw
from simlib.laws.optimum import COSTS
from simlib.laws.precision import FULL
from simlib.simulate.allocate import TrainingCost, best_allocation
from simlib.simulate.footprint import Storage
from simlib.simulate.forecast import Distance, forecast
from simlib.simulate.limits import PLAUSIBLE_FLOPS, SMALLEST_WEIGHTS, Limits
from simlib.simulate.sense import nonsense

ENOUGH = PLAUSIBLE_FLOPS[1]  # FLOP that leave the bytes alone to limit a run of given data


@dataclass(frozen=True)
class Split:
    """The best run of weights of one number of bits.

    Intervals are of `level`: of the sparsity over refits of the law, of the loss for a single run.
    `share` says in how many refits these bits give the least loss.
    """

    bits: int
    sparsity: float
    sparsity_interval: tuple[float, float]
    nonzero_params: float
    dense_params: float
    data_seen: float
    weight_bytes: float
    loss: float
    interval: tuple[float, float]
    share: float
    distance: Distance


@dataclass(frozen=True)
class SplitPlan:
    """The splits of a number of bytes by a law, full precision first."""

    law: str
    weight_bytes: float
    kept: str
    level: float
    splits: tuple[Split, ...]
    warnings: tuple[str, ...]

    @property
    def best(self) -> Split:
        """The split of least loss."""
        return min(self.splits, key=lambda split: split.loss)


def plan_bytes(
    law_file: FittedLaw,
    weight_bytes: float,
    *,
    flops: float | None = None,
    data_seen: float | None = None,
    cost: TrainingCost = COSTS["dense"],
    limits: Limits | None = None,
    level: float = LEVEL,
    noise: float | None = None,
    widen: float = 1.0,
) -> SplitPlan:
    """The best size, sparsity and bits of a model whose weights take so many bytes.

    Give a training budget in FLOP, or the tokens or images that every run sees. Rounding weights in
    training saves no FLOP. `limits` may hold what `make_plan` takes but a ceiling on bytes;
    `limits.kept` says how zeros are stored. Raises InputError for a law of another form, without
    ensemble or range, for bytes or data that no model has, and for both or none of budget and data.
    """
    check_level(level)
    law, _ = law_file.by_bits
    if not (np.isfinite(weight_bytes) and weight_bytes >= SMALLEST_WEIGHTS):
        raise InputError(
            f"the weights of a model take {SMALLEST_WEIGHTS:g} bytes or more, got {weight_bytes:g}"
        )
    if (flops is None) == (data_seen is None):
        raise InputError(
            "give a training budget or the data that every run sees, and not both: bytes alone "
            "do not say how long to train"
        )
    limits = Limits(sparsity=law_file.fitted_range.sparsity[1]) if limits is None else limits
    if data_seen is not None:
        limits = replace(limits, data_seen=data_seen)
    spent = ENOUGH if flops is None else flops
    known = {bits: law_at(law_file, bits) for bits in (FULL, *law.bits)}
    within = {
        bits: replace(limits, weight_bytes=weight_bytes, kept=kept_at(limits.kept, bits))
        for bits in known
    }
    own = {
        bits: best_allocation(file.members(), spent, cost, within[bits])
        for bits, file in known.items()
    }
    least = np.argmin(np.stack([run.loss for run in own.values()]), axis=0)
    splits = []
    for place, (bits, file) in enumerate(known.items()):
        run = best_allocation(file.joint, spent, cost, within[bits])
        S, N, D, loss = (float(value) for value in run)
        if why := nonsense(file, N, D, loss):
            raise InputError(f"no model meets this: {why}; give more bytes, budget or data")
        seen = forecast(
            file, S, N, limits.effective_data(S, D), level=level, noise=noise, widen=widen
        )
        splits.append(
            Split(
                bits,
                S,
                quantile_ends(own[bits].S, level),
                N,
                N / (1 - S),
                D,
                N * float(within[bits].kept.bytes_per_nonzero(S)),
                loss,
                (float(seen.low), float(seen.high)),
                float((least == place).mean()),
                seen.distance,
            )
        )
    plan = SplitPlan(law_file.name, float(weight_bytes), limits.kept.name, level, tuple(splits), ())
    return replace(plan, warnings=_warnings(plan, law_file, limits, widen))


def law_at(law_file: FittedLaw, bits: int) -> FittedLaw:
    """The law of weights of so many bits as a joint law of the same runs, with its ensemble.

    Around a dense law sparsity changes nothing; its fitted range says that it knows none.
    """
    law, members = law_file.by_bits
    return replace(
        law_file,
        name=f"{law_file.name} at {bits} bits",
        law=_joint(law.at(bits)),
        ensemble=_joint(members.at(bits)),
    )


def _joint(law: JointLaw | DenseLaw) -> JointLaw:
    if isinstance(law, JointLaw):
        return law
    none = np.zeros(np.shape(law.A))
    scale = np.asarray(law.B) ** (1 / np.asarray(law.beta))
    return JointLaw(none, none + 1, law.A, law.alpha, scale, law.beta, law.E)


def kept_at(kept: Storage, bits: int) -> Storage:
    """A storage for weights of so many bits; those in full precision may hold zeros as values."""
    return kept if bits == FULL else kept.of_bits(bits)


def _warnings(
    plan: SplitPlan, law_file: FittedLaw, limits: Limits, widen: float
) -> tuple[str, ...]:
    best = plan.best
    said = [best.distance.warning("the best split")]
    if not law_file.decides:
        said.append(f"the law {law_file.name!r} decides nothing: {law_file.why_not}")
    if limits.sparsity == 0:
        said.append(
            f"no run behind {law_file.name!r} is sparse, or none may be: only bits are chosen here"
        )
    elif best.sparsity >= limits.sparsity * (1 - 1e-9):
        said.append(f"the best sparsity lies at its ceiling of {limits.sparsity:.4g}")
    if best.bits == min(split.bits for split in plan.splits):
        said.append(f"{best.bits} bits are the fewest that the law knows: fewer may be better")
    if best.weight_bytes < plan.weight_bytes * (1 - 1e-6):
        said.append(
            f"the best split takes {best.weight_bytes:.3g} of the bytes: the budget, not the "
            "memory, holds its size back"
        )
    if widen == 1:
        said.append(
            "intervals of the loss are the refits' own: no runs kept out of a fit say how much "
            "wider they should be"
        )
    said.append(
        "the law takes zeros and few bits to multiply each other's worth, and counts the weights "
        "of the body alone: embeddings, scales and activations come on top"
    )
    return tuple(sentence for sentence in said if sentence)
