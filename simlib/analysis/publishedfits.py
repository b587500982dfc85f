"""Published fits, held to the objective that their authors minimised: theirs against the least.

A fit that stops before the minimum of its own objective is not what its authors meant to publish.
The coefficients, the objective and what it reached are read where the authors state them, mostly in
their code; nothing is judged by an objective that they did not choose.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.optimize import minimize

from simlib.catalog import Catalog
from simlib.datasets.adapter import load_adapter
from simlib.datasets.published import released_runs
from simlib.datasets.source import find_source
from simlib.errors import InputError
from simlib.fit import DENSE, JOINT, OBJECTIVES, Objective, fit
from simlib.laws.law import PUBLISHED, Array, DenseLaw
from simlib.laws.repeated import Repetition
from simlib.laws.rivals import FREE_MULTIPLIER, FreeMultiplier
from simlib.runs.cellfile import read_cells
from simlib.runs.cells import Columns, Indices, curve_index

STARTS, RESAMPLES, LEVEL = 100, 200, 0.9
TIGHT = {"fatol": 1e-14, "xatol": 1e-6}  # of an objective of 1e-4
FEW = ((1.0, 1.0), (3.0, 1.0), (3.0, 3.0), (6.0, 1.0))  # starts of a refit beside the minimum
SAME = 1e-4  # of an objective: printed coefficients are rounded
APART = 0.15  # of codes of formats, in the logarithm of a density: far enough to be two levels


@dataclass(frozen=True)
class Conclusion:
    """A number that follows from the coefficients: as published, and at the minimum.

    `low` and `high` are the ends of its 90% interval over refits of resampled runs.
    """

    what: str
    published: float
    least: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Whether the published number lies inside the interval."""
        return self.low <= self.published <= self.high


@dataclass(frozen=True)
class Audit:
    """One published fit against the minimum of its objective; objectives are means over runs.

    `reported` is what the authors say that theirs reached, None where they do not; `agreeing` the
    share of starts that end at the minimum.
    """

    name: str
    table: str
    source: str
    stated: str
    runs: int
    reported: float | None
    published: float
    least: float
    agreeing: float
    log_rmse_published: float
    log_rmse_least: float
    conclusions: list[Conclusion]

    @property
    def gap(self) -> float:
        """By what share the minimum lies below the objective at the published coefficients."""
        return 1 - self.least / self.published

    @property
    def at_minimum(self) -> bool:
        """Whether the published coefficients are the minimum, up to how they are rounded."""
        return self.gap <= SAME


@dataclass(frozen=True)
class AuditFile:
    """All audits, and how they were made."""

    made: dict[str, str]
    audits: list[Audit]


CATALOG = Catalog(AuditFile, "audits", "audit of published fits")


def _compare(
    name: str,
    table: str,
    source: str,
    stated: str,
    runs: Any,
    form: Any,
    objective: Objective,
    law: Any,
    conclusions: dict[str, Callable[[Any], Any]],
    reported: float | None = None,
    along: bool = False,
) -> Audit:
    """The audit of a law that the house solver can fit."""
    data = Columns.of(runs)
    found = fit(
        runs,
        form,
        objective,
        starts=STARTS,
        resamples=RESAMPLES,
        profile_resamples=0,
        clusters=curve_index(data.S, data.N) if along else None,
    )
    predicted = law(data.S, data.N, data.D)
    residual = np.log(predicted / data.L)
    return Audit(
        name,
        table,
        source,
        stated,
        len(data),
        reported,
        float(objective.value(predicted, data.L)),
        found.value,
        found.agreeing,
        float(np.sqrt((residual**2).mean())),
        found.log_rmse,
        [
            Conclusion(w, float(q(law)), float(q(found.law)), *_ends(q(found.ensemble)))
            for w, q in conclusions.items()
        ],
    )


def _ends(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _released(which: str) -> Audit:
    table = {"vit": "vit-jft", "t5": "t5-c4"}[which]
    return _compare(
        f"Frantar et al. 2024, {'ViT' if which == 'vit' else 'T5'}",
        table,
        "frantar2024scaling",
        "mean Huber loss, in the released code; BFGS from 25 random starts",
        released_runs("vit" if which == "vit" else "t5"),
        JOINT,
        OBJECTIVES[table],
        PUBLISHED[table],
        {
            "dense parameters per non-zero one at 75% sparsity": lambda law: law.multiplier(0.75),
            "exponent of data": lambda law: law.b_D,
        },
    )


# parameters_delta-4/approach_3_parameters_grid_search_0_{hot,cool_end}.json of their repository:
# exponents, logarithms of the coefficients and of the floor, and the sum that was reached
GEMSTONES = {
    "gemstones-hot": (0.2989180518, 0.6928331414, 5.4574988414, 14.9719740349, 0.7663168139),
    "gemstones-cool": (0.2970133066, 0.6903991635, 5.3627962101, 14.9717677508, 0.7458889548),
}
GEMSTONES_REACHED = {"gemstones-hot": 0.0002076018, "gemstones-cool": 0.0002059406}


def _gemstones(table: str) -> Audit:
    runs = find_source(table).runs
    alpha, beta, log_A, log_B, log_E = GEMSTONES[table]
    law = DenseLaw(np.exp(log_A), alpha, np.exp(log_B), beta, np.exp(log_E))
    return _compare(
        f"McLeish et al. 2025, {'before' if table == 'gemstones-hot' else 'after'} cooldown",
        table,
        "mcleish2025gemstones",
        "sum of Huber losses of log loss, delta 1e-4, in the released code; L-BFGS-B from a grid",
        runs,
        DENSE,
        Objective(1e-4, True),
        law,
        {
            "exponent of the compute-optimal size": lambda law: law.beta / (law.alpha + law.beta),
            "floor in nats": lambda law: law.E,
        },
        GEMSTONES_REACHED[table] / len(runs),
        along=True,
    )


# notebooks/plots.ipynb of their repository, output of the fit: ln A, alpha, ln B, beta, ln E, eff
QUEST = (2.09605662, 6.27265220e-2, 4.45912547, 2.41288351e-1, -6.55478434)
QUEST_EFF = {
    **{"1": 2.05046859e-2, "2": 1.51870911e-1, "3": 4.33126203e-1, "4": 6.91831718e-1},
    **{"8": 1.01619263, "1NOH": 1.55770373e-2, "2NOH": 7.84119072e-2, "3NOH": 3.22107861e-1},
    **{"4NOH": 6.03270679e-1, "8NOH": 9.37628722e-1, "1WO": 1.38419575e-1},
    **{"2WO": 4.13717453e-1, "3WO": 6.53058816e-1, "4WO": 8.40434222e-1},
    **{"4:8": 3.81222089e-1, "fp4": 6.29639028e-1},
}
QUEST_COST = 7.38431448432692e-10  # half the sum of squares, of residuals times 1e-3
QUEST_SCALE = 1e-6


def quest_format(run: dict[str, Any]) -> str:
    """The format of a run as their fit groups it; "16" is trained without quantisation.

    NOH is without, WO weights alone.
    """
    weights, activations = run["w_quant"], run["a_quant"]
    if "FourEight" in weights:
        return "4:8"
    if "FP4" in weights:
        return "fp4"
    if weights == activations == "NoQuantizer":
        return "16"
    bits = str(run["w_bits"])
    if activations == "NoQuantizer":
        return f"{bits}WO"
    return bits if "Hadamard" in weights else f"{bits}NOH"


def _codes() -> tuple[float, ...]:
    """A sparsity for each format but 16 bits, in the order of `QUEST_EFF`."""
    return tuple(round(1 - float(np.exp(-APART * i)), 4) for i in range(1, len(QUEST_EFF) + 1))


def quest_runs() -> tuple[Columns, list[str]]:
    """Every run of QuEST, and its format. Raises InputError where the file cannot be had.

    S is a code of the format, 0 for 16 bits: the free multiplier of a sparsity is that of a format.
    """
    found = json.loads(load_adapter("quest-dense").path().read_bytes())
    formats = [quest_format(run) for run in found]
    codes = dict(zip(("16", *QUEST_EFF), (0.0, *_codes()), strict=True))
    if strange := set(formats) - set(codes):
        raise InputError(f"the fit of QuEST has no format {', '.join(sorted(strange))}")
    return (
        Columns(
            np.array([codes[name] for name in formats]),
            *(
                np.array([run[key] for run in found], dtype=float)
                for key in ("non_embedding_parameters", "tokens", "loss")
            ),
        ),
        formats,
    )


def quest_law() -> FreeMultiplier:
    """The law that they print."""
    log_A, alpha, log_B, beta, log_E = QUEST
    return FreeMultiplier(
        a_N=np.exp(log_A),
        b_N=alpha,
        a_D=np.exp(log_B / beta),
        b_D=beta,
        c=np.exp(log_E),
        eff=tuple(QUEST_EFF.values()),
        levels=_codes(),
    )


def _quest() -> Audit:
    runs, _ = quest_runs()
    names = list(QUEST_EFF)

    def worth(name: str) -> Callable[[Any], Any]:
        return lambda law: law.eff[names.index(name)]

    return _compare(
        "Panferov et al. 2025",
        "quest-dense",
        "panferov2025quest",
        "Huber loss with f_scale 1 of log residuals times 1e-3, in the released code, where it is "
        "least squares; least_squares from a grid, of which the code keeps the last end",
        runs,
        FREE_MULTIPLIER,
        Objective(1.0, True),
        quest_law(),
        {
            "exponent of size": lambda law: law.b_N,
            "floor in nats": lambda law: law.c,
            "16-bit parameters per 4-bit one": worth("4"),
            "16-bit parameters per 1-bit one": worth("1"),
            "16-bit parameters per 4-bit one, half zeros (4:8)": worth("4:8"),
        },
        QUEST_COST / QUEST_SCALE / len(runs),
    )


# their appendix A: fixed from C4, then the two that were fitted to 182 runs, and the sum reached
MUENNIGHOFF = {"a": 6.255414, "b": 7.3049974, "e": 0.6254804, "exponent": 0.3526596}
MUENNIGHOFF_R = (15.387756, 5.309743)  # of data, of parameters
MUENNIGHOFF_REACHED = 0.0158


def repeated_loss(R: Any, N: Array, D: Array, U: Array) -> Array:
    """Loss by equation 7 of Muennighoff et al. 2023, `R` of data and of parameters.

    Sizes beyond what is best for U tokens of data count ever less, as tokens beyond U do.
    """
    exponent = MUENNIGHOFF["exponent"]
    best = np.exp((MUENNIGHOFF["a"] - MUENNIGHOFF["b"]) / exponent) * U
    data = Repetition(R[0]).effective(0.0, D, U)
    size = Repetition(R[1]).effective(0.0, N, best)
    terms = np.exp(MUENNIGHOFF["a"]) * size**-exponent, np.exp(MUENNIGHOFF["b"]) * data**-exponent
    return np.asarray(terms[0] + terms[1] + np.exp(MUENNIGHOFF["e"]))


def repeated_runs() -> tuple[Array, Array, Array, Array]:
    """N, D, distinct data U and loss of all 182 runs. Raises InputError without the files."""
    columns: list[list[float]] = [[], [], [], []]
    for name in ("data-constrained", "data-constrained-test"):
        header, *rows = read_cells(load_adapter(name).path())
        for values, key in zip(columns, ("params", "tokens", "unique_tokens", "loss"), strict=True):
            values += [float(row[header.index(key)]) for row in rows]
    N, D, U, L = (np.array(values) for values in columns)
    return N, D, U, L


def _muennighoff() -> Audit:
    N, D, U, L = repeated_runs()
    objective = Objective(1e-3, True)

    def least(keep: Indices, starts: Sequence[tuple[float, float]]) -> tuple[Array, Array]:
        """Ends and objectives of searches on the kept runs, of logarithms of both R."""
        columns = N[keep], D[keep], U[keep]

        def value(logs: Array) -> float:
            return float(objective.value(repeated_loss(np.exp(logs), *columns), L[keep]))

        found = [minimize(value, x, method="Nelder-Mead", options=TIGHT) for x in starts]
        return np.array([f.x for f in found]), np.array([f.fun for f in found])

    every = np.arange(len(L))
    grid = [(a, b) for a in np.linspace(-2, 8, 12) for b in np.linspace(-2, 8, 12)]
    ends, values = least(every, grid)
    best = ends[values.argmin()]
    rng, drawn = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        again, reached = least(rng.integers(len(L), size=len(L)), [tuple(best), *FEW])
        drawn.append(np.exp(again[reached.argmin()]))
    published = repeated_loss(MUENNIGHOFF_R, N, D, U)
    intervals = [_ends(column) for column in np.transpose(drawn)]

    def rmse(R: Any) -> float:
        return float(np.sqrt((np.log(repeated_loss(R, N, D, U) / L) ** 2).mean()))

    return Audit(
        "Muennighoff et al. 2023, repeated data",
        "data-constrained",
        "muennighoff2023scaling",
        "sum of Huber losses of log loss over 182 runs, delta of Hoffmann et al. 2022 (1e-3), all "
        "but two coefficients fixed before; L-BFGS from a grid",
        len(L),
        MUENNIGHOFF_REACHED / len(L),
        float(objective.value(published, L)),
        float(values.min()),
        float((values <= values.min() * (1 + SAME)).mean()),
        rmse(MUENNIGHOFF_R),
        rmse(np.exp(best)),
        [
            Conclusion(what, R, float(np.exp(end)), *interval)
            for what, R, end, interval in zip(
                ("passes over data after the first that count at most", "the same of parameters"),
                MUENNIGHOFF_R,
                best,
                intervals,
                strict=True,
            )
        ],
    )


AUDITS: dict[str, Callable[[], Audit]] = {
    "vit": lambda: _released("vit"),
    "t5": lambda: _released("t5"),
    "gemstones-hot": lambda: _gemstones("gemstones-hot"),
    "gemstones-cool": lambda: _gemstones("gemstones-cool"),
    "quest": _quest,
    "muennighoff": _muennighoff,
}


@cache
def load_audits(name: str = "published") -> AuditFile:
    """The shipped audits, or the reader's own by path."""
    return CATALOG.load(name)
