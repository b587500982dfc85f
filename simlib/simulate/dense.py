"""A dense law as plans want it: a joint law that says nothing of sparsity."""

from __future__ import annotations

from dataclasses import replace

from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.law import DenseLaw, JointLaw


def dense_part(law_file: FittedLaw) -> FittedLaw:
    """A dense law as a joint law that sparsity neither helps nor harms, for dense plans.

    Nothing that it says of a sparse run means anything. Raises InputError for another form.
    """
    law, members = law_file.law, law_file.ensemble
    if not isinstance(law, DenseLaw):
        raise InputError(f"the law {law_file.name!r} is not a dense law")
    ensemble = _dense_joint(members) if isinstance(members, DenseLaw) else None
    return replace(law_file, law=_dense_joint(law), ensemble=ensemble)


def _dense_joint(law: DenseLaw) -> JointLaw:
    zero = 0.0 * law.A
    return JointLaw(zero, zero + 1, law.A, law.alpha, law.B ** (1 / law.beta), law.beta, law.E)
