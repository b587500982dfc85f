"""The lock: every pinned package installs on every Python that the project accepts."""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

LOCK = Path(__file__).parents[1] / "requirements.txt"
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", LOCK.read_text(), re.MULTILINE))


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_every_pin_installs_on_every_python_that_the_project_accepts(python: str) -> None:
    refused = []
    for name, version in PINS.items():
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        wanted = SpecifierSet(found.metadata.get("Requires-Python") or "")
        if found.version == version and not wanted.contains(python):
            refused.append(f"{name} {version} wants Python {wanted}")
    assert not refused
