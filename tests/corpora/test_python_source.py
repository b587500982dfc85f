"""The embedded source code: the same bytes wherever the pinned wheels are installed."""

import re
import shutil
import warnings
from importlib import metadata
from pathlib import Path

import pytest

from simlib.corpora import load_corpus, python_source
from simlib.errors import InputError

LOCK = Path(__file__).parents[2] / "requirements.txt"
pinned = pytest.mark.skipif(
    python_source.installed_versions() != python_source.VERSIONS,
    reason="packages of other versions than requirements.txt names are installed",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    yield folder
    shutil.rmtree(folder)  # 110 MB that pytest would keep


@pytest.mark.slow
@pinned
def test_builds_the_recorded_bytes(cache):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        corpus = load_corpus("python", cache=cache, expect_sha256=python_source.SHA256)
    assert len(corpus.train) > 80e6
    assert 0.01 < len(corpus.valid) / len(corpus.train) < 0.04
    assert corpus.manifest["packages"] == python_source.VERSIONS
    assert b"def " in bytes(corpus.train[:100_000])


def test_recorded_versions_are_those_of_the_lock():
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", LOCK.read_text(), re.MULTILINE))
    assert {name: pins[name] for name in python_source.VERSIONS} == python_source.VERSIONS


@pytest.mark.slow
def test_generated_files_are_left_out():
    site = Path(str(metadata.distribution("numpy").locate_file("")))
    paths = {path.relative_to(site).as_posix() for path in python_source.source_files()}
    assert "sympy/core/expr.py" in paths
    assert not paths & {"numpy/__init__.py", "numpy/__config__.py", "scipy/version.py"}
    assert not any(path.startswith("numpy/distutils/") for path in paths)


def test_other_version_warns_with_both(cache, monkeypatch):
    have = metadata.version("sympy")
    monkeypatch.setitem(python_source.VERSIONS, "sympy", "0.7.1")
    monkeypatch.setattr(python_source, "SHA256", "0" * 64)
    with pytest.warns(UserWarning, match=rf"sympy {have} \(recorded: 0\.7\.1\)") as caught:
        load_corpus("python", cache=cache)
    own = [w for w in caught if issubclass(w.category, UserWarning)]  # others are no concern here
    assert len(own) == 1
    assert own[0].filename == __file__


def test_missing_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(python_source.VERSIONS, "no-such-package", "1.0")
    with pytest.raises(InputError, match=r"pip install no-such-package==1\.0"):
        load_corpus("python", cache=tmp_path)
