"""What all sections of the settings share: nothing unknown, nothing changed after loading, help from the docstrings.

The words inside the values (durations, addresses, yes and no) are read by `words`, telephone numbers by `telephone`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from sipfailover.config.words import Outcome, Whole, as_list, lower, one_line

Transport = Annotated[Literal["udp", "tcp", "tls"], BeforeValidator(lower)]
Port = Annotated[Whole, Field(ge=1, le=65535)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=1024), BeforeValidator(one_line)]
Outcomes = Annotated[tuple[Outcome, ...], BeforeValidator(as_list)]


class Section(BaseModel):
    """What all sections share: nothing unknown, nothing changed after loading, help taken from the docstrings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_means_defaults(cls, data: Any) -> Any:
        return {} if data == "" else data
