"""The scripts of the page on clusters can be copied: each is well formed, each command exists."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from click import Context

from simlib.cli.sweep import command

PAGE = (Path(__file__).parents[2] / "book" / "cluster.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found


@pytest.mark.parametrize("script", blocks("bash"))
def test_scripts_are_well_formed(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_manifest_is_well_formed() -> None:
    (text,) = blocks("yaml")
    volume, job = yaml.safe_load_all(text)
    (mounted,) = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    assert mounted["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")


def test_every_sweep_uses_options_that_exist() -> None:
    lines = [line for text in blocks("bash") + blocks("yaml") for line in text.splitlines()]
    sweeps = [line[line.index("simlib sweep ") :] for line in lines if "simlib sweep " in line]
    assert len(sweeps) > 5
    for line in sweeps:
        made: Context = command.make_context("sweep", shlex.split(line)[2:])
        grid = str(made.params["grid"])
        assert grid == "$grid" or (Path(__file__).parents[2] / grid).is_file()
