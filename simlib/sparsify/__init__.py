"""Sparse training of any `nn.Module`: schedule x pattern x pruner, in two lines."""

from simlib.sparsify.pattern import NM, Block, Global, Pattern
from simlib.sparsify.pruner import (
    PRUNERS,
    Acdc,
    Candidates,
    FromCheckpoint,
    Gmp,
    Pruner,
    RandomGradual,
    RandomStatic,
    RigL,
    Set,
    make_pruner,
)
from simlib.sparsify.quantiser import Quantiser, quantise
from simlib.sparsify.schedule import (
    SCHEDULES,
    Constant,
    Cubic,
    GeometricDensity,
    OneShot,
    Schedule,
    make_schedule,
)
from simlib.sparsify.select import OUT, nonzero_target
from simlib.sparsify.sparsifier import Sparsifier
from simlib.sparsify.targets import embedding_sparsity
from simlib.sparsify.watch import MaskHistory, survival_by_size

__all__ = [
    "NM",
    "OUT",
    "PRUNERS",
    "SCHEDULES",
    "Acdc",
    "Block",
    "Candidates",
    "Constant",
    "Cubic",
    "FromCheckpoint",
    "GeometricDensity",
    "Global",
    "Gmp",
    "MaskHistory",
    "OneShot",
    "Pattern",
    "Pruner",
    "Quantiser",
    "RandomGradual",
    "RandomStatic",
    "RigL",
    "Schedule",
    "Set",
    "Sparsifier",
    "embedding_sparsity",
    "make_pruner",
    "make_schedule",
    "nonzero_target",
    "quantise",
    "survival_by_size",
]
