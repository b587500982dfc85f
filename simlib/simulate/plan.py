"""A plan: dense, sparse and 2:4 side by side for one budget, with intervals and warnings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simlib.errors import InputError
from simlib.law import Array, JointLaw
from simlib.lawfile import LawFile
from simlib.optimum import COSTS, cost_model
from simlib.simulate.allocate import (
    Allocation,
    TrainingCost,
    allocate,
    best_allocation,
    least_flops,
)
from simlib.simulate.blocks import check_level, ensemble_of, tails
from simlib.simulate.footprint import STORAGE, inference_bytes, least_devices, training_bytes
from simlib.simulate.forecast import Distance, fitted_range, forecast
from simlib.simulate.hardware import Cluster, lost_to_restarts
from simlib.simulate.limits import PLAUSIBLE_FLOPS, Limits
from simlib.simulate.measure import AFFORDABLE, Measurement, deciding_runs
from simlib.simulate.speedup import two_four_cost

SMALLEST = 1e3  # parameters, tokens or images below which a plan is no model


@dataclass(frozen=True)
class Choice:
    """One way to spend the budget. Units: parameters, tokens or images, nats, FLOP, bytes.

    `interval` is that of the loss of this very run; `sparsity_interval` holds the sparsities that
    the members of the ensemble would choose, None where sparsity is not chosen. `train_flops` is
    counted by the plan's cost model, `dense_flops` without any speed-up from zeros. Hours and all
    after them are None without hardware (or without a price, or a published power): `gpu_hours`,
    `days` on the whole cluster with restarts and `energy` in kWh are of training alone, `money`
    is of training and serving.
    """

    kind: str
    sparsity: float
    sparsity_interval: tuple[float, float] | None
    nonzero_params: float
    dense_params: float
    data_seen: float
    loss: float
    interval: tuple[float, float]
    train_flops: float
    serve_flops: float
    dense_flops: float
    training_bytes: float
    inference_bytes: float
    distance: Distance
    gpu_hours: float | None = None
    serve_gpu_hours: float | None = None
    days: float | None = None
    money: float | None = None
    energy: float | None = None


@dataclass(frozen=True)
class Plan:
    """Side by side: the best dense, the best sparse and the best 2:4 run of one budget.

    `probability_sparse_wins` is the share of the ensemble in which this very sparse run has a
    lower loss than this very dense run (0 where the sparse run is dense);
    `probability_sparsity_helps` the share in which some sparsity would. `measurements` are runs
    whose loss would tell most about the difference.
    """

    law: str
    cost: str
    flops: float
    level: float
    widen: float
    dense: Choice
    sparse: Choice
    two_four: Choice
    probability_sparse_wins: float
    probability_two_four_wins: float
    probability_sparsity_helps: float
    measurements: tuple[Measurement, ...]
    warnings: tuple[str, ...]

    @property
    def choices(self) -> tuple[Choice, ...]:
        """All three, dense first."""
        return (self.dense, self.sparse, self.two_four)


def make_plan(
    law_file: LawFile,
    flops: float,
    cost: str | TrainingCost = "dense",
    *,
    limits: Limits | None = None,
    two_four: TrainingCost | None = None,
    cluster: Cluster | None = None,
    level: float = 0.9,
    noise: float | None = None,
    widen: float = 1.0,
) -> Plan:
    """The best runs for a budget in FLOP, which pays for training and for the serving in `limits`.

    Without `limits` sparsity stays below that of the sparsest fitted run. `two_four` is the cost
    of a 2:4 run (default: no speed-up). `noise` and `widen` go to the forecast. Raises InputError
    for a law without sparsity, ensemble or fitted range, and for limits that no model meets.
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
    for run in found.values():
        _refuse_no_model(run, flops, limits)
    own = best_allocation(members, flops, model, limits)
    spread = np.quantile(own.S, tails(level))
    choices = {}
    for kind, run in found.items():
        seen = forecast(law_file, run.S, run.N, run.D, level=level, noise=noise, widen=widen)
        choices[kind] = _choice(
            kind, run, models[kind], limits, cluster, (float(seen.low), float(seen.high)),
            (float(spread[0]), float(spread[1])) if kind == "sparse" else None, seen.distance,
        )  # fmt: skip
    gains = {k: _advantage(members, found["dense"], found[k]) for k in ("sparse", "2:4")}
    plan = Plan(
        law_file.name, model.name, float(flops), level, widen,
        choices["dense"], choices["sparse"], choices["2:4"],
        float((gains["sparse"] > 0).mean()), float((gains["2:4"] > 0).mean()),
        float((own.S > 0).mean()),
        deciding_runs(law_file, gains["sparse"], AFFORDABLE * flops, noise=noise), (),
    )  # fmt: skip
    return replace(plan, warnings=tuple(_warnings(plan, limits, cluster)))


def plan_for_loss(
    law_file: LawFile, loss: float, cost: str | TrainingCost = "dense",
    *, limits: Limits | None = None, level: float = 0.9,
) -> dict[str, tuple[float, tuple[float, float]]]:  # fmt: skip
    """The least budget in FLOP that reaches a loss, dense and sparse, with its interval.

    An end is infinite where that share of the ensemble cannot reach the loss at all. Raises
    InputError for a loss below what the law can reach.
    """
    model = cost_model(cost) if isinstance(cost, str) else cost
    limits = fitted_limits(law_file) if limits is None else limits
    law, members = law_file.joint, _members(law_file)
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


def fitted_limits(law_file: LawFile) -> Limits:
    """No ceiling but the sparsity of the sparsest fitted run."""
    return Limits(sparsity=float(fitted_range(law_file)[1][0]))


def _members(law_file: LawFile) -> JointLaw:
    law_file.joint  # noqa: B018  refuses a law without sparsity
    ensemble: JointLaw = ensemble_of(law_file)
    return ensemble


def _advantage(members: JointLaw, dense: Allocation, other: Allocation) -> Array:
    """How much lower the loss of the other run is than the dense run's, by each member."""
    return members(dense.S, dense.N, dense.D) - members(other.S, other.N, other.D)


def _refuse_no_model(run: Allocation, flops: float, limits: Limits) -> None:
    if run.N < SMALLEST or run.D < SMALLEST:
        raise InputError(
            f"no model meets these constraints: {flops:g} FLOP with {limits.serve_tokens:g} tokens "
            f"to serve and the given ceilings leave {float(run.N):.3g} parameters and "
            f"{float(run.D):.3g} tokens or images; raise the budget or a ceiling"
        )


def _choice(
    kind: str, run: Allocation, model: TrainingCost, limits: Limits, cluster: Cluster | None,
    interval: tuple[float, float], sparsity_interval: tuple[float, float] | None, far: Distance,
) -> Choice:  # fmt: skip
    S, N, D = float(run.S), float(run.N), float(run.D)
    places = float(COSTS["dense"].flops(S, N, D))
    train = places * (1 - S) * float(model.multiplier(S))
    serve = N * float(limits.serving_flops(S))
    kept = {"dense": STORAGE["dense"], "2:4": STORAGE["2:4"]}.get(kind, limits.kept)
    choice = Choice(
        kind, S, sparsity_interval, N, N / (1 - S), D, float(run.loss), interval, train, serve,
        places, float(training_bytes(S, N)), float(inference_bytes(S, N, kept)), far,
    )  # fmt: skip
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


def _warnings(plan: Plan, limits: Limits, cluster: Cluster | None) -> list[str]:
    said = []
    for choice in plan.choices[:2]:
        far = choice.distance.warning(f"the {choice.kind} run")
        said += [far] if far else []
    if said:
        said.append(
            "the probabilities count refits of the law: that its form may be wrong so far from the "
            "runs is not in them"
        )
    sparse = plan.sparse
    if sparse.sparsity == 0:
        said.append("the law puts the best sparsity at 0 here: the sparse run is the dense run")
    elif sparse.sparsity >= limits.sparsity * (1 - 1e-9):
        said.append(
            f"the best sparsity lies at its ceiling of {limits.sparsity:.4g}: by the law more "
            "would be better still, but nothing that sparse is allowed"
        )
    if plan.widen > 1:
        said.append(
            f"intervals of the loss are stretched {plan.widen:.2f} times about the forecast, as "
            "runs kept out of a fit demanded"
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
    return said + _memory_warnings(plan, cluster)


def _memory_warnings(plan: Plan, cluster: Cluster | None) -> list[str]:
    if cluster is None:
        return []
    need = {c.kind: int(least_devices(c.training_bytes, cluster.device.memory))
            for c in plan.choices}  # fmt: skip
    kind = max(need, key=lambda k: need[k])
    if need[kind] <= cluster.devices:
        return []
    return [
        f"weights, gradients and optimizer state of the {kind} run fill {need[kind]} devices of "
        f"{cluster.device.name}, more than the {cluster.devices} given"
    ]
