"""The JavaScript that the book needs, from installed wheels: pages load no other host."""

import hashlib
import importlib.util
import shutil
from importlib.metadata import version
from pathlib import Path

VEGA_LITE_VERSION = "6.4"
# enough of MathJax for TeX input and HTML output: 3 MB of the wheel's 24
MATHJAX_PARTS = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions", "a11y", "ui")


def mathjax_folder() -> Path:
    """Folder of MathJax inside the installed wheel.

    Raises:
        RuntimeError: the wheel `sphinx-mathjax-offline` is not installed.
    """
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("sphinx-mathjax-offline is missing: pip install -r requirements.txt")
    return Path(spec.submodule_search_locations[0]) / "static" / "mathjax"


def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one classic script that defines `window.vegaEmbed`.

    The bundle is an ES module; wrapped in a function it leaks no names and, unlike a module,
    may be loaded from `file://`.
    """
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE_VERSION)
    return f"(()=>{{{bundle}\n}})();\n"


def _versions() -> str:
    names = ("vl-convert-python", "sphinx-mathjax-offline")
    text = " ".join(f"{name}=={version(name)}" for name in names) + VEGA_LITE_VERSION
    return hashlib.sha256(text.encode()).hexdigest()


def assemble(folder: Path) -> Path:
    """Write the assets below `folder` unless these very versions are there; return `folder`."""
    stamp = folder / ".complete"
    if stamp.is_file() and stamp.read_text() == _versions():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "vega").mkdir(parents=True)
    (folder / "vega" / "vega-bundle.js").write_text(vega_bundle(), encoding="utf-8")
    source = mathjax_folder()
    for part in MATHJAX_PARTS:
        target = folder / "mathjax" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target)
        else:
            shutil.copyfile(source / part, target)
    stamp.write_text(_versions())
    return folder
