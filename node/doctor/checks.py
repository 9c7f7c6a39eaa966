"""All checks of `lamella-node doctor`, in order: what is quick first, what needs torch last."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from node import paths
from node.doctor import (
    clock,
    computing,
    configuration,
    disk,
    host,
    identity,
    memory,
    network,
    packaged,
    ports,
    standing,
)
from node.doctor.finding import Check
from node.doctor.host import Host
from node.errors import NodeError
from node.service.installing import Service
from node.service.programs import Programs
from wire.types import Address

UNCONFIGURED: Final = "nothing is configured: the defaults hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is looked at: a host's places and bounds, as it is or would be started with."""

    identity_file: Path
    weights: Path
    config: Path
    """The user's folder of configuration, `~/.config` as a rule."""
    socket: Path | None = None
    """In this user's runtime folder when None."""
    listen: tuple[Address, ...] = ()
    disk_bytes: int | None = None
    memory_bytes: int | None = None
    threads: int | None = None
    said: str = UNCONFIGURED
    """What configures the host, in words."""
    trouble: NodeError | None = None
    """Why that cannot be used."""

    @classmethod
    def usual(cls) -> Subject:
        """A host that was told nothing. Raises `NoHomeDirectory`."""
        return cls(
            identity_file=paths.identity_file(),
            weights=paths.weights_dir(),
            config=paths.config_dir().parent,
        )


def checks(subject: Subject, programs: Programs | None = None) -> list[Check]:
    """Return the checks of a host; none has been made yet."""
    ask = programs if programs is not None else Programs(timeout_s=8.0)
    running = Host(subject.socket)
    service = Service(ask, config=subject.config)
    made = (
        Check(name="configuration", look=partial(configuration.look, subject.said, subject.trouble)),
        Check(name="control socket", look=partial(host.look, running), timeout_s=20.0),
        Check(name="identity", look=partial(identity.look, subject.identity_file)),
        Check(name="service", look=partial(standing.look, service), timeout_s=20.0),
        Check(name="ports", look=partial(ports.look, subject.listen, running)),
        Check(name="network", look=partial(network.look, running)),
        Check(name="clock", look=partial(clock.look, running, ask)),
        Check(name="disk", look=partial(disk.look, subject.weights, subject.disk_bytes), timeout_s=20.0),
        Check(name="memory", look=partial(memory.look, subject.memory_bytes)),
        Check(name="packaged model", look=packaged.look, timeout_s=30.0),
        Check(name="torch build", look=computing.look_at_build, timeout_s=computing.BUILD_S),
        Check(
            name="kernel speed",
            look=partial(computing.look_at_speed, subject.threads),
            timeout_s=computing.SPEED_S,
        ),
    )
    return list(made)
