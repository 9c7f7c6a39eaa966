"""`lamella plan`: which machine should serve which layers, how fast that should be, and why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

from chat import plan_report, settings
from chat.errors import ChatError, ModelError, NoRoute, UsageError
from chat.event_json import error_json
from node.config_of import config_folder
from node.errors import NodeError
from node.planning import machine_file
from node.planning.advice import advise
from node.planning.cost import DEFAULT_CONTEXT, Load
from node.planning.errors import BadMachineFile, NoPlan
from node.planning.partition import Ask, plan
from node.planning.shape import ModelShape
from node.slices import threads
from node.slices.errors import SliceError
from wire.tensors import WeightFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What was asked for."""

    model: str
    machines: Path
    weights: WeightFormat | None = None
    """Any when None."""
    context: int | None = None
    """The model's own, at most `DEFAULT_CONTEXT`, when None."""
    sessions: int = 1
    front_layers: int | None = None
    """As many as is fastest when None."""
    private_ends: bool = False
    json: bool = False


def read_options(given: Mapping[str, object], *, as_json: bool) -> PlanOptions:
    """The words of the command line, checked. Raises `UsageError`."""
    words = dict(given)
    try:
        model, machines = str(words.pop("planned")), Path(str(words.pop("machines"))).expanduser()
    except KeyError as error:
        raise UsageError("Plan for which machines? Describe them with --machines FILE") from error
    except RuntimeError as error:  # the home of a user that does not exist
        raise UsageError(f"--machines: {error}") from error
    strange = [name for name in words if name not in settings.PLANNING]
    if strange:
        raise UsageError(f"--{strange[0].replace('_', '-')} is not for `lamella plan`")
    read = {name: settings.checked(name, value) for name, value in words.items()}
    return PlanOptions(
        model=model,
        machines=machines,
        weights=cast("WeightFormat | None", read.get("weights")),
        context=cast("int | None", read.get("context")),
        sessions=cast("int", read.get("sessions", 1)),
        front_layers=cast("int | None", read.get("front_layers")),
        private_ends=cast("bool", read.get("private_ends", False)),
        json=as_json,
    )


def run(options: PlanOptions, *, out: TextIO) -> None:
    """Plan and print: a table for people, or one JSON object.

    Raises:
        UsageError: the file of machines cannot be used.
        ModelError: the model cannot be.
        NoRoute: the machines cannot hold it.
    """
    try:
        _run(options, out)
    except ChatError as error:
        if options.json:
            print(json.dumps(error_json(error), ensure_ascii=False), file=out)
        raise


def _run(options: PlanOptions, out: TextIO) -> None:
    try:
        fleet = machine_file.read(options.machines)
    except BadMachineFile as error:
        raise UsageError(str(error)) from error
    shape = model_shape(options.model)
    context = options.context or min(DEFAULT_CONTEXT, shape.max_positions)
    ask = Ask(
        load=Load(sessions=options.sessions, context=context),
        weights=options.weights,
        front_layers=options.front_layers,
        private_ends=options.private_ends,
    )
    try:
        found = plan(shape, fleet, ask)
    except NoPlan as error:
        raise NoRoute(str(error)) from error
    told = plan_report.Told(
        model=options.model,
        shape=shape,
        load=ask.load,
        plan=found,
        advice=advise(shape, fleet, ask, found),
        assumed_client=fleet.assumed_client,
    )
    if options.json:
        print(json.dumps(plan_report.as_json(told), ensure_ascii=False), file=out)
    else:
        print(*plan_report.lines(told), sep="\n", file=out)


def model_shape(name: str) -> ModelShape:
    """What a model costs, by the name a person gives it. Raises `ModelError`."""
    threads.prepare(1)
    # It imports torch: what is wrong with the machines is told before.
    from node.slices.shape_of import read_shape

    try:
        return read_shape(asyncio.run(config_folder(name)))
    except (NodeError, SliceError) as error:
        raise ModelError(str(error)) from error
