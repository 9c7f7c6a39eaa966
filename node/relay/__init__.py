"""Links that a third peer carries, on both sides: being the relay, and using one.

Nothing here opens a socket or knows how a link works: lines to peers come in as arguments, and what goes out is a
transport for a protocol of somebody else's, as asyncio understands these words. Reading order: `errors`, `line` (what
is needed of a link), `stream` (one circuit as a transport), `client` (opens and accepts circuits), `keeping` (holds
reservations), `service` (is the relay). Spec: `specs/reachability.md`.
"""
