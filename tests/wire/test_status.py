"""Reason phrases: the usual one, or a word for the class."""

import pytest

from sipfailover.wire import reason_phrase
from sipfailover.wire.status import REASONS


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (100, b"Trying"),
        (200, b"OK"),
        (481, b"Call/Transaction Does Not Exist"),
        (504, b"Server Time-out"),
        (199, b"Early Dialog Terminated"),
        (155, b"Progress"),
        (299, b"OK"),
        (399, b"Redirection"),
        (499, b"Failure"),
        (599, b"Failure"),
        (699, b"Failure"),
        (0, b"Unknown"),
        (700, b"Unknown"),
    ],
)
def test_phrase_of_a_status(status: int, phrase: bytes) -> None:
    assert reason_phrase(status) == phrase


def test_every_phrase_can_stand_in_a_status_line() -> None:
    for status, phrase in REASONS.items():
        assert 100 <= status < 700
        assert phrase.isascii()
        assert phrase.decode().isprintable()
