"""What a reader has to know before acting on a plan, one plain sentence each."""

from __future__ import annotations

from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.repeated import PUBLISHED_EPOCHS
from simlib.paper import DATA_MULTIPLES
from simlib.simulate.checkpoint import Checkpoint
from simlib.simulate.footprint import least_devices
from simlib.simulate.hardware import Cluster
from simlib.simulate.limits import Limits
from simlib.simulate.plan import Choice, Plan


def warnings_of(
    plan: Plan,
    law_file: FittedLaw,
    limits: Limits,
    cluster: Cluster | None,
    checkpoint: Checkpoint | None,
) -> tuple[str, ...]:
    """All that is to be said of a plan, what weighs most first."""
    return (
        *_distances(plan),
        *_behind(law_file),
        *_repeats(plan, law_file, limits),
        *_pruned(plan, checkpoint),
        *_choices(plan, limits),
        *_memory(plan, cluster),
    )


def _distances(plan: Plan) -> list[str]:
    warned = [c.distance.warning(f"the {c.kind} run") for c in (plan.dense, plan.sparse)]
    said = [text for text in warned if text]
    if said:
        said.append(
            "the shares count refits of the law: that its form may be wrong so far from the "
            "runs is not in them"
        )
    return said


def _behind(law_file: FittedLaw) -> list[str]:
    """What the fit of the law has to say: runs that are simulated, coefficients left open."""
    said = [text for text in law_file.warnings if "simulated" in text]
    if law_file.unidentified:
        said.append(
            f"the runs behind {law_file.name!r} do not identify "
            f"{', '.join(law_file.unidentified)}: the intervals hold that, more runs would narrow "
            "them"
        )
    return said


def _repeats(plan: Plan, law_file: FittedLaw, limits: Limits) -> list[str]:
    if limits.unique_data is None:
        return []
    repeating = [c for c in (plan.dense, plan.sparse) if c.data_seen > limits.unique_data]
    said = [_repeat(c, law_file, limits.unique_data) for c in repeating]
    if repeating:
        said.append(
            "what repeats are worth is that of Wu et al. 2026, measured on language models; its "
            "uncertainty is not in the intervals"
        )
    if any(c.data_seen > PUBLISHED_EPOCHS * limits.unique_data for c in repeating):
        said.append(
            f"they measured up to {PUBLISHED_EPOCHS:g} passes: beyond, a loss may rise where their "
            "law says that it stays"
        )
    return said


def _repeat(choice: Choice, law_file: FittedLaw, unique: float) -> str:
    fresh = float(law_file.law(choice.sparsity, choice.nonzero_params, choice.data_seen))
    return (
        f"the {choice.kind} run passes over its {unique:.3g} distinct tokens or images "
        f"{choice.data_seen / unique:.3g} times: they count as {choice.effective_data:.3g} fresh "
        f"ones, which costs {choice.loss - fresh:.4f} nats"
    )


def _pruned(plan: Plan, checkpoint: Checkpoint | None) -> list[str]:
    if checkpoint is None or plan.pruned is None:
        return []
    ends = list(DATA_MULTIPLES)
    paid = (
        f"its own {checkpoint.flops:.3g} FLOP are part of the budget"
        if checkpoint.charged
        else "the checkpoint counts as paid for"
    )
    said = [
        f"the pruned run takes data after pretraining as worth {DATA_MULTIPLES[ends[0]]:g} to "
        f"{DATA_MULTIPLES[ends[-1]]:g} times as much as from scratch, as Frantar et al. 2024 "
        f"measured between {ends[0]:.1%} and {ends[-1]:.1%} sparsity, and the checkpoint as worth "
        f"no more than the data it saw; {paid}; no interval holds the uncertainty of this"
    ]
    far = plan.pruned.distance.warning("the pruned run")
    return said + ([far] if far else [])


def _choices(plan: Plan, limits: Limits) -> list[str]:
    said, sparse = [], plan.sparse
    if sparse.sparsity == 0:
        said.append("the law puts the best sparsity at 0 here: the sparse run is the dense run")
    elif sparse.sparsity >= limits.sparsity * (1 - 1e-9):
        said.append(
            f"the best sparsity lies at its ceiling of {limits.sparsity:.4g}: by the law more "
            "would be better still, but nothing that sparse is allowed"
        )
    if plan.widen > 1:
        said.append(
            f"intervals of the loss are widened {plan.widen:.2f} times about the forecast, as "
            "runs held out of a fit demanded"
        )
    elif plan.widen == 1:
        said.append(
            "intervals of the loss are the refits' own: `simlib calibrate` on the law's table says "
            "how much wider runs held out of a fit would have them"
        )
    left = 1 - (sparse.train_flops + sparse.serve_flops) / plan.flops
    if left > 1e-6:
        said.append(f"the ceilings leave {left:.0%} of the budget unspent in the sparse run")
    saved = sparse.dense_flops / sparse.train_flops
    if saved > 1.001:
        said.append(
            f"the cost model {plan.cost!r} takes zeros to be skipped in training; on hardware that "
            f"gains nothing from them the sparse run takes {saved:.2f} times as long to train"
        )
    said.append("the 2:4 run is predicted by a law of unstructured sparsity: 2:4 may lose some")
    return said


def _memory(plan: Plan, cluster: Cluster | None) -> list[str]:
    if cluster is None:
        return []
    need = {
        c.kind: int(least_devices(c.training_bytes, cluster.device.memory)) for c in plan.choices
    }
    kind = max(need, key=lambda k: need[k])
    if need[kind] <= cluster.devices:
        return []
    return [
        f"weights, gradients and optimizer state of the {kind} run fill {need[kind]} devices of "
        f"{cluster.device.name}, more than the {cluster.devices} given"
    ]
