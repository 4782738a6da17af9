"""The hours of return, as they are written."""

import pytest

from sipfailover.config import parse
from sipfailover.config.hours import When, when
from sipfailover.errors import ConfigError

FILE = """
pbx: 192.0.2.10
trunks: [{name: main, host: 198.51.100.1}]
failover: {return_to_main: {when: %s}}
"""


@pytest.mark.parametrize(
    ("text", "meant", "window"),
    [
        ("automatic", When("automatic"), None),
        ("Manual", When("manual"), None),
        ("02:00-05:00", When("hours", 7200.0, 18000.0), (7200.0, 18000.0)),
        ("22:30 - 4:00", When("hours", 81000.0, 14400.0), (81000.0, 14400.0)),
        ("18:00-24:00", When("hours", 64800.0, 86400.0), (64800.0, 86400.0)),
    ],
)
def test_what_can_be_written(text: str, meant: When, window: tuple[float, float] | None) -> None:
    settings = parse(FILE % f'"{text}"')
    assert settings.failover.return_to_main.when == meant
    assert meant.window == window
    assert when(str(meant)) == meant, "it can be read as it is shown"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no value: write one or remove the line"),
        ("night", "no time for a return"),
        ("02:00", "no time for a return"),
        ("02:60-05:00", "no clock shows"),
        ("25:00-26:00", "no clock shows"),
        ("24:30-02:00", "no clock shows"),
        ("02:00-02:00", "begins when it ends"),
        ("00:00-24:00", "begins when it ends"),
    ],
)
def test_what_cannot(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(FILE % f'"{text}"')


def test_without_a_word_it_is_automatic() -> None:
    assert str(parse(FILE.partition("failover")[0]).failover.return_to_main.when) == "automatic"
