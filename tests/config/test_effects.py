"""Every key of the file stands in the table, and none that there is not."""

from collections.abc import Iterator
from typing import get_args

from sipfailover.config import EFFECTS, Effect, Section, Settings


def sections_in(annotation: object) -> list[type[Section]]:
    """The sections in a type, `tuple[PbxEntry, ...]` or `Monitor | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in get_args(annotation) for found in sections_in(part)]


def keys(section: type[Section], path: str = "") -> Iterator[str]:
    """Every key that the file can have, without the numbers of lists."""
    for name, field in section.model_fields.items():
        key = f"{path}{field.alias or name}"
        inner = sections_in(field.annotation)
        if inner:
            for one in inner:
                yield from keys(one, f"{key}.")
        else:
            yield key


def test_every_key_of_the_schema_is_in_exactly_one_class() -> None:
    assert sorted(set(keys(Settings))) == sorted(EFFECTS)
    assert all(isinstance(effect, Effect) for effect in EFFECTS.values())


def test_every_class_is_used() -> None:
    assert set(EFFECTS.values()) == set(Effect)


def test_what_needs_a_restart_is_what_is_bound_or_opened_at_the_start() -> None:
    needing = {key for key, effect in EFFECTS.items() if effect is Effect.RESTART}
    assert any(key.startswith("notify.") for key in needing), "its tasks are begun at the start"
    assert {key for key in needing if not key.startswith("notify.")} == {
        "listen.transport", "listen.host", "listen.port", "status.listen", "history.file", "history.calls_file",
    }  # fmt: skip
