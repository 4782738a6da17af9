"""What the caller is told when every trunk failed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.routing import Said, best
from sipfailover.routing.best import WARNINGS_MAX, quoted

STATUSES = [0, 302, 401, 403, 404, 407, 408, 415, 480, 484, 486, 488, 500, 503, 504, 600, 603]


def ladder(*statuses: int) -> list[Said]:
    return [Said(f"trunk{number}", status, str(status)) for number, status in enumerate(statuses, 1)]


@pytest.mark.parametrize(
    ("statuses", "chosen"),
    [
        ([486], 0),
        ([503, 486], 1),
        ([403, 0], 0),
        ([403, 403], 1),
        ([403, 404], 1),
        ([404, 403], 0),
        ([480, 503], 0),
        ([415, 480], 0),
        ([404, 603], 1),
        ([603, 404], 0),
        ([302, 415], 0),
        ([302, 486], 1),
        ([407, 480], 1),
    ],
)
def test_the_most_informative_answer_is_relayed(statuses: list[int], chosen: int) -> None:
    final = best(ladder(*statuses))
    assert (final.index, final.status) == (chosen, statuses[chosen])
    assert len(final.headers) == (len(statuses) if len(statuses) > 1 else 0)


def test_faults_alone_make_a_503_of_our_own_that_names_each_trunk() -> None:
    final = best([Said("main", 0, "no answer within 0.8 s"), Said("backup", 503, "503 Service Unavailable")])
    assert (final.index, final.status, final.reason) == (None, 503, b"No trunk could carry the call")
    assert final.headers == (
        (b"retry-after", b"10"),
        (b"warning", b'399 sipfailover "main: no answer within 0.8 s"'),
        (b"warning", b'399 sipfailover "backup: 503 Service Unavailable"'),
    )


def test_without_any_attempt_there_is_an_answer_too() -> None:
    final = best([])
    assert (final.index, final.status, final.reason) == (None, 503, b"No trunk available")
    assert final.headers == ((b"retry-after", b"10"),)


def test_warnings_are_bounded() -> None:
    assert len(best(ladder(*[503] * 50)).headers) == 1 + WARNINGS_MAX


@given(st.lists(st.sampled_from(STATUSES), max_size=6))
def test_a_carriers_own_trouble_is_never_relayed(statuses: list[int]) -> None:
    final = best(ladder(*statuses))
    if final.index is None:
        assert final.headers[0][0] == b"retry-after"
    else:
        assert final.status == statuses[final.index]
        assert final.status not in (401, 407, 408)
        assert not 500 <= final.status < 600


@given(st.text())
def test_what_a_carrier_wrote_cannot_end_our_header(text: str) -> None:
    value = quoted(text)
    assert "\r" not in value
    assert "\n" not in value
    inner = value[1:-1].replace("\\\\", "").replace('\\"', "")
    assert '"' not in inner
    assert "\\" not in inner
