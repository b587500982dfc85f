"""The answer of the first page: what to train at a budget, and a way to the planner."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from simlib.analysis.numbers import count, number, percent
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.optimum import COSTS, CostModel, chinchilla_flops, optimal_sparsity
from simlib.pages.law_answers import estimate
from simlib.pages.tables import LinkedTable, Table
from simlib.simulate.allocate import TrainingCost
from simlib.simulate.fixedsize import dense_size, loss_saved, sparsity_at
from simlib.simulate.speedup import parse_speedups

MULTIPLES = (1, 4, 20, 100, 200)  # budgets, in dense compute optima
FEW_SPARSE = 0.5  # the least sparsity above 0 of any released run
WIDTH = 1024  # of the model whose measured speed-ups are shown
COST_NAMES: dict[str, TrainingCost] = {
    "Zeros cost as much as weights while training": COSTS["dense"],
    f"Zeros save what our CPU kernels save at width {WIDTH:,}": parse_speedups(f"cpu@{WIDTH}"),
    "Zeros are skipped": COSTS["sparse"],
}
COLUMNS = ("best sparsity", "saves", "as dense of")
BETWEEN, BEYOND = "†", "‡"  # no run as sparse; sparser or longer than any run


@dataclass(frozen=True)
class Preset:
    """A model that people recognise: non-zero parameters and the data of its dense run."""

    nonzero_params: float
    data_seen: float


PAPER_COSTS = (COSTS["dense"], COSTS["sparse"])
PRESETS = (Preset(1e9, 1e11), Preset(7e9, 2e12), Preset(70e9, 15e12))


class DecisionTable:
    """What to train at a fixed size, by training cost, budget and law.

    `laws` by the words for what they were fitted to; each must have an ensemble. `sections` holds
    one list of rows for each cost model; a row is a budget and three cells for each law.
    """

    def __init__(self, laws: Mapping[str, FittedLaw]) -> None:
        self.laws = laws
        self.sections = {
            name: [
                (f"{m} ×", *(cell for law in laws.values() for cell in advice(law, m, cost)))
                for m in MULTIPLES
            ]
            for name, cost in COST_NAMES.items()
        }

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        groups = "".join(
            f'<th scope="colgroup" colspan="{len(COLUMNS)}">{html.escape(name)}</th>'
            for name in self.laws
        )
        names = "".join(f'<th scope="col">{name}</th>' for _ in self.laws for name in COLUMNS)
        head = f'<tr><th scope="col" rowspan="2">compute</th>{groups}</tr><tr>{names}</tr>'
        body = "".join(f"<tbody>{self._section(name)}</tbody>" for name in self.sections)
        table = f'<table class="table decision"><thead>{head}</thead>{body}</table>'
        lines = [row for rows in self.sections.values() for row in rows]
        return {"text/html": table, "text/plain": "\n".join("\t".join(row) for row in lines)}

    def _section(self, name: str) -> str:
        span = 1 + len(COLUMNS) * len(self.laws)
        title = f'<tr><th scope="rowgroup" colspan="{span}">{html.escape(name)}</th></tr>'
        return title + "".join(
            f'<tr><th scope="row">{row[0]}</th>'
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
            + "</tr>"
            for row in self.sections[name]
        )


def advice(law_file: FittedLaw, multiple: float, cost: TrainingCost) -> tuple[str, str, str]:
    """Best sparsity at a budget in dense optima, the loss it saves, the dense size as good."""
    S, ends = estimate(law_file, partial(sparsity_at, multiple=multiple, cost=cost))
    mark = far_from_runs(law_file, S, multiple, cost)
    sparsity = f"{percent(S)}{_between(ends)}{mark and f' {mark}'}"
    if S == 0:
        return sparsity, "", ""
    saved, ends = estimate(law_file, partial(loss_saved, multiple=multiple, cost=cost))
    size = estimate(law_file, partial(dense_size, multiple=multiple, cost=cost))
    return sparsity, f"{percent(saved)}{_between(ends)}", _dense_size(*size)


def _between(ends: tuple[float, float] | None) -> str:
    if ends is None or ends[0] == ends[1]:
        return ""
    low, high = (f"{100 * end:.0f}" for end in ends)
    return f" ({low}–{high})"


def _dense_size(size: float, ends: tuple[float, float] | None) -> str:
    value = "none" if math.isinf(size) else f"{number(size, 2)} N"
    low, high = ends or (size, size)
    if math.isinf(low):
        return value
    if math.isinf(high):
        return f"{value} (from {number(low, 2)})"
    return f"{value} ({number(low, 2)}–{number(high, 2)})"


def far_from_runs(law_file: FittedLaw, S: float, multiple: float, cost: TrainingCost) -> str:
    """The marks of an answer beyond the runs behind a law; empty where it lies among them."""
    beyond = law_file.fitted_range.sparsity[1] < S
    beyond |= multiple > longest_run(law_file, S, cost)
    return BETWEEN * (0 < S < FEW_SPARSE) + BEYOND * beyond


def longest_run(law_file: FittedLaw, S: float, cost: TrainingCost) -> float:
    """The largest budget of a run at sparsity S, in dense optima: of the smallest size."""
    span = law_file.fitted_range
    N, D = span.nonzero_params[0], span.data_seen[1]
    flops = FLOP_PER_PARAMETER_AND_DATUM * N * D * float(cost.multiplier(S))
    return float(flops / chinchilla_flops(law_file.joint, N))


def presets_table(law_file: FittedLaw, presets: Sequence[Preset] = PRESETS) -> Table:
    """Models of known sizes: their dense optimum, their budget in it, the best sparsity for it, and
    a link to the planner, which gives the same answer: the budget is fixed in FLOP.
    """
    rows = []
    for preset in presets:
        N, D = preset.nonzero_params, preset.data_seen
        flops = FLOP_PER_PARAMETER_AND_DATUM * N * D
        optimum = float(chinchilla_flops(law_file.joint, N))
        advice = (_preset_advice(law_file, N, flops, flops / optimum, c) for c in PAPER_COSTS)
        address = planner_address(law_file.name, N, flops)
        size = f"[{count(N)} on {count(D)} tokens]({address})"
        tokens = count(optimum / (FLOP_PER_PARAMETER_AND_DATUM * N))
        rows.append((size, f"{tokens} tokens", f"{number(flops / optimum, 2)} ×", *advice))
    header = (
        *("non-zero weights, budget of a dense run", "dense optimum", "compute"),
        *("zeros cost", "zeros skipped"),
    )
    return LinkedTable(header, rows)


def _preset_advice(
    law_file: FittedLaw, N: float, flops: float, multiple: float, cost: CostModel
) -> str:
    S, ends = estimate(law_file, partial(optimal_sparsity, N=N, flops=flops, cost=cost))
    mark = far_from_runs(law_file, S, multiple, cost)
    return f"{percent(S)}{_between(ends)}{mark and f' {mark}'}"


def planner_address(law: str, nonzero_params: float, flops: float, cost: str = "dense") -> str:
    """The planner's address from the first page, with its controls set."""
    setting = {"law": law, "cost": cost}
    setting |= {"N": f"{math.log10(nonzero_params):.2f}", "C": f"{math.log10(flops):.2f}"}
    return f"book/planner.html#{urlencode(setting)}"
