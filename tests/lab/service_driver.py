"""Installs and removes the service as a user would, from inside that user's login session; prints JSON.

Run: `python -m tests.lab.service_driver install '{"words": ["hello"], "watchdog_s": 2}'`, `uninstall`, `look`, or `cli`
with the words after `lamella-node service`, by which the real host is installed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from node import paths, service_cli, service_steps
from node.cli import parse
from node.errors import NodeError
from node.service.errors import StartFailed
from node.service.installing import Service
from node.service.programs import Programs
from node.service.unit import Wanted
from node.status import StatusLine

ROOT: Final = Path(__file__).resolve().parents[2]
HOST: Final = ROOT / "tests/fakes/notifying_host.py"


def wanted(words: list[str], settings: dict[str, Any]) -> Wanted:
    """The fake host, in the unit that the real one would have."""
    usual = service_steps.wanted(parse(["--model", "pocket", "--layers", "6:12"]), (), os.environ)
    environment = (*usual.environment, ("PYTHONPATH", str(ROOT)), ("PYTHONDONTWRITEBYTECODE", "1"))
    return dataclasses.replace(
        usual, command=(sys.executable, str(HOST), *words), environment=environment, **settings
    )


async def answer(action: str, given: list[str]) -> dict[str, Any]:
    """Do it, and say how it went."""
    told: list[str] = []
    service = Service(Programs(), config=paths.config_dir().parent)
    try:
        if action == "install":
            settings = json.loads(given[0])
            wait_s = settings.pop("wait_s", 30.0)
            host = wanted(settings.pop("words", []), settings)
            done = await service.install(host, lingers=True, wait_s=wait_s, tell=told.append)
            return done.standing.facts() | {"sandbox": done.sandbox, "linger": done.linger.text, "told": told}
        if action == "uninstall":
            return {"removed": [str(one) for one in (await service.uninstall(told.append)).paths]}
        if action == "look":
            return (await service.look()).facts()
        config = service_cli.parse_service(given)
        return {"done": await service_steps.run(config, StatusLine(as_json=False, out=sys.stderr))}
    except NodeError as error:
        lines = error.lines if isinstance(error, StartFailed) else ()
        return {"error": type(error).__name__, "cause": error.cause, "lines": lines, "told": told}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(answer(sys.argv[1], sys.argv[2:]))))
