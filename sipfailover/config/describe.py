"""The settings told back: in words for `sipfailover check` and the start log, as JSON Schema for editors."""

from collections.abc import Iterator
from typing import Any

from sipfailover.config.model import Settings
from sipfailover.config.tls import described
from sipfailover.config.tolls import KINDS, TollFraud, TollLimits
from sipfailover.config.trunk import TrunkSettings
from sipfailover.config.words import SIP_PORT, SIPS_PORT, TEXT_OR_NUMBER, Address, is_address, spell
from sipfailover.profiles import in_use, names

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def describe(settings: Settings) -> Iterator[str]:
    """What these settings mean, line by line, without a secret: who is tried in which order, and with which clocks."""
    if settings.site:
        yield f"site      {settings.site}"
    for pbx in settings.pbx:
        form = "" if pbx.number_format == "keep" else f"; numbers as {pbx.number_format}"
        yield f"PBX       {pbx.name}: {pbx}{form}"
    where = f", known outside as {settings.public_address}" if settings.public_address else ""
    yield f"listen    {', '.join(str(listen) for listen in settings.listen)}{where}"
    if settings.tls.certificate_file and (whose := described(settings.tls.certificate_file)):
        asked = ", asks for theirs" if settings.tls.client_ca_file else ""
        yield f"tls       our certificate is {whose}{asked}"
    for trunk in sorted(settings.trunks, key=lambda trunk: trunk.tier):
        yield f"trunk {trunk.tier:<3} {_trunk(settings, trunk)}"
        yield f"account   {trunk.name}: {_account(trunk)}"
        if numbers := "; ".join(_numbers(trunk)):
            yield f"numbers   {trunk.name}: {numbers}"
        if trunk.name in settings.profiles:
            yield f"profile   {trunk.name}: {in_use(settings.profiles[trunk.name])}"
    failover = settings.failover
    yield (
        f"failover  next trunk after {spell(failover.no_answer_within)} without an answer or "
        f"{spell(failover.no_ringing_within)} without ringing; give up after {spell(failover.give_up_after)}; "
        f"back after {spell(failover.return_to_main.stable_for)} without a fault"
    )
    if settings.monitor.reference:
        places = ", ".join(map(str, settings.monitor.reference))
        yield f"our line  is compared with {places} when trunks are silent"
    if failover.clocks == "fixed":
        yield "clocks    as written: nothing is learned from what trunks usually take"
    if failover.next_trunk_on or failover.never_retry:
        also, never = ", ".join(failover.next_trunk_on), ", ".join(failover.never_retry)
        yield f"outcomes  next trunk also on: {also or 'nothing more'}; never retried also: {never or 'nothing more'}"
    emergency = settings.emergency
    first = f"; first over {', then '.join(emergency.first)}" if emergency.first else ""
    yield f"emergency {', '.join(emergency.numbers) or 'no numbers'}{first}"
    overflow = settings.inbound.overflow
    instead = f"calls that come in go to {overflow} over a trunk" if overflow else "calls that come in get 503"
    yield f"inbound   while no PBX answers, {instead}"
    if settings.toll_fraud != TollFraud():
        yield f"tolls     {_tolls(settings.toll_fraud)}"
    yield f"status    http://{settings.status.listen}/" if settings.status.listen else "status    off"
    history = settings.history
    yield f"history   {history.file}, kept for {spell(history.keep)}" if history.file else "history   not kept"
    calls = history.calls_file_used
    yield (
        f"calls     go on after a restart, by {calls}"
        if calls
        else "calls     in progress are lost by a restart: set history.file, or history.calls_file"
    )
    for notify in settings.notify:
        quiet = f"; from {notify.quiet} only what is critical" if notify.quiet else ""
        yield f"notify    {notify}: {', '.join(notify.about)}, {notify.at_least} and worse{quiet}"
    yield f"log       {settings.log.level}, {settings.log.format}"


def _tolls(tolls: TollFraud) -> str:
    """Where calls may go, and how many."""
    parts = [f"calls go {'only to ' + ', '.join(tolls.allowed) if tolls.allowed else 'everywhere'}"]
    if tolls.refused:
        parts[0] += f", not to {', '.join(tolls.refused)}"
    for limits, where in ((tolls.limits, ""), (tolls.on_backup, "over a backup ")):
        parts += [f"{where}{text}" for text in _limits(limits)]
    return "; ".join(parts)


def _limits(limits: TollLimits) -> Iterator[str]:
    for kind in KINDS:
        limit = getattr(limits, kind)
        told = [] if limit.calls_per_hour is None else [f"{limit.calls_per_hour} calls an hour"]
        told += [] if limit.minutes_per_day is None else [f"{limit.minutes_per_day} minutes a day"]
        if told:
            yield f"{kind} {' and '.join(told)}"


def _trunk(settings: Settings, trunk: TrunkSettings) -> str:
    monitor = settings.monitor_for(trunk)
    port = SIPS_PORT if trunk.transport == "tls" else SIP_PORT
    known = trunk.port or (port if is_address(trunk.host) else None)
    host = str(Address(trunk.host, known)) if known else f"{trunk.host} (port from DNS, else {port})"
    if trunk.transport == "tls":
        names = dict.fromkeys(name for name in (trunk.domain, trunk.host) if name)
        host += f", with a certificate for {trunk.tls.server_name or ' or '.join(names)}"
    channels = f", at most {trunk.channels} calls" if trunk.channels else ""
    every = monitor.options_every
    judged = "no OPTIONS, judged by its calls" if every is None else f"OPTIONS every {spell(every)}"
    if every is None and trunk.register:
        judged += " and its registration"
    failed = "failed" if every is not None else "unanswered"
    return (
        f"{trunk.name}: {trunk.transport} {host}{channels}; {judged}, "
        f"Down after {monitor.down_after} {failed}, Up after {monitor.up_after} good"
    )


def _account(trunk: TrunkSettings) -> str:
    """Who we are there, and whether we register."""
    if not trunk.username:
        return "none, the carrier knows our address"
    domain = f" at {trunk.domain}" if trunk.domain else ""
    other = f", auth_username {trunk.auth_username}" if trunk.auth_username else ""
    whose = f"{trunk.username}{domain}{other}"
    if trunk.register:
        return f"registers as {whose}, for {spell(trunk.register_expires)}"
    return f"{whose}, not registered: the carrier knows our address"


def _numbers(trunk: TrunkSettings) -> Iterator[str]:
    """How numbers are written and which may be shown, as far as it is not "as they come"."""
    forms = {
        "called": trunk.called_format or trunk.number_format,
        "caller": trunk.caller_format or trunk.number_format,
        "coming in": trunk.inbound_format or trunk.number_format,
    }
    forms["identity headers"] = trunk.identity_format or forms["caller"]
    if len(set(forms.values())) > 1:
        yield ", ".join(f"{what} {form}" for what, form in forms.items())
    elif trunk.number_format != "keep":
        yield f"all {trunk.number_format}"
    if trunk.allowed_caller_ids:
        others = f", {trunk.caller_id} instead of others" if trunk.caller_id else ""
        yield f"shows {', '.join(map(str, trunk.allowed_caller_ids))}{others}"
    elif trunk.caller_id:
        yield f"shows every caller, {trunk.caller_id} after a 403"
    for pair in trunk.ddi:
        yield f"{pair.carrier} here are {pair.house} in the house"


def json_schema() -> dict[str, Any]:
    """The file as JSON Schema (2020-12), with the short forms that the loader accepts and without what it computes."""
    schema = Settings.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    properties = schema["properties"]
    endpoint = {"type": "string", "examples": ["192.168.10.5", "192.168.10.5:5060", "udp 192.168.10.6:5060"]}
    for key in ("pbx", "listen"):
        entry = {"anyOf": [endpoint, properties[key]["items"]]}
        kept = {word: properties[key][word] for word in ("description", "title") if word in properties[key]}
        properties[key] = kept | {"anyOf": [*entry["anyOf"], {"type": "array", "items": entry, "minItems": 1}]}
    for definition in (schema, *definitions.values()):
        for key, value in definition.get("properties", {}).items():
            value.pop("title", None)
            value.pop("default", None)  # defaults are in the help, in the words of the file
            value.pop("writeOnly", None)
            if value.get("type") == "array":
                single = {word: value.pop(word) for word in ("type", "items", "minItems", "maxItems") if word in value}
                value["anyOf"] = [single, single["items"]] if key != "trunks" else [single]
            for choice in value.get("anyOf", ()):
                choice.pop("writeOnly", None)
                choice.pop("format", None)
            value["anyOf"] = [choice for choice in value.get("anyOf", ()) if choice != {"type": "null"}]
            if not value["anyOf"]:
                del value["anyOf"]
            if key in ("password", "token", "webhook"):
                value.pop("anyOf", None)
                value |= TEXT_OR_NUMBER
            if "$ref" in value:  # pydantic leaves out help that is the same as the section's own
                value.setdefault("description", definitions[value["$ref"].rpartition("/")[2]]["description"])
            if "$ref" in value or any("$ref" in choice for choice in value.get("anyOf", ())):
                value.setdefault("anyOf", [{"$ref": value.pop("$ref")}] if "$ref" in value else [])
                value["anyOf"] = [*value["anyOf"], {"type": "null"}]  # a section whose lines are all commented out
    profile = definitions["TrunkSettings"]["properties"]["profile"]
    profile |= {"type": "string", "enum": list(names())}
    return {"$schema": SCHEMA_DIALECT, **schema, "title": "sipfailover.yaml"}
