"""Makes checks one after the other, each within its time: what one measures, another would disturb.

A check that fails, or takes too long, is a finding like any other, and the next one is made all the same.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from node.doctor.finding import Check, Examined, Finding, Verdict, problem, warning
from node.errors import NodeError

T = TypeVar("T")
_FAULTS: Final = (OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError)
"""What reading a machine that is not in order may raise; a check must not end the others."""


async def examine(
    checks: Sequence[Check], told: Callable[[str, float, Examined | None], None] | None = None
) -> list[Examined]:
    """Make checks in order.

    Args:
        told: is told the name of a check and the part that is done, before it with None, after it with what was found.
    """
    done: list[Examined] = []
    for number, check in enumerate(checks):
        if told is not None:
            told(check.name, number / len(checks), None)
        began = time.monotonic()
        finding = await _made(check)
        done.append(Examined(name=check.name, finding=finding, seconds=time.monotonic() - began))
        if told is not None:
            told(check.name, (number + 1) / len(checks), done[-1])
    return done


def has_problem(examined: Sequence[Examined]) -> bool:
    """Whether any check found that a host cannot work."""
    return any(one.finding.verdict is Verdict.PROBLEM for one in examined)


async def aside(work: Callable[[], T]) -> T:
    """Do something that blocks on a thread, and leave the thread behind when it takes too long.

    `asyncio.to_thread` would have the whole program wait at its end for a disk that does not answer.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # T, which may be None itself

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except BaseException as caught:  # noqa: BLE001 - kept for whoever awaits the result
            error = caught
        try:
            loop.call_soon_threadsafe(settle, value, error)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return

    threading.Thread(target=run, name="lamella-check", daemon=True).start()
    return await result


async def _made(check: Check) -> Finding:
    try:
        async with asyncio.timeout(check.timeout_s):
            return await check.look()
    except TimeoutError:
        return warning(
            f"there was no answer within {check.timeout_s:g} s",
            "try again when the machine is less busy; if it stays so, a disk or a service of the system hangs",
        )
    except NodeError as error:
        return problem(error.cause, error.next_step)
    except _FAULTS as error:
        return warning(
            f"it could not be looked at ({type(error).__name__}: {error})",
            "if other checks are well, report this with `lamella-node diagnostics`",
        )
