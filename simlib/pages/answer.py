"""The answer of the first page: what to train at a budget, and a way to the planner."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from simlib.analysis.numbers import count, number, percent
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.lawfile import LawFile
from simlib.laws.optimum import COSTS, chinchilla_flops
from simlib.pages.claims import LinkedTable
from simlib.pages.law_answers import estimate
from simlib.pages.tables import Table
from simlib.simulate.allocate import TrainingCost
from simlib.simulate.fixedsize import best_sparsity, dense_size, loss_saved
from simlib.simulate.speedup import parse_speedups

MULTIPLES = (1, 4, 20, 100, 200)  # budgets, in dense compute optima
FEW_SPARSE = 0.5  # the least sparsity above 0 of any released run
COST_NAMES: dict[str, TrainingCost] = {
    "zeros cost as much as weights": COSTS["dense"],
    "our CPU kernels, width 1,024": parse_speedups("cpu@1024"),
    "zeros are skipped": COSTS["sparse"],
}


@dataclass(frozen=True)
class Preset:
    """A model that people recognise: non-zero parameters and the data of its dense run."""

    nonzero_params: float
    data_seen: float


PRESETS = (Preset(1e9, 1e11), Preset(7e9, 2e12), Preset(70e9, 15e12))


def decision_table(laws: Mapping[str, LawFile]) -> Table:
    """What to train at a fixed size: one row a cost model and budget, one column a law.

    `laws` by the words for what they were fitted to; each must have an ensemble.
    """
    rows = [
        (name, f"{multiple} ×", *(_advice(law, multiple, cost) for law in laws.values()))
        for name, cost in COST_NAMES.items()
        for multiple in MULTIPLES
    ]
    return LinkedTable(("while training", "compute", *laws), rows)


def _advice(law_file: LawFile, multiple: float, cost: TrainingCost) -> str:
    S, ends = estimate(law_file, partial(best_sparsity, multiple=multiple, cost=cost))
    lines = [f"{percent(S)} sparse{_between(ends)}"]
    if S > 0:
        saved, ends = estimate(law_file, partial(loss_saved, multiple=multiple, cost=cost))
        lines.append(f"saves {percent(saved, 1)}{_between(ends, 1)} of the loss")
        lines.append(_dense_size(law_file, multiple, cost))
    return "\n".join(filter(None, [*lines, far_from_runs(law_file, S, multiple, cost)]))


def _between(ends: tuple[float, float] | None, digits: int = 0) -> str:
    if ends is None:
        return ""
    low, high = (percent(end, digits) for end in ends)
    return f" ({low} to {high})"


def _dense_size(law_file: LawFile, multiple: float, cost: TrainingCost) -> str:
    size, ends = estimate(law_file, partial(dense_size, multiple=multiple, cost=cost))
    if math.isinf(size):
        return "better than any dense model"
    low, high = ends or (size, size)
    most = f"to {number(high, 2)}" if math.isfinite(high) else "or more"
    return f"as good as dense of {number(size, 2)} N ({number(low, 2)} {most})"


def far_from_runs(law_file: LawFile, S: float, multiple: float, cost: TrainingCost) -> str:
    """In what an answer lies beyond the runs behind a law; empty where it does not."""
    reach = longest_run(law_file, S, cost)
    said = []
    if 0 < S < FEW_SPARSE:
        said.append(f"no run between 0 and {percent(FEW_SPARSE)}")
    if law_file.record["range"]["sparsity"][1] < S:
        said.append("sparser than any run")
    if multiple > reach:
        said.append(f"{number(multiple / reach, 2)} × the longest run")
    return "; ".join(said)


def longest_run(law_file: LawFile, S: float, cost: TrainingCost) -> float:
    """The largest budget of a run at sparsity S, in dense optima: of the smallest size."""
    span = law_file.record["range"]
    N, D = span["nonzero_params"][0], span["data_seen"][1]
    flops = FLOP_PER_PARAMETER_AND_DATUM * N * D * float(cost.multiplier(S))
    return float(flops / chinchilla_flops(law_file.joint, N))


def presets_table(law_file: LawFile, presets: Sequence[Preset] = PRESETS) -> Table:
    """Models of known sizes: their budget, the best sparsity for it, and a link to the planner."""
    rows = []
    for preset in presets:
        N, D = preset.nonzero_params, preset.data_seen
        flops = FLOP_PER_PARAMETER_AND_DATUM * N * D
        multiple = float(flops / chinchilla_flops(law_file.joint, N))
        advice = (
            f"{percent(S)}{_between(ends)}"
            for S, ends in (
                estimate(law_file, partial(best_sparsity, multiple=multiple, cost=COSTS[cost]))
                for cost in ("dense", "sparse")
            )
        )
        address = planner_address(law_file.name, N, flops)
        size = f"[{count(N)} on {count(D)} tokens]({address})"
        rows.append((size, f"{number(multiple, 2)} ×", *advice))
    header = ("non-zero weights, budget of a dense run", "compute", "zeros cost", "zeros skipped")
    return LinkedTable(header, rows)


def planner_address(law: str, nonzero_params: float, flops: float, cost: str = "dense") -> str:
    """The planner's address from the first page, with its controls set."""
    setting = {"law": law, "cost": cost}
    setting |= {"N": f"{math.log10(nonzero_params):.2f}", "C": f"{math.log10(flops):.2f}"}
    return f"book/planner.html#{urlencode(setting)}"
