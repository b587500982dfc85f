"""Charts keep one look: the same sparsity in the same colour, legible in both themes."""

import altair as alt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.pages import charts, notebooks

LIGHT, DARK = "#ffffff", "#14181e"


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, WCAG 2.1."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def colours_of(sparsities: list[float]) -> list[str]:
    return charts.sparsity_scale(sparsities).to_dict()["range"]


def dark_colours() -> dict[str, str]:
    charts.enable()
    spec = alt.Chart(charts.rows(x=[1])).mark_point().encode(x="x:Q").to_dict()
    return spec["usermeta"]["dark"]


@pytest.mark.slow
@given(st.floats(0, 0.999))
def test_every_sparsity_is_legible_in_both_themes(sparsity: float) -> None:
    (colour,) = colours_of([sparsity])
    assert contrast(colour, LIGHT) >= 3
    assert contrast(dark_colours()[colour], DARK) >= 3


def test_a_sparsity_keeps_its_colour_whatever_else_is_shown() -> None:
    few, many = colours_of([0, 0.75]), colours_of([0, 0.5, 0.75, 0.875])
    assert few == [many[0], many[2]]


def test_common_sparsities_have_distinct_colours() -> None:
    levels = [0, 0.25, 0.5, 0.75, 0.875, 0.9375]
    assert len(set(colours_of(levels))) == len(levels)
    assert len({dark_colours()[colour] for colour in colours_of(levels)}) == len(levels)


@pytest.mark.parametrize("wrong", [[1.0], [-0.1, 0.5], []])
def test_impossible_sparsities_are_refused(wrong: list[float]) -> None:
    with pytest.raises(InputError, match="must lie in"):
        charts.sparsity_scale(wrong)


def test_rows_broadcast_and_leave_out_what_is_not_finite() -> None:
    values = charts.rows(x=np.array([1.0, np.nan]), s=np.array([[0.0], [0.5]])).to_dict()["values"]
    assert values == [
        {"x": 1.0, "s": 0.0},
        {"x": None, "s": 0.0},
        {"x": 1.0, "s": 0.5},
        {"x": None, "s": 0.5},
    ]
    with pytest.raises(InputError, match="do not broadcast"):
        charts.rows(x=[1, 2], y=[1, 2, 3])


def test_slider_must_start_within_its_range() -> None:
    with pytest.raises(InputError, match="slider S"):
        charts.slider("S", "Sparsity", 0, 0.9, 0.95, 0.01)


def test_description_is_kept_on_one_line_and_must_say_something() -> None:
    chart = alt.Chart(charts.rows(x=[1])).mark_point()
    described = charts.describe(chart, "Loss against data,\n   one line a sparsity.")
    assert described.description == "Loss against data, one line a sparsity."
    with pytest.raises(InputError, match="five words"):
        charts.describe(chart, "a chart")


@pytest.mark.slow
def test_output_is_a_chart_a_picture_and_a_text() -> None:
    charts.enable()
    data = charts.rows(data_seen=[1e6, 1e9], loss=[3.0, 2.0], sparsity=0.5)
    x = charts.log_x("data_seen", "Data seen D (tokens)")
    text = "Loss against data seen for one sparsity."
    bundle = charts.describe(charts.loss_against(data, x, [0.5]), text)._repr_mimebundle_()
    content = bundle[0] if isinstance(bundle, tuple) else bundle
    assert content[charts.VEGALITE_MIME]["width"] == "container"
    assert content["text/plain"] == text
    svg = content["image/svg+xml"]
    assert all(label in svg for label in (">1M<", ">10M<", ">1B<"))
    assert ">2M<" not in svg


@pytest.mark.slow
def test_charts_and_tables_of_a_notebook_are_numbered_and_few_tables_stand_open(tmp_path):
    """One chart a cell and three tables: captions count on, the third table is folded."""
    head = "---\nkernelspec:\n  display_name: P\n  language: python\n  name: python3\n---\n\n"
    setup = (
        "import altair as alt\nfrom simlib.pages import charts\n"
        "from simlib.pages.tables import Table\ncharts.enable()\ncharts.enable()\n"
        "def draw(n):\n    mark = alt.Chart(charts.rows(x=[1])).mark_point().encode(x='x:Q')\n"
        "    return charts.describe(mark, f'A chart <{n}> of one single point')"
    )
    cells = [setup, "draw(1)", "draw(2)", *["Table(('a', 'b'), [('1', '2')])"] * 3]
    path = tmp_path / "notebooks" / "page.md"
    path.parent.mkdir()
    path.write_text(head + "".join(f"```{{code-cell}} ipython3\n{c}\n```\n\n" for c in cells))
    done = notebooks.run(path, {}, tmp_path / "page.ipynb")
    shown = [
        "".join(o.get("data", {}).get("text/html", "") for o in cell.outputs)
        for cell in done.cells
        if cell.cell_type == "code"
    ]
    assert "Figure 1." in shown[1]
    assert "Figure 2." in shown[2]
    assert "&lt;2&gt;" in shown[2]
    assert ["<details" in html for html in shown[3:]] == [False, False, True]
