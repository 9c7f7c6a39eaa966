from __future__ import annotations

import asyncio

import pytest


@pytest.fixture(autouse=True)
async def _asyncio_at_full_speed() -> None:
    """Textual makes a task for everything, and asyncio's debug mode makes each of them ten times slower."""
    asyncio.get_running_loop().set_debug(False)
