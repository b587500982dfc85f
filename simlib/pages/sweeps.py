"""The pages of a sweep: its runs on the law's curves, noise and misfit, what is identified, its
recipe, and every number of the prose as text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import altair as alt
import numpy as np

from simlib.analysis.contrasts import Estimate
from simlib.analysis.numbers import number, percent, sparsity_text, with_interval
from simlib.analysis.sweepchecks import (
    DataStep,
    LackOfFit,
    Order,
    before_power_law,
    data_steps,
    identified,
    interaction,
    lack_of_fit,
    order,
    without_shortest,
)
from simlib.fit import log_residuals
from simlib.fit.fittedlaw import FittedLaw
from simlib.fit.objective import Objective
from simlib.fit.profile import WIDE, wide
from simlib.laws.law import Array, JointLaw
from simlib.laws.optimum import cost_model
from simlib.pages import charts, law_answers
from simlib.pages.law_answers import bands, estimate
from simlib.pages.names import DATA, nats, spoken
from simlib.pages.optima import contours
from simlib.pages.tables import Table
from simlib.pages.words import counted, listed, out_of, sentence, some
from simlib.runs.cells import Cells, Spread, cells, nominal_sizes, nominal_sparsities, seed_spread
from simlib.runs.table import RunTable

ALONG = {"data_seen": "size", "nonzero_params": "data_seen"}  # the axis, and what is chosen
ROOM = 2.0  # times the largest worth by a law, to which an axis of worth reaches
POINTS = 40  # of a curve


def law_curves(law_file: FittedLaw, runs: RunTable, along: str) -> alt.LayerChart:
    """Every run and the law's curves along data or size; the reader chooses the other one."""
    runs, found, other = runs.finished, cells(runs), ALONG[along]
    family = runs.records[0].family
    titles = {"size": "Non-zero parameters", "data_seen": DATA.get(family, "Data seen")}
    options = _label(np.unique(getattr(found, other))).tolist()
    pick = alt.param(
        name=f"chosen_{other}",
        value=options[len(options) // 2],
        bind=alt.binding_radio(options=options, name=titles[other]),
    )
    title = titles[ALONG["nonzero_params" if along == "data_seen" else "data_seen"]]
    encoding = {
        "x": charts.log_x(along, title, nice=False),
        "y": alt.Y("loss:Q", title=f"Loss ({nats(family)})", scale=alt.Scale(zero=False)),
        "color": charts.sparsity_colour(found.sparsity),
    }
    keep = f"datum.chosen == chosen_{other}"
    curve = alt.Chart(_curve_rows(law_file, found, along)).mark_line()
    point = alt.Chart(_run_rows(runs, other)).mark_point(filled=True, size=60)
    tooltip = ["sparsity:Q", "nonzero_params:Q", "data_seen:Q", "loss:Q"]
    layers = (
        curve.transform_filter(keep).encode(**encoding),
        point.transform_filter(keep).encode(**encoding, tooltip=tooltip),
    )
    text = f"""Measured losses of {len(runs)} runs as points and the curves of the law of
        {spoken(law_file.name)} against {title.lower()}, one colour a sparsity. Points
        on their line speak for the law. Choose {titles[other].lower()} below the chart:
        {", ".join(options)}."""
    layered: alt.LayerChart = charts.describe(alt.layer(*layers).add_params(pick), text)
    return layered


def _curve_rows(law_file: FittedLaw, found: Cells, along: str) -> alt.Data:
    ends = getattr(found, along)
    axis = np.geomspace(ends.min() / 1.2, ends.max() * 1.2, POINTS)
    chosen, levels = np.unique(getattr(found, ALONG[along])), np.unique(found.sparsity)
    S, C, X = np.meshgrid(levels, chosen, axis, indexing="ij")
    N, D = (C, X) if along == "data_seen" else (X, C)
    return charts.rows(sparsity=S, chosen=_label(C), loss=law_file.law(S, N, D), **{along: X})


def _run_rows(runs: RunTable, other: str) -> alt.Data:
    N, D = runs.nonzero_params, runs.data_seen
    return charts.rows(
        sparsity=nominal_sparsities(runs.sparsity),
        nonzero_params=N,
        data_seen=D,
        loss=runs.loss,
        chosen=_label(nominal_sizes(N) if other == "size" else D),
    )


def _label(values: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda v: f"{float(f'{v:.4g}'):,.0f}")(values)


def residuals(law_file: FittedLaw, runs: RunTable, spread: Spread) -> alt.LayerChart:
    """Predicted over measured loss of each setting against data, coloured by size.

    The band is twice the spread over seeds, for a setting with one run.
    """
    found = cells(runs)
    log_law = np.log(law_file.law(found.sparsity, found.nonzero_params, found.data_seen))
    error = np.expm1(log_law - found.log_loss)
    sizes = _label(np.unique(found.size)).tolist()
    data = charts.rows(
        data_seen=found.data_seen,
        error=error,
        size=_label(found.size),
        sparsity=found.sparsity,
        runs=found.runs,
    )
    colours = [light for light, _ in charts.SERIES]
    scale = alt.Scale(domain=sizes, range=[colours[i % len(colours)] for i in range(len(sizes))])
    shapes = alt.Scale(domain=np.unique(found.sparsity).tolist())
    y = alt.Y("error:Q", title="Predicted above measured loss", axis=alt.Axis(format="+.1%"))
    title = DATA.get(runs.records[0].family, "Data seen")
    points = (
        alt.Chart(data)
        .mark_point(filled=True, size=70, opacity=0.85)
        .encode(
            x=charts.log_x("data_seen", title),
            y=y,
            color=alt.Color("size:N", title="Non-zero parameters", scale=scale),
            shape=alt.Shape(
                "sparsity:N",
                title="Sparsity",
                scale=shapes,
                legend=alt.Legend(labelExpr="format(datum.value, '.4~p')"),
            ),
            tooltip=["size:N", "sparsity:Q", "data_seen:Q", "error:Q", "runs:Q"],
        )
    )
    ends = {"low": -2 * spread.deviation, "high": 2 * spread.deviation}
    band = alt.Chart(alt.Data(values=[ends])).mark_rect(opacity=0.15, color=charts.GREY[0])
    shade = band.encode(y=alt.Y("low:Q"), y2="high:Q")
    outside = int((np.abs(error) > 2 * spread.deviation).sum())
    text = f"""How far the law's loss lies above the measured one, for {len(error)} settings against
        the data seen, coloured by size. {sentence(some(outside, "lies", "lie"))} outside the grey
        band of twice the spread over seeds; the farthest is off by
        {percent(float(np.abs(error).max()), 1)}."""
    layered: alt.LayerChart = charts.describe(shade + points, text)
    return layered


def multipliers(law_files: Sequence[FittedLaw], level: float = 0.9) -> alt.LayerChart:
    """How many dense weights a non-zero weight is worth, against sparsity, with intervals."""
    S = np.linspace(0, 0.95, 39)

    def worth(law: JointLaw) -> np.ndarray:
        return np.asarray(law.multiplier(S))

    columns = []
    for f in law_files:
        low = high = np.full(S.shape, np.nan)
        if f.ensemble is not None:
            low, high = f.interval(worth, dims=1, level=level)
        columns.append(
            charts.rows(law=spoken(f.name), sparsity=S, worth=worth(f.joint), low=low, high=high)
        )
    at = ", ".join(
        f"{number(float(f.joint.multiplier(0.75)))} for {spoken(f.name)}" for f in law_files
    )
    most = ROOM * max(float(worth(f.joint).max()) for f in law_files)
    cut = max(row["high"] or 0.0 for data in columns for row in data.values) > most
    title = "Dense weights a weight is worth"
    chart = bands(columns, "sparsity", "worth", "Sparsity", title, most=most if cut else None)
    cut_off = f" The axis ends at {number(most, 2)}; an interval that reaches it goes on." * cut
    text = f"""Size of the dense model of equal loss over the non-zero weights, against sparsity,
        with intervals of {percent(level)}. At 75% sparsity it is {at}.{cut_off}"""
    layered: alt.LayerChart = charts.describe(chart, text)
    return layered


def optimum_lines(law_file: FittedLaw, runs: RunTable, cost: str) -> alt.LayerChart:
    """Lines of equal optimal sparsity and the dense optimum, with the runs where they lie."""
    runs = runs.finished
    N, S = runs.nonzero_params, runs.sparsity
    sizes = np.geomspace(N.min() / 2, N.max() * 8, 12)
    flops = cost_model(cost).flops(S, N, runs.data_seen)
    points = alt.Chart(charts.rows(nonzero_params=N, flops=flops))
    lines = contours(law_file, cost, sizes)
    marks = points.mark_point(size=25, opacity=0.6, color=charts.GREY[0]).encode(
        x=charts.log_x("nonzero_params", "Non-zero parameters"),
        y=alt.Y("flops:Q", scale=alt.Scale(type="log")),
    )
    text = f"{lines.description} Grey rings are the {len(runs)} runs of the sweep."
    layered: alt.LayerChart = charts.describe(lines + marks, text)
    return layered


BENDS = {  # by the sign of the interaction of size and data
    1: "gain more from data than the law says",
    -1: "gain less from data than the law says",
    0: "gain as much from data as the law says, within the interval",
}
TINY = 1e-6  # a p-value below it is not worth its digits
EXPONENTS = ("b_S", "b_N", "b_D")


def noise_table(law_file: FittedLaw, runs: RunTable, spread: Spread) -> Table:
    """Residuals of the law beside the spread over seeds and the error of the validation set."""
    runs = runs.finished
    residual = log_residuals(
        law_file.law, runs.sparsity, runs.nonzero_params, runs.data_seen, runs.loss
    )
    rmse, test = float(np.sqrt((residual**2).mean())), lack_of_fit(law_file, runs, spread)
    errors = [r.loss_stderr / r.loss for r in runs if r.loss_stderr is not None]
    low, high = (0.0 if end is None else end for end in spread.interval)
    rows = [
        ("residuals of the law, log-RMSE", percent(rmse, 2)),
        ("largest residual", percent(float(np.abs(residual).max()), 1)),
        (
            f"spread over seeds ({counted(spread.cells, 'setting')}, "
            f"{counted(spread.degrees, 'degree of freedom', 'degrees of freedom')})",
            f"{percent(spread.deviation, 2)} ({percent(low, 2)} to {percent(high, 2)})",
        ),
        ("misfit of the law that seeds do not explain", percent(test.misfit, 2)),
        ("lack of fit", f"F = {number(test.F)}, {p_value(test.p)}"),
        ("residual by each doubling of both size and data", signed(interaction(law_file, runs))),
    ]
    if errors:
        said = "standard error of one validation loss (one set for all runs)"
        rows.append((said, percent(float(np.mean(errors)), 2)))
    return Table(("", "share of the loss"), rows)


def p_value(p: float) -> str:
    """`p = 0.16`, or `p < 1e-6` where it is tiny."""
    return f"p = {number(p, 2)}" if p >= TINY else f"p < {number(TINY, 1)}"


def data_table(steps: Sequence[DataStep]) -> Table:
    """Fall of log loss with each doubling of data, and whether it grows where no law lets it."""
    rows = [
        (
            f"{step.low:,.0f} to {step.high:,.0f}",
            signed(step.gain, 1),
            f"{step.predicted:+.1%}",
            "" if step.growth is None else signed(step.growth, 1),
            "" if step.growth is None else "yes" if step.growth.sign > 0 else "no",
        )
        for step in steps
    ]
    header = (
        "data",
        "fall of log loss a doubling",
        "by the law",
        "more than the step before",
        "grows",
    )
    return Table(header, rows)


def how_often(found: Order) -> str:
    """How often the law's order was found, beside how often it would if the law held."""
    low, high = found.likely
    if found.ordered < low:
        return "less often than expected"
    return "more often than expected" if found.ordered > high else "about as often as expected"


def signed(found: Estimate, digits: int = 2) -> str:
    """A relative change in percent with its interval, signs written out."""
    low, high = (f"{end or 0:+.{digits}%}" for end in found.interval)
    return f"{found.mean:+.{digits}%} ({low} to {high})"


def order_table(found: Order) -> Table:
    """One row a step in sparsity, and one for the whole order."""
    rows = [
        (
            f"{sparsity_text(step.low)} to {sparsity_text(step.high)}",
            f"{step.better} of {step.settings}",
            number(step.expected, 3),
            signed(step.gain, 1),
            f"{step.predicted:+.1%}",
        )
        for step in found.steps
    ]
    whole = f"{found.ordered} of {found.settings}"
    rows.append(("all in the law's order", whole, number(found.expected, 3), "", ""))
    header = (
        "step in sparsity",
        "sparser is better",
        "expected by law and noise",
        "lower loss",
        "lower loss, by the law",
    )
    return Table(header, rows)


def identified_table(law_file: FittedLaw) -> Table:
    """Each coefficient, and what follows from them, with both intervals, and whether known."""
    law = law_file.joint
    said = {True: "yes", False: "no"}
    known = identified(law_file)
    rows = []
    for name in law.names():
        ends = (found.get(name) for found in (law_file.intervals, law_file.profile_intervals))
        texts = ["–" if pair is None else " to ".join(map(number, pair)) for pair in ends]
        answer = said[known[name]] if name in known else "–"
        rows.append((name, number(float(getattr(law, name))), *texts, answer))
    for name, found in law_file.quantities.items():
        pairs = [found.interval, found.profile_interval]
        texts = ["–" if pair is None else " to ".join(map(number, pair)) for pair in pairs]
        rows.append((name, number(found.value), *texts, said[not wide(found.profile_interval)]))
    return Table(("coefficient", "estimate", "resampled runs", "profile", "identified"), rows)


def exponent_table(
    law_file: FittedLaw, published: Sequence[FittedLaw], level: float = 0.9
) -> Table:
    """Exponents and multipliers with intervals, beside the published ones and what they exclude.

    An exponent's interval is its profile interval where there is one. The last column names the
    published values that lie outside the interval.
    """
    quantities: dict[str, Callable[[JointLaw], Array]] = {
        **{name: partial(_coefficient, name=name) for name in EXPONENTS},
        **{
            f"eff({sparsity_text(S)})": partial(JointLaw.multiplier, S=S)
            for S in (0.5, 0.75, 0.875)
        },
    }
    profiles = law_file.profile_intervals
    rows = []
    for name, quantity in quantities.items():
        value, resampled = estimate(law_file, quantity, level)
        low, high = profiles.get(name, resampled or (None, None))
        theirs = {f.name: float(quantity(f.joint)) for f in published}
        outside = [
            n
            for n, v in theirs.items()
            if (low is not None and v < low) or (high is not None and v > high)
        ]
        rows.append(
            (
                name,
                with_interval(value, (low, high)),
                *map(number, theirs.values()),
                listed(map(spoken, outside)),
            )
        )
    return Table(("", spoken(law_file.name), *(spoken(f.name) for f in published), "outside"), rows)


def _coefficient(law: JointLaw, name: str) -> Array:
    return np.asarray(getattr(law, name))


WORTH_AT = 0.75  # the sparsity at which the worth of a weight is told


@dataclass(frozen=True)
class SweepFacts:
    """The checks of one sweep, of runs that did not diverge and the law fitted to them."""

    law_file: FittedLaw
    laws: tuple[FittedLaw, ...]
    runs: RunTable
    level: float
    spread: Spread
    test: LackOfFit
    bend: Estimate
    order: Order
    steps: tuple[DataStep, ...]
    known: dict[str, bool]
    longer: FittedLaw | None

    def said(self, data: str, significance: float) -> dict[str, str]:
        """Names and texts for the page; `data` names the unit of data, such as "images"."""
        law_file, test = self.law_file, self.test
        value, ends = law_answers.estimate(self.law_file, _worth, self.level)
        low, high = ends or (value, value)
        beside = [float(_worth(f.joint)) for f in self.laws]
        growing = [s for s in self.steps[1:] if s.growth is not None and s.growth.sign > 0]
        return {
            "runs": str(len(self.runs)),
            "sizes": self._span("nonzero_params"),
            "amounts": self._span("data_seen"),
            "repeated": counted(self.spread.cells, "setting"),
            "level": percent(law_file.level),
            "error": percent(law_file.log_rmse, 2),
            "spread": percent(self.spread.deviation, 2),
            "misfit": percent(test.misfit, 2),
            "p": p_value(test.p),
            "significance": percent(significance),
            "fits": "rejects the law" if test.p <= significance else "does not reject the law",
            "bend": signed(self.bend),
            "bends": BENDS[self.bend.sign],
            "ordered": some(self.order.ordered, "comes", "come"),
            "settings": counted(self.order.settings, "setting"),
            "expected": number(self.order.expected, 3),
            "often": how_often(self.order),
            "growing": out_of(len(growing), len(self.steps) - 1, "later step"),
            "use": use_sentence(self.law_file),
            "regime": self._regime(data),
            "without": self._without(),
            "widest": number(high / low, 2),
            "identified": listed(name for name, yes in self.known.items() if yes),
            "unidentified": listed(name for name, yes in self.known.items() if not yes),
            "status": _status(self.law_file),
            "wide": number(WIDE, 1),
            "multiplier": with_interval(value, ends),
            "apart": some(sum(not low <= worth <= high for worth in beside), "lies", "lie"),
            "laws": counted(len(self.laws), "law"),
        }

    def _span(self, name: str) -> str:
        return "{:,.0f} to {:,.0f}".format(*getattr(self.law_file.fitted_range, name))

    def _regime(self, data: str) -> str:
        short = before_power_law(self.steps)
        if short is None:
            return "so none is seen to lie before the power law"
        return f"so runs on {short:,.0f} {data} or less lie before any power law"

    def _without(self) -> str:
        if self.longer is None:
            return "too few amounts of data are left to fit a law"
        worth = with_interval(*law_answers.estimate(self.longer, _worth, self.level))
        error = percent(self.longer.log_rmse, 2)
        return (
            f"the law's log-RMSE is {error}, and a weight at {percent(WORTH_AT)} sparsity is worth "
            f"{worth}"
        )


def use_sentence(law_file: FittedLaw) -> str:
    """Whether the law of a page may be used, and why not where it may not."""
    if law_file.decides:
        return "The law fitted here may be used within the range of its runs."
    return f"The law fitted here must not be used: {law_file.why_not}."


def _status(law_file: FittedLaw) -> str:
    """How the fit and its refits ended, and whether anything may rest on them."""
    ended = {"converged": "converged", "at bound": "ends at a bound of a coefficient"}
    said = ended.get(str(law_file.status), f"has the status {law_file.status}")
    if law_file.converged_members is not None:
        refits = out_of(law_file.converged_members, law_file.refits, "refit")
        said += f", and so did {refits}" if said == "converged" else f"; {refits} converged"
    return said if law_file.decides else f"{said}. Nothing is decided by this law"


def sweep_facts(
    law_file: FittedLaw,
    runs: RunTable,
    laws: Sequence[FittedLaw],
    objective: Objective,
    *,
    level: float = 0.9,
    seed: int = 0,
) -> SweepFacts:
    """All checks of a sweep's page; `laws` are held beside the law of the sweep.

    Raises InputError for runs without repeats, or with too few amounts of data.
    """
    spread = seed_spread(runs, level)
    return SweepFacts(
        law_file,
        tuple(laws),
        runs,
        level,
        spread,
        test=lack_of_fit(law_file, runs, spread),
        bend=interaction(law_file, runs, level),
        order=order(law_file, runs, spread, level, seed),
        steps=data_steps(law_file, runs, level),
        known=identified(law_file),
        longer=without_shortest(runs, objective, seed=seed),
    )


def _worth(law: JointLaw) -> Array:
    return law.multiplier(WORTH_AT)
