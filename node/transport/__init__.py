"""The only peer sockets: asyncio around `wire.connection`, one link per pair of peers.

It moves bytes and counts links; what a message means is never its concern. It knows nothing of slices, stores or the
DHT. Reading order: `errors`, `link` (one connection and its socket), `dial`, `listen`, `registry` (which link to use),
`pool` (all of them), `carrier` (links by a relay, which somebody else carries), `ways` (several addresses of one peer).
"""
