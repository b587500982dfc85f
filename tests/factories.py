"""What many tests make: laws, tables drawn from them, small training runs, records."""

import numpy as np

from simlib.fit.fittedlaw import FittedLaw, Range
from simlib.laws.law import JointLaw
from simlib.runs.cells import Columns as Table
from simlib.runs.config import RunConfig
from simlib.runs.table import RunRecord, RunTable
from simlib.simulate.virtual import Noise, virtual_runs


def random_law(rng: np.random.Generator) -> JointLaw:
    """A plausible law: exponents, asymptote of sparsity and floor all vary."""
    b_N, b_D = rng.uniform(0.2, 0.5), rng.uniform(0.25, 0.8)
    size, data = rng.uniform(1.0, 3.0), rng.uniform(0.3, 1.0)  # nats at 1e7 parameters, 1e9 tokens
    share = rng.uniform(0.3, 0.7)
    scale = size * 1e7**b_N
    return JointLaw(
        a_S=share * scale,
        b_S=rng.uniform(0.6, 1.5),
        c_S=(1 - share) * scale,
        b_N=b_N,
        a_D=data ** (1 / b_D) * 1e9,
        b_D=b_D,
        c=rng.uniform(0.5, 2.0),
    )


def grid(law: JointLaw, noise: float, rng: np.random.Generator) -> Table:
    """100 runs, 4 sparsities x 5 sizes x 5 amounts of data, with multiplicative noise."""
    S, N, D = np.meshgrid(
        [0.0, 0.5, 0.75, 0.875], np.geomspace(1e6, 1e8, 5), np.geomspace(1e8, 1e10, 5)
    )
    S, N, D = S.ravel(), N.ravel(), D.ravel()
    return Table(S, N, D, law(S, N, D) * np.exp(noise * rng.standard_normal(S.size)))


SMALL_RUN = {
    "depth": 1,
    "steps": 100,
    "warmup_steps": 10,
    "valid_windows": 32,
    "mask_interval": 5,
    "seq_len": 32,
}


def run_config(sparsity: float = 0.0, dense_params: int = 6144, **changes: object) -> RunConfig:
    """A run of a second: one layer, a hundred steps, `dense_params` before pruning."""
    size = {"nonzero_params": round(dense_params * (1 - sparsity)), "sparsity": sparsity}
    return RunConfig(**(SMALL_RUN | size | changes))


def run_record(**changes: object) -> RunRecord:
    """A finished run of a family, size and amount of data that mean nothing."""
    fields = {
        "run_id": "a1",
        "family": "gpt",
        "dataset": "python",
        "nonzero_params": 1000,
        "dense_params": 4000,
        "sparsity": 0.75,
        "data_seen": 10**6,
        "loss": 2.5,
        "seed": 0,
        "pruner": "gmp",
    }
    return RunRecord(**(fields | changes))


SWEEP_LAW = JointLaw(a_S=10.0, b_S=0.7, c_S=30.0, b_N=0.3, a_D=2e5, b_D=0.4, c=0.5)


def sweep_table(
    seed_noise: float, misfit: float = 0.0, repeats: int = 3, law: JointLaw = SWEEP_LAW
) -> RunTable:
    """A sweep of 4 sparsities, 4 sizes and 3 amounts of data that obeys a law but for `misfit`."""
    axes = np.meshgrid([0.0, 0.5, 0.75, 0.875], [6e3, 12e3, 24e3, 48e3], [2.5e5, 1e6, 4e6])
    return virtual_runs(law, *axes, Noise(seed_noise, misfit), repeats=repeats, seed=1)


def sweep_law() -> FittedLaw:
    """The law of that sweep as a fit leaves it, with intervals that are only partly closed."""
    rng = np.random.default_rng(0)
    spread = np.exp(0.01 * rng.standard_normal((50, 7)))
    return FittedLaw(
        "truth",
        SWEEP_LAW,
        JointLaw.from_vector(SWEEP_LAW.vector() * spread),
        runs=144,
        log_rmse=0.01,
        range=Range((0, 0.875), (6e3, 48e3), (2.5e5, 4e6)),
        status="converged",
        intervals=dict.fromkeys(SWEEP_LAW.names(), (1.0, 2.0)),
        profile_intervals={"a_S": (1, 100), "b_S": (0.5, 1.0), "c": (None, 1.0)},
    )
