"""What a sweep says of its law: noise and misfit, order of sparsities, what is identified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from simlib.analysis.contrasts import Estimate, Spread
from simlib.analysis.numbers import number, percent, with_interval
from simlib.analysis.sweepchecks import (
    DataStep,
    Order,
    closed,
    identified,
    interaction,
    lack_of_fit,
)
from simlib.fit import log_residuals
from simlib.laws.law import Array, JointLaw
from simlib.laws.lawfile import LawFile
from simlib.pages.lawtables import estimate
from simlib.pages.recipes import NORMS, Attempt
from simlib.pages.tables import Table
from simlib.runs.table import RunTable

BENDS = {  # by the sign of the interaction of size and data
    1: "gain more from data than the law says",
    -1: "gain less from data than the law says",
    0: "gain as much from data as the law says, within the interval",
}
TINY = 1e-6  # a p-value below it is not worth its digits
EXPONENTS = ("b_S", "b_N", "b_D")


def noise_table(law_file: LawFile, runs: RunTable, spread: Spread) -> Table:
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
            f"spread over seeds ({spread.cells} settings, {spread.degrees} degrees of freedom)",
            f"{percent(spread.deviation, 2)} ({percent(low, 2)} to {percent(high, 2)})",
        ),
        ("misfit of the law that seeds do not explain", percent(test.misfit, 2)),
        ("lack of fit: F, p", f"{number(test.F)}, {p_value(test.p)}"),
        ("residual by each doubling of both size and data", signed(interaction(law_file, runs))),
    ]
    if errors:
        said = "standard error of one validation loss (one set for all runs)"
        rows.append((said, percent(float(np.mean(errors)), 2)))
    return Table(("", "share of the loss"), rows)


def p_value(p: float) -> str:
    """A p-value with two digits, or that it is tiny."""
    return number(p, 2) if p >= TINY else f"below {TINY:g}"


def data_table(steps: Sequence[DataStep]) -> Table:
    """Fall of log loss with each doubling of data, and whether it grows where no law lets it."""
    rows = [
        (
            f"{step.low:,.0f} to {step.high:,.0f}", signed(step.gain, 1), f"{step.predicted:+.1%}",
            "" if step.growth is None else signed(step.growth, 1),
            "" if step.growth is None else "yes" if step.growth.sign > 0 else "no",
        )
        for step in steps
    ]  # fmt: skip
    header = ("data", "fall of log loss a doubling", "by the law", "more than the step before",
              "grows")  # fmt: skip
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
            f"{percent(step.low, 1)} to {percent(step.high, 1)}",
            f"{step.better} of {step.settings}", number(step.expected, 3),
            signed(step.gain, 1), f"{step.predicted:+.1%}",
        )
        for step in found.steps
    ]  # fmt: skip
    whole = f"{found.ordered} of {found.settings}"
    rows.append(("all in the law's order", whole, number(found.expected, 3), "", ""))
    header = ("step in sparsity", "sparser is better", "expected by law and noise",
              "lower loss", "lower loss, by the law")  # fmt: skip
    return Table(header, rows)


def identified_table(law_file: LawFile) -> Table:
    """Each coefficient, and what follows from them, with both intervals, and whether known."""
    law, record = law_file.joint, law_file.record
    said = {True: "yes", False: "no"}
    known = identified(law_file)
    rows = []
    for name in law.names():
        ends = (record.get(kind, {}).get(name) for kind in ("intervals", "profile_intervals"))
        texts = ["–" if pair is None else " to ".join(map(number, pair)) for pair in ends]
        answer = said[known[name]] if name in known else "–"
        rows.append((name, number(float(getattr(law, name))), *texts, answer))
    for name, found in record.get("quantities", {}).items():
        pairs = [found["interval"], found["profile_interval"]]
        texts = ["–" if pair is None else " to ".join(map(number, pair)) for pair in pairs]
        rows.append((name, number(found["value"]), *texts, said[closed(found["profile_interval"])]))
    return Table(("coefficient", "estimate", "resampled runs", "profile", "identified"), rows)


def exponent_table(law_file: LawFile, published: Sequence[LawFile], level: float = 0.9) -> Table:
    """Exponents and multipliers with intervals, beside the published ones and what they exclude.

    An exponent's interval is its profile interval where there is one. The last column names the
    published values that lie outside the interval.
    """
    quantities: dict[str, Callable[[JointLaw], Array]] = {
        **{name: partial(_coefficient, name=name) for name in EXPONENTS},
        **{f"eff({percent(S, 1)})": partial(JointLaw.multiplier, S=S) for S in (0.5, 0.75, 0.875)},
    }
    profiles = law_file.record.get("profile_intervals", {})
    rows = []
    for name, quantity in quantities.items():
        value, resampled = estimate(law_file, quantity, level)
        low, high = profiles.get(name, resampled or (None, None))
        theirs = {f.name: float(quantity(f.joint)) for f in published}
        outside = [
            n for n, v in theirs.items()
            if (low is not None and v < low) or (high is not None and v > high)
        ]  # fmt: skip
        rows.append((name, with_interval(value, (low, high)), *map(number, theirs.values()),
                     ", ".join(outside) or "none"))  # fmt: skip
    return Table(("", law_file.name, *(f.name for f in published), "outside"), rows)


def _coefficient(law: JointLaw, name: str) -> Array:
    return np.asarray(getattr(law, name))


def rate_curves(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """Recipe runs that differ in their rate alone, by rising rate; single runs are left out."""
    curves: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        own = {k: v for k, v in attempt.config.canonical.items() if k != "lr"}
        curves.setdefault(repr(sorted(own.items())), []).append(attempt)
    return [sorted(c, key=lambda a: a.config.peak_lr) for c in curves.values() if len(c) > 1]


def rate_table(attempts: Sequence[Attempt]) -> Table:
    """Best peak rate of each curve, whether it is at the edge of the grid, and the cliff above."""
    rows = []
    for curve in rate_curves(attempts):
        losses = np.array([a.run.loss for a in curve])
        best = int(losses.argmin())
        config = curve[best].config
        edge = " (edge)" if best in (0, len(curve) - 1) else ""
        rows.append((
            f"{config.nonzero_params:,}", str(config.shape.width), percent(config.sparsity),
            NORMS[config.qk_norm], number(config.peak_lr) + edge, number(losses[best], 4),
            *(_above(losses, best + k) for k in (1, 2)),
            percent(max(_cliff(losses), 0.0), 1),
        ))  # fmt: skip
    header = ("non-zero weights", "width", "sparsity", "queries and keys", "best rate", "loss",
              "next rate", "the one after", "steepest step")  # fmt: skip
    return Table(header, rows)


def _above(losses: Array, at: int) -> str:
    return "–" if at >= len(losses) else f"{losses[at] / losses.min() - 1:+.1%}"


def _cliff(losses: Array) -> float:
    return float((losses[1:] / losses[:-1]).max() - 1)
