"""The provenance line names what a page was made with."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from simlib.bookext.mime import chart_html
from simlib.bookext.provenance import provenance, short_hash
from simlib.errors import InputError


def test_line_names_version_seed_settings_and_tables(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text("loss\n1\n")
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    text = str(provenance(seed=5, tables={"runs": table}, grid="ci"))
    for part in ("simlib ", "Python 3.", "seed 5", "grid ci", f"runs SHA-256 {digest[:12]}"):
        assert part in text


def test_a_file_its_digest_and_its_table_give_the_same_hash(tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text("loss\n1\n")
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    assert short_hash(table) == short_hash(digest) == short_hash(SimpleNamespace(sha256=digest))


@pytest.mark.parametrize("source", ["no/such/file.csv", 3.5])
def test_what_has_no_hash_is_refused(source: object) -> None:
    with pytest.raises(InputError):
        short_hash(source)


def test_shown_line_cannot_inject_markup() -> None:
    bundle = provenance(note="<b>")._repr_mimebundle_()
    assert "<b>" not in bundle["text/html"]
    assert "<b>" in bundle["text/plain"]


def test_chart_data_cannot_end_its_script_element() -> None:
    html = chart_html({"data": {"values": [{"name": "</script><script>alert(1)"}]}})
    assert html.count("</script>") == 1
