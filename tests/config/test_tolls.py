"""The words of `toll_fraud`, and what is said of those that are none."""

import pytest

from sipfailover.config import describe, parse
from sipfailover.errors import ConfigError

BEFORE = "pbx: 192.0.2.10\ntrunks: [{name: main, host: 192.0.2.1}, {name: backup, host: 192.0.2.2}]\n"


def test_numbers_keep_their_plus_and_kinds_are_words() -> None:
    tolls = parse(
        BEFORE + "toll_fraud: {allowed: [National, +49, +43 1], refused: satellite, premium: [18]}"
    ).toll_fraud
    assert (tolls.allowed, tolls.refused, tolls.premium) == (("national", "+49", "+431"), ("satellite",), ("18",))


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("allowed: [germany]", "'germany' is no destination: write national, abroad, premium, satellite, or a "),
        ("allowed: [0049]", "'0049' is no destination: write national, abroad, premium, satellite, or a beginning of"),
        ("refused: ['+']", "'+' is no destination"),
        ("premium: [0900]", "'0900' is no beginning of a number: write +41900, or 18 for short numbers"),
        ("limits: {abroad: {calls_per_hour: -1}}", "calls_per_hour"),
        ("limits: {europe: {}}", "europe"),
    ],
)
def test_what_is_no_destination_is_refused_with_what_to_write(section: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"{BEFORE}toll_fraud: {{{section}}}")
    assert text in str(caught.value)


def test_an_admin_who_writes_two_zeros_is_told_the_plus() -> None:
    with pytest.raises(ConfigError, match=r"a beginning of numbers as \+49"):
        parse(BEFORE + "toll_fraud: {allowed: [0049]}")


def test_check_tells_the_limits_back_and_says_nothing_where_nothing_is_set() -> None:
    section = (
        "toll_fraud: {allowed: [national, +49], refused: [premium], limits: {abroad: {calls_per_hour: 60, "
        "minutes_per_day: 600}}, on_backup: {abroad: {calls_per_hour: 20}}}"
    )
    told = [line for line in describe(parse(BEFORE + section)) if line.startswith("tolls")]
    assert told == [
        "tolls     calls go only to national, +49, not to premium; abroad 60 calls an hour and 600 minutes a day; "
        "over a backup abroad 20 calls an hour"
    ]
    assert not [line for line in describe(parse(BEFORE)) if line.startswith("tolls")]
