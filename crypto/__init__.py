"""Keys, identities and the Noise handshake: bytes in, bytes out.

Nothing here touches a socket, clock, disk or source of randomness: seeds come in as arguments, so every byte
this package produces can be repeated from a test vector. Reading order: `errors`, `digest`, `keys`, `identity`,
then `noise`. Spec: `specs/noise.md`.
"""
