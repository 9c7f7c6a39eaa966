"""What is read of a process is what it does."""

from __future__ import annotations

import os
import threading
import time

import pytest

from scripts.bench import idle, process


def test_files_threads_and_memory_of_a_process_are_counted() -> None:
    before = process.held(os.getpid())
    over = threading.Event()
    waiting = threading.Thread(target=over.wait)
    waiting.start()
    read, write = os.pipe()
    kept = bytearray(os.urandom(1)) * (64 << 20)
    now = process.held(os.getpid())
    os.close(read)
    os.close(write)
    over.set()
    waiting.join()
    assert now.files == before.files + 2
    assert now.threads == before.threads + 1
    assert now.own_bytes >= before.own_bytes + len(kept) // 2
    assert now.resident_bytes >= now.own_bytes


def test_what_a_thread_takes_is_told_apart_from_what_waits() -> None:
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            pass

    working = threading.Thread(target=work)
    working.start()
    try:
        figures = idle.measure(os.getpid(), 1.0)
    finally:
        over.set()
        working.join()
    assert figures.cpu_s > idle.BAR * figures.seconds
    assert f"{figures.share:.2%} of a core" in idle.as_text(figures)


def test_a_process_that_waits_takes_nothing_of_a_core() -> None:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        assert idle.measure(child, 0.5).share <= idle.BAR
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    with pytest.raises(OSError, match="No such"):
        process.held(child)
