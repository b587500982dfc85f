# Targets start from a bare clone: the first one makes .venv, later ones find it ready.
.DEFAULT_GOAL := help
.PHONY: help book pdf epub test test-fast inputs kills coverage cells bench bench-smoke lock env laws evidence verify-rows readme-chart clean clean-caches

# the first Python that is new enough and not too new
define RUN
@for python in "$$PYTHON" python3.11 python3.12 python3.13 python3 python; do \
  [ -n "$$python" ] || continue; \
  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
    >/dev/null 2>&1 && exec "$$python" .ci/tasks.py $(1); \
done; \
found=$$(python3 --version 2>/dev/null || echo "no python3"); \
echo "make $(1): Python 3.11, 3.12 or 3.13 is needed ($$found found): install one, or name it with PYTHON=/path/to/python3.12 make $(1)" >&2; \
exit 1
endef

help:
	@echo "make book    build the book and print its path; open the printed file in a browser, no server needed"
	@echo "             (repeat it to preview an edit: only pages that depend on the edit run again)"
	@echo "make pdf     print the whole book with Chromium; make epub  make an e-book of it"
	@echo "make test    lint, types, import rules, tests, the book with warnings as errors, the book in Chromium;"
	@echo "             as root on Linux also that opening the book, a plan, a fit and training need no network"
	@echo "make test-fast  lint, imports and the tests that are not marked slow: about two minutes on an idle machine"
	@echo "make inputs  put 20,000 damaged files and strange options through the commands"
	@echo "make kills   kill sweeps of every kind 200 times, damage their files, and see what is lost"
	@echo "make coverage  count how often intervals hold the truth of drawn laws (hours; goes on where it stopped)"
	@echo "make cells   run the code cells of every page, in order, in a process of its own"
	@echo "make bench   time every row of the benchmark suite into the table that ships (keep the machine idle)"
	@echo "make bench-smoke  see whether every row still runs, in tiny sizes"
	@echo "make env     only make .venv with the pinned requirements"
	@echo "make lock    compile requirements.txt from pyproject.toml"
	@echo "make laws    fit every shipped law again, each by the command that it records"
	@echo "make evidence  train what the tables of the book's grids still lack (says hours and disk first)"
	@echo "make verify-rows  train six recorded rows again, drawn by chance, and compare"
	@echo "make readme-chart  draw the README's chart from the shipped law files"
	@echo "make clean   remove the built book, caches and .venv; make clean-caches leaves .venv"

book:
	$(call RUN,book)

pdf:
	$(call RUN,pdf)

epub:
	$(call RUN,epub)

test:
	$(call RUN,test)

test-fast:
	$(call RUN,test-fast)

inputs: env
	SIMLIB_INPUTS=20000 .venv/bin/pytest -q tests/cli/test_any_input.py

kills: env
	SIMLIB_KILLS=200 .venv/bin/pytest -q -s tests/sweep/test_kills.py

coverage: env
	.venv/bin/python benchmarks/optima.py
	SIMLIB_SHIP=1 .venv/bin/python benchmarks/coverage.py --save joint

cells: env
	SIMLIB_CELLS=all .venv/bin/pytest -q -n 2 tests/bookext/test_start.py -k fresh_process

bench:
	$(call RUN,bench)

bench-smoke:
	$(call RUN,bench-smoke)

lock:
	$(call RUN,lock)

env:
	$(call RUN,env)

laws:
	$(call RUN,laws)

evidence:
	$(call RUN,evidence)

verify-rows:
	$(call RUN,verify-rows)

readme-chart:
	$(call RUN,readme-chart)

clean: clean-caches
	rm -rf .venv *.egg-info

clean-caches:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find simlib tests notebooks book -name __pycache__ -type d -prune -exec rm -rf {} +
