"""The host as a service of a person's own systemd: its unit file, its life, and what the running host tells systemd.

Nothing here needs root, a shell or a library: `systemctl`, `journalctl` and `loginctl` are asked as programs, and
what the host has to say goes to systemd's socket as text. It never touches a unit that it did not write. That the
machine has systemd is not assumed; where something is missing, an error says what and how to get it.

Read `unit` (the file), `quoting` (how words survive in it), `programs` (asking systemd), `standing` (what it
answers), `linger` (running without a login), `folders` (what lies on the disk), `installing` (all of it together);
`notify` is the part that the running host uses.
"""
