"""The steps of `newton.py` in C: the same method, a hundred times quicker for a small table."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from threading import Thread

import numpy as np

from simlib.errors import InputError
from simlib.fit.problem import VECTOR, Hold, Problem
from simlib.laws.law import Array, Bools, Indices
from simlib.native import load

MOST = 16  # coefficients, as in newton.c
SHARED = 256  # members from which the cores share the work
_SOURCE = Path(__file__).with_name("newton.c")
_INTEGERS = ("members", "parts", "terms", "k", "log", "target_stride", "weights_stride", "steps")
_POINTERS = (
    "first",
    "coordinate",
    "values",
    "offset",
    "target",
    "weights",
    "lower",
    "upper",
    "valleys",
    "at",
    "row",
    "constant",
)
NUMBERS = ("delta", "tolerance", "ridge", "least", "damping", "less", "more")


class _Problem(ctypes.Structure):
    """As in newton.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in _INTEGERS),
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_double) for name in NUMBERS),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """The compiled steps; None where there is no C compiler, and then numpy takes them."""
    try:
        found = load(_SOURCE, "the steps of a fit", "wait for numpy's")
    except InputError:
        return None
    found.minimise.restype = None
    return found


def usable(problem: Problem) -> bool:
    """Whether compiled steps can be taken."""
    return problem.design.shape[-1] <= MOST and library() is not None


def minimise(
    problem: Problem, theta: Array, max_steps: int, hold: Hold | None, numbers: tuple[float, ...]
) -> tuple[Array, Array, Bools]:
    """Local minima from starts theta (members, k): theta, objective and converged, per member.

    Members share the cores: what one finds does not depend on the others.
    """
    value, converged = np.empty(len(theta)), np.empty(len(theta), dtype=np.bool_)
    ends = np.array(theta, dtype=float)

    def take(these: Indices) -> None:
        own = None if hold is None else hold.members(these)
        found = _steps(problem.members(these), ends[these], max_steps, own, numbers)
        ends[these], value[these], converged[these] = found

    shares = np.array_split(np.arange(len(theta)), _cores() if len(theta) >= SHARED else 1)
    workers = [Thread(target=take, args=(these,)) for these in shares[1:]]
    for worker in workers:
        worker.start()
    take(shares[0])
    for worker in workers:
        worker.join()
    return ends, value, converged


def _cores() -> int:
    """How many threads may work: OMP_NUM_THREADS, as for every compiled library, or all cores."""
    if named := os.environ.get("OMP_NUM_THREADS", "").split(",")[0]:
        return max(int(named), 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _steps(
    problem: Problem, theta: Array, max_steps: int, hold: Hold | None, numbers: tuple[float, ...]
) -> tuple[Array, Array, Bools]:
    """`minimise` on one core; theta is overwritten."""
    found = library()
    assert found is not None
    packed, (members, k) = problem.packed, theta.shape
    if hold is None:
        hold = Hold(np.full(members, -1), np.zeros((members, k)), np.zeros(members))
    value, converged = np.empty(members), np.empty(members, dtype=np.bool_)
    valleys = np.array([*(i for valley in problem.valleys for i in valley), -1], dtype=np.int64)
    arrays = [*packed, problem.lower, problem.upper, valleys, *hold, theta, value, converged]
    kept = [np.ascontiguousarray(a) for a in arrays]  # must outlive the call
    *inputs, to_theta, to_value, to_converged = (a.ctypes.data for a in kept)
    parts = packed.target.shape[-1] // VECTOR
    asked = _Problem(
        members,
        parts,
        problem.design.shape[1],
        k,
        problem.objective.log,
        parts * (problem.target.ndim == 2),
        parts * (problem.weights.ndim == 2),
        max_steps,
        *inputs,
        *numbers,
    )
    found.minimise(
        ctypes.byref(asked), *(ctypes.c_void_p(a) for a in (to_theta, to_value, to_converged))
    )
    return theta, value, converged
