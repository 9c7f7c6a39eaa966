"""Lingering: whether this user's services run from boot on, and not only while the user is logged in (loginctl(1))."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from node.service.errors import NoSystemd, ServiceError
from node.service.programs import Programs


@dataclass(frozen=True, slots=True, kw_only=True)
class Linger:
    """Whether the user lingers."""

    on: bool | None
    """None when it cannot be found out."""
    ours: bool = False
    """Whether it was turned on for the service."""
    refusal: str = ""
    """Why it could not be turned on."""

    @property
    def text(self) -> str:
        """What it means, in one sentence."""
        if self.on:
            return "it starts when the machine does"
        if self.refusal:
            return (
                f"it runs only while you are logged in, since lingering was not allowed ({self.refusal}); "
                f"have an administrator run `loginctl enable-linger {_user()}`"
            )
        if self.on is None:
            return "whether it starts with the machine is not known"
        return f"it runs only while you are logged in; `loginctl enable-linger {_user()}` changes that"


async def look(programs: Programs) -> Linger:
    """Find out whether this user lingers. Raises `SystemdSilent`."""
    try:
        answer = await programs.run("loginctl", "show-user", _user(), "--property=Linger", "--value")
    except NoSystemd:
        return Linger(on=None)
    said = answer.out.strip()
    if answer.exit_status == 0 and said in {"yes", "no"}:
        return Linger(on=said == "yes")
    # Someone who neither is logged in nor lingers is unknown to logind.
    unknown = "not logged in or lingering" in answer.err
    return Linger(on=False if unknown else None)


async def turn_on(programs: Programs) -> Linger:
    """Let this user's services run without a login. A refusal is an answer, and no error."""
    before = await look(programs)
    if before.on:
        return before
    try:
        # By name: without one loginctl means the user of the session it is in, and there may be none.
        programs.judged(await programs.run("loginctl", "--no-ask-password", "enable-linger", _user()))
    except ServiceError as error:
        return Linger(on=before.on, refusal=error.cause)
    return Linger(on=True, ours=before.on is False)


async def turn_off(programs: Programs) -> Linger:
    """Let this user's services end with the last login. A refusal is an answer, and no error."""
    try:
        programs.judged(await programs.run("loginctl", "--no-ask-password", "disable-linger", _user()))
    except ServiceError as error:
        return Linger(on=True, refusal=error.cause)
    return Linger(on=False)


def _user() -> str:
    """This user's name; the number serves loginctl as well when there is none."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
