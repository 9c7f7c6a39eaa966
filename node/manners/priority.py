"""How much this process stands back behind other programs of the machine: its nice value (`nice(1)`, sched(7)).

On Linux a nice value belongs to a thread, and a new thread has that of the one that made it. So the threads there are
get it one by one; whoever makes more of them later has it already.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

THREADS: Final = Path("/proc/self/task")


def stand_back(
    nice: int,
    *,
    threads: Path = THREADS,
    get: Callable[[int, int], int] = os.getpriority,
    set_: Callable[[int, int, int], None] = os.setpriority,
) -> bool:
    """Give every thread of this process a nice value, 0 to 19.

    Returns: Whether all have it now. A user may stand back further but not come forward again, short of a restart.
    """
    try:
        ids = [int(one.name) for one in threads.iterdir() if one.name.isdigit()]
    except OSError:
        ids = [0]
    done = True
    for number in ids:
        try:
            if get(os.PRIO_PROCESS, number) != nice:
                set_(os.PRIO_PROCESS, number, nice)
        except ProcessLookupError:
            continue  # A thread that has ended in the meantime stands in nobody's way.
        except OSError:
            done = False
    return done
