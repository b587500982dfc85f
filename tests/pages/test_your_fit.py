"""What the page that fits a reader's runs is handed is whole, and is what the schema says."""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from simlib.pages.your_fit import SCRIPTS, YourFit, field_rules, page_data
from simlib.runs.table import FIELDS, REQUIRED, RunRecord

STATIC = Path(__file__).resolve().parents[2] / "book" / "assets" / "static"
GOOD = {"nonzero_params": "1000", "sparsity": "0.5", "data_seen": "1000", "loss": "2.5"}
KEEPS = {
    "<=": lambda value, limit: value <= limit,
    "<": lambda value, limit: value < limit,
    ">=": lambda value, limit: value >= limit,
    ">": lambda value, limit: value > limit,
    "finite": lambda value, _: abs(value) < float("inf"),
    "one of": lambda value, choices: value in choices,
}


def said(rule: dict, text: str) -> str:
    """What a rule says of a text, as the page applies it."""
    read = {"integer": int, "number": float, "string": str, "boolean": {"1": True, "0": False}.get}
    try:
        value = read[rule["kind"]](text)
    except ValueError:
        value = None
    if value is None:
        return str(rule["unread"])
    broken = (c["message"] for c in rule["checks"] if not KEEPS[c["keeps"]](value, c["limit"]))
    return next(broken, "")


@pytest.mark.parametrize("rule", field_rules(), ids=lambda rule: rule["name"])
def test_the_rule_of_a_field_refuses_what_the_schema_refuses(rule: dict) -> None:
    name, refused = rule["name"], 0
    for text in ("1", "0", "-1", "inf", "1.5", "word", "gpt", "1" + "0" * 31, "-1" + "0" * 31):
        try:
            RunRecord.model_validate({**GOOD, name: text})
            expected = ""
        except ValidationError as error:
            expected = next((e["msg"] for e in error.errors() if e["loc"] == (name,)), "")
        assert said(rule, text) == expected, text
        refused += bool(expected)
    assert refused or rule["kind"] == "string"


def test_every_field_has_its_rule_and_the_needed_ones_say_so() -> None:
    rules = field_rules()
    assert tuple(rule["name"] for rule in rules) == FIELDS
    assert tuple(rule["name"] for rule in rules if rule["required"]) == REQUIRED


def test_the_page_loads_scripts_that_are_there_and_data_that_they_can_read() -> None:
    page = YourFit()._repr_mimebundle_()["text/html"]
    assert set(re.findall(r"_static/([\w-]+\.js)", page)) == set(SCRIPTS)
    assert all((STATIC / name).is_file() for name in SCRIPTS)
    held = json.loads(re.search(r'application/json">(.*?)</script>', page).group(1))
    assert held == json.loads(json.dumps(page_data()))
