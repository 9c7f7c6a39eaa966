"""The control socket: how programs of the same user ask a running host what it does, and tell it what to do.

The pure parts know no socket: `limits`, `codes`, `errors`, `kinds` (values of one sort), `shapes` (records of them),
`arguments`, `results`, `commands` (the table of everything that can be asked), `lines` (bytes into lines) and
`protocol` (lines into requests and answers). Around them: `credentials`, `place` (the socket's file), `connection`,
`server` and `client`. Nothing here does what is asked for: whoever makes the server brings a handler for each command.
Spec: `specs/control.md`.
"""
