"""Planning: how a budget is best spent, with intervals and warnings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.intervals import check_level, quantile_ends, tails
from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import COSTS, cost_model
from simlib.simulate.allocate import (
    Allocation,
    TrainingCost,
    allocate,
    best_allocation,
    least_flops,
)
from simlib.simulate.blocks import ensemble_of
from simlib.simulate.cautions import warnings_of
from simlib.simulate.checkpoint import Checkpoint, prune_checkpoint
from simlib.simulate.footprint import STORAGE, inference_bytes, training_bytes
from simlib.simulate.forecast import Distance, fitted_range, forecast
from simlib.simulate.hardware import Cluster, lost_to_restarts
from simlib.simulate.limits import PLAUSIBLE_FLOPS, Limits
from simlib.simulate.measure import AFFORDABLE, deciding_runs
from simlib.simulate.plan import Choice, Plan
from simlib.simulate.sense import nonsense
from simlib.simulate.speedup import two_four_cost

THINNED = 5  # one in so many refits gives the interval of a least budget where data repeats


def make_plan(
    law_file: FittedLaw,
    flops: float,
    cost: str | TrainingCost = "dense",
    *,
    limits: Limits | None = None,
    two_four: TrainingCost | None = None,
    cluster: Cluster | None = None,
    checkpoint: Checkpoint | None = None,
    level: float = 0.9,
    noise: float | None = None,
    widen: float = 1.0,
) -> Plan:
    """The best runs for a budget in FLOP, which pays for training and for the serving in `limits`.

    Without `limits` sparsity stays below that of the sparsest fitted run. `two_four` is the cost
    of a 2:4 run (default: no speed-up). A `checkpoint` adds the best way to prune it. `noise` and
    `widen` go to the forecast. Raises InputError for a law without sparsity, ensemble or fitted
    range, and for limits that no model meets.
    """
    check_level(level)
    model = cost_model(cost) if isinstance(cost, str) else cost
    limits = fitted_limits(law_file) if limits is None else limits
    law, members = law_file.joint, _members(law_file)
    models = {"dense": model, "sparse": model, "2:4": two_four or two_four_cost()}
    found = {
        "dense": allocate(law, 0.0, flops, model, replace(limits, kept=STORAGE["dense"])),
        "sparse": best_allocation(law, flops, model, limits),
        "2:4": allocate(law, 0.5, flops, models["2:4"], replace(limits, kept=STORAGE["2:4"])),
    }
    if checkpoint is not None:
        found["pruned"] = prune_checkpoint(law, checkpoint, flops, model, limits)
    for run in found.values():
        _refuse_no_model(law_file, run, flops, limits)
    counted = {kind: _effective(kind, run, limits, checkpoint) for kind, run in found.items()}
    own = best_allocation(members, flops, model, limits)
    spread = quantile_ends(own.S, level)
    choices = {}
    for kind, run in found.items():
        seen = forecast(
            law_file, run.S, run.N, counted[kind], level=level, noise=noise, widen=widen
        )
        paid = checkpoint.flops if checkpoint and kind == "pruned" else 0.0
        choices[kind] = _choice(
            kind,
            run,
            counted[kind],
            models.get(kind, model),
            limits,
            cluster,
            (float(seen.low), float(seen.high)),
            spread if kind == "sparse" else None,
            seen.distance,
            paid,
        )
    losses = {k: members(run.S, run.N, counted[k]) for k, run in found.items()}
    gains = {k: losses["dense"] - losses[k] for k in found if k != "dense"}
    doubt = (
        gains["sparse"]
        if found["sparse"].S > 0
        else _doubt(law, members, own, found["dense"], flops, model, limits)
    )
    plan = Plan(
        law_file.name,
        model.name,
        float(flops),
        level,
        widen,
        choices["dense"],
        choices["sparse"],
        choices["2:4"],
        float((gains["sparse"] > 0).mean()),
        float((gains["2:4"] > 0).mean()),
        float((own.S > 0).mean()),
        deciding_runs(law_file, doubt, AFFORDABLE * flops, noise=noise),
        (),
        choices.get("pruned"),
        float((gains["pruned"] > 0).mean()) if "pruned" in gains else None,
    )
    return replace(plan, warnings=warnings_of(plan, law_file, limits, cluster, checkpoint))


def _doubt(
    law: JointLaw,
    members: JointLaw,
    own: Allocation,
    dense: Allocation,
    flops: float,
    model: TrainingCost,
    limits: Limits,
) -> Array:
    """What each member gains over the dense run by the sparsity that sparse members choose."""
    sparse = own.S[own.S > 0]
    if not len(sparse):
        return np.zeros(own.S.shape)
    run = allocate(law, float(np.median(sparse)), flops, model, limits)
    data = [limits.effective_data(r.S, r.D) for r in (dense, run)]
    return np.asarray(members(dense.S, dense.N, data[0]) - members(run.S, run.N, data[1]))


def plan_for_loss(
    law_file: FittedLaw,
    loss: float,
    cost: str | TrainingCost = "dense",
    *,
    limits: Limits | None = None,
    level: float = 0.9,
) -> dict[str, tuple[float, tuple[float, float]]]:
    """The least budget in FLOP that reaches a loss, dense and sparse, with its interval.

    An end is infinite where that share of the ensemble cannot reach the loss at all. Raises
    InputError for a loss below what the law can reach.
    """
    model = cost_model(cost) if isinstance(cost, str) else cost
    limits = fitted_limits(law_file) if limits is None else limits
    law, members = law_file.joint, _members(law_file)
    if limits.unique_data is not None:  # each budget tried takes a search of its own
        members = members.from_vector(members.vector()[::THINNED])
    answers = {}
    for kind, within in (("dense", replace(limits, sparsity=0.0)), ("sparse", limits)):
        least = float(least_flops(law, loss, model, within))
        if not np.isfinite(least):
            raise InputError(
                f"no {kind} budget reaches a loss of {loss:g}: the law {law_file.name!r} has a "
                f"floor of {float(law.c):.4g}, and the ceilings keep the loss above it"
            )
        if least < PLAUSIBLE_FLOPS[0]:
            raise InputError(
                f"a loss of {loss:g} is reached below {PLAUSIBLE_FLOPS[0]:g} FLOP, where the law "
                "means nothing: give a loss nearer to those of the fitted runs, in nats"
            )
        spread = np.quantile(
            least_flops(members, loss, model, within), tails(level), method="lower"
        )
        answers[kind] = (least, (float(spread[0]), float(spread[1])))
    return answers


def fitted_limits(law_file: FittedLaw) -> Limits:
    """No ceiling but the sparsity of the sparsest fitted run."""
    return Limits(sparsity=float(fitted_range(law_file)[1][0]))


def _members(law_file: FittedLaw) -> JointLaw:
    law = law_file.joint  # refuses a law without sparsity
    ensemble: JointLaw = ensemble_of(law_file)
    for name in ("b_N", "b_D"):
        least = min(float(getattr(law, name)), float(getattr(ensemble, name).min()))
        if not least > 0:
            raise InputError(
                f"the law {law_file.name!r} has a member with {name} = {least:g}: where loss does "
                "not fall with size and data there is no plan, so fit it to more runs"
            )
    return ensemble


def _effective(kind: str, run: Allocation, limits: Limits, checkpoint: Checkpoint | None) -> float:
    """Fresh data from scratch that the run's data is worth."""
    if checkpoint is not None and kind == "pruned":
        return float(checkpoint.effective_data(run.S, run.D))
    return float(limits.effective_data(run.S, run.D))


def _refuse_no_model(law_file: FittedLaw, run: Allocation, flops: float, limits: Limits) -> None:
    why = nonsense(law_file, float(run.N), float(run.D), float(run.loss))
    if why:
        raise InputError(
            f"no model meets these constraints: with {flops:g} FLOP, {limits.serve_tokens:g} "
            f"tokens to serve and the given ceilings, {why}; raise the budget or a ceiling"
        )


def _choice(
    kind: str,
    run: Allocation,
    effective: float,
    model: TrainingCost,
    limits: Limits,
    cluster: Cluster | None,
    interval: tuple[float, float],
    sparsity_interval: tuple[float, float] | None,
    far: Distance,
    paid: float,
) -> Choice:
    S, N, D = float(run.S), float(run.N), float(run.D)
    places = float(COSTS["dense"].flops(S, N, D))
    train = paid + places * (1 - S) * float(model.multiplier(S))
    serve = N * float(limits.serving_flops(S))
    kept = {"dense": STORAGE["dense"], "2:4": STORAGE["2:4"]}.get(kind, limits.kept)
    choice = Choice(
        kind,
        S,
        sparsity_interval,
        N,
        N / (1 - S),
        D,
        float(run.loss),
        interval,
        train,
        serve,
        paid + places,
        float(training_bytes(S, N)),
        float(inference_bytes(S, N, kept)),
        far,
        effective,
    )
    return choice if cluster is None else _on_hardware(choice, cluster)


def _on_hardware(choice: Choice, cluster: Cluster) -> Choice:
    return replace(
        choice,
        gpu_hours=cluster.device_hours(choice.train_flops),
        serve_gpu_hours=cluster.device_hours(choice.serve_flops),
        days=cluster.days(choice.train_flops) * (1 + lost_to_restarts(cluster.devices)),
        money=cluster.money(choice.train_flops + choice.serve_flops),
        energy=cluster.energy(choice.train_flops),
    )
