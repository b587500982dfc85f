"""Imported where worker processes are forked from: all of them name the source loaded there."""

from simlib.train.settings import commit

commit()
