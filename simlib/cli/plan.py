"""`simlib plan`: how to spend a budget, dense or sparse, with intervals and what they leave out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from simlib.analysis.calibration import demanded_widening
from simlib.analysis.numbers import count, number
from simlib.cli.options import json_option, level_option
from simlib.datasets import load_law
from simlib.errors import InputError
from simlib.fit.fittedlaw import FittedLaw
from simlib.laws.optimum import COSTS, cost_model
from simlib.simulate.allocate import TrainingCost
from simlib.simulate.checkpoint import Checkpoint
from simlib.simulate.footprint import STORAGE
from simlib.simulate.forecast import Distance
from simlib.simulate.front import Front, pareto_front
from simlib.simulate.hardware import CATALOGUE, DEFAULT_UTILISATION, Cluster, accelerator
from simlib.simulate.limits import Limits, budget_in_flops, weight_ceiling
from simlib.simulate.plan import Choice, Plan
from simlib.simulate.planning import fitted_limits, make_plan, plan_for_loss
from simlib.simulate.speedup import parse_speedups, two_four_cost
from simlib.simulate.split import SplitPlan, plan_bytes

EXAMPLES = """
\b
Examples:
  simlib plan --law t5-c4-refit --flops 1e21 --cost sparse
  simlib plan --law t5-c4-refit --flops 1e23 --hardware h100 --gpus 1024 --serve-tokens 1e13
  simlib plan --law t5-c4-refit --gpu-hours 5e4 --hardware a100 --memory 24 --json
  simlib plan --law t5-c4-refit --target-loss 1.4
  simlib plan --law t5-c4-refit --nonzero-params 1e9 --flops 1e22 --cost sparse
  simlib plan --law t5-c4-refit --flops 1e22 --unique-data 1e10
  simlib plan --law t5-c4-refit --flops 1e21 --checkpoint-params 1e9 --checkpoint-data 1e11
  simlib plan --law quest --bytes 5e8 --data 5e10
"""
LEAST = "least_flops"
FRONT_POINTS = 12


@click.command(epilog=EXAMPLES)
@click.option("--law", "law_name", required=True, help="A shipped law, or the path of a law file.")
@click.option("--flops", type=float, help="Budget in FLOP.")
@click.option("--gpu-hours", type=float, help="Budget in device-hours; needs --hardware.")
@click.option("--money", type=float, help="Budget in money; needs --hardware and --price.")
@click.option("--target-loss", type=float, help="Instead of a budget: the least that reaches it.")
@click.option(
    "--bytes",
    "weight_bytes",
    type=float,
    help="Bytes of the stored weights: the best size, sparsity and bits. Takes a law of the form "
    "bits, such as bits-laptop, and a budget or --data.",
)
@click.option("--data", type=float, help="Tokens or images of every run, with --bytes.")
@click.option(
    "--cost",
    type=click.Choice(list(COSTS)),
    default="dense",
    show_default=True,
    help="Whether training saves the multiplications with pruned weights.",
)
@click.option("--speedup", help="Measured speed-ups instead of --cost, such as 0.5:1.1,0.9:2.5.")
@click.option(
    "--speedup-24",
    type=float,
    default=1.0,
    show_default=True,
    help="How much faster a step with a 2:4 mask trains.",
)
@click.option("--hardware", help=f"Accelerator: {', '.join(CATALOGUE)}.")
@click.option("--gpus", type=int, default=1, show_default=True, help="Number of devices.")
@click.option("--precision", default="bf16", show_default=True, help="Precision of training.")
@click.option(
    "--utilisation",
    type=float,
    default=DEFAULT_UTILISATION,
    show_default=True,
    help="Share of the dense peak that training reaches.",
)
@click.option("--price", type=float, help="Price of a device-hour.")
@click.option(
    "--serve-tokens",
    type=float,
    default=0.0,
    show_default=True,
    help="Tokens to be served; the budget pays for them too.",
)
@click.option("--serve-zeros", is_flag=True, help="Zeros cost as much as values at inference.")
@click.option("--nonzero-params", type=float, help="Fix the non-zero parameters of every run.")
@click.option("--max-params", type=float, help="Ceiling on non-zero parameters.")
@click.option("--max-data", type=float, help="Ceiling on tokens or images.")
@click.option(
    "--unique-data",
    type=float,
    help="Distinct tokens or images there are; past them data repeats and counts less.",
)
@click.option(
    "--checkpoint-params",
    type=float,
    help="Prune a dense checkpoint of so many parameters too; with --checkpoint-data.",
)
@click.option("--checkpoint-data", type=float, help="Tokens or images that it has seen.")
@click.option(
    "--pay-checkpoint", is_flag=True, help="The budget pays for the checkpoint's training too."
)
@click.option(
    "--max-sparsity",
    type=float,
    help="Ceiling on sparsity.  [default: that of the sparsest fitted run]",
)
@click.option("--memory", type=float, help="Ceiling on stored weights at inference, GB.")
@click.option(
    "--latency", type=float, help="Ceiling on the time to read all weights, ms; needs --hardware."
)
@click.option(
    "--storage",
    type=click.Choice(list(STORAGE)),
    default="bitmask",
    show_default=True,
    help="How the sparse run's weights are stored.",
)
@level_option
@click.option("--noise", type=float, help="Deviation of log loss.  [default: the law's log-RMSE]")
@click.option(
    "--widen",
    type=float,
    help="Stretch intervals of the loss.  [default: as far as the calibration on the "
    "law's table demands]",
)
@click.option(
    "--front", is_flag=True, help="Also the least loss of each smaller size within the budget."
)
@json_option
def command(**options: Any) -> None:
    """Spend a budget on training and serving: the best dense, sparse and 2:4 run side by side.

    Give one of --flops, --gpu-hours, --money and --target-loss. With --bytes: the best split of a
    memory between more weights, more bits in each, and zeros. Hours are counted with the cost
    model's savings; the warnings say what they are without.
    """
    _refuse_without_hardware(options)
    if options["front"] and options["nonzero_params"] is not None:
        raise InputError("--front shows all sizes and --nonzero-params fixes one: give one of them")
    law_file = load_law(options["law_name"])
    if options["weight_bytes"] is not None:
        click.echo(_split_plan(law_file, options))
        return
    if options["data"] is not None:
        raise InputError("--data goes with --bytes; a ceiling on data is --max-data")
    cluster = _cluster(options)
    cost = parse_speedups(options["speedup"]) if options["speedup"] else cost_model(options["cost"])
    limits = _limits(options, fitted_limits(law_file).sparsity, _ceiling(options, cluster))
    flops, least = _budget(law_file, options, cost, limits, cluster)
    widen = demanded_widening(law_file) if options["widen"] is None else options["widen"]
    plan = make_plan(
        law_file,
        flops,
        cost,
        limits=limits,
        two_four=two_four_cost(options["speedup_24"]),
        cluster=cluster,
        checkpoint=_checkpoint(options),
        level=options["level"],
        noise=options["noise"],
        widen=widen,
    )
    fronts = _fronts(law_file, flops, cost, limits) if options["front"] else {}
    if options["as_json"]:
        drawn = {"front": {kind: _points(front) for kind, front in fronts.items()}}
        found = {**plan_object(plan), **({LEAST: least} if least else {})}
        click.echo(json.dumps({**found, **(drawn if fronts else {})}))
    else:
        click.echo("\n".join([_text(plan, limits, least), *_front_lines(fronts)]))


def _refuse_without_hardware(options: dict[str, Any]) -> None:
    """Options that say nothing without an accelerator are a mistake, not to be passed over."""
    typed = click.get_current_context().get_parameter_source
    for name in ("gpus", "precision", "utilisation", "price"):
        if options["hardware"] is None and typed(name) == ParameterSource.COMMANDLINE:
            raise InputError(
                f"--{name} {options[name]} says nothing without --hardware: name an accelerator"
            )


NOT_OF_BYTES = (
    *("memory", "latency", "target_loss", "nonzero_params", "speedup_24", "front"),
    *("checkpoint_params", "checkpoint_data", "pay_checkpoint"),
)


def _split_plan(law_file: FittedLaw, options: dict[str, Any]) -> str:
    """The answer to `--bytes`, as text or JSON."""
    typed = click.get_current_context().get_parameter_source
    for name in NOT_OF_BYTES:
        if typed(name) == ParameterSource.COMMANDLINE:
            raise InputError(f"--{name.replace('_', '-')} says nothing with --bytes: leave it out")
    if options["data"] is not None and options["max_data"] is not None:
        raise InputError("--data fixes what --max-data limits: give one of them")
    given = (options["flops"], options["gpu_hours"], options["money"])
    cluster, flops = _cluster(options), None
    if any(value is not None for value in given):
        flops = budget_in_flops(*given, cluster)
    limits = _limits(options, law_file.fitted_range.sparsity[1], None)
    plan = plan_bytes(
        law_file,
        options["weight_bytes"],
        flops=flops,
        data_seen=options["data"],
        cost=parse_speedups(options["speedup"])
        if options["speedup"]
        else cost_model(options["cost"]),
        limits=limits,
        level=options["level"],
        noise=options["noise"],
        widen=1.0 if options["widen"] is None else options["widen"],
    )
    return json.dumps(split_object(plan)) if options["as_json"] else _split_text(plan)


def split_object(plan: SplitPlan) -> dict[str, Any]:
    """The splits of a number of bytes as plain values for JSON."""
    return {
        "law": plan.law,
        "bytes": plan.weight_bytes,
        "storage": plan.kept,
        "level": plan.level,
        "best_bits": plan.best.bits,
        "splits": [{**vars(s), "distance": _far(s.distance)} for s in plan.splits],
        "warnings": list(plan.warnings),
    }


def _split_text(plan: SplitPlan) -> str:
    best = plan.best
    lines = [
        f"law {plan.law}, {plan.weight_bytes:.4g} bytes, zeros stored as {plan.kept}",
        f"best: {best.bits} bits, {best.sparsity:.1%} sparse, {best.nonzero_params:.3g} non-zero "
        f"parameters; the least loss in {best.share:.0%} of refits",
    ]
    rows = {
        "": lambda s: f"{s.bits} bits",
        "sparsity": lambda s: f"{s.sparsity:.1%}" + _span(s.sparsity_interval, ".0%"),
        "non-zero parameters": lambda s: f"{s.nonzero_params:.3g}",
        "parameters under the mask": lambda s: f"{s.dense_params:.3g}",
        "tokens or images": lambda s: f"{s.data_seen:.3g}",
        "stored weights, bytes": lambda s: f"{s.weight_bytes:.3g}",
        "loss": lambda s: f"{s.loss:.4f}" + _span(s.interval, ".3f"),
        "least loss in refits": lambda s: f"{s.share:.0%}",
    }
    lines += [
        f"{label:28}" + "".join(f"{cell(s):>22}" for s in plan.splits)
        for label, cell in rows.items()
    ]
    return "\n".join([*lines, *(f"warning: {said}" for said in plan.warnings)])


def _fronts(
    law_file: FittedLaw, flops: float, cost: TrainingCost, limits: Limits
) -> dict[str, Front]:
    """What each size can reach within the budget, dense and sparse, from small to large."""
    dense = replace(limits, sparsity=0.0, kept=STORAGE["dense"])
    return {
        kind: pareto_front(law_file.joint, flops, cost, within, points=FRONT_POINTS)
        for kind, within in (("dense", dense), ("sparse", limits))
    }


def _checkpoint(options: dict[str, Any]) -> Checkpoint | None:
    params, data = options["checkpoint_params"], options["checkpoint_data"]
    if params is None and data is None and not options["pay_checkpoint"]:
        return None
    if params is None or data is None:
        raise InputError(
            "a checkpoint to prune needs --checkpoint-params and --checkpoint-data: give both"
        )
    return Checkpoint(params, data, options["pay_checkpoint"])


def _cluster(options: dict[str, Any]) -> Cluster | None:
    if options["hardware"] is None:
        return None
    return Cluster(
        accelerator(options["hardware"]),
        options["gpus"],
        options["utilisation"],
        options["precision"],
        options["price"],
    )


def _limits(options: dict[str, Any], highest: float, ceiling: float | None) -> Limits:
    """The limits of a plan; `highest` is the sparsity of the sparsest fitted run."""
    given = options["max_sparsity"]
    return Limits(
        options["max_params"],
        options["max_data"],
        highest if given is None else given,
        ceiling,
        STORAGE[options["storage"]],
        options["serve_tokens"],
        options["serve_zeros"],
        options["unique_data"],
        fixed_params=options["nonzero_params"],
    )


def _ceiling(options: dict[str, Any], cluster: Cluster | None) -> float | None:
    memory, latency = options["memory"], options["latency"]
    return weight_ceiling(
        None if memory is None else memory * 1e9,
        None if latency is None else latency / 1e3,
        cluster,
    )


def _budget(
    law_file: FittedLaw,
    options: dict[str, Any],
    cost: TrainingCost,
    limits: Limits,
    cluster: Cluster | None,
) -> tuple[float, dict[str, Any] | None]:
    """The budget in FLOP, and, for a target loss, the least budgets that reach it."""
    given = (options["flops"], options["gpu_hours"], options["money"])
    target = options["target_loss"]
    if target is None:
        return budget_in_flops(*given, cluster), None
    if any(v is not None for v in given):
        raise InputError("give a budget or --target-loss, not both")
    found = plan_for_loss(law_file, target, cost, limits=limits, level=options["level"])
    least = {k: {"flops": v, "interval": _ends(ends)} for k, (v, ends) in found.items()}
    return found["sparse"][0], {"target_loss": target, **least}


def plan_object(plan: Plan) -> dict[str, Any]:
    """A plan as plain values for JSON; a quantity that does not exist is null."""
    return {
        "law": plan.law,
        "cost": plan.cost,
        "flops": plan.flops,
        "level": plan.level,
        "widen": plan.widen,
        **{c.kind.replace(":", "_"): _choice_object(c) for c in plan.choices},
        "probability_sparse_wins": plan.probability_sparse_wins,
        "probability_2_4_wins": plan.probability_two_four_wins,
        "probability_pruned_wins": plan.probability_pruned_wins,
        "probability_sparsity_helps": plan.probability_sparsity_helps,
        "extrapolation": {c.kind.replace(":", "_"): _far(c.distance) for c in plan.choices},
        "measurements": [vars(m) for m in plan.measurements],
        "warnings": list(plan.warnings),
    }


def _choice_object(choice: Choice) -> dict[str, Any]:
    found = {k: v for k, v in vars(choice).items() if k not in ("kind", "distance")}
    for name in ("interval", "sparsity_interval"):
        found[name] = None if found[name] is None else _ends(found[name])
    return found


def _ends(interval: tuple[float, float]) -> list[float | None]:
    return [None if end == float("inf") else end for end in interval]


def _far(distance: Distance) -> dict[str, Any]:
    return {**{k: float(v) for k, v in vars(distance).items()}, "far": bool(distance.far)}


def _text(plan: Plan, limits: Limits, least: dict[str, Any] | None) -> str:
    serving = f", serving of {count(limits.serve_tokens)} tokens included" * (
        limits.serve_tokens > 0
    )
    lines = [f"law {plan.law}, {plan.cost} training cost, {number(plan.flops)} FLOP{serving}"]
    if least:
        lines += [
            f"loss {least['target_loss']:g} takes at least {number(least[k]['flops'])} FLOP {k}"
            for k in ("dense", "sparse")
        ]
    lines += [
        f"{label:28}" + "".join(f"{cell(c):>22}" for c in plan.choices)
        for label, cell in _rows(plan).items()
    ]
    lines += [
        f"share of the refits in which this sparse run beats this dense run: "
        f"{plan.probability_sparse_wins:.0%}; this 2:4 run: {plan.probability_two_four_wins:.0%}",
        *_pruned_wins(plan),
        f"share in which some sparsity helps: {plan.probability_sparsity_helps:.0%}",
    ]
    for m in plan.measurements[:1]:
        lines.append(
            f"most telling run to measure: sparsity {m.sparsity:g}, {count(m.nonzero_params)} "
            f"non-zero parameters, {count(m.data_seen)} data ({number(m.flops, 2)} FLOP): explains "
            f"{m.explains:.0%} of the uncertainty; chance that it turns the answer "
            f"{m.changes_the_answer:.0%}"
        )
    return "\n".join([*lines, *(f"warning: {said}" for said in plan.warnings)])


def _rows(plan: Plan) -> dict[str, Any]:
    rows: dict[str, Any] = {
        "": lambda c: c.kind,
        "sparsity": lambda c: f"{c.sparsity:.1%}" + _span(c.sparsity_interval, ".0%"),
        "non-zero parameters": lambda c: count(c.nonzero_params),
        "parameters under the mask": lambda c: count(c.dense_params),
        "tokens or images": lambda c: count(c.data_seen),
    }
    if any(c.effective_data != c.data_seen for c in plan.choices):
        rows["which count as"] = lambda c: count(c.effective_data)
    rows["loss"] = lambda c: f"{c.loss:.4f}" + _span(c.interval, ".3f")
    rows["stored weights, GB"] = lambda c: f"{c.inference_bytes / 1e9:.3g}"
    if plan.dense.gpu_hours is not None:
        rows["GPU-hours of training"] = lambda c: number(c.gpu_hours)
        rows["days, with restarts"] = lambda c: f"{c.days:.3g}"
    if plan.dense.money is not None:
        rows["money"] = lambda c: f"{c.money:.3g}"
    if plan.dense.energy is not None:
        rows["energy of training, MWh"] = lambda c: f"{c.energy / 1e3:.3g}"
    return rows


def _points(front: Front) -> list[dict[str, float]]:
    names = {
        "sparsity": front.S,
        "nonzero_params": front.N,
        "data_seen": front.D,
        "loss": front.loss,
    }
    return [
        dict(zip(names, map(float, row), strict=True)) for row in zip(*names.values(), strict=True)
    ]


def _front_lines(fronts: dict[str, Front]) -> list[str]:
    return [
        f"{kind} front: {p['nonzero_params']:.3g} non-zero parameters, {p['sparsity']:.1%} sparse, "
        f"{p['data_seen']:.3g} data, loss {p['loss']:.4f}"
        for kind, front in fronts.items()
        for p in _points(front)
    ]


def _pruned_wins(plan: Plan) -> list[str]:
    share = plan.probability_pruned_wins
    if share is None:
        return []
    return [f"share in which this pruned run beats this dense run: {share:.0%}"]


def _span(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else f" ({interval[0]:{form}}-{interval[1]:{form}})"
