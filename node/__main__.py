"""The entry point `lamella-node`."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn

from node import cli, control_cli, doctor_cli, models_cli, quantise_cli, service_cli
from node.config import NodeConfig
from node.control.limits import MAX_LOG_CHARS
from node.doctor_cli import DiagnosticsConfig, DoctorConfig, SuggestConfig
from node.errors import NodeError
from node.models_cli import ModelsConfig, PublishConfig
from node.quantise_cli import QuantiseConfig
from node.service.notify import Notifier
from node.service_cli import ServiceConfig
from node.sight.logs import Logs
from node.slices import threads
from node.slices.errors import SliceError
from node.status import StatusLine

_INTERRUPTED: Final = 130
_TALKATIVE: Final = ("httpx", "httpx2", "huggingface_hub")
"""Libraries that log every request they make."""
_FORMS: Final = {"human": False, "json": True, "auto": None}
_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> NoReturn:
    """Run the daemon, or the command that was named, and end the process with its exit code."""
    if quantise_cli.wanted(sys.argv[1:]):
        _end(_quantise(quantise_cli.parse(sys.argv[2:])))
    if sys.argv[1:2] == [models_cli.MODELS]:
        _end(_models(models_cli.parse_models(sys.argv[2:])))
    if sys.argv[1:2] == [models_cli.PUBLISH]:
        _end(_publish(models_cli.parse_publish(sys.argv[2:])))
    if sys.argv[1:2] == [control_cli.CTL]:
        _end(control_cli.main(sys.argv[2:]))
    if sys.argv[1:2] == [doctor_cli.DOCTOR]:
        _end(_doctor(doctor_cli.parse_doctor(sys.argv[2:])))
    if sys.argv[1:2] == [doctor_cli.DIAGNOSTICS]:
        _end(_diagnose(doctor_cli.parse_diagnostics(sys.argv[2:])))
    if sys.argv[1:2] == [doctor_cli.SUGGEST]:
        _end(_suggest(doctor_cli.parse_suggest(sys.argv[2:])))
    if sys.argv[1:2] == [service_cli.SERVICE]:
        _end(_service(service_cli.parse_service(sys.argv[2:])))
    config = cli.parse()
    logs = Logs(sys.stderr, as_json=_FORMS[config.log], max_chars=MAX_LOG_CHARS)
    logs.install(getattr(logging, config.log_level.upper()))
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        code = _serve(config, StatusLine(as_json=config.json), logs)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    finally:
        logs.remove()
    _end(code)


def _end(code: int) -> NoReturn:
    # Without room on the disk, or a stream at all, there is nothing to tell and nobody to tell it.
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError):
            stream.flush()
    # Everything is closed and written; taking torch down module by module would cost more than a second.
    os._exit(code)


def _serve(config: NodeConfig, status: StatusLine, logs: Logs) -> int:
    # Who ends a host that hangs wants to see where: systemd's watchdog does so by SIGABRT.
    faulthandler.enable()
    # Before anything is started that would inherit the way to systemd.
    notifier = Notifier.from_environment()
    notifier.status("getting ready")
    threads.prepare(config.threads)
    # After `prepare`: the daemon imports torch, which reads its threading environment once, at import.
    with threads.importing():
        import uvloop

        from node import daemon

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            read = partial(cli.parse_again, sys.argv[1:])
            runner.run(daemon.run(config, status, logs=logs, read=read, notifier=notifier))
    except daemon.Interrupted as error:
        status.say("stopped", f"lamella-node: {error.cause}", cut_off=0)
    except (NodeError, SliceError) as error:
        status.fail(str(error))
        # Where there is no journal, this is all that is left to see.
        notifier.status(str(error))
        return 1
    finally:
        notifier.close()
    return 0


def _quantise(config: QuantiseConfig) -> int:
    for number in _STOPS:
        # What was started with `nohup`, or in the background of a script, goes on.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    status = StatusLine(as_json=config.json)
    try:
        threads.prepare(config.threads)
        from node import quantising

        threads.apply()
        quantising.run(config, status)
    except KeyboardInterrupt:
        status.say("stopped", "lamella-node: interrupted; nothing was left behind")
        return _INTERRUPTED
    except (NodeError, SliceError) as error:
        status.fail(str(error))
        return 1
    return 0


def _models(config: ModelsConfig) -> int:
    from node import tending

    status = StatusLine(as_json=config.json)
    return _briefly(lambda: tending.run(config, status), status)


def _publish(config: PublishConfig) -> int:
    from node import publishing

    status = StatusLine(as_json=config.json)
    return _briefly(lambda: publishing.run(config, status), status)


def _doctor(config: DoctorConfig) -> int:
    from node import doctoring

    status = StatusLine(as_json=config.json)
    return _briefly(lambda: doctoring.run(config, status), status)


def _diagnose(config: DiagnosticsConfig) -> int:
    from node import diagnosing

    status = StatusLine(as_json=config.json)
    return _briefly(lambda: diagnosing.run(config, status), status)


def _suggest(config: SuggestConfig) -> int:
    status = StatusLine(as_json=config.json)
    try:
        threads.prepare(config.threads)
        with threads.importing():
            from node import config_of, suggesting

        threads.apply()
        folders = [
            suggesting.Folder(name=name, path=asyncio.run(config_of.config_folder(name)))
            for name in ("pocket", *config.models)
        ]
        return 0 if suggesting.run(config, folders, status) else 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (NodeError, SliceError) as error:
        status.fail(str(error))
        return 1


def _service(config: ServiceConfig) -> int:
    from node import service_steps

    status = StatusLine(as_json=config.json)
    return _briefly(lambda: service_steps.run(config, status), status)


def _briefly(work: Callable[[], Coroutine[Any, Any, bool | None]], status: StatusLine) -> int:
    """Run a command that ends by itself; returns the exit code."""
    for number in _STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        with asyncio.Runner() as runner:
            return 1 if runner.run(work()) is False else 0
    except KeyboardInterrupt:
        status.say("stopped", "lamella-node: interrupted")
        return _INTERRUPTED
    except NodeError as error:
        status.fail(str(error))
        return 1


def _interrupt(_number: int, _frame: object) -> NoReturn:
    # A second signal would cut off the tidying up after the first.
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
