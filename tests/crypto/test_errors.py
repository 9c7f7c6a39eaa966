from __future__ import annotations

import inspect

from crypto import errors
from crypto.errors import CryptoError, HandshakeFailed, MessageTooLong


def test_every_error_is_a_crypto_error_and_stands_in_the_tree_of_the_docstring() -> None:
    tree = inspect.getdoc(errors) or ""
    for name, each in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(each, CryptoError)
        assert f"─ {name}" in tree or name == "CryptoError"


def test_a_failed_handshake_says_which_message_and_why() -> None:
    error = HandshakeFailed("it is cut short", message_number=2)
    assert (error.message_number, error.reason) == (2, "it is cut short")
    assert str(error) == "handshake message 2 was refused: it is cut short"


def test_a_too_long_message_carries_both_sizes() -> None:
    error = MessageTooLong(70_000, 65_535)
    assert (error.size_bytes, error.limit_bytes) == (70_000, 65_535)
