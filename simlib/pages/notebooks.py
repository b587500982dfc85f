"""Run one text notebook with parameters, after checking every one of them."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from simlib.errors import InputError

KERNEL = "python3"
# what an annotation in a parameters cell may be made of
_PLAIN: dict[str, Any] = {"int": int, "float": FiniteFloat, "str": str, "bool": bool}
_HOLDING: dict[str, Any] = {"list": list, "tuple": tuple, "dict": dict, "Literal": Literal}


class NotebookFailed(RuntimeError):  # noqa: N818  reads as what happened
    """A cell of a notebook raised; the text names the cell and the error in one line."""


@dataclass(frozen=True)
class Parameter:
    """One line `name: annotation = default  # help` of a parameters cell."""

    name: str
    annotation: str
    default: str
    help: str

    def parse(self, value: object) -> Any:
        """`value`, or the text of it as typed on a command line, as this parameter's type.

        Raises:
            InputError: it is no such value.
        """
        if isinstance(value, str) and self.annotation != "str":
            value = _literal(value)
        try:
            return TypeAdapter(self._kind()).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            text = f"parameter {self.name} takes {self.annotation}, got {value!r}: {reason}"
            raise InputError(text) from error

    def _kind(self) -> Any:
        """The type that the annotation spells, which is read and never run."""
        try:
            return _kind_of(ast.parse(self.annotation, mode="eval").body)
        except (LookupError, SyntaxError, TypeError, ValueError) as error:
            names = ", ".join([*_PLAIN, *_HOLDING])
            text = f"parameter {self.name} has type {self.annotation}; use {names}"
            raise InputError(text) from error


def _kind_of(node: ast.expr) -> Any:
    """Raises LookupError, TypeError or ValueError for anything but the known types."""
    match node:
        case ast.Name(id=name):
            return (_PLAIN | _HOLDING)[name]
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_kind_of(left), _kind_of(right)]  # noqa: UP007  only known at run time
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            return Literal[ast.literal_eval(choices)]
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=parts)):
            return _HOLDING[name][tuple(map(_part, parts))]
        case ast.Subscript(value=ast.Name(id=name), slice=part):
            return _HOLDING[name][_kind_of(part)]
    raise ValueError(ast.unparse(node))


def _part(node: ast.expr) -> Any:
    """A type within `tuple[...]` or `dict[...]`; `...` stands for any number of the one before."""
    return ... if isinstance(node, ast.Constant) and node.value is ... else _kind_of(node)


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def notebook_folder() -> Path:
    """The checkout's folder of notebooks: that of the working directory, or of this library.

    Raises:
        InputError: neither lies in a checkout.
    """
    here = Path.cwd()
    for root in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (root / "notebooks").is_dir() and (root / "_toc.yml").is_file():
            return root / "notebooks"
    raise InputError("no checkout of the book here: change into it, or give a notebook's path")


def names() -> list[str]:
    """Names of the notebooks of the checkout, sorted."""
    return sorted(path.stem for path in notebook_folder().glob("*.md"))


def title(page: str) -> str:
    """The heading of a page of the checkout, such as `notebooks/pruners.md`."""
    text = (notebook_folder().parent / page).read_text(encoding="utf-8")
    return next(line[2:].strip() for line in text.splitlines() if line.startswith("# "))


def find(name: str) -> Path:
    """Path of the notebook called `name`, or at the path `name`.

    Raises:
        InputError: there is none.
    """
    path = Path(name)
    if path.is_file():
        return path.resolve()
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"no notebook at {name}")
    if name not in names():
        raise InputError(f"no notebook {name!r}: there are {', '.join(names()) or 'none'}")
    return notebook_folder() / f"{name}.md"


def _read(path: Path) -> Any:
    import jupytext

    try:
        return jupytext.read(path)
    except Exception as error:  # jupytext has no common base for what it may raise
        raise InputError(f"{path} is not a text notebook: {error}") from error


def _parameters(notebook: Any) -> dict[str, Parameter]:
    from papermill.translators import papermill_translators

    tagged = (c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    cell = next(tagged, None)
    if cell is None:
        return {}
    found = papermill_translators.find_translator(KERNEL, "python").inspect(cell)
    return {p.name: Parameter(p.name, _annotation(p), p.default, p.help) for p in found}


def _annotation(parameter: Any) -> str:
    """The declared type; without one, which papermill calls None, that of the default."""
    declared = str(parameter.inferred_type_name)
    return type(_literal(parameter.default)).__name__ if declared == "None" else declared


def parameters(path: Path) -> dict[str, Parameter]:
    """Parameters of the notebook at `path` by name, in the order of its parameters cell.

    Raises:
        InputError: the file is no text notebook.
    """
    return _parameters(_read(path))


def checked(known: Mapping[str, Parameter], given: Mapping[str, object]) -> dict[str, Any]:
    """`given` as values of the types that `known` declares.

    Raises:
        InputError: a name that is not known, or a value that does not fit its type.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        choice = ", ".join(known) or "none"
        raise InputError(f"unknown parameter {unknown[0]!r}: this notebook takes {choice}")
    return {name: known[name].parse(value) for name, value in given.items()}


def run(path: Path, given: Mapping[str, object], out: Path, progress: bool = False) -> Any:
    """Execute the notebook at `path` with the parameters `given`; write and return the result.

    The working directory of its kernel is the folder above the notebook's. `out` is written as
    far as the notebook came even if a cell fails.

    Raises:
        InputError: before anything runs: unknown or ill-typed parameter, unusable `out`.
        NotebookFailed: a cell raised.
    """
    notebook = _read(path)
    values = checked(_parameters(notebook), given)
    if out.suffix != ".ipynb":
        raise InputError(f"the result is a notebook: give a file that ends in .ipynb, not {out}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}") from error
    return _execute(notebook, values, out, path.resolve().parent.parent, progress)


def _execute(notebook: Any, values: dict[str, Any], out: Path, root: Path, progress: bool) -> Any:
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    try:
        return execute_notebook(
            notebook,
            str(out),
            parameters=values,
            kernel_name=KERNEL,
            language="python",
            cwd=str(root),
            progress_bar=progress,
        )
    except PapermillExecutionError as error:
        text = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
        raise NotebookFailed(" ".join(text.split())) from error
