"""Laws, tables and sources whose truth is known, for tests of the verdicts."""

from dataclasses import replace
from typing import Any

import numpy as np

from simlib.fit.fittedlaw import FittedLaw, Range
from simlib.laws.law import PUBLISHED, JointLaw
from simlib.runs.table import RunTable
from simlib.simulate.virtual import Noise, virtual_runs

LAPTOP = JointLaw(a_S=4.0, b_S=0.8, c_S=8.0, b_N=0.25, a_D=4e4, b_D=0.35, c=0.6)
SIZES, DATA = 6144 * 2.0 ** np.arange(4), 256_000 * 2.0 ** np.arange(5)
SPARSITIES = [0.0, 0.5, 0.75, 0.875]
RANGE = Range((0.0, 0.875), (SIZES[0], SIZES[-1]), (DATA[0], DATA[-1]))


def law_file(law: JointLaw, name: str = "law", spread: float = 0.01, **known: Any) -> FittedLaw:
    """A law with an ensemble about it: every coefficient off by `spread`, relative."""
    rng = np.random.default_rng(0)
    members = law.vector() * np.exp(spread * rng.standard_normal((200, 7)))
    known = {"log_rmse": 0.01, "runs": 100, "status": "converged", "range": RANGE} | known
    return FittedLaw(name, law, law.from_vector(members), **known)


def table(law: JointLaw = LAPTOP, seed: float = 0.002, repeats: int = 2) -> RunTable:
    """Every sparsity, size and amount of data of a laptop grid, as runs from a law."""
    grid = np.meshgrid(SPARSITIES, SIZES, DATA)
    drawn = virtual_runs(law, *(g.ravel() for g in grid), Noise(seed, 0.0), repeats=repeats)
    return RunTable(
        r.model_copy(
            update={
                "family": "gpt",
                "schedule": "cubic",
                "prune_start": 0.25,
                "prune_end": 0.75,
                "seed": i * repeats // len(drawn),
            }
        )
        for i, r in enumerate(drawn)
    )


def scaled(name: str, **coefficients: float) -> JointLaw:
    """A published law with some coefficients replaced."""
    return replace(PUBLISHED[name], **coefficients)
