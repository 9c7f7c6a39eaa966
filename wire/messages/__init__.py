"""Every message of the protocol as a frozen class, one file per conversation.

`base` holds the class all derive from and the registry; `link` what keeps a link alive; `hosting` what a peer says it
serves; `peers` which others it knows; `session` a session's life; `forward` its steps; `reach` whether an address
leads to a peer; `relay` links that a third peer carries. Reading order as listed. Importing this package fills the
registry.
"""

from wire.messages import forward as forward
from wire.messages import hosting as hosting
from wire.messages import link as link
from wire.messages import peers as peers
from wire.messages import reach as reach
from wire.messages import relay as relay
from wire.messages import session as session
