"""`python -m simlib`: the command line, also where its script is not installed."""

from simlib.cli import main

main()
