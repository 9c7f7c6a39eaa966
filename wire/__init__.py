"""The protocol as pure values and machines: bytes and events in, bytes and events out.

Nothing here touches a socket, clock, disk, thread, randomness or GPU; time and keys arrive as arguments.
Reading order: `types`, `codes`, `limits`, `errors`, `fields`, `messages`, `codec`, `cbor`, `frames`, `tensors`,
`connection`, `session_table`, `session`, `manifest`; of the DHT `endpoints`, `records`, `dht_messages`, `datagrams`.
"""
