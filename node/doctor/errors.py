"""What stands in the way of a report.

NodeError
└── DoctorError
    ├── OutTaken       a file of that name is there, and is kept
    ├── OutUnwritable  the disk does not take the file
    └── SecretLeft     a secret was still in what was to be written, so nothing was
"""

from __future__ import annotations

from node.errors import NodeError


class DoctorError(NodeError):
    """The report could not be made."""


class OutTaken(DoctorError):
    """A file of that name is there already."""


class OutUnwritable(DoctorError):
    """The disk does not take the file."""


class SecretLeft(DoctorError):
    """A secret got past what takes secrets out."""
