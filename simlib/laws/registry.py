"""Every form of law by its name: what can be fitted, and what a law file may hold."""

from __future__ import annotations

from types import MappingProxyType

from simlib.errors import InputError
from simlib.laws.extensions import DATA_EXPONENT, DATA_FACTOR, FIXED_DATA, SIZE_EXPONENT
from simlib.laws.form import AnyForm
from simlib.laws.law import DENSE, JOINT
from simlib.laws.precision import BITS
from simlib.laws.rivals import (
    ACTIVATION,
    AVERAGE_PARAMS,
    CAPACITY,
    DENSITY_POWER,
    EXPERTS,
    FREE_MULTIPLIER,
)

_ALL: tuple[AnyForm, ...] = (
    *(JOINT, DENSE),
    *(DENSITY_POWER, AVERAGE_PARAMS, FREE_MULTIPLIER, CAPACITY, EXPERTS, ACTIVATION),
    *(SIZE_EXPONENT, DATA_FACTOR, DATA_EXPONENT, FIXED_DATA),
    BITS,
)
FORMS: MappingProxyType[str, AnyForm] = MappingProxyType({form.name: form for form in _ALL})


def form_named(name: str) -> AnyForm:
    """A form by its name. Raises InputError for an unknown one."""
    if name not in FORMS:
        raise InputError(f"unknown form {name!r}: choose from {', '.join(FORMS)}")
    return FORMS[name]
