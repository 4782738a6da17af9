"""The example files: each passes the check, and the complete one has every key with its true default."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from sipfailover.config import Settings, describe, load
from sipfailover.config.explain import keys_of, section_of

EXAMPLES = Path(__file__).parents[2] / "examples"
README = EXAMPLES.parent / "README.md"
CONFIGURATIONS = sorted(path.name for path in EXAMPLES.glob("*.yaml") if path.name != "compose.yaml")
ENVIRONMENT = {
    "ALPHATEL_PASSWORD": "a", "BETAVOIP_PASSWORD": "b", "STATUS_TOKEN": "c", "SWISSCOM_PASSWORD": "d",
    "PEOPLEFONE_PASSWORD": "e", "MAIL_PASSWORD": "f", "CHAT_WEBHOOK": "https://chat.example/g",
}  # fmt: skip
OWN_VALUES = {
    "site", "pbx.host", "pbx.port", "listen", "public_address", "trunks", "status.token", "status.token_file",
    "history.file", "notify",
}  # fmt: skip
"""Keys of the complete example that show something else than the default; their comments say what that is."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in CONFIGURATIONS:
        (tmp_path / name).write_bytes((EXAMPLES / name).read_bytes())
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "betavoip").write_text("b\n")
    return tmp_path


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_example_passes_the_check(folder: Path, name: str) -> None:
    settings = load(str(folder / name), ENVIRONMENT)
    assert len(settings.trunks) == 2
    for warning in settings.warnings:
        assert "everybody on this machine" in warning.text


def test_the_practice_has_both_carriers_from_their_profiles(folder: Path) -> None:
    settings = load(str(folder / "swisscom-and-peoplefone.yaml"), ENVIRONMENT)
    main, backup = settings.trunks
    assert (main.register, main.number_format, main.keep_alive_every) == (True, "e164", 25.0)
    assert (backup.host, backup.register_expires, backup.inbound_format) == ("sips.peoplefone.ch", 120.0, "plain")
    assert settings.emergency.first == ("swisscom",)
    shown = {"+41443210007": backup.ddi[0].carrier, "+41315550007": backup.ddi[0].house}
    assert ("+41315550007" in shown["+41443210007"], "+41443210007" in shown["+41315550007"]) == (True, True)
    assert set(settings.profiles) == {"swisscom", "peoplefone"}


def test_check_tells_back_what_the_practice_wrote(folder: Path) -> None:
    told = list(describe(load(str(folder / "swisscom-and-peoplefone.yaml"), ENVIRONMENT)))
    assert told == [
        line.removeprefix("  ").replace("/etc/sipfailover", str(folder)) for line in printed("swisscom-and-peoplefone")
    ]


def printed(name: str) -> list[str]:
    """What the README shows of `check` for this example, without the first line."""
    shown = README.read_text().partition(f"$ sipfailover check -c {name}.yaml\n")[2].partition("```")[0]
    first, *lines = shown.splitlines()
    assert first == f"{name}.yaml: good"
    return lines


def test_the_smallest_example_has_twelve_lines() -> None:
    lines = (EXAMPLES / "minimal.yaml").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) == 11
    assert len(lines) == 12


def keys(section: type[BaseModel], path: str = "") -> Iterator[str]:
    for key in keys_of(section):
        yield path + key
        inner = section_of(section, key)
        if inner is not None and (path, key) != ("trunks.", "monitor"):
            yield from keys(inner, f"{path}{key}.")


def test_the_complete_example_has_every_key() -> None:
    text = (EXAMPLES / "complete.yaml").read_text()
    without_hash = re.sub(r"^( *)# ( *[a-z_]+:)", r"\1\2", text, flags=re.MULTILINE)
    assert set(keys(Settings)) - set(_paths(yaml.safe_load(without_hash))) == set()


def _paths(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield path + str(key)
            yield from _paths(inner, f"{path}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner, path)


def test_the_complete_example_shows_the_defaults(folder: Path) -> None:
    settings = load(str(folder / "complete.yaml"), ENVIRONMENT)
    assert list(_differences(settings)) == []


def _differences(section: BaseModel, path: str = "") -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        here, value = path + name, getattr(section, name)
        if any(here == own or here.startswith(own + ".") for own in OWN_VALUES):
            continue
        if isinstance(value, BaseModel):
            yield from _differences(value, here + ".")
        elif name == "pbx":
            yield from _differences(value[0], "pbx.")
        elif field.default is not PydanticUndefined and value != field.default:
            yield f"{here}: {value!r} is not the default {field.default!r}"
