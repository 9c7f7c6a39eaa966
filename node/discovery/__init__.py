"""Roads to peers besides the DHT: join strings, the configuration, signed lists, the local network, peers of peers.

Every road yields contacts, which are hints; `contact_book` keeps what all of them say and hands out whom to try next.
Nothing here dials anybody. Reading order: `errors`, `scope`, `join_string`, `bootstrap`, `exchange`, `interfaces`,
`mdns`, `entries`, `contact_book`, `book_file`. Spec: `specs/discovery.md`.
"""
