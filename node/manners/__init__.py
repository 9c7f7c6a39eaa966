"""What the owner of a machine allows a host to take of it, and whether now is a time to serve at all.

Hours of the day, battery, other work, rates of bytes, sessions and tokens of each peer. Decisions are pure functions
of terms and readings; nothing here pauses a slice, refuses a session or holds a socket: it says what is to be done, and
`pacing` says when bytes may go. Reading order: `errors`, `hours`, `terms`, `small_text`, `power`, `busy`, `decide`,
`watcher`, then `bucket`, `allowance`, `overload`, `pacing`, `priority`.
"""
