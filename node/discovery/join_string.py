"""Join strings as a person meets them: made to be copied, read with an answer to what is wrong.

The codec is `wire.invitations`. Spec: `specs/discovery.md` §Join strings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from node.discovery.errors import BadJoinString, OtherNetwork
from node.discovery.scope import Scope, scope_of
from wire import limits
from wire.contacts import Contact
from wire.errors import InvalidValue, NewerVersion
from wire.invitations import Invitation

_AGAIN: Final = "copy it whole, from lamella: to its last letter, or ask for it again"


def read_join_string(text: str, network: str | None = None) -> Invitation:
    """Read what a person pasted, blanks and line breaks around and inside it forgiven.

    Args:
        network: the network this program was told to be in; None takes that of the join string.
    Raises:
        BadJoinString, OtherNetwork.
    """
    try:
        invitation = Invitation.parse("".join(text.split()))
    except NewerVersion as error:
        raise BadJoinString(
            str(error), "update Lamella, or ask for one that an older version made"
        ) from error
    except InvalidValue as error:
        raise BadJoinString(str(error), _AGAIN) from error
    if network is not None and invitation.network != network:
        raise OtherNetwork("this join string", invitation.network, network)
    return invitation


def make_join_string(network: str, contacts: Iterable[Contact]) -> str:
    """Return a join string with the contacts that reach farthest, as many as one may hold.

    Raises:
        BadJoinString: there is no contact that means something on another machine.
    """
    told = [one for one in dict.fromkeys(contacts) if scope_of(one.address) is not Scope.LINK]
    told.sort(key=lambda one: scope_of(one.address), reverse=True)
    if not told:
        raise BadJoinString(
            "there is no contact that a join string could hold",
            "start lamella-node with --listen at an address that others can reach",
        )
    try:
        return str(Invitation(network=network, contacts=tuple(told[: limits.MAX_INVITED_CONTACTS])))
    except InvalidValue as error:
        raise BadJoinString(str(error), "choose another name for the network") from error
