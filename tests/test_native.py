"""Compiled code is loaded only from where nobody else can put it."""

import os
import shutil
from pathlib import Path

import pytest

from simlib import native
from simlib.errors import InputError

if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
    pytest.skip("no C compiler here", allow_module_level=True)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIMLIB_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "answer.c"
    path.write_text("int answer(void) { return 42; }\n")
    return path


def answer(source: Path) -> int:
    return int(native.load(source, "the answers", "guess").answer())


def kernels() -> Path:
    return Path(os.environ["SIMLIB_CACHE"]) / "kernels"


def test_what_was_compiled_lies_in_a_folder_of_ones_own(source: Path) -> None:
    before = os.umask(0o002)  # as some systems have it
    try:
        assert answer(source) == 42
        assert answer(source) == 42
    finally:
        os.umask(before)
    (made,) = kernels().iterdir()
    assert not (kernels().stat().st_mode | made.stat().st_mode) & 0o022


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_a_folder_that_others_may_write_is_refused(source: Path, mode: int) -> None:
    answer(source)
    kernels().chmod(mode)
    with pytest.raises(InputError, match=r"others may write.*SIMLIB_CACHE.*guess"):
        answer(source)


def test_a_folder_of_somebody_else_is_refused(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(source)
    if os.getuid() == 0:
        os.chown(kernels(), 4321, 4321)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 4321)
    with pytest.raises(InputError, match="others may write"):
        answer(source)


def test_a_link_to_elsewhere_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    kernels().symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="others may write"):
        answer(source)


def test_a_file_that_others_may_write_is_compiled_anew(source: Path) -> None:
    answer(source)
    (made,) = kernels().iterdir()
    planted = made.with_suffix(".c")
    planted.write_text("int answer(void) { return 13; }\n")
    native._compile(native._compiler("", ""), planted, made, "", "")
    planted.unlink()
    made.chmod(0o777)
    assert answer(source) == 42
