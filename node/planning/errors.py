"""What stands in the way of a plan.

NodeError
└── PlanningError         each message names the cause and the next step
    ├── BadMachineFile    the file of machines cannot be used; names the line and the key
    └── NoPlan            the machines cannot hold the model in any format that was allowed
"""

from node.errors import NodeError


class PlanningError(NodeError):
    """There is no plan."""


class BadMachineFile(PlanningError):
    """The file that describes the machines cannot be used."""


class NoPlan(PlanningError):
    """The machines cannot hold the model.

    Attributes:
        missing_bytes: the memory of one more machine with which they could; None when it is not known.
    """

    def __init__(self, cause: str, next_step: str, *, missing_bytes: int | None = None) -> None:
        super().__init__(cause, next_step)
        self.missing_bytes = missing_bytes
