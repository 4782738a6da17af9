"""Other files are read in the manner of the configuration, against a schema of their own."""

from pathlib import Path

import pytest

from sipfailover.config import Seconds, Section, load_document, parse_document
from sipfailover.errors import ConfigError


class Lamp(Section):
    """A lamp."""

    name: str
    """Its name."""
    on_for: Seconds = 60.0
    """How long it is on."""


class House(Section):
    """A house with lamps."""

    lamps: tuple[Lamp, ...] = ()
    """All of them."""


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_document(text, House, file="house.yaml")
    return [str(problem).partition("\n")[0] for problem in caught.value.problems]


def test_values_come_typed_and_with_their_place() -> None:
    document = parse_document("lamps:\n  - {name: hall, on_for: 2m}\n", House, file="house.yaml")
    assert document.value == House(lamps=(Lamp(name="hall", on_for=120.0),))
    found = document.problem(("lamps", 0, "name"), "is not in the plan")
    assert (
        str(found)
        == "house.yaml:2:12: lamps.0.name: is not in the plan\n      - {name: hall, on_for: 2m}\n" + " " * 15 + "^"
    )


def test_all_problems_at_once_in_the_words_of_the_schema() -> None:
    text = "lamps:\n  - {nam: hall, on_for: 2}\n  - {name: stairs, name: cellar}\nlmaps: []\n"
    assert refused(text) == [
        "house.yaml:2:5: lamps.0.name: is missing",
        "house.yaml:2:6: lamps.0.nam: unknown setting 'nam', did you mean 'name'?",
        "house.yaml:2:25: lamps.0.on_for: '2' has no unit: write 2s for seconds, or use ms, m, h, d",
        "house.yaml:3:20: lamps.1.name: is set twice, first in line 3: keep one",
        "house.yaml:4:1: lmaps: unknown setting 'lmaps', did you mean 'lamps'?",
    ]


def test_a_word_of_the_configuration_has_no_meaning_here() -> None:
    assert refused("trunks: []") == ["house.yaml:1:1: trunks: unknown setting 'trunks', known here: lamps"]


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_document(str(tmp_path / "none.yaml"), House)
    (tmp_path / "latin.yaml").write_bytes(b"lamps: [{name: k\xfcche}]")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_document(str(tmp_path / "latin.yaml"), House)
    (tmp_path / "house.yaml").write_text("lamps: [{name: hall}]")
    assert load_document(str(tmp_path / "house.yaml"), House).value.lamps[0].name == "hall"
