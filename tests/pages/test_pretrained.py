"""The chart of data multiples has a point for every setting, with its interval."""

from simlib.analysis.datamultiple import data_multiples
from simlib.datasets import load_runs
from simlib.pages import pretrained


def test_every_setting_is_drawn_once_with_its_interval():
    found = data_multiples(load_runs("pretrained-laptop"))
    values = pretrained.multiples(found).to_dict()["data"]["values"]
    assert len(values) == len(found)
    for value, multiple in zip(values, found, strict=True):
        assert value["data"] == multiple.data_seen
        assert value["multiple"] == multiple.value
        assert value["low"] <= (multiple.value or multiple.bound) <= value["high"]
