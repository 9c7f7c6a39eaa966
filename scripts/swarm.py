"""A whole swarm on this machine: hosts that serve the pocket model between them, and questions to them.

    scripts/local-swarm.sh demo             start three hosts, ask one question, show the way it took, stop everything
    scripts/local-swarm.sh start            start three hosts that keep running
    scripts/local-swarm.sh ask "..."        ask them; options of `lamella ask` may follow
    scripts/local-swarm.sh chat             talk with them on the screen
    scripts/local-swarm.sh status --json    how each host is
    scripts/local-swarm.sh kill 2           kill host 2, to see what happens
    scripts/local-swarm.sh stop             stop them all

Everything it keeps is in `.swarm/` of this checkout; see `swarm_hosts.folder`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, NoReturn

from chat.errors import ChatError
from node.errors import NodeError
from scripts.swarm_hosts import plan
from scripts.swarm_hosts.errors import AlreadyRunning, HostFailed, NotRunning, SwarmError
from scripts.swarm_hosts.folder import Host, SwarmFolder
from scripts.swarm_hosts.interrupts import Interrupts
from scripts.swarm_hosts.lifecycle import ROOT, HostCommand, Launch, daemon_command, environment, stop
from scripts.swarm_hosts.screen import Screen
from wire.errors import InvalidValue
from wire.types import LayerRange

if TYPE_CHECKING:
    from scripts.swarm_hosts.demo import Client

_ME: Final = "scripts/local-swarm.sh"
_QUESTION: Final = "what is 17 squared?"
_PIPE_CLOSED: Final = 128 + signal.SIGPIPE
_LOCK_WAIT_S: Final = 20.0
"""How long `stop` waits for a command it told to stop; longer than that command takes to stop its hosts."""
_LOOK_S: Final = 0.05
_EXIT_CODES: Final = """\
exit codes: 0 done (status: every host serves), 1 failed, 2 wrong usage, 128 and the signal's number when
interrupted; a demo without an answer and `ask` end with the codes of `lamella`
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the command line works with; tests put other programs in place of hosts and client."""

    folder: Path = ROOT / ".swarm"
    command: HostCommand = daemon_command
    client: Client | None = None
    """`lamella`'s own when None."""


def main(arguments: Sequence[str] | None = None, parts: Parts | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parts = parts or Parts()
    if given[:1] in (["ask"], ["chat"]):
        return _reported(lambda: _hand_over(parts, given[0], given[1:]))
    words = _parser().parse_args(given)
    return _reported(lambda: asyncio.run(_run(words, parts)))


def _reported(work: Callable[[], int]) -> int:
    """Run `work`, saying on standard error what went wrong."""
    try:
        return work()
    except HostFailed as error:
        _complain("\n  | ".join((str(error), *error.log)))
        return error.exit_code
    except (SwarmError, ChatError) as error:
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        return _PIPE_CLOSED
    except (OSError, NodeError) as error:
        _complain(str(error))
        return 1


def _complain(text: str) -> None:
    with suppress(OSError):  # a terminal that was closed reads no complaint
        print(f"swarm: {text}", file=sys.stderr, flush=True)


async def _run(words: argparse.Namespace, parts: Parts) -> int:
    """Run a command that signals must find able to clean up."""
    interrupts, screen = Interrupts(), Screen(sys.stdout)
    folder = SwarmFolder(parts.folder)
    try:
        match words.action:
            case "setup":
                screen.say(f"everything is installed; try: {_ME} demo")
                return 0
            case "status":
                return await _status(folder, screen, as_json=words.json)
            case "kill":
                return _kill(folder, screen, words.number)
            case "stop":
                return await _stop(folder, screen, interrupts)
        wanted = plan.make(
            words.model,
            hosts=words.hosts,
            layers=words.layers,
            base_port=words.base_port,
            threads=words.threads,
        )
        with folder.locked(words.action):
            folder.refuse_a_second()
            if folder.left():
                screen.say(screen.faint("clearing what an earlier swarm left; its hosts are gone"))
            screen.say(f"{screen.strong(f'{len(wanted.layers)} hosts for {words.model}')} on this machine")
            if words.action == "demo":
                await _demonstrate(folder, wanted, words.question, screen, interrupts, parts)
            else:
                await _start(folder, wanted, screen, interrupts, parts.command)
        return 0
    except asyncio.CancelledError:
        if interrupts.received is None:
            raise
        _complain(f"stopped by {interrupts.received.name}")
        return 128 + interrupts.received


async def _demonstrate(
    folder: SwarmFolder,
    wanted: plan.SwarmPlan,
    question: str,
    screen: Screen,
    interrupts: Interrupts,
    parts: Parts,
) -> None:
    # The other commands are quicker without what the client needs.
    from scripts.swarm_hosts import demo

    await demo.Demonstration(
        folder=folder,
        plan=wanted,
        question=question,
        screen=screen,
        interrupts=interrupts,
        command=parts.command,
        client=parts.client or demo.Client(),
    ).run()


async def _start(
    folder: SwarmFolder, wanted: plan.SwarmPlan, screen: Screen, interrupts: Interrupts, command: HostCommand
) -> None:
    launch = Launch(folder.write(wanted), screen)
    try:
        launch.start(wanted, command, dies_with_parent=False)
        await launch.until_ready()
        screen.say(screen.faint(f'they keep running; ask: {_ME} ask "{_QUESTION}"   end: {_ME} stop'))
    except BaseException:
        await interrupts.finish(launch.stop(interrupts.hurry))
        folder.forget()
        raise


async def _stop(folder: SwarmFolder, screen: Screen, interrupts: Interrupts) -> int:
    """Stop every host, and the command that is starting them."""
    if not folder.path.is_dir():
        screen.say("no swarm runs here")
        return 0
    holder = folder.holder()
    if holder is not None and holder.process is not None and holder.command in ("start", "demo"):
        holder.process.send(signal.SIGTERM)
    with ExitStack() as stack:
        deadline_s = monotonic() + _LOCK_WAIT_S
        while not _entered(stack, folder):
            if monotonic() > deadline_s:
                raise AlreadyRunning("another command is still at work on this swarm; try again")
            await asyncio.sleep(_LOOK_S)
        return await _stop_hosts(folder, screen, interrupts)


def _entered(stack: ExitStack, folder: SwarmFolder) -> bool:
    """Take the lock if it is free."""
    try:
        stack.enter_context(folder.locked("stop"))
    except AlreadyRunning:
        return False
    return True


async def _stop_hosts(folder: SwarmFolder, screen: Screen, interrupts: Interrupts) -> int:
    hosts = folder.running()
    killed = await interrupts.finish(stop(hosts, interrupts.hurry))
    left = bool(folder.left())
    folder.forget()
    if hosts:
        rest = f"; {killed} of them had to be killed" if killed else ""
        screen.say(f"stopped {len(hosts)} {'host' if len(hosts) == 1 else 'hosts'}{rest}")
    else:
        screen.say("its hosts were gone already" if left else "no swarm runs here")
    return 0


async def _status(folder: SwarmFolder, screen: Screen, *, as_json: bool) -> int:
    from scripts.swarm_hosts import inquiry

    try:
        model, since, hosts = folder.read()
    except NotRunning:
        if as_json:
            screen.say(json.dumps({"model": None, "since": None, "hosts": []}))
            return 1
        raise
    found = await inquiry.inquire(hosts, folder.client_identity)
    if as_json:
        print(json.dumps(inquiry.as_json(model, since, found), indent=2))
    else:
        screen.say(f"{screen.strong(f'{len(hosts)} hosts for {model}')} since {since}")
        screen.table(inquiry.ROW_HEAD, [one.row() for one in found], left=5)
    return 0 if all(one.state == "serving" for one in found) else 1


def _kill(folder: SwarmFolder, screen: Screen, number: int) -> int:
    host = _host(folder, number)
    process = host.process
    if process is None or not process.send(signal.SIGKILL):
        raise NotRunning(f"{host.name} does not run")
    screen.say(f"killed {host.name} (pid {process.pid}, layers {host.layers})")
    return 0


def _host(folder: SwarmFolder, number: int) -> Host:
    hosts = folder.read()[2]
    if not 1 <= number <= len(hosts):
        raise NotRunning(f"there is no host {number}; there are hosts 1 to {len(hosts)}")
    return hosts[number - 1]


def _hand_over(parts: Parts, action: str, options: Sequence[str]) -> NoReturn:
    """Become `lamella`, with the swarm's model and hosts filled in. Raises `SwarmError`."""
    folder = SwarmFolder(parts.folder)
    model, _, hosts = folder.read()
    peers = [
        f"--peer={host.peer_id}@{host.address}"
        for host in hosts
        if host.process is not None and host.address is not None and host.peer_id is not None
    ]
    if not peers:
        raise NotRunning(f"no host runs; begin with: {_ME} start")
    command = [sys.executable, "-P", "-m", "chat", *(("ask",) if action == "ask" else ())]
    filled_in = ["--model", model, "--network=main", "--identity", str(folder.client_identity), *peers]
    os.execve(sys.executable, [*command, *filled_in, *options], environment())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_ME,
        description=(__doc__ or "").partition("\nEverything")[0],
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="COMMAND")

    def add(name: str, about: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=about, description=about, allow_abbrev=False)

    add("setup", "install everything and start nothing")
    starting = add("start", "start hosts that keep running")
    showing = add("demo", "start hosts, ask one question, show its way, stop")
    showing.add_argument("question", nargs="?", default=_QUESTION)
    for one in (starting, showing):
        one.add_argument("--model", default="pocket", help="`pocket`, or the folder of a checkpoint")
        one.add_argument("--hosts", type=int, metavar="N", help="how many share the layers (default 3)")
        one.add_argument(
            "--layers",
            type=_layers,
            action="append",
            default=[],
            metavar="START:END",
            help="one host's; repeat",
        )
        one.add_argument("--base-port", type=_port, default=0, metavar="PORT", help="the first host's port")
        one.add_argument("--threads", type=int, default=1, metavar="N", help="compute threads of each host")
    add("status", "how each host is").add_argument("--json", action="store_true", help="for scripts")
    add("kill", "kill one host with SIGKILL").add_argument("number", type=int, metavar="N")
    add("stop", "stop every host")
    add("ask", "ask the hosts one question; takes the options of `lamella ask`")
    add("chat", "talk with the hosts on the screen; takes the options of `lamella`")
    return parser


def _layers(text: str) -> LayerRange:
    try:
        return LayerRange.parse(text)
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    exit_code = main()
    with suppress(OSError):
        sys.stdout.flush()
    # At once: a library that is still being imported on another thread is not waited for, nor broken in the middle.
    os._exit(exit_code)
