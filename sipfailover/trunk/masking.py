"""Telephone numbers as anybody may see them: on the page without a token, and in the log.

Numbers with times are personal data: they stay whole where a claim needs them, in the history, and are masked where
others read along.
"""

HIDDEN_DIGITS = 4
SHOWN_CHARACTERS = 32


def whole(number: str) -> str:
    """A telephone number or URI as its user part alone, printable and bounded."""
    user = number.removeprefix("sips:").removeprefix("sip:").removeprefix("tel:").split("@", 1)[0].split(";", 1)[0]
    return "".join(c for c in user if c.isprintable())[:SHOWN_CHARACTERS]


def mask(number: str) -> str:
    """A telephone number or URI as anybody may see it: the user part, its last four digits as `*`.

    `+41443210019` → `+4144321****`, `sip:201@192.0.2.5` → `***`. A name keeps its first letter; `anonymous` stays.
    """
    user = whole(number)
    if user.lower() in ("", "anonymous", "unknown", "restricted", "unavailable"):
        return user.lower() or "unknown"
    digits = [place for place, c in enumerate(user) if c.isdigit()]
    if len(digits) < len(user) - len(digits):
        return f"{user[0]}…" if not user[0].isdigit() else "…"
    hidden = set(digits[-HIDDEN_DIGITS:])
    return "".join("*" if place in hidden else c for place, c in enumerate(user))
