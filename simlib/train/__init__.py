"""Training: a pack of runs that share a trunk; configurations in, records out."""

from simlib.train.pack import Update, train_pack, train_run
from simlib.train.records import Folder, read_side

__all__ = ["Folder", "Update", "read_side", "train_pack", "train_run"]
