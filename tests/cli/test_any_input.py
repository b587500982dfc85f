"""Whatever a file or an option holds, a command ends with 0, 1 or 2, and says why in a sentence.

Files that are right are changed at random, one format after the other, and options with them.
SIMLIB_INPUTS=20000 tries so many; `make inputs` does.
"""

import gzip
import json
import os
import random
import signal
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

import simlib.cli.claims
import simlib.sweep.again
import simlib.sweep.carry
import simlib.sweep.plan
from simlib.cli import cli
from simlib.datasets import FOLDER
from simlib.datasets import load_law as kept_law
from simlib.errors import InputError

INPUTS = int(os.environ.get("SIMLIB_INPUTS", "1000"))
PATIENCE = 60  # seconds after which one input has hung; a thousand times what it takes
RUN = "0123456789abcdef"
NUMBERS = ["0", "-1", "1", "2", "0.5", "-0.0", "1e-300", "1e300", "1e400", "nan", "inf", "-inf"]
NUMBERS += ["9" * 400, "9" * 20, "-" + "9" * 400, "1e30", "0x10", "1_000", "2:4", "", "1,5", "true"]
WORDS = ["x", "\0", "\N{ZERO WIDTH NO-BREAK SPACE}", "a" * 5000, "../..", "/", ".", "[", "{", "}"]
WORDS += [
    "]",
    ",",
    ";",
    '"',
    "'",
    "\n",
    "\r",
    "\t",
    ":",
    "-",
    "*a",
    "&a",
    "~",
    "null",
    "!!set",
    "#",
]
VALUES = [None, True, [], {}, "", "x", "\0", 0, -1, 1e300, float("nan"), float("inf"), [[1]]]
VALUES += [int("9" * 400), 10**30, {"a": []}, [0.5] * 7, [[0.5] * 7], "a" * 5000]


def changed_text(rng: random.Random, text: str) -> bytes:
    """One to three changes of a text: words, characters, lines, its end, or its bytes."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(text) + 1)
        lines = text.split("\n")
        match rng.randrange(7):
            case 0:
                text = text[:at] + rng.choice(WORDS + NUMBERS) + text[at:]
            case 1:
                text = text[:at]
            case 2:
                end = at + rng.randrange(1, 20)
                text = text[:at] + rng.choice(NUMBERS) + text[end:]
            case 3:
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                text = "\n".join(lines)
            case 4:
                del lines[rng.randrange(len(lines))]
                text = "\n".join(lines)
            case 5:
                text = rng.choice(("[", '{"a":', "- ", "a: {", "&a [*a]")) * rng.choice((1, 5000))
            case _:
                line = rng.randrange(len(lines))
                words = lines[line].replace(":", ": ").split(",")
                words[rng.randrange(len(words))] = rng.choice(NUMBERS + WORDS)
                text = "\n".join([*lines[:line], ",".join(words), *lines[line + 1 :]])
    content = text.encode("utf-8", errors="replace")
    return bytes_changed(rng, content) if rng.random() < 0.1 else content


def bytes_changed(rng: random.Random, content: bytes) -> bytes:
    """A few bytes replaced, or the end cut off."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed) + 1)] if rng.random() < 0.2 else changed)


def changed_json(rng: random.Random, content: object) -> bytes:
    """A value somewhere in it replaced or left out, or its text changed."""
    content = json.loads(json.dumps(content))
    if rng.random() < 0.3:
        return changed_text(rng, json.dumps(content))
    place = content
    while isinstance(place, dict | list) and place:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.7:
            place = inner
        elif rng.random() < 0.2:
            del place[key]
            break
        else:
            place[key] = rng.choice(VALUES)
            break
    return json.dumps(content).encode()


def rows() -> str:
    lines = ["run_id,sparsity,nonzero_params,data_seen,loss,seed"]
    for i, (S, N, D) in enumerate(
        (S, N, D) for S in (0, 0.5, 0.75) for N in (1e6, 1e7, 1e8) for D in (1e8, 1e9, 1e10)
    ):
        loss = 2 + (1 - S) ** -0.2 * (1e5 / N) ** 0.3 + (1e8 / D) ** 0.3 + 0.001 * (i * i % 7)
        lines.append(f"{i:016x},{S},{N:.0f},{D:.0f},{loss:.5f},0")
    return "\n".join(lines) + "\n"


GRID = """# Two sizes, dense and sparse.
base: {corpus: python, steps: 200, warmup_steps: 10}
runs:
  - {nonzero_params: [13824, 27648], sparsity: [0, 0.75], seed: [0, 1]}
  - {nonzero_params: 13824, sparsity: 0.5, pattern: 2:4}
"""
LAW = json.loads((FOLDER / "gpt-laptop.json").read_text())
LAW["ensemble"] = LAW["ensemble"][:20]
OWN = rows().replace("nonzero_params", "n").replace("data_seen", "tokens")
OBJECTS = [(OWN.split("\n")[0].split(","), line.split(",")) for line in OWN.split("\n")[1:-1]]


class Inputs:
    """Commands with a file that one change has been made to, and with options of any kind."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng, self.folder, self.made = rng, folder, 0

    def file(self, content: bytes, ending: str) -> str:
        """A file of a name that none had before: laws are kept by name."""
        self.made += 1
        path = self.folder / f"{self.made}{ending}"
        path.write_bytes(content)
        return str(path)

    def table(self) -> str:
        return self.file(changed_text(self.rng, rows()), ".csv")

    def law(self) -> str:
        return self.file(changed_json(self.rng, LAW), ".json")

    def grid(self) -> str:
        return self.file(changed_text(self.rng, GRID), ".yaml")

    def archive(self) -> str:
        path = self.folder / "archive.zip"
        side = json.dumps({"curve": []})
        members = {"runs.csv": changed_text(self.rng, rows()), f"{RUN}/side.json": side.encode()}
        with zipfile.ZipFile(path, "w", self.rng.choice((0, 8, 14))) as file:
            for name, content in members.items():
                file.writestr(self.rng.choice((name, name, "../x", "a" * 300)), content)
        content = path.read_bytes()
        return self.file(
            bytes_changed(self.rng, content) if self.rng.random() < 0.7 else content, ".zip"
        )

    def number(self, usual: str) -> str:
        return self.rng.choice([usual, usual, *NUMBERS])

    def numbers(self, usual: str) -> str:
        return self.rng.choice([usual, ",".join(self.rng.choices(NUMBERS, k=2))])

    def path(self, ending: str) -> str:
        self.made += 1
        usual = str(self.folder / f"out{self.made}{ending}")
        return self.rng.choice(
            [usual, usual, usual, str(self.folder), "a" * 5000, "\0", usual + "/x"]
        )

    def fit(self) -> list[str]:
        return [
            *("fit", "--runs", self.table(), "--resamples", "0", "--starts", "1"),
            *("--form", self.rng.choice(("joint", "dense", "capacity"))),
            *self.sometimes("--delta", self.number("0.001")),
            *self.sometimes("--level", self.number("0.9")),
            *self.sometimes("--save", self.path(".json")),
        ]

    def foreign(self) -> list[str]:
        columns = "nonzero_params=n,data_seen=tokens"
        table = self.file(changed_text(self.rng, OWN), ".csv")
        if self.rng.random() < 0.3:
            columns = changed_text(self.rng, columns + "*1,loss=loss").decode(errors="replace")
        run = ("--resamples", "0", "--starts", "1")
        where = changed_text(self.rng, "seed == 0 and loss < 1e3").decode(errors="replace")
        picked = self.sometimes("--where", where) + self.sometimes("--best-per", "N,D,S,seed")
        return ["fit", "--runs", table, "--columns", columns, *picked, *run]

    def packed(self) -> list[str]:
        objects = [dict(zip(*lines, strict=True)) for lines in OBJECTS]
        content = changed_json(self.rng, objects)
        if self.rng.random() < 0.5:
            content = gzip.compress(content)
            content = bytes_changed(self.rng, content) if self.rng.random() < 0.5 else content
        columns = ("--columns", "nonzero_params=n,data_seen=tokens*1")
        run = ("--resamples", "0", "--starts", "1")
        return ["fit", "--runs", self.file(content, ".json"), *columns, *run]

    def compare(self) -> list[str]:
        held = self.sometimes("--held-out", self.table())
        return ["compare", "--runs", self.table(), "--form", "joint", "--resamples", "0", *held]

    def optimum(self) -> list[str]:
        law = self.law() if self.rng.random() < 0.8 else "gpt-laptop"
        sizes = ("--nonzero-params", self.number("1e6"), "--flops", self.number("1e16"))
        return ["optimum", "--law", law, *sizes, *self.sometimes("--json")]

    def plan(self) -> list[str]:
        options = ("--max-params", "--max-data", "--memory", "--noise", "--target-loss", "--gpus")
        law = self.law() if self.rng.random() < 0.8 else "gpt-laptop"
        more = self.sometimes(self.rng.choice(options), self.number("1e7"))
        return ["plan", "--law", law, "--flops", self.number("1e16"), *more]

    def simulate(self) -> list[str]:
        return [
            *("simulate", "--law", self.law() if self.rng.random() < 0.3 else "gpt-laptop"),
            *("--sparsity", self.numbers("0,0.5"), "--nonzero-params", self.numbers("1e6,1e7")),
            *("--data-seen", self.numbers("1e8"), "--out", self.path(".csv")),
            *self.sometimes("--repeats", self.number("2")),
            *self.sometimes("--seed-noise", self.number("0.01")),
            *self.sometimes("--seed", self.number("3")),
        ]

    def design(self) -> list[str]:
        own = (
            "--sparsity",
            self.numbers("0,0.5,0.75"),
            "--data-seen",
            self.numbers("1e8,1e9,1e10"),
        )
        budget = ("--flops", self.number("1e18"), "--most-runs", "10")
        if self.rng.random() < 0.3:
            price = self.sometimes("--price", self.rng.choice(("flops", *WORDS, *NUMBERS)))
            rows = ("--candidates", self.table(), *self.sometimes("--on", self.table()), *price)
            return ["design", "--law", "gpt-laptop", *rows, *budget]
        return ["design", "--law", "gpt-laptop", *self.sometimes(*own), *budget]

    def sweep(self) -> list[str]:
        grid = self.grid() if self.rng.random() < 0.8 else self.file(GRID.encode(), ".yaml")
        only = self.sometimes("--only", f"seed={self.rng.choice(WORDS + NUMBERS)}")
        return ["sweep", grid, "--dry-run", "--out", self.path(""), *only]

    def train(self) -> list[str]:
        options = ("nonzero-params", "sparsity", "steps", "depth", "batch", "seq-len", "seed", "lr")
        options += (
            "threads",
            "head-size",
            "lr-width",
            "valid-windows",
            "pattern",
            "corpus",
            "start",
        )
        chosen = [
            p for o in self.rng.sample(options, 2) for p in (f"--{o}", self.rng.choice(NUMBERS))
        ]
        return ["train", "--dry-run", "--out", self.path(""), *chosen]

    def collect(self) -> list[str]:
        return ["collect", self.archive(), "--out", self.path("")]

    def predict(self) -> list[str]:
        return ["predict", "--law", self.law(), "--grid", self.grid()]

    def optimum_grid(self) -> list[str]:
        parts = (
            self.number("6144"),
            self.number("1e11"),
            self.rng.choice(("sparse", "dense", "x")),
        )
        run = ("--law", "gpt-laptop", "--point", ":".join(parts), "--like", self.grid())
        return ["optimum-grid", *run, *self.sometimes("--spread", self.number("4"))]

    def curves(self) -> list[str]:
        side = self.folder / "runs" / f"{0:016x}"
        side.mkdir(parents=True, exist_ok=True)
        columns = {name: [1.0, 2.0, 3.0] for name in ("step", "loss", "sparsity", "lr")}
        (side / "side.json").write_bytes(changed_json(self.rng, {"curve": columns}))
        table = self.file("\n".join(rows().split("\n")[:2]).encode() + b"\n", ".csv")
        return ["curves", str(side.parent), "--table", table, "--save", self.path(".json")]

    def notebook(self) -> list[str]:
        return ["notebook", self.rng.choice(WORDS), "-p", self.rng.choice(WORDS), "1"]

    def calibrate(self) -> list[str]:
        share = self.sometimes("--share", self.number("0.5"))
        return ["calibrate", "--runs", self.table(), "--resamples", "20", *share]

    def claims(self) -> list[str]:
        name = self.rng.choice(("gpt-laptop", *WORDS))
        asked = self.rng.choice(
            (
                ("--power", name, "--grid", self.grid()),
                ("--power", name, "--tables", self.number("2")),
                ("--measure", self.rng.choice(WORDS + NUMBERS)),
                ("--only", self.rng.choice(WORDS + NUMBERS)),
            )
        )
        return ["claims", *asked, *self.sometimes("--seed", self.number("3"))]

    def verify_rows(self) -> list[str]:
        table = self.sometimes("--table", self.rng.choice(("gpt-pilot2", *WORDS)))
        hours = self.sometimes("--hours", self.number("0.2"))
        save = self.sometimes("--save", self.path(".json"))
        return ["verify-rows", "--rows", self.number("1"), *table, *hours, *save]

    def evidence(self) -> list[str]:
        grids = [*WORDS, *NUMBERS, "gpt-pilot2"]
        fresh = self.sometimes("--fresh", self.path(""))
        only = self.rng.choice(grids)
        return ["evidence", "--dry-run", "--only", only, *fresh, "--out", self.path("")]

    def carry(self) -> list[str]:
        only = self.sometimes("--only", f"seed={self.rng.choice(WORDS + NUMBERS)}")
        return ["carry", self.grid(), "--to", self.path(".zip"), *only]

    def sometimes(self, *words: str) -> list[str]:
        return list(words) if self.rng.random() < 0.3 else []


COMMANDS = [name for name, value in vars(Inputs).items() if not name.startswith("_")]
COMMANDS = [n for n in COMMANDS if n not in ("file", "table", "law", "grid", "archive")]
COMMANDS = [n for n in COMMANDS if n not in ("number", "numbers", "path", "sometimes")]


@contextmanager
def patience():
    """Raises TimeoutError where an input hangs."""

    def stop(*_: object) -> None:
        raise TimeoutError("this input hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def without_long_work(monkeypatch):
    """What takes minutes once everything that was given is accepted."""

    def accepted(*_: object, **__: object) -> None:
        raise InputError("all of it was accepted")

    monkeypatch.setattr(simlib.sweep.plan, "_time_step", lambda config: 0.001)
    monkeypatch.setattr(simlib.sweep.again, "repeat", accepted)
    monkeypatch.setattr(simlib.cli.claims, "compute_powers", accepted)
    monkeypatch.setattr(simlib.sweep.carry, "_corpus_folder", lambda name: Path())
    monkeypatch.setattr(simlib.sweep.carry, "_contents", lambda corpora: iter(()))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_with_a_sentence_whatever_it_is_given(name, tmp_path, monkeypatch):
    without_long_work(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for number in range(-(-INPUTS // len(COMMANDS))):
        inputs = Inputs(random.Random(f"{name} {number}"), tmp_path / str(number))
        inputs.folder.mkdir()
        arguments = getattr(inputs, name)()
        with patience():
            done = CliRunner().invoke(cli, arguments)
        kept_law.cache_clear()
        said = f"{name} {number}: {[a[:100] for a in arguments]}"
        if isinstance(done.exception, InputError):
            assert 10 < len(str(done.exception)) < 2000, said
        elif done.exception is not None and not isinstance(done.exception, SystemExit):
            raise AssertionError(said) from done.exception
        else:
            assert done.exit_code in (0, 1, 2), said
        with suppress(OSError):
            for path in inputs.folder.iterdir():
                path.unlink()
