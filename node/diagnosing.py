"""`lamella-node diagnostics`: makes the checks, collects, redacts and writes one file, and says what is in it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from node import doctoring, paths
from node.doctor import bundle, gathering, secrets_here
from node.doctor.checks import checks
from node.doctor.errors import OutTaken
from node.doctor.examining import aside, examine
from node.doctor.finding import Check
from node.doctor.gathering import Places
from node.doctor.redacting import Redactor
from node.doctor_cli import DiagnosticsConfig
from node.service.programs import Programs
from node.status import StatusLine

_JOURNAL_S: Final = 15.0


async def run(
    config: DiagnosticsConfig,
    status: StatusLine,
    made: Sequence[Check] | None = None,
    environ: Mapping[str, str] | None = None,
) -> bool:
    """Write the file. Returns whether it was written.

    Args:
        made: other checks than those of the machine.
        environ: another environment than this process's.

    Raises:
        NodeError: it cannot be written, or must not be.
    """
    around = os.environ if environ is None else environ
    out = (
        config.out
        if config.out is not None
        else Path(f"lamella-diagnostics-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    )
    if await aside(lambda: os.path.lexists(out)):
        # Told before the checks take their time; writing looks again.
        raise OutTaken(f"{out} is there already", "name another file with --out")
    subject = await aside(lambda: doctoring.subject(config.doctor, around))
    chosen = list(made) if made is not None else checks(subject)
    if config.doctor.only:
        chosen = [one for one in chosen if one.name in config.doctor.only]
    examined = await examine(chosen, lambda name, part, _done: status.progress(f"looking at {name}", part))
    places = Places(config=paths.config_dir(), weights=subject.weights, socket=subject.socket, environ=around)
    found = await gathering.gather(places, Programs(around, timeout_s=_JOURNAL_S), examined)
    configured = next((one.value for one in found.parts if one.name == gathering.CONFIGURATION), None)
    known = await aside(lambda: secrets_here.known(subject.identity_file, around, configured))
    redactor = Redactor(known)
    texts = await aside(lambda: bundle.members(found.parts, found.absent, redactor))
    size = await aside(lambda: bundle.write(out, texts, redactor))
    if not config.json:
        status.print(texts[bundle.CONTENTS].rstrip())
    status.say(
        "written",
        f"wrote {out} ({size} bytes); it was sent nowhere: look at it, then give it to whom you like",
        file=str(out),
        bytes=size,
        contents=list(texts),
        missing=[one.name for one in found.absent],
        left_out=list(bundle.LEFT_OUT),
    )
    return True
