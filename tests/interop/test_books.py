"""The books themselves: what counts as a ghost, as ringing, as a copy. Needs no SIPp."""

from pathlib import Path

import pytest

from tests.interop.books import Books
from tests.interop.figures import percentile

INVITE = ("R", "1 INVITE", "INVITE sip:+41443100001@127.0.0.10:5060 SIP/2.0")
TRYING = ("S", "1 INVITE", "SIP/2.0 100 Trying")
RINGING = ("S", "1 INVITE", "SIP/2.0 180 Ringing")
ANSWER = ("S", "1 INVITE", "SIP/2.0 200 OK")
REFUSAL = ("S", "1 INVITE", "SIP/2.0 503 Service Unavailable")
TERMINATED = ("S", "1 INVITE", "SIP/2.0 487 Request Terminated")
ACK = ("R", "1 ACK", "ACK sip:127.0.0.10:5060 SIP/2.0")
CANCEL = ("R", "1 CANCEL", "CANCEL sip:+41443100001@127.0.0.10:5060 SIP/2.0")
CANCELLED = ("S", "1 CANCEL", "SIP/2.0 200 OK")
BYE = ("R", "2 BYE", "BYE sip:127.0.0.10:5060 SIP/2.0")
BYE_OK = ("S", "2 BYE", "SIP/2.0 200 OK")
OPTIONS = ("R", "1 OPTIONS", "OPTIONS sip:127.0.0.10:5060 SIP/2.0")
OPTIONS_OK = ("S", "1 OPTIONS", "SIP/2.0 200 OK")

Line = tuple[str, str, str]


def books(folder: Path, *lines: Line, rest: str = "") -> Books:
    """The books of one leg, a message every 10 ms, in the form SIPp writes them."""
    rows = [
        f"2026-01-01\t10:00:00.0\t{100 + index / 100:.6f}\t{direction}\tcall-1@127.0.0.1\tCSeq: {cseq}\t{first}"
        for index, (direction, cseq, first) in enumerate(lines)
    ]
    file = folder / "carrier.books"
    file.write_text("\n".join(rows) + "\n" + rest)
    return Books(file)


@pytest.mark.parametrize(
    "lines",
    [
        [INVITE, TRYING, RINGING, ANSWER, ACK, BYE, BYE_OK],
        [INVITE, TRYING, RINGING, CANCEL, CANCELLED, TERMINATED, ACK],
        [INVITE, TRYING, CANCEL, ANSWER, CANCELLED, ACK, BYE, BYE_OK],
        [INVITE, REFUSAL, ACK],
        [INVITE, INVITE],
        [OPTIONS, OPTIONS_OK],
    ],
    ids=["answered", "cancelled", "answered while cancelled", "refused", "silent", "no call"],
)
def test_a_leg_that_was_brought_to_its_end_is_no_ghost(tmp_path: Path, lines: list[Line]) -> None:
    assert books(tmp_path, *lines).ghosts() == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([INVITE, RINGING, ANSWER, BYE, BYE_OK], "never acknowledged"),
        ([INVITE, RINGING, ANSWER, ACK], "never hung up"),
        ([INVITE, TRYING, CANCEL, ANSWER, CANCELLED, ACK], "never hung up"),
        ([INVITE, REFUSAL, REFUSAL], "never acknowledged"),
        ([INVITE, TRYING, CANCEL, CANCELLED, TERMINATED], "never acknowledged"),
        ([INVITE, TRYING], "abandoned without CANCEL"),
        ([INVITE, TRYING, RINGING], "abandoned without CANCEL"),
    ],
)
def test_a_leg_that_was_left_behind_is_a_ghost(tmp_path: Path, lines: list[Line], words: str) -> None:
    (ghost,) = books(tmp_path, *lines).ghosts()
    assert words in ghost


def test_a_carrier_that_was_killed_is_not_asked_for_later_calls(tmp_path: Path) -> None:
    found = books(tmp_path, INVITE, RINGING, ANSWER, ACK)
    assert len(found.ghosts(invited_before=100.5)) == 1
    assert found.ghosts(invited_before=100.0) == []


def test_ringing_counts_from_the_first_invite_and_trying_is_not_ringing(tmp_path: Path) -> None:
    assert books(tmp_path, INVITE, INVITE, TRYING, RINGING, ANSWER).ringing() == [pytest.approx(0.03)]
    assert books(tmp_path, INVITE, TRYING).ringing() == []


def test_copies_are_counted_and_different_messages_are_not(tmp_path: Path) -> None:
    found = books(tmp_path, INVITE, INVITE, INVITE, RINGING, ANSWER, ANSWER, ACK, BYE, BYE_OK)
    assert (found.retransmissions(), found.messages()) == (3, 9)


def test_the_number_is_what_the_legs_of_a_call_have_in_common(tmp_path: Path) -> None:
    assert [leg.number for leg in books(tmp_path, INVITE, RINGING).calls] == ["41443100001"]


def test_a_line_that_is_being_written_is_passed_over(tmp_path: Path) -> None:
    assert books(tmp_path, INVITE, rest="2026-01-01\t10:00:00.0\t100.1").messages() == 1


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_values_that_occurred(share: float, value: int) -> None:
    assert percentile(range(1, 101), share) == value
