"""`lamella-node doctor`: makes the checks and says what they found, as they find it."""

from __future__ import annotations

from collections.abc import Sequence

from node.control_text import count_of
from node.doctor.checks import Subject, checks
from node.doctor.examining import examine, has_problem
from node.doctor.finding import Check, Examined, Verdict
from node.doctor_cli import DoctorConfig
from node.status import StatusLine


async def run(config: DoctorConfig, status: StatusLine, made: Sequence[Check] | None = None) -> bool:
    """Make the checks; whether none found a problem.

    Args:
        made: other checks than those of the machine.
    """
    chosen = list(made) if made is not None else checks(subject(config))
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


def subject(config: DoctorConfig) -> Subject:
    """What is to be looked at. Raises `NoHomeDirectory`."""
    usual = Subject.usual()
    return Subject(
        identity_file=config.identity_file or usual.identity_file,
        weights=usual.weights,
        config=usual.config,
        socket=config.socket,
        listen=config.listen,
        disk_bytes=config.disk_bytes,
        memory_bytes=config.memory_bytes,
        threads=config.threads,
    )
