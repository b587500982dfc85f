"""Law files: a fitted law with its ensemble and its making, as JSON; loaded, it gives intervals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from simlib.errors import InputError
from simlib.files import replace_file
from simlib.laws.extensions import EXTENSIONS
from simlib.laws.law import Array, DenseLaw, JointLaw, Law
from simlib.laws.rivals import RIVALS

LAWS: dict[str, Any] = {"joint": JointLaw, "dense": DenseLaw, **RIVALS, **EXTENSIONS}
ENOUGH = 0.9  # share of an ensemble's refits that must have converged
SIGNIFICANT = 8  # digits of the ensemble that are kept; coefficients are kept whole


@dataclass(frozen=True)
class LawFile:
    """A law, an ensemble of laws fitted to resampled tables, and how they were made.

    The ensemble is a law whose coefficients have shape (members,). `record` holds everything else
    as it stands in the file: objective, status, runs, ranges, intervals, warnings and the command
    that made it.
    """

    name: str
    law: Law
    ensemble: Law | None
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def joint(self) -> JointLaw:
        """The law, if it is a joint law. Raises InputError otherwise."""
        if not isinstance(self.law, JointLaw):
            kind = law_name(self.law)
            raise InputError(
                f"the law {self.name!r} is of the form {kind!r}, not a joint law, and says nothing "
                "of what is asked: take a law of the form joint"
            )
        return self.law

    @property
    def unidentified(self) -> list[str]:
        """Coefficients that the fit's warnings call not identified."""
        said = self.record.get("warnings", [])
        return [
            name
            for name in self.law.names()
            if any(text.startswith(f"{name} is not identified") for text in said)
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
        status, converged = (self.record.get(k) for k in ("status", "converged_members"))
        if status == "converged" and converged is None:
            return "its file does not say how many of its refits converged: fit it again"
        return why_undecided(str(status), len(self.ensemble.vector()), converged or 0)

    def profile_interval(self, name: str) -> tuple[float | None, float | None] | None:
        """Profile interval of a coefficient or a recorded quantity, such as "c_S/(a_S+c_S)".

        None for an end where the profile does not close, and where the file has no such interval.
        """
        record = self.record
        found = record.get("profile_intervals", {}).get(name)
        found = found or record.get("quantities", {}).get(name, {}).get("profile_interval")
        return None if found is None else (found[0], found[1])

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


def why_undecided(status: str, members: int, converged: int) -> str:
    """Why a fit with this status, and so many refits of which so many converged, decides nothing.

    Empty where it may decide.
    """
    if status == "at bound":
        return "its fit ends at a bound of a coefficient, where the runs do not hold it back"
    if status != "converged":
        return f"its fit has the status {status!r}, not 'converged'"
    if converged < ENOUGH * members:
        return f"only {converged} of its {members} refits of resampled runs converged"
    return ""


def law_name(law: Law) -> str:
    """The name of a law's form in a law file."""
    return next(name for name, kind in LAWS.items() if isinstance(law, kind))


def coefficients(law: Law) -> dict[str, float]:
    """Coefficients of one law by name, in raw units."""
    return dict(zip(law.names(), map(float, law.vector()), strict=True))


def write_law(path: str | Path, law_file: LawFile) -> None:
    """Write a law file in one step. Raises InputError where the folder cannot be written."""
    path = Path(path)
    law = law_file.law
    content: dict[str, Any] = {
        "name": law_file.name,
        "form": law_name(law),
        "coefficients": coefficients(law),
        **law_file.record,
    }
    if law_file.ensemble is not None:
        content["ensemble"] = [
            [float(f"{v:.{SIGNIFICANT}g}") for v in member] for member in law_file.ensemble.vector()
        ]
    replace_file(path, _readable(content).encode(), "law file")


def _readable(content: dict[str, Any]) -> str:
    """JSON with one line a key and one line an ensemble member, so that a diff can be read."""
    lines = []
    for key, value in content.items():
        if key == "ensemble":
            rows = ",\n  ".join(json.dumps(row) for row in value)
            lines.append(f'"ensemble": [\n  {rows}\n ]')
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def read_law(path: str | Path) -> LawFile:
    """Read and check a law file. Raises InputError naming the file and what is wrong with it."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = LAWS[content.pop("form")]
        law = cast(Law, kind.from_coefficients(content.pop("coefficients")))
        members = content.pop("ensemble", None)
        ensemble = None if members is None else law.from_vector(np.array(members, dtype=float))
        name = content.pop("name", path.stem)
        _check(law, content)
    except OSError as error:
        raise InputError(f"{path}: no law file can be read there ({error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: this is not a law file ({error!r:.120})") from error
    return LawFile(name, law, ensemble, content)


def _check(law: Law, record: dict[str, Any]) -> None:
    """Raises ValueError for what a reader's own editing may have broken."""
    if not np.all(np.isfinite(law.vector())):
        raise ValueError("a coefficient is not finite")
    float(record.get("log_rmse") or 0.0)
    for name in ("sparsity", "nonzero_params", "data_seen"):
        low, high = map(float, record["range"][name]) if "range" in record else (0.0, 1.0)
        if not 0 <= low <= high:
            raise ValueError(f"the range of {name} is not two numbers, the smaller one first")
    for key, kind in (("made", dict), ("warnings", list)):
        if not isinstance(record.get(key, kind()), kind):
            raise ValueError(f"{key!r} is not a {kind.__name__}")
