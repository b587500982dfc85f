"""A notebook runs with the parameters it was given, or not at all."""

import ast
import json
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from simlib.cli.notebook import command
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.laws.optimum import optimal_sparsity
from simlib.pages import notebooks

TEXT = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Tiny

```{code-cell} ipython3
:tags: [parameters]
rate: float = 0.5  # learning rate
steps: int = 3  # optimizer steps
levels: list[float] = [0.0, 0.5]  # sparsities
grid: str = "ci"  # ci, laptop or gpu
fast: bool = True
plain = 7
```

```{code-cell} ipython3
import json, pathlib
print(json.dumps([rate * steps, levels, grid, fast, plain, pathlib.Path.cwd().name]))
assert steps < 100, "too many steps"
```
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout" / "notebooks"
    folder.mkdir(parents=True)
    (folder / "tiny.md").write_text(TEXT)
    (folder.parent / "_toc.yml").write_text("root: index\n")
    return folder / "tiny.md"


FINDING = """
```{code-cell} ipython3
from simlib.pages.glue import glue_all
glue_all(product=f"{rate * steps:g}")
```

The product is {glue:text}`product`, as *computed*.
"""


def test_the_command_says_what_the_page_finds(tiny: Path, tmp_path: Path) -> None:
    tiny.write_text(TEXT + FINDING)
    asked = [str(tiny), "-p", "steps", "8", "--out", str(tmp_path / "out.ipynb")]
    done = CliRunner().invoke(command, asked)
    assert done.exit_code == 0, done.output
    found, wrote = done.stdout.splitlines()[-2:]
    assert found == "The product is 4, as computed."
    assert wrote == f"wrote {tmp_path / 'out.ipynb'}"


def output_of(notebook: object) -> object:
    """What the last cell printed, as JSON."""
    return json.loads(notebook.cells[-1].outputs[0].text)  # type: ignore[attr-defined]


def test_parameters_are_read_in_order_with_type_default_and_help(tiny: Path) -> None:
    known = notebooks.parameters(tiny)
    assert list(known) == ["rate", "steps", "levels", "grid", "fast", "plain"]
    rate, plain = known["rate"], known["plain"]
    assert (rate.annotation, rate.default, rate.help) == ("float", "0.5", "learning rate")
    assert (plain.annotation, plain.default, plain.help) == ("int", "7", "")


def test_changed_parameters_change_the_result(tiny: Path, tmp_path: Path) -> None:
    given = {"rate": "0.25", "steps": 8, "levels": "[0.75]", "grid": "gpu", "fast": "false"}
    out = tmp_path / "deep" / "out.ipynb"
    result = notebooks.run(tiny, given, out)
    assert output_of(result) == [2.0, [0.75], "gpu", False, 7, "checkout"]
    assert output_of(nbformat.read(out, as_version=4)) == output_of(result)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"epochs": "3"}, "unknown parameter 'epochs'.*rate, steps"),
        ({"steps": "2.5"}, "steps takes int"),
        ({"steps": "many"}, "steps takes int"),
        ({"rate": "nan"}, "rate takes float"),
        ({"levels": "0.5"}, "levels takes list"),
        ({"levels": "['a']"}, "levels takes list"),
        ({"fast": "maybe"}, "fast takes bool"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    tiny: Path, tmp_path: Path, given: dict[str, str], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        notebooks.run(tiny, given, tmp_path / "out.ipynb")
    assert not (tmp_path / "out.ipynb").exists()


CRAFTED = (
    "[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == '_wrap_close']"
    "[0].__init__.__globals__['system']('touch {hit}')",
    "(lambda: [].append.__self__.__class__)()",
    "int.__class__",
    "list[int.__class__]",
    "Literal[open]",
    "int if True else str",
    "complex",
)


@pytest.mark.parametrize("annotation", CRAFTED)
def test_an_annotation_is_read_and_never_run(tiny: Path, tmp_path: Path, annotation: str) -> None:
    hit = tmp_path / "hit"
    text = TEXT.replace("steps: int", f"steps: {annotation.format(hit=hit)}")
    tiny.write_text(text)
    with pytest.raises(InputError, match=r"parameter '?steps'?"):
        notebooks.checked(notebooks.parameters(tiny), {"steps": "3"})
    assert not hit.exists()


@pytest.mark.parametrize(
    ("annotation", "typed", "value"),
    [
        ("int | None", "None", None),
        ("list[float] | str", "ci", "ci"),
        ("tuple[int, ...]", "(1, 2)", (1, 2)),
        ("dict[str, list[int]]", "{'a': [1]}", {"a": [1]}),
        ("Literal['ci', 'gpu']", "gpu", "gpu"),
        ("Literal['ci']", "ci", "ci"),
    ],
)
def test_types_may_be_put_together(annotation: str, typed: str, value: object) -> None:
    assert notebooks.Parameter("p", annotation, "", "").parse(typed) == value


def test_whole_numbers_may_be_typed_with_an_exponent(tiny: Path) -> None:
    assert notebooks.checked(notebooks.parameters(tiny), {"steps": "1e3"}) == {"steps": 1000}


def test_result_must_be_a_notebook(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.ipynb"):
        notebooks.run(tiny, {}, tmp_path / "out.html")


def test_unknown_notebook_is_told_with_the_choice(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.parent.parent)
    assert notebooks.find("tiny") == tiny
    with pytest.raises(InputError, match="no notebook 'huge': there are tiny"):
        notebooks.find("huge")
    with pytest.raises(InputError, match="no notebook at"):
        notebooks.find("elsewhere/tiny.md")


def test_failing_cell_is_exit_one_and_leaves_the_output(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    done = CliRunner().invoke(command, [str(tiny), "-p", "steps", "100", "--out", str(out)])
    assert done.exit_code == 1
    assert "AssertionError: too many steps" in done.stderr
    assert nbformat.read(out, as_version=4).cells


def test_command_reports_where_the_result_is(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    arguments = [str(tiny), "-p", "steps", "4", "--out", str(out), "--json"]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["out"] == str(out)
    assert report["parameters"] == {"steps": "4"}
    assert output_of(nbformat.read(out, as_version=4))[0] == 2.0  # type: ignore[index]


def test_a_file_is_found_from_where_the_user_stands(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel runs in another folder, to which `my.csv` would say nothing."""
    monkeypatch.chdir(tmp_path)
    Path("my.csv").write_text("n\n")
    done = CliRunner().invoke(command, [str(tiny), "-p", "grid", "my.csv", "--out", "out.ipynb"])
    assert done.exit_code == 0, done.output
    seen = output_of(nbformat.read("out.ipynb", as_version=4))[2]  # type: ignore[index]
    assert seen == str(tmp_path / "my.csv")


def test_command_without_a_name_is_a_usage_error() -> None:
    assert CliRunner().invoke(command, []).exit_code == 2


def shipped() -> list[Path]:
    folder = Path(__file__).resolve().parents[2] / "notebooks"
    return sorted(folder.glob("*.md"))


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_shipped_notebooks_declare_types_and_help(path: Path) -> None:
    known = notebooks.parameters(path)
    assert known, "a notebook of the book begins with a parameters cell"
    for parameter in known.values():
        assert notebooks.checked(known, {parameter.name: ast.literal_eval(parameter.default)})
        assert parameter.help, f"{parameter.name} says nothing of itself"
    with pytest.raises(InputError, match="unknown parameter"):
        notebooks.checked(known, {"no_such_parameter": 1})


def glued(notebook: object) -> dict[str, str]:
    """What the notebook put into its own prose, by name."""
    found = {}
    for cell in notebook.cells:  # type: ignore[attr-defined]
        for output in cell.get("outputs", []):
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name:
                (text,) = output["data"].values()
                found[name] = ast.literal_eval(text)
    return found


@pytest.mark.slow
def test_a_shipped_chapter_answers_for_another_budget(tmp_path: Path) -> None:
    given = {"law": "vit-jft-refit", "nonzero_params": "3e8", "flops": "5e21"}
    path = notebooks.find(str(shipped()[0].parent / "optimal_sparsity.md"))
    said = glued(notebooks.run(path, given, tmp_path / "plan.ipynb"))
    law = load_law("vit-jft-refit").joint
    expected = {cost: float(optimal_sparsity(law, 3e8, 5e21, cost)) for cost in ("dense", "sparse")}
    assert (said["N"], said["C"]) == ("300M", "5.00e21")
    assert said["dense_S"] == f"{expected['dense']:.0%}"
    assert said["sparse_S"] == f"{expected['sparse']:.0%}"
    assert expected["dense"] < expected["sparse"]
