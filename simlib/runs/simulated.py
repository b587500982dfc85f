"""Marks of runs that were drawn from a law and never trained, so that none passes for real."""

from __future__ import annotations

from simlib.runs.table import RunRecord, RunTable

MARK = "simulated"


def is_simulated(record: RunRecord) -> bool:
    """Whether a record was drawn from a law and never trained: any one of its marks says so."""
    marks = (
        record.device,
        record.commit,
        record.dataset.split(":")[0],
        record.run_id.split("-")[0],
    )
    return MARK in marks


def simulated_warning(runs: RunTable) -> str | None:
    """One sentence for a table that holds simulated runs, else None."""
    count = sum(is_simulated(r) for r in runs)
    if count == 0:
        return None
    named = sorted({r.dataset for r in runs if is_simulated(r)})
    return (
        f"{count} of {len(runs)} runs are simulated, not measured ({', '.join(named)}): a fit to "
        "them says what was put into them"
    )
