"""What a record says of the code and the machine that made it."""

import subprocess
from pathlib import Path

import pytest

from simlib.train import settings
from simlib.train.settings import CARRIED_COMMIT, source_commit


def git(root: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(root), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository with a library in it, all committed."""
    root = tmp_path / "source"
    for name in (
        "simlib/train/trainer.py",
        "simlib/models/sparse.c",
        "simlib/datasets/t.csv",
        "a.py",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("0\n")
    git(tmp_path, "init", "-q", str(root))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "all")
    return root


def test_a_clean_tree_is_named_by_its_commit(source: Path) -> None:
    assert source_commit(source) == git(source, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("name", "dirty"),
    [
        ("simlib/train/trainer.py", True),
        ("simlib/models/sparse.c", True),
        ("simlib/new.py", True),
        ("simlib/new/new.py", True),
        ("simlib/datasets/t.csv", False),  # what is measured is no source
        ("simlib/train/notes.txt", False),
        ("a.py", False),
    ],
)
def test_edited_source_is_told(source: Path, name: str, dirty: bool) -> None:
    commit = git(source, "rev-parse", "HEAD")
    (source / name).parent.mkdir(exist_ok=True)
    (source / name).write_text("1\n")
    assert source_commit(source) == (f"{commit}-dirty" if dirty else commit)
    if dirty:
        git(source, "add", ".")
        assert source_commit(source) == f"{commit}-dirty"
        git(source, "commit", "-q", "-m", "edited")
        assert source_commit(source) == git(source, "rev-parse", "HEAD") != commit


def test_deleted_source_is_told(source: Path) -> None:
    (source / "simlib/train/trainer.py").unlink()
    assert source_commit(source).endswith("-dirty")


def test_source_without_a_repository_has_no_commit_but_what_it_brought(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert source_commit(source) == ""  # no git
    monkeypatch.undo()
    (source / ".git").rename(source / "gone")
    assert source_commit(source) == ""
    (source / CARRIED_COMMIT).write_text("c0ffee-dirty")
    assert source_commit(source) == "c0ffee-dirty"


def test_the_answer_stays_while_a_process_lives(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "__file__", str(source / "simlib/train/settings.py"))
    settings.commit.cache_clear()
    try:
        before = settings.commit()
        (source / "simlib/train/trainer.py").write_text("1\n")
        assert settings.commit() == before == git(source, "rev-parse", "HEAD")
    finally:
        settings.commit.cache_clear()
