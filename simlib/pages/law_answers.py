"""What a law answers: its coefficients, the worth of sparsity, where it pays; and its formula,
written out for the page to compute as the reader moves it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import altair as alt
import numpy as np

from simlib.analysis.numbers import number, percent, sparsity_text, with_interval
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.costs import FLOP_PER_PARAMETER_AND_DATUM
from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import COSTS, chinchilla_flops, chinchilla_sparsity, compute_multiple
from simlib.pages import charts
from simlib.pages.names import spoken
from simlib.pages.tables import Table
from simlib.simulate.design import QUANTITIES

NO_LIMIT = 1e6  # a weight worth more dense ones than that says that the runs show no limit
SPARSITIES = (0.5, 0.75, 0.875)  # of the paper's comparisons
OPEN = 5.0  # a log interval as wide as that says that the runs do not bound the quantity


def estimate(
    law_file: FittedLaw, quantity: Callable[[JointLaw], Array], level: float = 0.9
) -> tuple[float, tuple[float, float] | None]:
    """A quantity of the law with its interval over the ensemble, None for a law without one."""
    value = float(quantity(law_file.joint))
    if law_file.ensemble is None:
        return value, None
    low, high = law_file.interval(quantity, level=level)
    return value, (float(low), float(high))


def width_table(promised: Mapping[str, float], law_file: FittedLaw, level: float = 0.9) -> Table:
    """How wide a design said that intervals would be, and how wide they are.

    `promised` has the half-widths of log intervals by the names of `simlib.simulate.design`; the
    law's are those of its ensemble.
    """
    rows = []
    for name, width in promised.items():
        low, high = law_file.interval(QUANTITIES[name], level=level)
        reached = float(np.log(high / low) / 2) if low > 0 else math.inf
        said = "open" if reached > OPEN else percent(reached, 1)
        rows.append((name, percent(width, 1), said, number(reached / width, 2)))
    header = ("quantity", "half-width by design", "half-width reached", "reached over design")
    return Table(header, rows)


def coefficient_table(law_files: Sequence[FittedLaw]) -> Table:
    """Coefficients of each law in raw units, one column a law, with intervals where there are."""
    names = JointLaw.names()
    header = ("coefficient", *(spoken(f.name) for f in law_files))
    rows = [
        (
            name,
            *(
                with_interval(float(getattr(f.joint, name)), f.intervals.get(name))
                for f in law_files
            ),
        )
        for name in names
    ]
    rows.append(("objective", *(number(f.value, 5) for f in law_files)))
    rows.append(("log-RMSE", *(percent(f.log_rmse, 2) for f in law_files)))
    return Table(header, rows)


def multiplier_table(law_files: Sequence[FittedLaw], level: float = 0.9) -> Table:
    """Effective-parameter multiplier at 50, 75, 87.5% and in the limit, one row a law."""
    quantities: list[Callable[[JointLaw], Array]] = [
        *(partial(JointLaw.multiplier, S=S) for S in SPARSITIES),
        lambda law: law.multiplier_limit,
    ]
    header = ("law", *(sparsity_text(S) for S in SPARSITIES), "limit")
    rows = [
        (spoken(f.name), *(_worth(*estimate(f, q, level)) for q in quantities)) for f in law_files
    ]
    return Table(header, rows)


def _worth(value: float, interval: tuple[float, float] | None) -> str:
    """A multiplier with its interval; far beyond any experiment it is no number to print."""
    low, high = interval or (value, value)
    if value <= NO_LIMIT:
        return with_interval(value, interval and (low, high if high <= NO_LIMIT else math.inf))
    return "none seen" + (f" (from {number(low)})" if low <= NO_LIMIT else "")


def where_it_pays_table(law_files: Sequence[FittedLaw], cost: str, level: float = 0.9) -> Table:
    """Optimal sparsity at the dense compute optimum, and the compute where 0, 50, 75% is best.

    Compute is in multiples of the Chinchilla cost of the same size; these do not depend on size.
    """
    header = (
        "law",
        "best sparsity at the dense optimum",
        "sparsity pays past",
        "50% is best at",
        "75% is best at",
    )
    rows = []
    for f in law_files:
        cells = [chinchilla_cell(f, cost, level)]
        for S in (0.0, 0.5, 0.75):
            quantity = partial(compute_multiple, S=S, cost=cost)
            cells.append(with_interval(*estimate(f, quantity, level)) + " ×")
        rows.append((spoken(f.name), *cells))
    return Table(header, rows)


def chinchilla_cell(law_file: FittedLaw, cost: str, level: float = 0.9) -> str:
    """Best sparsity at the dense compute optimum, in percent, with its interval."""
    S, interval = estimate(law_file, lambda law: chinchilla_sparsity(law, cost), level)
    return percent(S) + _percents(interval)


def _percents(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    return f" ({percent(interval[0])} to {percent(interval[1])})"


def share_above(law_file: FittedLaw, quantity: Callable[[JointLaw], Array], limit: float) -> float:
    """Share of the ensemble in which a quantity lies above a limit."""
    return float(np.mean(np.asarray(quantity(law_file.members())) > limit))


MOST_SPARSE = 0.99


def size_term(S: str, N: str, law: str = "datum.") -> str:
    """`(a_S (1-S)^b_S + c_S) N^-b_N` as an expression; `law` prefixes each coefficient's name."""
    factor = f"({law}a_S * pow(1 - ({S}), {law}b_S) + {law}c_S)"
    return f"{factor} * pow({N}, -{law}b_N)"


def data_term(D: str, law: str = "datum.") -> str:
    """`(a_D / D)^b_D` as an expression."""
    return f"pow({law}a_D / ({D}), {law}b_D)"


def coefficients(law: JointLaw) -> dict[str, float]:
    """The law's coefficients, as columns for chart data."""
    return {name: float(getattr(law, name)) for name in law.names()}


def _law_rows(laws: Mapping[str, JointLaw], sparsities: np.ndarray) -> alt.Data:
    """One row a law and sparsity, with the law's coefficients and its Chinchilla cost at N = 1."""
    values = [
        {
            "law": name,
            "S": float(S),
            "chinchilla": float(chinchilla_flops(law, 1.0)),
            **coefficients(law),
        }
        for name, law in laws.items()
        for S in sparsities
    ]
    return alt.Data(values=values)


def loss_at_budget(laws: Mapping[str, JointLaw], law: str, multiple: float = 30.0) -> alt.Chart:
    """Loss against sparsity at a size and a budget that the reader sets, with its minimum marked.

    The reader chooses law, cost model, non-zero parameters and training compute as a multiple of
    the dense compute optimum of that size; everything is computed in the page.
    """
    pick_law = alt.param(
        name="law", value=law, bind=alt.binding_select(options=list(laws), name="Law")
    )
    pick_cost = alt.param(
        name="cost",
        value="dense",
        bind=alt.binding_radio(
            options=list(COSTS),
            name="Training cost",
            labels=["dense: masks save nothing", "sparse: zeros are skipped"],
        ),
    )
    size = charts.slider("log10_N", "Non-zero parameters", 6, 12, 9, 0.1)
    budget = charts.slider(
        "log10_multiple", "Compute, in dense optima", -1, 4, float(np.log10(multiple)), 0.05
    )
    costs = ", ".join(f"{c.dense_share} / (1 - datum.S) + {c.sparse_share}" for c in COSTS.values())
    multiplier = f"[{costs}][indexof({list(COSTS)}, cost)]"
    growth = "pow(10, log10_N * (1 + datum.b_N / datum.b_D))"
    base = (
        alt.Chart(_law_rows(laws, np.round(np.linspace(0, MOST_SPARSE, 199), 4)))
        .transform_filter("datum.law == law")
        .transform_calculate(
            flops=f"datum.chinchilla * {growth} * pow(10, log10_multiple)",
        )
        .transform_calculate(
            data=f"datum.flops / ({FLOP_PER_PARAMETER_AND_DATUM} * pow(10, log10_N) * {multiplier})"
        )
        .transform_calculate(
            loss=f"{size_term('datum.S', 'pow(10, log10_N)')} + {data_term('datum.data')} + datum.c"
        )
        .transform_joinaggregate(best="min(loss)")
    )
    x = alt.X("S:Q", title="Sparsity", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1]))
    y = alt.Y(
        "loss:Q", title="Predicted loss (nats per token or image)", scale=alt.Scale(zero=False)
    )
    line = base.mark_line().encode(x=x, y=y)
    optimum = base.transform_filter("datum.loss == datum.best")
    point = optimum.mark_point(filled=True, size=140, color=charts.ORANGE[0]).encode(x=x, y=y)
    said = "'best: ' + format(datum.S, '.0%') + ' sparse'"
    text = (
        optimum.transform_calculate(said=said)
        .mark_text(dy=-16, align="center", fontSize=14, color=charts.ORANGE[0])
        .encode(x=x, y=y, text="said:N")
    )
    layered: alt.Chart = (line + point + text).add_params(pick_law, pick_cost, size, budget)
    return layered


def loss_against_size(law: JointLaw) -> alt.Chart:
    """Loss against non-zero parameters, dense and at the reader's sparsity and data."""
    sparsity = charts.slider("S", "Sparsity", 0, 0.98, 0.75, 0.01)
    data = charts.slider("log10_D", "Data (tokens)", 8, 13, 10.5, 0.1)
    values = {name: repr(value) for name, value in coefficients(law).items()}
    N = "pow(10, datum.log10_N)"
    size = size_term("datum.sparsity", N, law="law_")
    rest = f"{data_term('pow(10, log10_D)', law='law_')} + law_c"
    for name, value in values.items():
        size, rest = size.replace(f"law_{name}", value), rest.replace(f"law_{name}", value)
    base = (
        alt.Chart(alt.sequence(6, 12.01, 0.1, as_="log10_N"))
        .transform_calculate(nonzero_params=N, dense="0", sparse="S")
        .transform_fold(["dense", "sparse"], as_=["model", "sparsity"])
        .transform_calculate(loss=f"{size} + {rest}", without_size=rest)
    )
    x = charts.log_x("nonzero_params", "Non-zero parameters")
    y = alt.Y("loss:Q", title="Predicted loss (nats per token)", scale=alt.Scale(zero=False))
    colours = alt.Scale(domain=["dense", "sparse"], range=[charts.GREY[0], charts.BLUE[0]])
    line = base.mark_line().encode(x=x, y=y, color=alt.Color("model:N", scale=colours, title=None))
    limit = base.mark_line(strokeDash=[4, 4], color=charts.ORANGE[0]).encode(
        x=x, y=alt.Y("without_size:Q")
    )
    layered: alt.Chart = (line + limit).add_params(sparsity, data)
    return layered


def bands(
    columns: Sequence[alt.Data],
    x: str,
    y: str,
    x_title: str,
    y_title: str,
    log: bool = False,
    most: float | None = None,
) -> alt.LayerChart:
    """One line with its interval for each law; data have the fields law, x, y, low and high.

    `most` ends the vertical axis: what lies above is cut off.
    """
    rows = [row for data in columns for row in data.values]
    names = list(dict.fromkeys(row["law"] for row in rows))
    colours = alt.Scale(domain=names, range=[light for light, _ in charts.SERIES][: len(names)])
    axis = alt.X(f"{x}:Q", title=x_title, axis=alt.Axis(format=".0%"))
    if log:
        axis = charts.log_x(x, x_title)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=axis, color=alt.Color("law:N", scale=colours, title="Law")
    )
    scale = alt.Scale(zero=False) if most is None else alt.Scale(zero=False, domainMax=most)
    shade = base.mark_area(opacity=0.18, clip=True).encode(
        y=alt.Y("low:Q", title=y_title, scale=scale), y2="high:Q"
    )
    line = base.mark_line(clip=True).encode(y=alt.Y(f"{y}:Q", title=y_title, scale=scale))
    layered: alt.LayerChart = shade + line
    return layered
