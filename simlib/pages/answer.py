"""The answer of the first page: what to train at a budget, and a way to the planner."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlencode

from simlib.analysis.numbers import count, number, percent
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.optimum import COSTS, CostModel, chinchilla_flops, optimal_sparsity
from simlib.pages.law_answers import estimate
from simlib.pages.tables import LinkedTable, Table
from simlib.simulate import fixedtotal
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
EXPERTS = "Experts: all parameters fixed, idle ones cost no training compute"
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
    """What to train, by budget and law: at a fixed size by training cost, then with experts.

    `laws` by the words for what they were fitted to; each must have an ensemble. `sections` holds
    one list of rows for each cost model; a row is a budget and three cells for each law. `experts`
    are at most as many laws of routed models, and `idle` their rows, for a fixed total.
    """

    def __init__(
        self, laws: Mapping[str, FittedLaw], experts: Mapping[str, FittedLaw] | None = None
    ) -> None:
        self.laws, self.experts = laws, dict(experts or {})
        self.sections = {
            name: _rows(laws, partial(advice, cost=cost)) for name, cost in COST_NAMES.items()
        }
        self.idle = _rows(self.experts, expert_advice) if self.experts else []

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        names = self._cells("th", COLUMNS * len(self.laws), ' scope="col"')
        head = f'<tr><th scope="col" rowspan="2">compute</th>{_groups(self.laws)}</tr>'
        body = "".join(
            f"<tbody>{self._title(name)}{self._body(rows)}</tbody>"
            for name, rows in self.sections.items()
        )
        if self.idle:
            missing = "<th></th>" * (len(COLUMNS) * (len(self.laws) - len(self.experts)))
            groups = f"<tr><td></td>{_groups(self.experts)}{missing}</tr>"
            body += f"<tbody>{self._title(EXPERTS)}{groups}{self._body(self.idle)}</tbody>"
        table = f'<table class="table decision"><thead>{head}<tr>{names}</tr></thead>{body}</table>'
        lines = [*(row for rows in self.sections.values() for row in rows), *self.idle]
        return {"text/html": table, "text/plain": "\n".join("\t".join(row) for row in lines)}

    def _title(self, name: str) -> str:
        span = 1 + len(COLUMNS) * len(self.laws)
        return f'<tr><th scope="rowgroup" colspan="{span}">{html.escape(name)}</th></tr>'

    def _body(self, rows: Sequence[tuple[str, ...]]) -> str:
        return "".join(
            f'<tr><th scope="row">{row[0]}</th>{self._cells("td", row[1:])}</tr>' for row in rows
        )

    def _cells(self, tag: str, cells: Sequence[str], more: str = "") -> str:
        return "".join(f"<{tag}{more}>{html.escape(cell)}</{tag}>" for cell in cells)


def _groups(laws: Mapping[str, FittedLaw]) -> str:
    return "".join(
        f'<th scope="colgroup" colspan="{len(COLUMNS)}">{html.escape(name)}</th>' for name in laws
    )


def _rows(
    laws: Mapping[str, FittedLaw], answer: Callable[[FittedLaw, float], tuple[str, str, str]]
) -> list[tuple[str, ...]]:
    """A row for each budget: its multiple, and the three cells of each law."""
    return [
        (f"{m} ×", *(cell for law in laws.values() for cell in answer(law, m))) for m in MULTIPLES
    ]


def advice(law_file: FittedLaw, multiple: float, cost: TrainingCost) -> tuple[str, str, str]:
    """Best sparsity at a budget in dense optima, the loss it saves, the dense size as good."""
    S, ends = estimate(law_file, partial(sparsity_at, multiple=multiple, cost=cost))
    sparsity = _marked(S, ends, far_from_runs(law_file, S, multiple, cost))
    if S == 0:
        return sparsity, "", ""
    saved = estimate(law_file, partial(loss_saved, multiple=multiple, cost=cost))
    return (
        sparsity,
        _share(*saved),
        _dense_size(*estimate(law_file, partial(dense_size, multiple=multiple, cost=cost))),
    )


def expert_advice(law_file: FittedLaw, multiple: float) -> tuple[str, str, str]:
    """Best share of idle parameters at a budget in dense optima of the total, and what it buys."""
    S, ends = estimate(law_file, partial(fixedtotal.idle_share_at, multiple=multiple))
    share = _marked(S, ends, far_from_mixtures(law_file, S, multiple))
    if S == 0:
        return share, "", ""
    saved = estimate(law_file, partial(fixedtotal.loss_saved, multiple=multiple))
    return (
        share,
        _share(*saved),
        _dense_size(*estimate(law_file, partial(fixedtotal.dense_size, multiple=multiple))),
    )


def _marked(S: float, ends: tuple[float, float] | None, mark: str) -> str:
    return f"{_share(S, ends)}{mark and f' {mark}'}"


def _share(value: float, ends: tuple[float, float] | None) -> str:
    return f"{percent(value)}{_between(ends)}"


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


def expert_shares(
    law_files: Sequence[FittedLaw], multiple: float, data_exponent: float | None = None
) -> str:
    """Least and greatest best share of idle parameters over laws of routed models.

    With a data exponent in the place of each law's own, where one is given.
    """
    laws = [
        f.joint if data_exponent is None else replace(f.joint, b_D=data_exponent) for f in law_files
    ]
    found = sorted(float(fixedtotal.idle_share_at(law, multiple)) for law in laws)
    return " to ".join(dict.fromkeys(percent(share) for share in (found[0], found[-1])))


def far_from_mixtures(law_file: FittedLaw, S: float, multiple: float) -> str:
    """The mark of a mixture sparser or longer than any run behind a law of routed models.

    The largest budget of a run at sparsity S, in dense optima of its total, is that of the smallest
    network on all data.
    """
    span = law_file.fitted_range
    N = span.nonzero_params[0]
    flops = FLOP_PER_PARAMETER_AND_DATUM * N * span.data_seen[1]
    longest = float(flops / chinchilla_flops(law_file.joint, N / (1 - S)))
    return BEYOND * (span.sparsity[1] < S or multiple > longest)


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
