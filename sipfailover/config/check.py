"""What no single key can tell: settings that contradict each other, and settings that work but deserve a look.

Each rule is a generator of findings about valid settings; it names every path it compared, so that the loader can
leave a finding out when one of these values was itself refused.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import pairwise

from sipfailover.config import tls
from sipfailover.config.check_numbers import NUMBER_RULES
from sipfailover.config.finding import Finding, Rule
from sipfailover.config.model import Settings
from sipfailover.config.tree import Path
from sipfailover.config.words import OUTCOMES, SIP_PORT, SIPS_PORT, Address, is_address, spell

RINGS_AGAIN = frozenset({"486", "600"})
"""Busy. (603 is declined, but some carriers say it for "no route", so whoever writes it knows.)"""


def names_differ(settings: Settings) -> Iterator[Finding]:
    """Trunks and PBXs share one list of names, on the page and in the metrics."""
    seen: dict[str, Path] = {}
    entries: list[tuple[Path, str]] = [(("pbx", i, "name"), pbx.name) for i, pbx in enumerate(settings.pbx)]
    entries += [(("trunks", i, "name"), trunk.name) for i, trunk in enumerate(settings.trunks)]
    for path, name in entries:
        first = seen.setdefault(name.casefold(), path)
        if first is not path:
            what = "a PBX" if first[0] == "pbx" else f"trunk number {int(first[1]) + 1}"
            yield Finding(path, f"'{name}' is already the name of {what}: choose another", compared=(first,))


def tiers_for_all_or_none(settings: Settings) -> Iterator[Finding]:
    """The order comes from the numbers or from the list, never from both."""
    if any(trunk.tier for trunk in settings.trunks):
        for i, trunk in enumerate(settings.trunks):
            if not trunk.tier:
                yield Finding(
                    ("trunks", i), f"'{trunk.name}' has no tier but others do: give it to all trunks or to none"
                )


def clocks_in_order(settings: Settings) -> Iterator[Finding]:
    """no_answer_within < no_ringing_within < give_up_after: otherwise a later clock could never matter."""
    names = ("no_answer_within", "no_ringing_within", "give_up_after")
    written = settings.failover.model_fields_set
    for shorter, longer in pairwise(names):
        low, high = getattr(settings.failover, shorter), getattr(settings.failover, longer)
        if low >= high:
            at = longer if longer in written and shorter not in written else shorter
            other, value = (longer, high) if at == shorter else (shorter, low)
            relation = "shorter" if at == shorter else "longer"
            note = "" if other in written else ", its default"
            yield Finding(
                ("failover", at),
                f"must be {relation} than {other} ({spell(value)}{note})",
                compared=(("failover", other),),
            )


def probes_do_not_overlap(settings: Settings) -> Iterator[Finding]:
    """A check that outlasts the interval delays the next one."""
    sections: list[tuple[Path, float, float | None]] = [
        (("monitor",), settings.monitor.timeout, settings.monitor.options_every),
    ]
    for i, trunk in enumerate(settings.trunks):
        if trunk.monitor is not None:
            monitor = settings.monitor_for(trunk)
            sections.append((("trunks", i, "monitor"), monitor.timeout, monitor.options_every))
    for path, timeout, every in sections:
        if every is not None and timeout > every:
            text = f"timeout ({spell(timeout)}) is longer than options_every ({spell(every)}): checks come late"
            both = ((*path, "options_every"), (*path, "timeout"))
            yield Finding((*path, "timeout"), text, warning=True, compared=both)


def references_are_places_beside_the_trunks(settings: Settings) -> Iterator[Finding]:
    """A carrier cannot show that the line to carriers is up, and one trunk has no line of its own."""
    for j, place in enumerate(settings.monitor.reference):
        for i, trunk in enumerate(settings.trunks):
            if trunk.host == place.host:
                text = f"{place} is the trunk '{trunk.name}': it cannot show whether the line to it is up"
                yield Finding(("monitor", "reference", j), text, compared=(("trunks", i, "host"),))
    for i, trunk in enumerate(settings.trunks):
        if trunk.monitor is not None and trunk.monitor.reference:
            text = "is about our own line, which all trunks share: write it in the section monitor"
            yield Finding(("trunks", i, "monitor", "reference"), text)


def something_tells_how_trunks_are(settings: Settings) -> Iterator[Finding]:
    """Without OPTIONS, calls and a registration there is nothing left to judge by."""
    for i, trunk in enumerate(settings.trunks):
        monitor = settings.monitor_for(trunk)
        if monitor.options_every is None and not monitor.count_real_calls and not trunk.register:
            text = f"'{trunk.name}' is never Down: it is asked no OPTIONS, its calls do not count, and it has no "
            text += "registration; let its calls count (count_real_calls)"
            path: Path = ("trunks", i, "monitor") if trunk.monitor is not None else ("monitor",)
            yield Finding(path, text, warning=True)


def outcomes_decided_once(settings: Settings) -> Iterator[Finding]:
    """One outcome cannot be both, and a failure that is never retried loses the call."""
    sections: list[tuple[Path, tuple[str, ...], tuple[str, ...]]] = [
        (("failover",), settings.failover.next_trunk_on, settings.failover.never_retry)
    ]
    for i, trunk in enumerate(settings.trunks):
        sections.append((("trunks", i, "failover"), trunk.failover.next_trunk_on, trunk.failover.never_retry))
    for path, retried, relayed in sections:
        for j, word in enumerate(retried):
            if word in RINGS_AGAIN:
                text = (
                    f"'{word}' is the answer of the person called, whose telephone will ring once more for each trunk"
                )
                yield Finding((*path, "next_trunk_on", j), text, warning=True)
        for j, word in enumerate(relayed):
            at = (*path, "never_retry", j)
            if word in retried:
                yield Finding(
                    at, f"'{word}' stands in next_trunk_on too: keep one", compared=((*path, "next_trunk_on"),)
                )
            elif word in OUTCOMES or word in ("503", "5xx"):
                yield Finding(at, f"'{word}' means that the trunk failed: such calls will be lost", warning=True)


def listeners_differ(settings: Settings) -> Iterator[Finding]:
    """One socket per transport and address; the address of all covers each single one."""
    for i, one in enumerate(settings.listen):
        for j, other in enumerate(settings.listen[:i]):
            if (one.transport, one.port) != (other.transport, other.port):
                continue
            if one.host == other.host:
                yield Finding(("listen", i), f"'{one}' stands here twice", compared=(("listen", j),))
            elif (":" in one.host) == (":" in other.host) and (_is_any(one.host) or _is_any(other.host)):
                yield Finding(
                    ("listen", i), f"'{one}' and '{other}' cover each other: keep one", compared=(("listen", j),)
                )


def listeners_are_addresses(settings: Settings) -> Iterator[Finding]:
    """A name could mean another machine tomorrow."""
    for i, listen in enumerate(settings.listen):
        if not is_address(listen.host):
            text = f"'{listen.host}' is not an IP address of this machine: write for example udp 192.168.10.6:5060"
            yield Finding(("listen", i), text, compared=(("listen", i),))


def transports_are_served(settings: Settings) -> Iterator[Finding]:
    """UDP is sent from a listening socket; over TCP and TLS we could call but not be called."""
    served = {listen.transport for listen in settings.listen}
    peers: list[tuple[Path, str, str]] = [
        (("trunks", i, "transport"), f"trunk '{trunk.name}'", trunk.transport)
        for i, trunk in enumerate(settings.trunks)
    ]
    peers += [
        (("pbx", i, "transport"), f"PBX '{pbx.name}'", pbx.transport) for i, pbx in enumerate(settings.pbx) if pbx.host
    ]
    for path, who, transport in peers:
        if transport in served:
            continue
        if transport == "udp":
            yield Finding(path, f"{who} uses udp, but 'listen' has no udp address", compared=(("listen",),))
        else:
            text = f"{who} uses {transport}, but 'listen' has no {transport} address: it can open no connection to us"
            yield Finding(path, text, warning=True, compared=(("listen",),))


def families_are_served(settings: Settings) -> Iterator[Finding]:
    """An IPv6 address is reached from an IPv6 address only, and IPv4 likewise. TLS needs no listener to call."""
    served = {(listen.transport, ":" in listen.host) for listen in settings.listen}
    peers = [(("trunks", i, "host"), trunk.host, trunk.transport) for i, trunk in enumerate(settings.trunks)]
    peers += [(("pbx", i, "host"), pbx.host, pbx.transport) for i, pbx in enumerate(settings.pbx) if pbx.host]
    for path, host, transport in peers:
        six = ":" in host
        if transport == "tls" or not is_address(host):
            continue
        if (transport, six) not in served and (transport, not six) in served:
            family, example = ("IPv6", "[2001:db8::6]") if six else ("IPv4", "192.168.10.6")
            text = f"no call can go there: 'listen' has no {family} address for {transport}; add one of this machine, "
            both = (("listen",), (*path[:-1], "transport"))
            yield Finding(path, text + f"as in {transport} {example}:{SIP_PORT}", warning=True, compared=both)


def emergency_numbers_are_known(settings: Settings) -> Iterator[Finding]:
    """An empty list is read as it stands: no call is an emergency then."""
    if not settings.emergency.numbers:
        text = "is empty: a call for help is then a call like any other"
        yield Finding(("emergency", "numbers"), text, warning=True)


def emergency_calls_find_their_trunks(settings: Settings) -> Iterator[Finding]:
    """A misspelt name would send a call for help somewhere else."""
    emergency = settings.emergency
    names = [trunk.name for trunk in settings.trunks]
    for i, name in enumerate(emergency.first):
        if name not in names:
            text = f"'{name}' is no trunk: write one of {', '.join(names)}"
            yield Finding(("emergency", "first", i), text, compared=(("trunks",),))
    if emergency.no_answer_within >= emergency.no_ringing_within:
        text = f"must be shorter than no_ringing_within ({spell(emergency.no_ringing_within)})"
        both = (("emergency", "no_answer_within"), ("emergency", "no_ringing_within"))
        yield Finding(("emergency", "no_answer_within"), text, compared=both)


def peers_are_not_ourselves(settings: Settings) -> Iterator[Finding]:
    """A call sent to our own address would come back to us until its hops are used up; sources tell who calls."""
    pbxs = {(pbx.host, pbx.port_used): pbx.name for pbx in settings.pbx}
    peers: list[tuple[Path, str, str, int]] = [
        (("trunks", i, "host"), trunk.host, trunk.transport, trunk.port or _default_port(trunk.transport))
        for i, trunk in enumerate(settings.trunks)
    ]
    for path, host, _, port in peers:
        if (host, port) in pbxs:
            text = f"{Address(host, port)} is the PBX '{pbxs[host, port]}' too: calls are told apart by their source"
            yield Finding(path, text, compared=(("pbx",), (*path[:-1], "port")))
    peers += [
        (("pbx", i, "host"), pbx.host, pbx.transport, pbx.port_used) for i, pbx in enumerate(settings.pbx) if pbx.host
    ]
    for path, host, transport, port in peers:
        for listen in settings.listen:
            if (listen.transport, listen.port) != (transport, port):
                continue
            ours = {listen.host} if not _is_any(listen.host) else {"127.0.0.1", "::1", "localhost"}
            if host in ours or _is_any(host) or host == settings.public_address:
                text = f"{Address(host, port)} is our own address ('listen'): calls would come back to us"
                yield Finding(path, text, compared=(("listen",), (*path[:-1], "port"), (*path[:-1], "transport")))
                break


def trunks_lead_elsewhere(settings: Settings) -> Iterator[Finding]:
    """Two trunks to one address fail together."""
    seen: dict[tuple[str, int | None, str], tuple[int, str]] = {}
    for i, trunk in enumerate(settings.trunks):
        j, first = seen.setdefault((trunk.host.lower(), trunk.port, trunk.transport), (i, trunk.name))
        if j != i:
            text = f"leads to the same place as '{first}': the two will fail together"
            yield Finding(("trunks", i, "host"), text, warning=True, compared=(("trunks", j, "host"),))


def one_trunk_is_no_backup(settings: Settings) -> Iterator[Finding]:
    """Allowed, to begin with; but then there is nothing to fail over to."""
    if len(settings.trunks) == 1:
        yield Finding(("trunks",), "there is only one trunk: when it fails, calls fail", warning=True)


def accounts_are_whole(settings: Settings) -> Iterator[Finding]:
    """Registering needs a name; a name without a password answers no challenge."""
    for i, trunk in enumerate(settings.trunks):
        if trunk.register and not trunk.username:
            yield Finding(("trunks", i, "register"), "needs a username: whom should the carrier register?")
        elif trunk.register and trunk.password is None:
            text = f"there is no password: '{trunk.name}' cannot answer when the carrier asks for one"
            yield Finding(("trunks", i, "username"), text, warning=True)
        elif trunk.password is not None and not (trunk.username or trunk.auth_username):
            yield Finding(("trunks", i, "password"), "has no effect without a username", warning=True)
        if not trunk.register:
            for key in ("clear_old_registrations", "unregister_at_stop"):
                if getattr(trunk, key):
                    yield Finding(("trunks", i, key), "has no effect without registering", warning=True)


def pbxs_can_be_reached(settings: Settings) -> Iterator[Finding]:
    """A PBX has an address, or tells it by registering; and who registers proves who it is."""
    for i, pbx in enumerate(settings.pbx):
        if not pbx.host and not pbx.registers:
            yield Finding(("pbx", i), f"'{pbx.name}' needs a host, or a username and password to register with us")
        elif pbx.registers and pbx.password is None:
            yield Finding(("pbx", i, "username"), "needs a password: whoever knows the name could take the calls")
        elif pbx.password is not None and not pbx.registers:
            yield Finding(("pbx", i, "password"), "needs a username")
        for j, other in enumerate(settings.pbx[:i]):
            if pbx.registers and pbx.username == other.username:
                text = f"'{pbx.username}' is the username of '{other.name}' too: by it we know who registers"
                yield Finding(("pbx", i, "username"), text, compared=(("pbx", j, "username"),))


RULES: tuple[Rule, ...] = (
    names_differ,
    tiers_for_all_or_none,
    clocks_in_order,
    probes_do_not_overlap,
    references_are_places_beside_the_trunks,
    something_tells_how_trunks_are,
    outcomes_decided_once,
    listeners_are_addresses,
    listeners_differ,
    transports_are_served,
    families_are_served,
    emergency_numbers_are_known,
    emergency_calls_find_their_trunks,
    peers_are_not_ourselves,
    trunks_lead_elsewhere,
    one_trunk_is_no_backup,
    accounts_are_whole,
    pbxs_can_be_reached,
    *tls.RULES,
    *NUMBER_RULES,
)


def findings(settings: Settings) -> Iterator[Finding]:
    """Everything the rules have to say about these settings."""
    for rule in RULES:
        yield from rule(settings)


def _default_port(transport: str) -> int:
    return SIPS_PORT if transport == "tls" else SIP_PORT


def _is_any(host: str) -> bool:
    return is_address(host) and ip_address(host).is_unspecified
