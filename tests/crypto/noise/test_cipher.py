from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import (
    BufferTooSmall,
    CipherClosed,
    CipherError,
    DecryptionFailed,
    InvalidKey,
    MessageTooLong,
    NonceExhausted,
)
from crypto.noise.cipher import (
    MAX_MESSAGE_BYTES,
    MAX_NONCE,
    MAX_PLAINTEXT_BYTES,
    TAG_BYTES,
    CipherState,
)
from wire import limits

KEY = bytes(range(32))


def assert_closed(cipher: CipherState) -> None:
    """Nothing works any more, in particular not as if there were no key."""
    assert cipher.has_key
    with pytest.raises(CipherClosed):
        cipher.decrypt(b"", CipherState(KEY).encrypt(b"", b"good"))
    with pytest.raises(CipherClosed):
        cipher.decrypt_into(bytes(64), memoryview(bytearray(64)))
    with pytest.raises(CipherClosed):
        cipher.encrypt(b"", b"")
    with pytest.raises(CipherClosed):
        cipher.encrypt_into(b"", memoryview(bytearray(64)))
    with pytest.raises(CipherClosed):
        cipher.rekey()


def at_nonce(nonce: int) -> CipherState:
    cipher = CipherState(KEY)
    cipher._nonce = nonce
    return cipher


def test_the_sizes_are_those_of_the_wire() -> None:
    assert MAX_MESSAGE_BYTES == limits.MAX_NOISE_MESSAGE_BYTES
    assert MAX_PLAINTEXT_BYTES == limits.MAX_RECORD_PLAINTEXT_BYTES


@given(st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=200), st.booleans()), max_size=8))
def test_what_one_side_encrypts_in_order_the_other_decrypts(steps: list[tuple[bytes, bytes, bool]]) -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    for number, (associated_data, plaintext, rekey) in enumerate(steps):
        assert sender.nonce == receiver.nonce == number
        assert receiver.decrypt(associated_data, sender.encrypt(associated_data, plaintext)) == plaintext
        if rekey:
            sender.rekey()
            receiver.rekey()


@pytest.mark.parametrize("nonce", [0, 1, 255, 2**32, MAX_NONCE - 1])
def test_the_nonce_is_four_zero_bytes_and_a_big_endian_counter(nonce: int) -> None:
    expected = AESGCM(KEY).encrypt(bytes(4) + nonce.to_bytes(8, "big"), b"text", b"data")
    assert at_nonce(nonce).encrypt(b"data", b"text") == expected


def test_rekey_encrypts_zeros_under_the_reserved_nonce_and_keeps_the_count() -> None:
    cipher = at_nonce(7)
    cipher.rekey()
    new_key = AESGCM(KEY).encrypt(bytes(4) + b"\xff" * 8, bytes(32), None)[:32]
    assert cipher.nonce == 7
    assert cipher.encrypt(b"", b"text") == AESGCM(new_key).encrypt(
        bytes(4) + (7).to_bytes(8, "big"), b"text", b""
    )


@given(st.binary(max_size=300), st.integers(0, 40))
def test_encrypting_in_place_gives_the_same_bytes(plaintext: bytes, spare: int) -> None:
    out = bytearray(b"\xaa" * (len(plaintext) + TAG_BYTES + spare))
    cipher = CipherState(KEY)
    size = cipher.encrypt_into(plaintext, memoryview(out))
    assert bytes(out[:size]) == CipherState(KEY).encrypt(b"", plaintext)
    assert bytes(out[size:]) == b"\xaa" * spare
    back = bytearray(b"\xbb" * (len(plaintext) + spare))
    receiver = CipherState(KEY)
    assert receiver.decrypt_into(memoryview(out)[:size], memoryview(back)) == len(plaintext)
    assert bytes(back) == plaintext + b"\xbb" * spare
    assert cipher.nonce == receiver.nonce == 1


def test_the_largest_message_fills_a_noise_message_exactly() -> None:
    plaintext = bytes(MAX_PLAINTEXT_BYTES)
    out = memoryview(bytearray(MAX_MESSAGE_BYTES))
    assert CipherState(KEY).encrypt_into(plaintext, out) == MAX_MESSAGE_BYTES
    assert CipherState(KEY).decrypt(b"", out) == plaintext


def test_a_too_long_plaintext_is_refused_and_uses_no_nonce() -> None:
    cipher = CipherState(KEY)
    with pytest.raises(MessageTooLong):
        cipher.encrypt(b"", bytes(MAX_PLAINTEXT_BYTES + 1))
    with pytest.raises(MessageTooLong):
        cipher.encrypt_into(bytes(MAX_PLAINTEXT_BYTES + 1), memoryview(bytearray(70_000)))
    assert cipher.encrypt(b"", b"next") == CipherState(KEY).encrypt(b"", b"next")


def test_a_too_long_ciphertext_is_refused_and_closes_the_cipher() -> None:
    cipher = CipherState(KEY)
    with pytest.raises(MessageTooLong):
        cipher.decrypt(b"", bytes(MAX_MESSAGE_BYTES + 1))
    assert_closed(cipher)
    cipher = CipherState(KEY)
    with pytest.raises(MessageTooLong):
        cipher.decrypt_into(bytes(MAX_MESSAGE_BYTES + 1), memoryview(bytearray(70_000)))
    assert_closed(cipher)


def test_a_too_small_output_buffer_is_refused_before_a_nonce_is_used() -> None:
    cipher = CipherState(KEY)
    with pytest.raises(BufferTooSmall) as caught:
        cipher.encrypt_into(b"text", memoryview(bytearray(19)))
    assert (caught.value.size_bytes, caught.value.needed_bytes) == (19, 20)
    assert cipher.nonce == 0


def test_decrypting_into_a_too_small_buffer_closes_the_cipher() -> None:
    cipher = CipherState(KEY)
    with pytest.raises(BufferTooSmall):
        cipher.decrypt_into(CipherState(KEY).encrypt(b"", b"text"), memoryview(bytearray(3)))
    assert_closed(cipher)


def test_a_ciphertext_altered_in_any_byte_is_refused_and_closes_the_cipher() -> None:
    ciphertext = CipherState(KEY).encrypt(b"data", b"some plaintext")
    for position in range(len(ciphertext)):
        altered = bytearray(ciphertext)
        altered[position] ^= 0x40
        cipher = CipherState(KEY)
        with pytest.raises(DecryptionFailed):
            cipher.decrypt(b"data", altered)
        assert_closed(cipher)


def test_a_ciphertext_of_any_shorter_length_is_refused() -> None:
    ciphertext = CipherState(KEY).encrypt(b"", b"some plaintext")
    for length in range(len(ciphertext)):
        cipher = CipherState(KEY)
        with pytest.raises(DecryptionFailed):
            cipher.decrypt(b"", ciphertext[:length])
        assert_closed(cipher)
        cipher = CipherState(KEY)
        with pytest.raises(DecryptionFailed):
            cipher.decrypt_into(ciphertext[:length], memoryview(bytearray(64)))
        assert_closed(cipher)


def test_other_associated_data_or_another_key_is_refused() -> None:
    ciphertext = CipherState(KEY).encrypt(b"data", b"text")
    for cipher, associated_data in ((CipherState(KEY), b"other"), (CipherState(bytes(32)), b"data")):
        with pytest.raises(DecryptionFailed):
            cipher.decrypt(associated_data, ciphertext)
        assert_closed(cipher)


def test_a_repeated_or_overtaking_ciphertext_is_refused() -> None:
    sender = CipherState(KEY)
    first, second = sender.encrypt(b"", b"one"), sender.encrypt(b"", b"two")
    repeated = CipherState(KEY)
    assert repeated.decrypt(b"", first) == b"one"
    with pytest.raises(DecryptionFailed):
        repeated.decrypt(b"", first)
    assert_closed(repeated)
    overtaken = CipherState(KEY)
    with pytest.raises(DecryptionFailed):
        overtaken.decrypt(b"", second)
    assert_closed(overtaken)


def test_a_side_that_missed_a_rekey_decrypts_nothing() -> None:
    sender, receiver = CipherState(KEY), CipherState(KEY)
    sender.rekey()
    with pytest.raises(DecryptionFailed):
        receiver.decrypt(b"", sender.encrypt(b"", b"text"))
    assert_closed(receiver)


def test_unauthenticated_plaintext_never_stays_in_the_output_buffer() -> None:
    ciphertext = bytearray(CipherState(KEY).encrypt(b"", b"a secret plaintext"))
    ciphertext[-1] ^= 1
    out = bytearray(b"\xaa" * 30)
    with pytest.raises(DecryptionFailed):
        CipherState(KEY).decrypt_into(ciphertext, memoryview(out))
    assert bytes(out) == bytes(18) + b"\xaa" * 12


@given(st.binary(max_size=200))
def test_any_bytes_decrypt_to_a_typed_error(data: bytes) -> None:
    cipher = CipherState(KEY)
    with pytest.raises(CipherError):
        cipher.decrypt(b"", data)
    assert_closed(cipher)
    cipher = CipherState(KEY)
    with pytest.raises(CipherError):
        cipher.decrypt_into(data, memoryview(bytearray(256)))
    assert_closed(cipher)


def test_the_last_nonce_is_never_used_for_a_message() -> None:
    sender, receiver = at_nonce(MAX_NONCE - 1), at_nonce(MAX_NONCE - 1)
    assert receiver.decrypt(b"", sender.encrypt(b"", b"last")) == b"last"
    with pytest.raises(NonceExhausted):
        sender.encrypt(b"", b"one more")
    with pytest.raises(NonceExhausted):
        sender.encrypt_into(b"one more", memoryview(bytearray(64)))
    with pytest.raises(NonceExhausted):
        receiver.decrypt(b"", bytes(40))
    assert_closed(receiver)


def test_without_a_key_bytes_pass_through_and_are_not_counted() -> None:
    cipher = CipherState()
    assert not cipher.has_key
    assert cipher.encrypt(b"data", b"clear") == b"clear"
    assert cipher.decrypt(b"data", b"clear") == b"clear"
    assert cipher.nonce == 0
    with pytest.raises(MessageTooLong):
        cipher.encrypt(b"", bytes(MAX_MESSAGE_BYTES + 1))
    with pytest.raises(MessageTooLong):
        cipher.decrypt(b"", bytes(MAX_MESSAGE_BYTES + 1))


def test_without_a_key_nothing_is_written_in_place_nor_rekeyed() -> None:
    cipher = CipherState()
    with pytest.raises(CipherClosed):
        cipher.encrypt_into(b"clear", memoryview(bytearray(64)))
    with pytest.raises(CipherClosed):
        cipher.decrypt_into(bytes(32), memoryview(bytearray(64)))
    with pytest.raises(CipherClosed):
        cipher.rekey()


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(InvalidKey):
        CipherState(bytes(size))


def test_a_printed_cipher_shows_no_key() -> None:
    assert repr(CipherState(KEY)) == "CipherState(has_key=True, nonce=0, failed=False)"
