"""Which units score highest? Each pruner is one small class that answers only that.

Schedule, pattern and targets decide when, where and how many. A new pruner subclasses `Pruner` and
writes `scores`; it is passed to `Sparsifier(pruner=...)`, or named in a grid by its place.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from simlib.errors import InputError
from simlib.pruning import check_pruner
from simlib.sparsify.schedule import Constant, Schedule
from simlib.sparsify.select import OUT, top_k
from simlib.sparsify.shards import parts


@dataclass(frozen=True)
class Candidates:
    """The units of one tensor at one mask update, as a pruner sees them.

    `magnitude` is float32 per unit, `alive` boolean per unit, `keep` how many units the tensor
    may count on keeping, `step` the number of optimizer steps done. `gradient()` gives the
    magnitude of the dense gradient and `random()` uniform numbers in [0, 1), both per unit;
    the numbers depend on seed, tensor and step alone.
    """

    magnitude: Tensor
    alive: Tensor
    keep: int
    step: int
    schedule: Schedule
    gradient: Callable[[], Tensor]
    random: Callable[[], Tensor]

    @property
    def dense(self) -> bool:
        """Whether nothing is pruned at the moment."""
        return bool(self.alive.all())

    def among_alive(self, scores: Tensor) -> Tensor:
        """The scores of living units; pruned ones are out of the contest."""
        return scores.masked_fill(~self.alive, OUT)


class Pruner:
    """Base of all pruners: override `scores`, and the rest where the method needs it.

    A pruner keeps nothing between two updates, as a checkpoint would not hold it; numbers drawn by
    `units.random()` are the same after a resume. Its settings are its attributes: `repr` says them,
    and a run goes on from saved masks only where they are the same.
    """

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in sorted(vars(self).items()))
        return f"{type(self).__qualname__}({settings})"

    def scores(self, units: Candidates) -> Tensor:
        """Float32 score per unit, >= 0 or `OUT`; the pattern keeps the highest."""
        raise NotImplementedError

    def dense_at(self, t: int, schedule: Schedule) -> bool:
        """Whether the update after step `t` revives everything instead of pruning."""
        return False

    def prepare(self, model: nn.Module, schedule: Schedule) -> None:
        """Called once, before the first mask: refuse what cannot work, load what is needed."""


@dataclass(frozen=True)
class Gmp(Pruner):
    """Gradual magnitude pruning (Zhu & Gupta 2017): the smallest living weights go for good."""

    def scores(self, units: Candidates) -> Tensor:
        return units.among_alive(units.magnitude)


@dataclass(frozen=True)
class Acdc(Gmp):
    """Alternating compressed / decompressed training (Peste et al. 2021).

    Every interval is one phase, sparse first and then dense in turn; the phase from the
    schedule's end on is sparse. A dense phase starts from zero weights and zero optimizer state.
    """

    def dense_at(self, t: int, schedule: Schedule) -> bool:
        return t < schedule.end and (t - schedule.start) // schedule.interval % 2 == 1


def _rewire(units: Candidates, fraction: float, grow: Callable[[], Tensor]) -> Tensor:
    """Keep the largest weights, refill the dropped `fraction` of places by the scores of `grow`."""
    if units.dense:
        # before any step magnitudes carry no information; later they do
        return units.random() if units.step == 0 else units.magnitude
    living = int(units.alive.sum())
    survivors = min(living, units.keep - int(fraction * units.keep))
    kept = top_k(units.among_alive(units.magnitude), survivors)
    return torch.where(kept, torch.inf, grow())


@dataclass(frozen=True)
class RigL(Pruner):
    """Drop by magnitude, grow where the dense gradient is largest (Evci et al. 2020).

    The share of places rewired decays from `drop_fraction` to zero at the schedule's end by half
    a cosine. Grown weights start at zero.

    Raises:
        InputError: a drop fraction outside (0, 1).
    """

    drop_fraction: float = 0.3

    def __post_init__(self) -> None:
        _check_fraction(self.drop_fraction)

    def scores(self, units: Candidates) -> Tensor:
        decay = 0.5 * (1 + math.cos(math.pi * units.schedule.progress(units.step)))
        return _rewire(units, self.drop_fraction * decay, units.gradient)


@dataclass(frozen=True)
class Set(Pruner):
    """Drop by magnitude, grow at random, always the same share (Mocanu et al. 2018).

    Raises:
        InputError: a drop fraction outside (0, 1).
    """

    drop_fraction: float = 0.3

    def __post_init__(self) -> None:
        _check_fraction(self.drop_fraction)

    def scores(self, units: Candidates) -> Tensor:
        return _rewire(units, self.drop_fraction, units.random)


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise InputError(f"A drop fraction of {fraction:g} is impossible: use one between 0 and 1.")


@dataclass(frozen=True)
class RandomGradual(Pruner):
    """The units that go are drawn at random: what gradual pruning gives without magnitudes."""

    def scores(self, units: Candidates) -> Tensor:
        return units.among_alive(units.random())


@dataclass(frozen=True)
class RandomStatic(RandomGradual):
    """One random mask, drawn once and kept: what a sparse network gives without any choice."""

    def prepare(self, model: nn.Module, schedule: Schedule) -> None:
        if not isinstance(schedule, Constant):
            raise InputError(
                f"random_static keeps one mask, so it cannot follow a {schedule.name} ramp: "
                "use the constant schedule, or random_gradual."
            )


@dataclass(frozen=True)
class FromCheckpoint(Gmp):
    """Gradual magnitude pruning of trained weights.

    `weights` (a `state_dict`) is copied into the model first; None means that the model already
    holds them.

    Raises:
        InputError: weights that do not fit the model, when the sparsifier is made.
    """

    weights: Mapping[str, Tensor] | None = field(default=None, repr=False, compare=False)

    def prepare(self, model: nn.Module, schedule: Schedule) -> None:
        if self.weights is None:
            return
        try:
            model.load_state_dict(parts(self.weights, model))
        except RuntimeError as error:
            problem = " ".join(str(error).split())
            raise InputError(
                f"The checkpoint does not fit the model ({problem}): build the model it came from."
            ) from error


PRUNERS: dict[str, type[Pruner]] = {
    "gmp": Gmp,
    "acdc": Acdc,
    "rigl": RigL,
    "set": Set,
    "random_static": RandomStatic,
    "random_gradual": RandomGradual,
    "from_checkpoint": FromCheckpoint,
}


def make_pruner(name: str) -> Pruner:
    """The pruner called `name`, with the settings of its paper, or the one at `module:Class`.

    The module is imported, which runs its code, from wherever this process imports modules. The
    class is made without arguments.

    Raises:
        InputError: an unknown name, a module that cannot be imported, or no pruner there.
    """
    check_pruner(name)
    return PRUNERS[name]() if name in PRUNERS else _made_at(name)


def _made_at(place: str) -> Pruner:
    module, _, name = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(
            f"pruner {place!r} cannot be made ({' '.join(str(error).split())}): put the class in a "
            f"file {module.rpartition('.')[2]}.py in a folder that PYTHONPATH names, where every "
            "process finds it, and give all its settings defaults"
        ) from error
    if not isinstance(found, Pruner):
        raise InputError(f"{place} is no pruner: make it a subclass of simlib.sparsify.Pruner")
    return found
