"""`lamella-node doctor`: makes the checks and says what they found, as they find it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from node.config import NodeConfig
from node.config_file import usual_file
from node.control_text import count_of
from node.doctor.checks import UNCONFIGURED, Subject, checks
from node.doctor.examining import aside, examine, has_problem
from node.doctor.finding import Check, Examined, Verdict
from node.doctor_cli import DoctorConfig
from node.errors import NodeError
from node.settings import SETTINGS
from node.settling import settle
from node.status import StatusLine


async def run(config: DoctorConfig, status: StatusLine, made: Sequence[Check] | None = None) -> bool:
    """Make the checks; whether none found a problem.

    Args:
        made: other checks than those of the machine.
    """
    chosen = list(made) if made is not None else checks(await aside(lambda: subject(config)))
    if config.only:
        chosen = [one for one in chosen if one.name in config.only]

    def told(name: str, part: float, done: Examined | None) -> None:
        if done is None:
            status.progress(f"looking at {name}", part)
        elif config.json:
            status.say("check", "", **done.facts())
        else:
            status.print(done.text())

    examined = await examine(chosen, told)
    counts = {one: sum(each.finding.verdict is one for each in examined) for one in Verdict}
    warnings, problems = counts[Verdict.WARNING], counts[Verdict.PROBLEM]
    sentence = (
        f"{count_of(len(examined), 'check')}: {count_of(problems, 'problem')}, {count_of(warnings, 'warning')}"
        if problems or warnings
        else f"{count_of(len(examined), 'check')}: all is well"
    )
    if config.json:
        status.say("examined", sentence, checks=len(examined), problems=problems, warnings=warnings)
    else:
        status.print(sentence)
    return not has_problem(examined)


def subject(config: DoctorConfig, environ: Mapping[str, str] | None = None) -> Subject:
    """What is to be looked at: the host as it is configured, as far as nothing else was said. Blocks on the disk.

    Args:
        environ: another environment than this process's.

    Raises:
        NoHomeDirectory: there is no place for this user's files.
    """
    usual = Subject.usual()
    file = usual_file() if config.config is None else config.config.expanduser()
    around = os.environ if environ is None else environ
    host, trouble = NodeConfig(), None
    try:
        host = settle({}, around, file, required=config.config is not None)
    except NodeError as error:
        trouble = error
    return Subject(
        identity_file=config.identity_file or host.identity_file or usual.identity_file,
        weights=usual.weights,
        config=usual.config,
        socket=config.socket or host.control,
        listen=config.listen or host.listen,
        disk_bytes=config.disk_bytes if config.disk_bytes is not None else host.disk_bytes,
        memory_bytes=config.memory_bytes if config.memory_bytes is not None else host.memory_bytes,
        threads=config.threads or host.threads,
        said=_said(file, around),
        trouble=trouble,
    )


def _said(file: Path | None, environ: Mapping[str, str]) -> str:
    """What configures a host, in words; values are not told, since some of them are secrets."""
    variables = sorted(one for setting in SETTINGS for one in setting.variables if environ.get(one))
    there = [str(file)] if file is not None and file.is_file() else []
    return (
        f"what is said in {', '.join([*there, *variables])} can be used"
        if there or variables
        else UNCONFIGURED
    )
