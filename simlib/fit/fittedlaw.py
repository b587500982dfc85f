"""A fitted law: what a fit returns, what a law file holds, what forecasts and plans are made from.

A law file is JSON, one line a key and one line an ensemble member, so that a diff can be read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, cast, get_args

import numpy as np
from numpy.typing import ArrayLike

from simlib.errors import InputError
from simlib.files import replace_file
from simlib.fit.objective import Objective
from simlib.fit.profile import Interval, wide
from simlib.laws.law import Array, JointLaw, Law
from simlib.laws.precision import WithBits
from simlib.laws.registry import FORMS

ENOUGH = 0.9  # share of an ensemble's refits that must have converged
# coefficients of a joint law that are never below zero
EXPONENTS = ("b_N", "b_D")  # and these are above it
UNSIGNED = ("a_S", "c_S", "b_N", "a_D", "b_D", "c")
SIGNIFICANT = 8  # digits of the ensemble that are kept; coefficients are kept whole

Release = Literal["published", "as the release reports it"]
Status = Literal["converged", "at bound", "not converged"] | Release


class Residual(NamedTuple):
    """One run's residual of log loss, by its row in the table (from 0)."""

    row: int
    value: float


class Derived(NamedTuple):
    """A number that follows from a law, with its interval over the resampled runs, if there is an
    ensemble, and its profile interval.
    """

    value: float
    interval: Interval | None
    profile_interval: Interval


class Range(NamedTuple):
    """Least and greatest value of each column of the runs behind a law."""

    sparsity: tuple[float, float]
    nonzero_params: tuple[float, float]
    data_seen: tuple[float, float]

    @classmethod
    def of(cls, *columns: Array) -> Self:
        """The range of S, N and D, arrays of shape (runs,)."""
        return cls(*((float(v.min()), float(v.max())) for v in columns))


@dataclass(frozen=True)
class FittedLaw:
    """A law with its ensemble, how far to trust it, and how it was made.

    `ensemble` is a law whose coefficients have shape (members,), one member a resample of the runs.
    `value` is the objective reached, `agreeing` the share of `starts` random starts that end within
    1e-3 (relative) of it. `intervals` are the ensemble's quantiles at `level`, none for a fit at a
    bound; `profile_intervals` come from the objective; None marks an end that does not exist.
    `quantities` are numbers that follow from the law, with both kinds of interval.
    `converged_members` counts refits that converged; None where that is not known, as every other
    number is NaN or 0. `start_values` and `start_success` are the ends of the starts of the
    procedure of the release.
    """

    name: str
    law: Law
    ensemble: Law | None = None
    objective: Objective | None = None
    runs: int = 0
    range: Range | None = None
    value: float = math.nan
    status: Status | None = None
    converged_members: int | None = None
    agreeing: float = math.nan
    starts: int = 0
    log_rmse: float = math.nan
    worst: Residual | None = None
    condition_number: float = math.nan
    level: float = 0.9
    intervals: dict[str, Interval] = field(default_factory=dict)
    profile_intervals: dict[str, Interval] = field(default_factory=dict)
    quantities: dict[str, Derived] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seed: int | None = None
    made: dict[str, str] = field(default_factory=dict)
    start_values: tuple[float, ...] = ()
    start_success: tuple[bool, ...] = ()

    @property
    def form(self) -> str:
        """The name of the law's form."""
        return next(name for name, form in FORMS.items() if isinstance(self.law, form.law))

    @property
    def coefficients(self) -> dict[str, float]:
        """Coefficients by name, in raw units."""
        return dict(zip(self.law.names(), map(float, self.law.vector()), strict=True))

    @property
    def joint(self) -> JointLaw:
        """The law, if it is a joint law. Raises InputError otherwise."""
        if not isinstance(self.law, JointLaw):
            raise InputError(
                f"the law {self.name!r} is of the form {self.form!r}, not a joint law, and says "
                "nothing of what is asked: take a law of the form joint"
            )
        return self.law

    @property
    def by_bits(self) -> tuple[WithBits, WithBits]:
        """The law and its ensemble, if it is of the form bits. Raises InputError otherwise."""
        if not isinstance(self.law, WithBits):
            raise InputError(
                f"the law {self.name!r} is of the form {self.form!r} and says nothing of the bits "
                "of a weight: take a law of the form bits"
            )
        if not isinstance(self.ensemble, WithBits):
            raise InputError(f"the law {self.name!r} has no ensemble, so it gives no interval")
        return self.law, self.ensemble

    @property
    def fitted_range(self) -> Range:
        """The range of the runs behind the law. Raises InputError where it is unknown."""
        if self.range is None:
            raise InputError(
                f"the law {self.name!r} does not record the range it was fitted to, so nothing "
                "can be said of extrapolation: fit it with `simlib fit --save`"
            )
        return self.range

    @property
    def table(self) -> str | None:
        """The name of the run table behind the law, if it is known."""
        return self.made.get("table")

    @property
    def table_sha256(self) -> str | None:
        """The SHA-256 of that table, if it is known."""
        return self.made.get("table_sha256")

    @property
    def refits(self) -> int:
        """How many members the ensemble has."""
        return 0 if self.ensemble is None else len(self.ensemble.vector())

    @property
    def unidentified(self) -> list[str]:
        """Coefficients of which an interval, profile or resampled, is open or wider than `WIDE`."""
        known = (self.profile_intervals, self.intervals)
        return [
            name
            for name in self.law.names()
            if any(wide(found[name]) for found in known if name in found)
        ]

    @property
    def decides(self) -> bool:
        """Whether a conclusion may rest on this law; `why_not` says why where it may not."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why this law decides nothing, in a sentence without its subject; empty where it does."""
        if self.ensemble is None:
            return "it has no ensemble, so nothing that follows from it has an interval"
        if self.status == "at bound":
            return "its fit ends at a bound of a coefficient, where the runs do not hold it back"
        if self.status != "converged":
            return f"its fit has the status {str(self.status)!r}, not 'converged'"
        if self.converged_members is None:
            return "its file does not say how many of its refits converged: fit it again"
        if self.converged_members < ENOUGH * self.refits:
            return (
                f"only {self.converged_members} of its {self.refits} refits of resampled runs "
                "converged"
            )
        return ""

    def predict(self, S: ArrayLike, N: ArrayLike, D: ArrayLike) -> Array:
        """Predicted loss in nats; S, N, D broadcast. Raises InputError outside their domain."""
        return self.law(S, N, D)

    def profile_interval(self, name: str) -> Interval | None:
        """Profile interval of a coefficient or a recorded quantity, such as "c_S/(a_S+c_S)".

        None for an end where the profile does not close, and where there is no such interval.
        """
        if name in self.profile_intervals:
            return self.profile_intervals[name]
        return self.quantities[name].profile_interval if name in self.quantities else None

    def members(self, dims: int = 0) -> JointLaw:
        """The ensemble of a joint law, ready to meet points with `dims` axes.

        Raises InputError for a law without an ensemble: a published law gives no intervals.
        """
        if not isinstance(self.ensemble, JointLaw):
            raise InputError(f"the law {self.name!r} has no ensemble, so it gives no interval")
        return self.ensemble.expand(dims)

    def interval(
        self, quantity: Callable[[JointLaw], Array], dims: int = 0, level: float = 0.9
    ) -> tuple[Array, Array]:
        """Central interval over the ensemble of `quantity(law)`, an array with `dims` axes.

        A member whose quantity is beyond any float counts as infinite, one for which it is not a
        number is left out.
        """
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            values = np.asarray(quantity(self.members(dims)))
        tails = [(1 - level) / 2, (1 + level) / 2]
        if np.isfinite(values).all():
            low, high = np.quantile(values, tails, axis=0)
        else:  # nothing lies between a number and infinity
            low, high = np.nanquantile(values, tails, axis=0, method="nearest")
        return low, high

    def summary(self) -> str:
        """Coefficients and quantities with their intervals, status and warnings, as text."""
        lines = [
            f"{self.name}: {self.runs} runs, objective {self.value:.6g}, "
            f"log-RMSE {self.log_rmse:.3%}, {self.status}"
        ]
        if not math.isnan(self.agreeing):
            lines.append(f"{self.agreeing:.0%} of {self.starts} starts agree")
        if self.refits:
            lines.append(
                f"{self.converged_members} of {self.refits} refits of resampled runs converged"
            )
        lines += self._rows()
        lines += [f"warning: {sentence}" for sentence in self.warnings]
        if self.ensemble is not None and not self.decides:
            lines.append(f"this law decides nothing: {self.why_not}")
        return "\n".join(lines)

    def _rows(self) -> list[str]:
        """One line for each coefficient and quantity, under a head."""
        rows = [
            (name, value, self.intervals.get(name), self.profile_intervals.get(name))
            for name, value in self.coefficients.items()
        ]
        rows += [(name, *found) for name, found in self.quantities.items()]
        head, wide = f"{self.level:.0%}", max(4, *(len(name) for name, *_ in rows))
        return [
            f"{'':{wide}} {'estimate':>12}   {head + ' bootstrap':>24}   {head + ' profile':>24}",
            *(
                f"{name:{wide}} {value:12.5g}   {_text(drawn)}   {_text(profile)}".rstrip()
                for name, value, drawn, profile in rows
            ),
        ]

    def record(self) -> dict[str, Any]:
        """All but the ensemble as a law file has it, in its order; what is unknown is left out."""
        known: dict[str, Any] = {
            "huber": self.objective and {"delta": self.objective.delta, "log": self.objective.log},
            "runs": self.runs or None,
            "range": self.range and self.range._asdict(),
            "objective": _known(self.value),
            "status": self.status,
            "members": self.refits,
            "converged_members": self.converged_members,
            "values": list(self.start_values) or None,
            "success": list(self.start_success) or None,
            "agreeing": _known(self.agreeing),
            "starts": self.starts or None,
            "log_rmse": _known(self.log_rmse),
            "worst": self.worst and {"row": self.worst.row, "log_residual": self.worst.value},
            "condition_number": _known(self.condition_number),
            "level": self.level,
            "intervals": self.intervals,
            "profile_intervals": self.profile_intervals,
            "quantities": {name: found._asdict() for name, found in self.quantities.items()},
            "warnings": list(self.warnings),
            "seed": self.seed,
            "made": self.made or None,
        }
        released = self.status in get_args(Release)
        return {
            "name": self.name,
            "form": self.form,
            "coefficients": self.coefficients,
            **{
                key: known[key]
                for key in (RELEASED if released else FITTED)
                if known[key] is not None or (released and key == "agreeing")
            },
        }

    def save(self, path: str | Path) -> None:
        """Write a law file in one step. Raises InputError where the folder cannot be written."""
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in self.record().items()]
        if self.ensemble is not None:
            members = [
                [float(f"{v:.{SIGNIFICANT}g}") for v in member] for member in self.ensemble.vector()
            ]
            rows = ",\n  ".join(map(json.dumps, members))
            lines.append(f'"ensemble": [\n  {rows}\n ]')
        replace_file(path, ("{\n " + ",\n ".join(lines) + "\n}\n").encode(), "law file")


# keys of a law file after its name, form and coefficients: of a fit, and of published coefficients
# and what the procedure of the release reaches
FITTED = (
    *("huber", "runs", "range", "objective", "status"),
    *("members", "converged_members", "agreeing", "starts"),
    *("log_rmse", "worst", "condition_number", "level"),
    *("intervals", "profile_intervals", "quantities"),
    *("warnings", "seed", "made"),
)
RELEASED = (
    *("huber", "runs", "range", "objective", "log_rmse", "status", "values", "success"),
    *("agreeing", "intervals", "warnings", "seed", "made"),
)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _text(interval: Interval | None) -> str:
    if interval is None:
        return " " * 24
    low, high = ("open" if end is None else f"{end:.5g}" for end in interval)
    return f"{low:>11} .. {high:<9}"


def read_law(path: str | Path) -> FittedLaw:
    """Read and check a law file. Raises InputError naming the file and what is wrong with it."""
    path = Path(path)
    try:
        return _fitted(json.loads(path.read_text(encoding="utf-8")), path.stem)
    except OSError as error:
        raise InputError(f"{path}: no law file can be read there ({error})") from error
    except KeyError as error:
        raise InputError(f"{path}: this is not a law file ({error!s:.40} is missing)") from error
    except RecursionError as error:
        raise InputError(f"{path}: this is not a law file (it is nested too deeply)") from error
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: this is not a law file ({error!r:.120})") from error


def _fitted(content: dict[str, Any], name: str) -> FittedLaw:
    """The law that a file holds. Raises what a reader's own editing may have broken it into."""
    if content["form"] not in FORMS:
        raise ValueError(f"there is no form {content['form']!r:.40}")
    law = cast(Law, FORMS[content["form"]].law.from_coefficients(content["coefficients"]))
    worst, huber = content.get("worst"), content.get("huber")
    ensemble = _ensemble(law, content.get("ensemble"))
    _check(law, ensemble, content)
    ranges = content.get("range")
    return FittedLaw(
        name=content.get("name", name),
        law=law,
        ensemble=ensemble,
        objective=huber and Objective(float(huber["delta"]), bool(huber["log"])),
        runs=int(content.get("runs") or 0),
        range=ranges and Range(*(_pair(ranges[key]) for key in Range._fields)),
        value=_number(content.get("objective")),
        status=content.get("status"),
        converged_members=content.get("converged_members"),
        agreeing=_number(content.get("agreeing")),
        starts=int(content.get("starts") or 0),
        log_rmse=_number(content.get("log_rmse")),
        worst=worst and Residual(worst["row"], worst["log_residual"]),
        condition_number=_number(content.get("condition_number")),
        level=float(content.get("level", 0.9)),
        intervals=_intervals(content.get("intervals")),
        profile_intervals=_intervals(content.get("profile_intervals")),
        quantities={
            key: Derived(
                found["value"],
                found["interval"] and _pair(found["interval"]),
                _pair(found["profile_interval"]),
            )
            for key, found in content.get("quantities", {}).items()
        },
        warnings=tuple(content.get("warnings", ())),
        seed=content.get("seed"),
        made=content.get("made", {}),
        start_values=tuple(content.get("values", ())),
        start_success=tuple(content.get("success", ())),
    )


def _ensemble(law: Law, members: Any) -> Law | None:
    if members is None:
        return None
    values = np.array(members, dtype=float)
    if values.ndim != 2 or values.shape[1] != len(law.names()):
        raise ValueError(f"the ensemble is not a list of {len(law.names())} coefficients a member")
    return law.from_vector(values)


def _check(law: Law, ensemble: Law | None, content: dict[str, Any]) -> None:
    for what, found in (("a coefficient", law), ("a coefficient of the ensemble", ensemble)):
        if found is None:
            continue
        if not np.all(np.isfinite(found.vector())):
            raise ValueError(f"{what} is not finite")
        for name in UNSIGNED if isinstance(found, JointLaw) else ():
            least = float(np.min(getattr(found, name)))
            if least < 0 or (least == 0 and name in EXPONENTS):
                raise ValueError(f"{what}, {name}, is {least:g}, which is too small")
    if not 0 < float(content.get("level", 0.9)) < 1:
        raise ValueError(f"level {content['level']!r:.40} does not lie between 0 and 1")
    for name in Range._fields:
        low, high = map(float, content["range"][name]) if "range" in content else (0.0, 1.0)
        if not 0 <= low <= high:
            raise ValueError(f"the range of {name} is not two numbers, the smaller one first")
    for key, kind in (("made", dict), ("warnings", list)):
        kept = content.get(key, kind())
        words = kept.values() if isinstance(kept, dict) else kept
        if not isinstance(kept, kind) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"{key!r} is not a {kind.__name__} of words")


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _pair(ends: Any) -> Any:
    """The two ends of an interval; a reader's own file may hold something else."""
    low, high = ends
    return low, high


def _intervals(found: dict[str, Any] | None) -> dict[str, Interval]:
    return {name: _pair(ends) for name, ends in (found or {}).items()}
