"""Training: a pack of runs that share a prefix; configurations in, records out."""

from simlib.train.pack import Update, train_pack, train_run
from simlib.train.progress import NotebookProgress, TerminalProgress
from simlib.train.records import Folder, load_model, read_side

__all__ = [
    "Folder",
    "NotebookProgress",
    "TerminalProgress",
    "Update",
    "load_model",
    "read_side",
    "train_pack",
    "train_run",
]
