"""Rules about telephone numbers and identities: what a trunk may show, what stands for what, what can be written."""

from collections.abc import Iterator

from sipfailover.config.finding import Finding, Rule
from sipfailover.config.model import Settings
from sipfailover.config.telephone import Numbers
from sipfailover.config.trunk import TrunkSettings

WITHOUT_NATIONAL_PREFIX = frozenset({
    "30", "34", "39", "45", "47", "48", "351", "352", "354", "356", "357", "371", "372", "376", "378", "420",
})  # fmt: skip
"""Country codes in Europe where nothing stands before a number in the same country."""
OUTGOING_FORMS = ("number_format", "called_format", "caller_format", "identity_format")


def shown_numbers_are_allowed(settings: Settings) -> Iterator[Finding]:
    """A carrier that shows some numbers only needs one that it always shows."""
    for i, trunk in enumerate(settings.trunks):
        allowed, own = trunk.allowed_caller_ids, trunk.caller_id
        at = ("trunks", i, "allowed_caller_ids")
        if allowed and own is None:
            text = "needs a caller_id: what shall be shown instead of other numbers? They are shown as they are now"
            yield Finding(at, text, warning=True, compared=(("trunks", i, "caller_id"),))
        elif allowed and own is not None and not _covered(Numbers(int(own), int(own)), allowed):
            text = f"{own} is not in allowed_caller_ids: '{trunk.name}' may refuse the number that always goes"
            yield Finding(("trunks", i, "caller_id"), text, warning=True, compared=(at,))
        for pair in trunk.ddi if allowed else ():
            if not any(
                numbers.first <= pair.carrier.first and pair.carrier.last <= numbers.last for numbers in allowed
            ):
                text = f"{pair.carrier} is not in allowed_caller_ids, so calls from {pair.house} do not show it"
                yield Finding(("trunks", i, "ddi"), text, warning=True, compared=(at,))


def ddi_numbers_mean_one_thing(settings: Settings) -> Iterator[Finding]:
    """A number that stands in two pairs would be the first of them only, on the way in or on the way out."""
    for i, trunk in enumerate(settings.trunks):
        for j, pair in enumerate(trunk.ddi):
            for earlier in trunk.ddi[:j]:
                for one, other, whose in (
                    (pair.carrier, earlier.carrier, "of the carrier"),
                    (pair.house, earlier.house, "of the house"),
                ):
                    if one.first <= other.last and other.first <= one.last:
                        text = f"{_both(one, other)} {whose} overlap: each number stands for one other"
                        yield Finding(("trunks", i, "ddi"), text)


def forms_can_be_written(settings: Settings) -> Iterator[Finding]:
    """A form needs its prefixes."""
    numbering = settings.numbering
    national, abroad = ("numbering", "national_prefix"), ("numbering", "international_prefix")
    if not numbering.country_code and any(form != "keep" for _, form in _forms(settings)):
        yield Finding(("numbering", "country_code"), "is empty, but needed to write numbers in a form")
    for path, form in _forms(settings):
        if form in ("national", "international") and not numbering.international_prefix:
            text = f"{form} needs an international_prefix in the section numbering, for numbers abroad"
            yield Finding(path, text, compared=(abroad,))
        code = numbering.country_code
        if form == "national" and not numbering.national_prefix and code not in WITHOUT_NATIONAL_PREFIX:
            text = f"with an empty national_prefix, numbers of +{code} are written with nothing in front"
            yield Finding(path, text, warning=True, compared=(national, ("numbering", "country_code")))


def prefix_rules_are_reached(settings: Settings) -> Iterator[Finding]:
    """The first rule that fits is taken, so a longer beginning has to stand before a shorter one."""
    for i, trunk in enumerate(settings.trunks):
        for key in ("called_prefixes", "caller_prefixes"):
            rules = getattr(trunk, key)
            for j, rule in enumerate(rules):
                earlier = next((one for one in rules[:j] if rule.begins.startswith(one.begins)), None)
                if earlier is not None:
                    text = f"is never reached: '{earlier.begins} -> {earlier.becomes}' before it fits first"
                    yield Finding(("trunks", i, key, j), text, warning=True)


def accounts_in_from_have_names(settings: Settings) -> Iterator[Finding]:
    """The account's name in From tells nobody the caller's number."""
    for i, trunk in enumerate(settings.trunks):
        identity = trunk.identity
        if identity.from_user != "account":
            continue
        at = ("trunks", i, "identity", "from_user")
        if not trunk.username:
            yield Finding(at, "needs a username to write there", compared=(("trunks", i, "username"),))
        elif identity.headers == ():
            text = "with headers: [] the caller's number is told nowhere"
            yield Finding(at, text, warning=True, compared=(("trunks", i, "identity", "headers"),))


NUMBER_RULES: tuple[Rule, ...] = (
    shown_numbers_are_allowed,
    ddi_numbers_mean_one_thing,
    forms_can_be_written,
    prefix_rules_are_reached,
    accounts_in_from_have_names,
)


def _forms(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every place where a form is asked for, and the form."""
    for i, trunk in enumerate(settings.trunks):
        for key in OUTGOING_FORMS:
            form = _form(trunk, key)
            if form is not None:
                yield ("trunks", i, key), form
    for i, pbx in enumerate(settings.pbx):
        yield ("pbx", i, "number_format"), pbx.number_format


def _form(trunk: TrunkSettings, key: str) -> str | None:
    form = getattr(trunk, key)
    return form if form is None else str(form)


def _covered(numbers: Numbers, by: tuple[Numbers, ...]) -> bool:
    """Whether one of these ranges has all of the numbers."""
    return any(one.first <= numbers.first and numbers.last <= one.last for one in by)


def _both(one: Numbers, other: Numbers) -> str:
    return f"{other} and {one}"
