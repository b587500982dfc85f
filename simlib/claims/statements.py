"""S1 to S9: the summary's statements, each decided beside the claim that it leans on."""

from __future__ import annotations

import numpy as np

from simlib.claims.estimates import Quantity, error_interval, of_estimate, of_law, optimal_at
from simlib.claims.evidence import Claim, Evidence, Outcome, Region, ask
from simlib.claims.optima import BUDGETS, fair_slope
from simlib.claims.pairs import Pairs, pairs
from simlib.claims.sources import EVERY, OURS, RELEASED, RunSet, Sources
from simlib.contrasts import Estimate, t_interval
from simlib.errors import InputError
from simlib.law import Array, JointLaw
from simlib.optimum import chinchilla_flops, cost_model
from simlib.tables import percent

INNER = 0.05  # an optimum this far from 0 and 1 lies inside
SIMILAR = 0.01  # of the loss
LAST = 10.0  # multiple of the dense compute optimum that stands for long training


def optimum_exists(sources: Sources) -> Outcome:
    """Best sparsity of a fixed size at ten times the dense compute optimum."""
    return ask(EVERY, lambda runs: of_law(
        runs, sources.law(runs.law), f"best sparsity at {LAST:g} times the dense optimum",
        optimal_at(LAST, "dense"), Region(INNER, 1 - INNER), "%",
    ))  # fmt: skip


def short_training(sources: Sources) -> Outcome:
    """C7's quantities with the opposite sign, and the reading under which the statement holds."""
    low, high = (optimal_at(multiple, "dense") for multiple in BUDGETS)
    law = ask(RELEASED, lambda runs: of_law(
        runs, sources.law(runs.law),
        f"rise of the best sparsity from {BUDGETS[0]:g} to {BUDGETS[1]:g} times the dense optimum",
        lambda law: high(law) - low(law), Region(high=0.0), "%",
    ))  # fmt: skip

    def by_runs(runs: RunSet) -> Evidence:
        return Evidence(**{
            **vars(fair_slope(sources, runs)),
            "region": Region(high=0.0),
            "note": _other_reading(sources, runs),
        })  # fmt: skip

    return law + ask(OURS, by_runs)


def _other_reading(sources: Sources, runs: RunSet) -> str:
    """What pruning costs a network of given size under the mask, as training goes on."""
    try:
        same_mask = pairs(sources.runs(runs.table), sources.law(runs.law).joint, size=1.0)
        found = same_mask.slope(relative=True)
    except InputError:
        return ""
    kept = {
        1: "shrinks with training: pruning a given network is cheaper when training is long",
        -1: "grows with training: pruning a given network is cheap when training is short",
        0: "does not clearly change with training",
    }
    low, high = (percent(end, 1) for end in found.interval if end is not None)
    return (
        f"at equal size under the mask the share of the loss that pruning costs {kept[found.sign]} "
        f"(gain {low} to {high} of the loss a doubling)"
    )


def as_good_at_equal_cost(sources: Sources) -> Outcome:
    """Loss of sparse against dense at equal non-zero size and training cost, trained long."""
    law = ask(RELEASED, lambda runs: of_law(
        runs, sources.law(runs.law),
        f"gain of 50% sparsity at equal N and cost, {LAST:g} times the dense optimum",
        _gain_at(sources.law(runs.law).record["range"]["nonzero_params"]), Region(-SIMILAR), "%",
    ))  # fmt: skip

    def by_runs(runs: RunSet) -> Evidence:
        found = pairs(sources.runs(runs.table), sources.law(runs.law).joint, data=1.0)
        return of_estimate(
            runs.label, True, "mean gain at equal N and cost, longest training", _longest(found),
            Region(-SIMILAR), "%",
        )  # fmt: skip

    return law + ask(OURS, by_runs)


def _gain_at(sizes: list[float]) -> Quantity:
    N = float(np.sqrt(sizes[0] * sizes[1]))

    def compute(law: JointLaw) -> Array:
        flops = LAST * chinchilla_flops(law, N)
        data = [cost_model("dense").data_seen(S, N, flops) for S in (0.0, 0.5)]
        return np.log(law(0.0, N, data[0]) / law(0.5, N, data[1]))

    return compute


def _longest(found: Pairs) -> Estimate:
    """Mean gain over sizes of the best sparsity among the pairs of most data."""
    last = found.data_seen > found.data_seen.max() / 1.1
    sizes = np.round(np.log(found.nonzero_params), 1)
    best = [found.gain[last & (sizes == n)].max() for n in np.unique(sizes[last])]
    return t_interval(best)


def accurate_at_unseen_sparsity(sources: Sources, runs: RunSet) -> Evidence:
    """Error on sparsities held out of the fit against twice the published fits' in sample."""
    held_out = sources.comparison(runs.table).assessment("joint").holdout("one sparsity")
    if held_out.log_rmse is None:
        raise InputError(held_out.refused)
    limit = 2 * max(float(sources.law(n).record["log_rmse"]) for n in ("vit-jft", "t5-c4"))
    return Evidence(
        runs.label, runs.own, "log-RMSE on unseen sparsities", held_out.log_rmse,
        error_interval(held_out.log_rmse, held_out.runs), Region(0, limit), "%",
    )  # fmt: skip


def effect_grows(sources: Sources, runs: RunSet) -> Evidence:
    """How the gain at equal non-zero size and data changes with data."""
    found = pairs(sources.runs(runs.table), sources.law(runs.law).joint).slope(relative=True)
    return of_estimate(
        runs.label, True, "gain of sparsity at equal N and data, of the loss a doubling", found,
        Region(0.0), "%",
    )  # fmt: skip


def regret(sources: Sources, runs: RunSet) -> Evidence:
    """Loss of the law's choice of sparsity over the best one measured, at equal N and cost."""
    table, law = sources.runs(runs.table), sources.law(runs.law).joint
    found = pairs(table, law, data=1.0)
    lost = []
    for N, D in {
        (n, d)
        for n, d in zip(
            np.round(np.log(found.nonzero_params), 1),
            np.round(np.log(found.data_seen), 1),
            strict=True,
        )
    }:
        here = (np.round(np.log(found.nonzero_params), 1) == N) & (
            np.round(np.log(found.data_seen), 1) == D
        )
        S, gain = np.append(0.0, found.sparsity[here]), np.append(0.0, found.gain[here])
        size, data = found.nonzero_params[here][0], found.data_seen[here][0]
        lost.append(gain.max() - gain[np.argmin(law(S, size, data * (1 - S)))])
    return of_estimate(
        runs.label, True, "loss of the law's choice over the best measured, equal N and cost",
        t_interval(lost), Region(high=SIMILAR), "%", note=f"{len(lost)} choices",
    )  # fmt: skip


CLAIMS = (
    Claim(
        "S1", "An optimal sparsity exists for a given effective model size and training budget.",
        "", f"at {LAST:g} times the dense compute optimum (dense cost) the law's best sparsity "
        f"lies between {INNER:.0%} and {1 - INNER:.0%}",
        "notebooks/optimal_sparsity.md", optimum_exists,
    ),
    Claim(
        "S2", "Sparsity improves efficiency especially when the training time is short.",
        "contradicted by C7 [P]",
        "best sparsity falls with training in the law, and in the runs the gain of sparse over "
        "dense in nats at equal N and training cost falls with training: the opposite of C7",
        "notebooks/optimal_sparsity.md", short_training,
    ),
    Claim(
        "S3", "Sparse models are as good as dense ones, or better, at the same compute.", "",
        f"at equal N and training cost, trained longest, the gain is above {-SIMILAR:.0%} of the "
        f"loss (law: at {LAST:g} times the dense compute optimum, dense cost)",
        "notebooks/optimal_sparsity.md", as_good_at_equal_cost,
    ),
    Claim(
        "S6", "The law predicts performance at different sparsities accurately.", "",
        "log-RMSE on sparsities held out of the fit below twice the larger of the published fits' "
        "in sample",
        "notebooks/law_forms.md",
        lambda s: ask(EVERY, lambda runs: accurate_at_unseen_sparsity(s, runs)),
    ),
    Claim(
        "S7", "The effect of sparsity grows as training goes on.", "",
        "in the runs, compared at equal N and data, the gain of sparse over dense, as a share "
        "of the loss, rises with training",
        "notebooks/optimal_sparsity.md", lambda s: ask(OURS, lambda runs: effect_grows(s, runs)),
    ),
    Claim(
        "S8", "The law guides the choice of a compression strategy.", "",
        f"choosing a sparsity at given N and training cost by the law loses less than "
        f"{SIMILAR:.0%} against the best one measured",
        "notebooks/simulator.md", lambda s: ask(OURS, lambda runs: regret(s, runs)),
    ),
)  # fmt: skip
