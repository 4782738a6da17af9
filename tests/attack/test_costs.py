"""What a peer may cost us with one message: less than 5 ms of everybody's time, and little place in the history."""

import time

import pytest

from sipfailover.proxy.commands import Record
from sipfailover.proxy.facts import AttemptEnded
from tests.kit import answer
from tests.proxy.office import MAIN, calling, office

LIMIT = 0.005
REASONS = b",".join([b'SIP;cause=1;text="a"'] * 380)


GOOD = b'Q.850;cause=17;text="User busy"'


@pytest.mark.parametrize("text", [REASONS, REASONS[:990], b'Q.850;cause=17;text="' + b"x" * 8000 + b'"'])
def test_a_refusal_full_of_reasons_is_cheap_and_does_not_fill_the_history(text: bytes) -> None:
    took, told = [], ""
    for _ in range(5):
        book = office(trunks=("main",))
        assert calling(book)
        data = answer(486, headers=((b"reason", GOOD), *((b"reason", text),) * 6))(book.seen(MAIN))
        start = time.perf_counter()
        book.engine.receive(MAIN, data, book.now)
        took.append(time.perf_counter() - start)
        facts = [one.fact for one in book.engine.take() if isinstance(one, Record)]
        (told,) = [fact.reason for fact in facts if isinstance(fact, AttemptEnded)]
    assert min(took) < LIMIT, f"{min(took) * 1000:.1f} ms"
    assert told.startswith("Busy Here (Q.850 17 User busy)")
    assert len(told) < 500
