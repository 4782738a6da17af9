"""What an administrator writes and what we read from it: durations, yes and no, addresses, outcomes.

Every scalar of the file arrives as text, so that `0443210000` keeps its zero and `+41…` its plus. The types here
turn that text into values, say in one sentence what is wrong with it, and describe themselves to editors (JSON
Schema). Values that are already of the right kind pass, so that tests and code can build settings directly.
"""

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, StringConstraints, WithJsonSchema

SIP_PORT = 5060
SIPS_PORT = 5061
"""With TLS (RFC 3261 §19.1.2)."""

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
YES = frozenset({"yes", "true", "on"})
NO = frozenset({"no", "false", "off"})
OUTCOMES = ("timeout", "unreachable")
"""Outcomes without a code: nobody answered in time; refused, no route, connection broken, name unknown."""
TRANSPORTS = ("udp", "tcp", "tls")

OURS = frozenset({
    "via", "from", "to", "call-id", "cseq", "max-forwards", "contact", "route", "record-route", "content-length",
    "content-type", "authorization", "proxy-authorization", "v", "f", "t", "i", "m", "l", "c",
})  # fmt: skip
"""Headers that no setting may add or remove."""

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d)\s*)+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_DIGITS = re.compile(r"\d{1,12}", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_OUTCOME = re.compile(r"[3-6](?:\d\d|xx)", re.ASCII)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]{1,64}", re.ASCII)
_EMERGENCY = re.compile(r"[+*#]?[0-9*#]{2,15}", re.ASCII)


def duration(value: object) -> object:
    """Seconds from `500ms`, `2s`, `10m`, `4h`, `400d` or `1h 30m`. A bare number other than 0 is refused."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text == "0":
        return 0.0
    if _DURATION.fullmatch(text):
        return sum(float(number) * UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    if re.fullmatch(r"\d+(\.\d+)?", text):
        raise ValueError(f"'{value}' has no unit: write {text}s for seconds, or use ms, m, h, d")
    raise ValueError(f"'{value}' is not a duration: write for example 500ms, 2s, 10m, 4h or 400d")


def duration_or_off(value: object) -> object:
    """A duration, or None for `off`."""
    return None if isinstance(value, str) and value.strip().lower() in NO else duration(value)


def spell(seconds: float) -> str:
    """A duration in the words of the file, with the largest unit that leaves no rest: 0.5 is `500ms`, 600 is `10m`."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0"


def yes_or_no(value: object) -> object:
    """True for `yes`, `true`, `on`; False for `no`, `false`, `off`."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text in YES or text in NO:
        return text in YES
    raise ValueError(f"'{value}' is neither yes nor no")


def whole_number(value: object) -> object:
    """An int from decimal digits only: no sign, no `0x`, no underscore, which would all be typing mistakes here."""
    if not isinstance(value, str):
        return value
    if _DIGITS.fullmatch(value.strip()):
        return int(value)
    raise ValueError(f"'{value}' is not a whole number")


def lower(value: object) -> object:
    """Words of a fixed list are read whatever their case."""
    return value.strip().lower() if isinstance(value, str) else value


def as_list(value: object) -> object:
    """One thing where a list may stand is a list of one."""
    if isinstance(value, list | tuple):
        return value
    return [] if value == "" else [value]


def host(value: object) -> object:
    """An IP address (IPv6 with or without brackets; returned without) or a name, no scheme, no port."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if re.match(r"sips?:", text, re.IGNORECASE):
        raise ValueError(f"'{value}' is a SIP address: write only the host, without '{text.partition(':')[0]}:'")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if is_address(bare):
        return str(ip_address(bare))
    _, colon, port = text.rpartition(":")
    if colon and _DIGITS.fullmatch(port):
        raise ValueError(f"'{value}' has a port: write only the host here")
    if re.fullmatch(r"[\d.]+", text):
        raise ValueError(f"'{value}' is not an IP address")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in text.removesuffix(".").split(".")):
        raise ValueError(f"'{value}' is neither an IP address nor a host name{_as_dns_has_it(text)}")
    return text


def _as_dns_has_it(text: str) -> str:
    """How a name with letters beyond ASCII is written: SIP and certificates know that form alone."""
    try:
        written = text.encode("idna").decode()
    except UnicodeError:
        return ""
    known = written != text and all(_LABEL.fullmatch(label) for label in written.removesuffix(".").split("."))
    return f": write {written}" if known else ""


def public_host(value: object) -> object:
    """A host, or nothing. `auto` is planned and would pass as a name."""
    if isinstance(value, str) and value.strip().lower() == "auto":
        raise ValueError("'auto' is not part of this version: write the address")
    return value if value == "" else host(value)


def is_address(text: str) -> bool:
    """True for a literal IPv4 or IPv6 address without brackets and zone."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


class Address(NamedTuple):
    """A host (IPv6 without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def host_port(text: str, default_port: int | None) -> Address:
    """`192.0.2.1:5060`, `[2001:db8::1]:5060`, `2001:db8::1`, `pbx.lan`. Raises ValueError with a sentence.

    default_port: used where none is written; None makes the port a duty.
    """
    text = text.strip()
    if not text:
        raise ValueError("empty: write an address, for example 192.168.10.5:5060")
    number: str | None = None
    if is_address(text):
        name = text
    elif text.startswith("["):
        name, bracket, rest = text[1:].partition("]")
        if not bracket or not is_address(name) or (rest and not rest.startswith(":")):
            raise ValueError(f"'{text}' is not an address: write [2001:db8::1]:5060")
        number = rest[1:] if rest else None
    else:
        name, colon, rest = text.partition(":")
        number = rest if colon else None
    if number is None:
        if default_port is None:
            raise ValueError(f"'{text}' has no port: write {Address(name, 8080)}")
        port = default_port
    elif _DIGITS.fullmatch(number) and int(number) <= 65535:
        port = int(number)
    else:
        raise ValueError(f"'{number}' in '{text}' is not a port: 1 to 65535")
    checked = host(name)
    assert isinstance(checked, str)
    return Address(checked, port)


def own_address(value: object) -> object:
    """An address of this machine to listen on over HTTP, or `off`. A port is needed; 0 lets the system choose one."""
    if value is None or isinstance(value, Address):
        return value
    if isinstance(value, str):
        if value.strip().lower() in NO:
            return None
        address = host_port(value, None)
        if not is_address(address.host):
            raise ValueError(f"'{address.host}' is not an IP address of this machine: write for example 127.0.0.1:8080")
        return address
    raise ValueError("write address and port, for example 127.0.0.1:8080, or off")


def reference(value: object) -> object:
    """An IP address and a port of somebody else. No name: it could not be found when DNS is what has failed."""
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError("write an IP address and a port, for example 192.0.2.53:53")
    address = host_port(value, None)
    if not is_address(address.host):
        raise ValueError(f"'{address.host}' is a name: write its IP address, which is found without DNS")
    if not address.port:
        raise ValueError("0 is not a port: 1 to 65535")
    return address


def endpoint(value: object) -> object:
    """The short form of a SIP endpoint, `[udp|tcp|tls ]host[:port]`, as the fields of the long one."""
    if not isinstance(value, str) or not value.strip():
        return value
    first, _, rest = value.strip().partition(" ")
    fields: dict[str, object] = {}
    if rest:
        if first.lower() not in TRANSPORTS:
            raise ValueError(f"'{first}' is no transport: write udp, tcp or tls, a blank, and the address")
        fields["transport"] = first.lower()
    address = host_port(rest or first, SIPS_PORT if fields.get("transport") == "tls" else SIP_PORT)
    return fields | {"host": address.host, "port": address.port}


def outcome(value: object) -> object:
    """What can happen to an attempt: `timeout`, `unreachable`, a final code such as `503`, or a class such as `5xx`."""
    text = lower(str(value) if isinstance(value, int) else value)
    if not isinstance(text, str) or text in OUTCOMES or _OUTCOME.fullmatch(text):
        return text
    raise ValueError(f"'{value}' is not an outcome: write timeout, unreachable, a code (403) or a class (5xx)")


def emergency_number(value: object) -> object:
    """A number as it is dialled, without blanks: `112`, `1414`."""
    text = str(value).replace(" ", "") if isinstance(value, str | int) else value
    if isinstance(text, str) and not _EMERGENCY.fullmatch(text):
        raise ValueError(f"'{value}' is not a number that can be dialled: digits only, for example 112")
    return text


def network(value: object) -> object:
    """An address or a network: `198.51.100.7`, `198.51.100.0/24`, `2001:db8::/32`, as it is usually written."""
    if not isinstance(value, str):
        return value
    try:
        found = ip_network(value.strip())
    except ValueError:
        try:
            found = ip_network(value.strip(), strict=False)
        except ValueError:
            raise ValueError(f"'{value}' is neither an IP address nor a network: write 198.51.100.0/24") from None
        raise ValueError(f"'{value}' has bits behind its length: write {found}") from None
    if found.prefixlen == 0:
        raise ValueError(f"'{value}' is the whole world: nobody could be told from a stranger")
    return str(found)


def header(value: object) -> object:
    """A header line, `Name: value`, that cannot end early or begin another one."""
    if not isinstance(value, str):
        return value
    name, colon, rest = (part.strip() for part in value.partition(":"))
    if not colon:
        raise ValueError(f"'{value}' is not a header line: write Name: value")
    if not rest.isprintable():
        raise ValueError(f"the value of '{name}' has signs that cannot be printed")
    return f"{header_name(name)}: {rest}"


def header_name(value: object) -> object:
    """The name of a header that is not the dialog's own: those are written by us for each side."""
    if not isinstance(value, str):
        return value
    if not _HEADER_NAME.fullmatch(value):
        raise ValueError(f"'{value}' is not the name of a header")
    if value.lower() in OURS:
        raise ValueError(f"'{value}' belongs to the dialog and is always written by us")
    return value


def digits(value: object) -> object:
    """Digits that are dialled, as text: their zeros count."""
    text = str(value).strip() if isinstance(value, str | int) else value
    if isinstance(text, str) and text and not _DIGITS.fullmatch(text):
        raise ValueError(f"'{value}' is not made of digits")
    return text


def text_of(value: object) -> object:
    """A number given by code where text is wanted."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def one_line(value: object) -> object:
    """Text that goes into a line of SIP. The message does not show it: it may be a password."""
    if isinstance(value, str) and any(sign < " " or sign == "\x7f" for sign in value):
        raise ValueError("has a line break, a tab or another control character: write it on one line")
    return value


TEXT_OR_NUMBER = {"type": ["string", "integer"]}
_DURATIONS: list[dict[str, object]] = [{"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d)\s*)+$"}, {"const": 0}]
DURATION_SCHEMA = {"anyOf": _DURATIONS, "examples": ["500ms", "2s", "10m", "4h", "400d"]}
DURATION_OR_OFF_SCHEMA = {"anyOf": [*_DURATIONS, {"enum": [False, "off", "no"]}], "examples": ["10s", "1m", "off"]}

Seconds = Annotated[float, BeforeValidator(duration), WithJsonSchema(DURATION_SCHEMA)]
YesNo = Annotated[bool, BeforeValidator(yes_or_no), WithJsonSchema({"enum": [True, False, "yes", "no", "on", "off"]})]
Whole = Annotated[int, BeforeValidator(whole_number)]
Text = Annotated[str, BeforeValidator(text_of), WithJsonSchema(TEXT_OR_NUMBER)]
OneLine = Annotated[Text, BeforeValidator(one_line)]
Host = Annotated[str, BeforeValidator(host), WithJsonSchema({"type": "string"})]
PublicHost = Annotated[str, BeforeValidator(public_host), WithJsonSchema({"type": "string"})]
Name = Annotated[
    str,
    BeforeValidator(text_of),
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"),
    WithJsonSchema(TEXT_OR_NUMBER | {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"}),
]
Outcome = Annotated[
    str,
    BeforeValidator(outcome),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^(timeout|unreachable|[3-6](\d\d|xx))$"},
                {"type": "integer", "minimum": 300, "maximum": 699},
            ]
        }
    ),
]
Digits = Annotated[str, BeforeValidator(digits), WithJsonSchema(TEXT_OR_NUMBER)]
Network = Annotated[str, BeforeValidator(network), WithJsonSchema({"type": "string", "examples": ["198.51.100.0/24"]})]
Header = Annotated[str, BeforeValidator(header), WithJsonSchema({"type": "string", "pattern": ":"})]
HeaderName = Annotated[str, BeforeValidator(header_name), WithJsonSchema({"type": "string"})]
Dialled = Annotated[str, BeforeValidator(emergency_number), WithJsonSchema(TEXT_OR_NUMBER)]
Reference = Annotated[
    Address, BeforeValidator(reference), WithJsonSchema({"type": "string", "examples": ["192.0.2.53:53"]})
]
OwnAddress = Annotated[
    Address | None,
    BeforeValidator(own_address),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:8080", "[::1]:8080", "off"]}),
]
