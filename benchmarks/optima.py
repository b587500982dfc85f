"""Whether a fit ends at the optimum: ours against the best of 200 starts of scipy, table by table.

    python benchmarks/optima.py   500 drawn tables and 100 pathological ones: hours

What scipy reaches on a table is kept in _build/optima.jsonl as soon as it is known: the same
command goes on where it stopped, and coverage.py counts what there is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from drawn import drawn, pathological
from scipy.optimize import least_squares

from simlib.fit import DEFAULT_OBJECTIVE, JOINT, fit
from simlib.fit.diagnosis import AGREEMENT
from simlib.fit.preparation import prepare
from simlib.fit.problem import Problem
from simlib.laws.law import Array
from simlib.pages.coveragefile import Optima
from simlib.runs.cells import Columns

KEPT = Path(__file__).resolve().parent.parent / "_build" / "optima.jsonl"
STARTS = 200
SHORT, WHOLE = 25, 300  # evaluations of a start, and of one that goes on to its end
CLOSE, FEW = 1.05, 5  # starts that go on: so close to the best, and so many
ORDINARY, ODD = 500, 100
NEAR = 1e-6  # relative excess over the best of scipy, up to which a fit ends there


def tables() -> Iterator[tuple[str, Columns]]:
    """All tables, by name."""
    for number in range(ODD):
        kind, runs = pathological(number)
        yield f"{kind} {number}", runs
    for number in range(ORDINARY):
        yield f"drawn {number}", drawn(number).runs


def least_of_scipy(problem: Problem, begin: Array) -> float:
    """The best objective that scipy's trust region reaches from starts (starts, k).

    Every start is followed a short way, the best of them to their ends.
    """
    design, target = problem.design, problem.target

    def parts(theta: Array) -> Array:
        return np.asarray(np.exp(np.minimum(design @ theta, 600)))

    def residual(theta: Array) -> Array:
        return np.asarray(problem.objective.target(parts(theta).sum(axis=1)) - target)

    def jacobian(theta: Array) -> Array:
        part = parts(theta)
        share = part / part.sum(axis=1, keepdims=True) if problem.objective.log else part
        return np.asarray((share[:, None, :] @ design)[:, 0])

    def follow(start: Array, evaluations: int) -> tuple[float, Array]:
        found = least_squares(
            residual,
            np.clip(start, problem.lower + 1e-6, problem.upper - 1e-6),
            jacobian,
            (problem.lower, problem.upper),
            loss="huber",
            f_scale=problem.objective.delta,
            x_scale="jac",
            max_nfev=evaluations,
            ftol=1e-12,
            xtol=1e-12,
            gtol=1e-12,
        )
        return float(found.cost) / len(target), found.x

    ends = sorted((follow(start, SHORT) for start in begin), key=lambda end: end[0])
    close = [end for end in ends[:FEW] if end[0] <= CLOSE * ends[0][0]]
    return min(follow(theta, WHOLE)[0] for _, theta in close)


def kept() -> dict[str, float]:
    """What scipy is known to reach, by table."""
    lines = KEPT.read_text().splitlines() if KEPT.is_file() else []
    return dict(json.loads(line) for line in lines)


def against_scipy() -> tuple[Optima, ...]:
    """Our fits of the tables of which it is known what scipy reaches, by kind of table."""
    known = kept()
    found: dict[str, list[tuple[float, bool]]] = {}
    for name, runs in tables():
        if name in known:
            law = fit(runs, resamples=0, profile_resamples=0)
            kind = "drawn" if name.startswith("drawn") else "pathological"
            found.setdefault(kind, []).append(
                (law.value / known[name] - 1, law.agreeing < AGREEMENT)
            )
    return tuple(
        Optima(
            kind,
            len(rows),
            sum(excess <= NEAR for excess, _ in rows),
            sum(excess < -NEAR for excess, _ in rows),
            max(excess for excess, _ in rows),
            sum(said for _, said in rows),
        )
        for kind, rows in found.items()
    )


def main() -> None:
    """Follow scipy's starts on every table of which it is not known yet what they reach."""
    KEPT.parent.mkdir(exist_ok=True)
    known = kept()
    for name, runs in tables():
        if name not in known:
            at, _, begin = prepare(runs, JOINT, DEFAULT_OBJECTIVE, STARTS, np.random.default_rng(9))
            with KEPT.open("a") as file:
                file.write(json.dumps([name, least_of_scipy(at.problem, begin)]) + "\n")
    for line in against_scipy():
        click.echo(str(line))


if __name__ == "__main__":
    main()
