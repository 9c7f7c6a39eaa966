"""`lamella-node suggest`: measures this machine and says what it could host, how fast, and with which command.

Every figure that was measured is told with how it was; what was not is said to be not known. To be run where torch may
be imported, on the thread that computes.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node import paths
from node.control_text import count_of
from node.doctor_cli import SuggestConfig
from node.errors import NodeError
from node.free_memory import PART_OF_FREE, free_memory
from node.inventory import size
from node.planning.cost import DEFAULT_CONTEXT, READ_PART, Load
from node.planning.shape import ModelShape
from node.proposals import Device, Proposal, Timed, best, propose, sentence
from node.slices import gauge
from node.slices.errors import SliceError
from node.slices.gauge import Gpu, Speed
from node.slices.spec import CPU
from node.slices.threads import usable_cores
from node.status import StatusLine
from node.store import checkpoint
from node.store.errors import StoreError
from wire.tensors import WeightFormat
from wire.types import LayerRange

_DISK_BYTES: Final = 64 << 20
_BLOCK: Final = 1 << 20
_DISK_S: Final = 5.0
_LEAST_FREE: Final = 1 << 30
"""On a disk that is fuller nothing is written to try it."""
_WHOLE_BYTES: Final = 64 << 20
"""A model of less is timed as a whole, since its layers take less than what is around them."""
_ROOM: Final = 4
"""Times a layer's bytes that are to be free before one is loaded to be timed."""
_BITS: Final = 8 / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpeed:
    """What a folder's disk did with one file of `_DISK_BYTES`, or less on a slow one."""

    nbytes: int
    write_mb_per_s: float
    """Until it is on the disk (fsync)."""
    read_mb_per_s: float
    """After the system was asked to forget it; it may know better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found out about the machine."""

    cores: int
    speed: Speed
    gpus: Mapping[str, tuple[Gpu, float]]
    """By device, with the GB/s at which it reads native weights."""
    free_bytes: int | None
    """None where the system does not say."""
    disk: DiskSpeed | None
    """None where it could not be tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A model to be looked at: its name for the command, and where its config is."""

    name: str
    path: Path


def run(
    config: SuggestConfig, folders: list[Folder], status: StatusLine, found: Measured | None = None
) -> bool:
    """Say what could be hosted of each model; whether anything of any fits.

    Args:
        folders: of the models, each with its config, and its weights where they are here.
        found: what else was measured than here and now.

    Raises:
        NodeError: what is needed cannot be found out.
    """
    status.progress("measuring this machine", 0.0)
    measured = found if found is not None else measure()
    _tell_machine(measured, config, status)
    chosen = devices(measured, config.memory_bytes)
    anything = False
    for number, folder in enumerate(folders):
        status.progress(f"looking at {folder.name}", (number + 1) / (len(folders) + 1))
        anything |= _tell_model(folder, chosen, measured, config, status)
    return anything


def measure() -> Measured:
    """Measure this machine; takes some seconds."""
    speed, built = gauge.speed(), gauge.build()
    gpus = {one.device: (one, gauge.gpu_gb_per_s(one.device)) for one in built.gpus}
    free: int | None = None
    disk: DiskSpeed | None = None
    with suppress(NodeError):
        free = free_memory()
    with suppress(OSError):
        disk = disk_speed(
            next(one for one in (paths.weights_dir(), *paths.weights_dir().parents) if one.is_dir())
        )
    return Measured(cores=usable_cores(), speed=speed, gpus=gpus, free_bytes=free, disk=disk)


def disk_speed(folder: Path, most_bytes: int = _DISK_BYTES) -> DiskSpeed | None:
    """Write a file there, read it, and remove it; None where there is little room. Raises `OSError`."""
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < _LEAST_FREE:
        return None
    block = secrets.token_bytes(_BLOCK)
    path = folder / f".lamella-speed-{secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # It vanishes with this process, whatever ends it.
        path.unlink()
        began, written = time.perf_counter(), 0
        while written < most_bytes and time.perf_counter() - began < _DISK_S:
            written += os.write(descriptor, block)
        os.fsync(descriptor)
        wrote_s = time.perf_counter() - began
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(descriptor, 0, os.SEEK_SET)
        began, read = time.perf_counter(), 0
        while part := os.read(descriptor, _BLOCK):
            read += len(part)
        read_s = time.perf_counter() - began
    finally:
        os.close(descriptor)
    return DiskSpeed(
        nbytes=written, write_mb_per_s=written / wrote_s / 1e6, read_mb_per_s=read / read_s / 1e6
    )


def devices(measured: Measured, memory_bytes: int | None) -> list[Device]:
    """Where layers could be, GPUs first. Raises `NodeError` where no bound of memory is known."""
    found = [
        Device(
            name=name,
            budget_bytes=int(PART_OF_FREE * gpu.free_bytes),
            gb_per_s={form: rate * READ_PART[form] for form in _gpu_formats()},
        )
        for name, (gpu, rate) in measured.gpus.items()
    ]
    budget = (
        memory_bytes
        if memory_bytes is not None
        else measured.free_bytes and int(PART_OF_FREE * measured.free_bytes)
    )
    if budget is None:
        raise NodeError(
            "it cannot be found out how much memory is free", "say how much with --memory, as in 6G"
        )
    rates = {one.weights: one.gb_per_s for one in measured.speed.products}
    return [*found, Device(name=CPU, budget_bytes=budget, gb_per_s=rates)]


def _gpu_formats() -> tuple[WeightFormat, ...]:
    """Formats a GPU can have here; of those of fewer bits the planner's part of the native rate is taken."""
    return gauge.FORMATS if importlib.util.find_spec("torchao") is not None else (WeightFormat.NATIVE,)


def _tell_machine(measured: Measured, config: SuggestConfig, status: StatusLine) -> None:
    speed, disk = measured.speed, measured.disk
    rates = ", ".join(f"{one.weights.value} {one.gb_per_s:.1f}" for one in speed.products)
    lines = [
        f"memory: {size(measured.free_bytes)} free"
        if measured.free_bytes is not None
        else "memory: not known; give --memory",
        f"processor: {count_of(measured.cores, 'core')}; memory is read at {speed.memory_gb_per_s:.1f} GB/s by "
        f"{count_of(speed.threads, 'thread')}",
        f"products of one token, GB/s of weights: {rates}",
        *(
            f"GPU {gpu.name} ({name}): {size(gpu.free_bytes)} free, native weights read at {rate:.0f} GB/s"
            for name, (gpu, rate) in measured.gpus.items()
        ),
        *([] if measured.gpus else ["GPU: torch sees none"]),
        f"disk of the weights: writes {disk.write_mb_per_s:.0f} MB/s, reads {disk.read_mb_per_s:.0f} MB/s"
        if disk is not None
        else "disk of the weights: not measured, there is too little room to try it",
        _line(config),
    ]
    facts = {
        "cores": measured.cores,
        "threads": speed.threads,
        "memory_free_bytes": measured.free_bytes,
        "memory_gb_per_s": speed.memory_gb_per_s,
        "products_gb_per_s": {one.weights.value: one.gb_per_s for one in speed.products},
        "gpus": {
            name: {"name": gpu.name, "free_bytes": gpu.free_bytes, "native_gb_per_s": rate}
            for name, (gpu, rate) in measured.gpus.items()
        },
        "disk_write_mb_per_s": None if disk is None else disk.write_mb_per_s,
        "disk_read_mb_per_s": None if disk is None else disk.read_mb_per_s,
        "uplink_mbit": config.uplink_mbit,
        "downlink_mbit": config.downlink_mbit,
    }
    if config.json:
        status.say("measured", "", **facts)
    else:
        status.print("\n".join(lines))


def _line(config: SuggestConfig) -> str:
    given = [
        f"{name} {rate:g} Mbit/s"
        for name, rate in (("up", config.uplink_mbit), ("down", config.downlink_mbit))
        if rate is not None
    ]
    missing = [
        option
        for option, rate in (("--uplink MBIT", config.uplink_mbit), ("--downlink MBIT", config.downlink_mbit))
        if rate is None
    ]
    told = f"line: {', '.join(given)}, as you said" if given else "line: not measured"
    return told + (f"; give {' and '.join(missing)} if you know" if missing else "")


def _tell_model(
    folder: Folder, chosen: list[Device], measured: Measured, config: SuggestConfig, status: StatusLine
) -> bool:
    from node.slices.shape_of import read_shape

    try:
        shape = read_shape(folder.path)
    except SliceError as error:
        status.say("not-suggested", f"\n{folder.name}: {error}", model=folder.name, message=str(error))
        return False
    context = min(config.context or DEFAULT_CONTEXT, shape.max_positions)
    load = Load(context=context)
    proposals: list[Proposal] = []
    for device in chosen:
        timed = time_layers(folder.path, shape, device, measured.free_bytes, config.weights)
        proposals += propose(folder.name, shape, device, load, timed)
    if config.weights is not None:
        proposals = [one for one in proposals if one.weights is config.weights]
    advised = best(proposals)
    lines = [f"\n{folder.name}, {shape.num_layers} layers, one session of {context} positions:"]
    lines += [f"  {sentence(one)}" for one in proposals]
    if advised is not None:
        lines += [f"  {one}" for one in notes(advised, shape, config)]
        lines += [f"  run: {advised.command}"]
    else:
        lines += ["  nothing of it fits; give more --memory, or fewer positions with --context"]
    if not config.json:
        status.print("\n".join(lines))
        return advised is not None
    status.say(
        "suggested",
        "",
        model=folder.name,
        context=context,
        proposals=[one.facts() for one in proposals],
        command=None if advised is None else advised.command,
    )
    return advised is not None


def notes(advised: Proposal, shape: ModelShape, config: SuggestConfig) -> list[str]:
    """What the person's line means for a proposal, where its rates were given."""
    found = ["tokens/s are of one session through these layers alone; what links take comes on top"]
    if config.uplink_mbit is not None:
        ms = 1e3 * shape.hidden_bytes * _BITS / config.uplink_mbit
        found.append(f"at {config.uplink_mbit:g} Mbit/s sending one token's states on takes {ms:.2f} ms")
    if config.downlink_mbit is not None:
        minutes = advised.weight_bytes * _BITS / config.downlink_mbit / 60
        # What is fetched is what the checkpoint holds, which for fewer bits is more.
        found.append(
            f"at {config.downlink_mbit:g} Mbit/s fetching so many bytes takes {minutes:.1f} min at least"
        )
    return found


def time_layers(
    path: Path, shape: ModelShape, device: Device, free_bytes: int | None, only: WeightFormat | None = None
) -> dict[WeightFormat, Timed]:
    """Load a layer in each format and time one token; nothing where the weights are not here, or do not fit."""
    try:
        checkpoint.weight_files(path)
    except StoreError:
        return {}
    whole = LayerRange(0, shape.num_layers)
    small = shape.weight_bytes(whole, WeightFormat.NATIVE, head=True) <= _WHOLE_BYTES
    layers = whole if small else _one_layer(shape)
    found: dict[WeightFormat, Timed] = {}
    for form in shape.formats:
        if form not in device.gb_per_s or (only is not None and form is not only):
            continue
        need = _ROOM * shape.weight_bytes(layers, shape.formats[0], head=small)
        if need > min(device.budget_bytes, device.budget_bytes if free_bytes is None else free_bytes):
            continue
        dtype = shape.dtype if form is WeightFormat.NATIVE else "bfloat16"
        # What cannot be loaded here is estimated, and the host says why when it is asked to.
        with suppress(SliceError, StoreError):
            took = gauge.token_s(path, layers, form, dtype, head=small, device=device.name)
            found[form] = Timed(layers=len(layers), head=small, seconds=took)
    return found


def _one_layer(shape: ModelShape) -> LayerRange:
    """The fewest layers near the middle that may be cut out."""
    cuts = shape.cuts()
    middle = len(cuts) // 2
    return LayerRange(cuts[middle - 1], cuts[middle])
