"""No command replaces a file unasked, and none one that ships but where SIMLIB_SHIP=1 is set."""

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner

import simlib.cli.claims
from simlib.claims.measured import Measurements
from simlib.claims.power import Powers
from simlib.cli import cli
from simlib.datasets import FOLDER
from simlib.errors import InputError

OWN = b"years of work\n"
AXES = "--sparsity 0,0.5 --nonzero-params 1e6,1e7 --data-seen 1e9"
SIMULATE = f"simulate --law t5-c4-refit {AXES} --out {{path}}"
WRITERS = {
    "simulate": SIMULATE,
    "optimum-grid": "optimum-grid --law gpt-laptop --point 12288:1e11:sparse --write-grid {path}",
    "optimum-grid optima": "optimum-grid --law gpt-laptop --point 12288:1e11:sparse --save {path}",
    "fit": "fit --runs t5-laptop --resamples 0 --starts 1 --save {path}",
    "calibrate": "calibrate --runs t5-laptop --resamples 20 --save {path}",
    "compare": "compare --runs t5-laptop --resamples 0 --form joint --save {path}",
    "regret": "regret --candidates t5-laptop --on t5-laptop --draws 1 --save {path}",
    "predict": "predict --law t5-c4-refit --grid notebooks/grids/gpt-ci.yaml --save {path}",
    "curves": "curves runs --table t5-laptop --save {path}",
    "verify-rows": "verify-rows --save {path}",
    "carry": "carry notebooks/grids/gpt-ci.yaml --to {path}",
    "notebook": "notebook quickstart --out {path}",
}
QUICK = ("simulate", "optimum-grid", "optimum-grid optima")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("SIMLIB_SHIP", raising=False)


def run(text: str) -> None:
    CliRunner().invoke(cli, text.split(), catch_exceptions=False)


def shipped() -> dict[Path, str]:
    files = (p for p in FOLDER.rglob("*") if p.suffix in (".json", ".csv"))
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("link", [False, True])
def test_what_is_there_stays_and_the_way_to_replace_it_is_said(
    tmp_path: Path, name: str, link: bool
) -> None:
    path = tmp_path / "own.json"
    path.write_bytes(OWN)
    asked = tmp_path / "link.json" if link else path
    if link:
        asked.symlink_to(path)
    with pytest.raises(InputError, match=r"is there already: .*--force"):
        run(WRITERS[name].format(path=asked))
    assert path.read_bytes() == OWN


@pytest.mark.parametrize("name", QUICK)
def test_with_force_it_is_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / "own.json"
    path.write_bytes(OWN)
    run(WRITERS[name].format(path=path) + " --force")
    assert path.read_bytes() != OWN
    assert len(path.read_bytes()) > 100


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_that_ships_is_replaced(name: str) -> None:
    before = shipped()
    for target in ("t5-c4-refit.json", "new.json", "wider/../t5-c4.json"):
        with pytest.raises(InputError, match="among the files that ship"):
            run(WRITERS[name].format(path=FOLDER / target) + " --force")
    assert shipped() == before


@pytest.mark.parametrize(
    "name", ["fit", "calibrate", "compare", "predict", "curves", "verify-rows"]
)
@pytest.mark.parametrize("target", ["t5-c4-refit", "new", "../../evil", "/evil", ".."])
def test_save_takes_no_name_that_leads_into_the_package_or_out_of_it(
    name: str, target: str
) -> None:
    before = shipped()
    with pytest.raises(InputError, match=r"a path that ends in \.json"):
        run(WRITERS[name].format(path=target) + " --force")
    assert shipped() == before
    assert not (FOLDER / "../../evil.json").exists()


def test_what_claims_find_of_a_shipped_table_is_only_said(monkeypatch: pytest.MonkeyPatch) -> None:
    before = shipped()
    found = Powers("gpt-laptop", 0, "", {}, {}, ())
    monkeypatch.setattr(simlib.cli.claims, "compute_powers", lambda *_, **__: found)
    monkeypatch.setattr(
        simlib.cli.claims, "measure", lambda *_: Measurements("gpt-laptop", 0, {}, (), {})
    )
    run("claims --power gpt-laptop")
    run("claims --measure gpt-laptop")
    assert shipped() == before


def test_the_power_of_a_grid_is_not_replaced_unasked(tmp_path: Path) -> None:
    grid = tmp_path / "mine.yaml"
    grid.with_suffix(".power.json").write_bytes(OWN)
    with pytest.raises(InputError, match=r"is there already: .*--force"):
        run(f"claims --power gpt-laptop --grid {grid}")
    assert grid.with_suffix(".power.json").read_bytes() == OWN


def test_a_grid_and_its_optima_stand_together(tmp_path: Path) -> None:
    before = shipped()
    run(WRITERS["optimum-grid"].format(path=tmp_path / "mine.yaml"))
    assert {p.name for p in tmp_path.iterdir()} == {"mine.yaml", "mine-optima.json"}
    assert shipped() == before


def test_make_laws_replaces_what_ships(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIMLIB_SHIP", "1")
    monkeypatch.setattr("simlib.cli.fit.FOLDER", tmp_path)
    (tmp_path / "t5-laptop.json").write_bytes(OWN)
    run(WRITERS["fit"].format(path="t5-laptop"))
    assert (tmp_path / "t5-laptop.json").read_bytes() != OWN
    with pytest.raises(InputError, match=r"ends in \.json"):
        run(WRITERS["fit"].format(path="../evil"))
