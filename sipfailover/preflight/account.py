"""REGISTER with a carrier, as a script: what is asked of us, what is granted, who else is there; and away again.

The same pieces as in service: `trunk.register` composes and reads, `wire.wallet` answers challenges, and the Contact is
the one that the service would register. One try with the password: a second could lock the account.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

from sipfailover.chance import Chance
from sipfailover.errors import WireError
from sipfailover.flow import Target
from sipfailover.preflight.ask import WITHIN, line
from sipfailover.preflight.conversation import Question, Reply
from sipfailover.preflight.judge import words_of
from sipfailover.preflight.report import Step, Tell, failed, good, warning
from sipfailover.proxy import Account
from sipfailover.trunk import Ask, Purpose, RegisterAnswer, register_request
from sipfailover.trunk import Input as Meaning
from sipfailover.trunk import judge as judge_register
from sipfailover.wire import Challenge, Exchange, Message, Outcome, challenges, compose

REGISTER = b"REGISTER"
ROUNDS = 6
"""REGISTERs of one script at most: three challenges (see `wire.wallet`), a 423, and one more each."""
LISTED = 8
"""Contacts, routes and identities that are shown, each."""

ADVICE = {
    403: "ask the carrier: the account may be barred, or may not be used from this address; check username and domain",
    404: "the carrier does not know the account: check username and domain",
    405: "nobody takes registrations there: check host and domain, or write register: no",
    501: "nobody takes registrations there: check host and domain, or write register: no",
    423: "write a longer register_expires",
    503: "the registrar is out of service: try again later, and ask the carrier if it stays so",
}
"""What to do about a final answer to REGISTER."""


@dataclass(slots=True)
class Held:
    """A registration of ours that should go away again."""

    ask: Ask
    """The REGISTER that was granted."""
    granted: int
    """Seconds."""
    question: Question
    reply: Reply


def register(
    account: Account, target: Target, realm: str, chance: Chance, tell: Tell
) -> Generator[Question, Reply, Held | None]:
    """Register, and tell what happened. `realm`: the one in the settings, empty without. None: not registered."""
    transport = b";transport=" + target.transport.encode() if target.reliable else b""
    contact = b"sip:%b@%b%b" % (account.token, target.sent_by, transport)
    ask = Ask(Purpose.REGISTER, chance.call_id(), chance.tag(), 0, (contact,), account.expires)
    exchange, told = account.registrar.exchange(), False
    for _ in range(ROUNDS):
        ask = _next(ask)
        question = register_question(ask, account, target, exchange, chance)
        reply = yield question
        message = reply.message
        if message is None:
            tell(_silent("REGISTER", reply))
            return None
        if message.status in (401, 407):
            outcome = exchange.challenged(message)
            if not told:
                told = True
                tell(challenge_step(message, realm))
            if outcome is Outcome.AGAIN:
                continue
            tell(refused_step(message, exchange, outcome, realm))
            return None
        exchange.accepted(message)
        answer = RegisterAnswer.read(message)
        what, meant = judge_register(answer, ask, b"", 0)
        if what is Meaning.TOO_BRIEF and answer.min_expires is not None:
            text = f"{answer.line}: at least {answer.min_expires} s are wanted, we ask for {ask.expires} s"
            tell(warning("expires", text, f"write register_expires: {answer.min_expires}s"))
            ask = _with_expires(ask, answer.min_expires)
            exchange = account.registrar.exchange()
            continue
        if what is not Meaning.GRANTED:
            advice = ADVICE.get(answer.status, "ask the carrier what it wants" if answer.status >= 300 else "")
            if answer.status < 300:
                advice = "a SIP ALG in the router may have rewritten our Contact, or the carrier keeps no registration"
            tell(failed("REGISTER", meant.why, advice, status=answer.status))
            return None
        if not told:
            text = "the registrar asked for no password"
            tell(warning("challenge", text, "make sure that this is the carrier: anybody could register there"))
        _tell_all(granted_steps(answer, ask, meant.granted, reply.seconds), tell)
        if meant.bindings is not None:
            _tell_all(binding_steps(meant.bindings.rewritten, meant.bindings.stale, meant.bindings.others), tell)
        return Held(ask, meant.granted, question, reply)
    tell(failed("REGISTER", f"no end after {ROUNDS} requests", "ask the carrier: it goes in circles"))
    return None


def leave(held: Held, account: Account, target: Target, chance: Chance, tell: Tell) -> Generator[Question, Reply, None]:
    """Remove our own binding, and no other one (§10.2.2)."""
    ask = Ask(Purpose.LEAVE, held.ask.call_id, held.ask.from_tag, held.ask.cseq, held.ask.contacts, 0)
    exchange = account.registrar.exchange()
    for _ in range(ROUNDS):
        ask = _next(ask)
        reply = yield register_question(ask, account, target, exchange, chance)
        message = reply.message
        if message is not None and message.status in (401, 407) and exchange.challenged(message) is Outcome.AGAIN:
            continue
        what = line(message) if message is not None else f"no answer within {reply.seconds:.1f} s"
        if message is None or message.status >= 300:
            text = f"the registration could not be removed: {what}"
            tell(warning("un-REGISTER", text, f"it ends by itself within {held.granted} s"))
        else:
            tell(good("un-REGISTER", "removed again, only ours", reply.seconds))
        return


def register_question(ask: Ask, account: Account, target: Target, exchange: Exchange, chance: Chance) -> Question:
    """The REGISTER for an `Ask`, as the service sends it."""
    branch = chance.branch()
    uri = b"sip:" + account.aor.partition(b"@")[2]
    credentials = exchange.headers(REGISTER, uri, b"", chance.token())
    data = register_request(
        ask,
        aor=account.aor,
        via=compose.via_value(target.transport, target.sent_by, branch),
        headers=(*credentials, (b"user-agent", b"sipfailover")),
    )
    return Question(REGISTER, branch, data, target, WITHIN)


# -- what is told -----------------------------------------------------------------------------------------------------


def challenge_step(message: Message, realm: str) -> Step:
    """Who asks for the password, and how."""
    try:
        found = [challenge for _, challenge in challenges(message)]
    except WireError as error:
        advice = "ask the carrier which digest it uses: we know MD5, SHA-256 and SHA-512-256"
        return failed("challenge", f"{line(message)}: {error.text}", advice)
    realms = list(dict.fromkeys(_text(challenge.realm_text) for challenge in found))
    algorithms = list(dict.fromkeys(_algorithm(challenge) for challenge in found))
    qops = list(dict.fromkeys(_text(qop) for challenge in found for qop in challenge.qop))
    facts: dict[str, object] = {"status": message.status, "realms": realms, "algorithms": algorithms, "qop": qops}
    shown = ", ".join(f'"{one}"' for one in realms) or "none"
    text = f"{line(message)}: realm {shown}, {', '.join(algorithms) or 'no algorithm that we know'}"
    if qops:
        text += f", qop {', '.join(qops)}"
    if not found:
        return failed("challenge", text, "ask the carrier which digest it uses", **facts)
    if realm and realm not in realms:
        text += f'; the settings have realm "{realm}"'
        return failed("challenge", text, f"write realm: {realms[0]}, or leave realm out", **facts)
    return good("challenge", text, None, **facts)


def refused_step(message: Message, exchange: Exchange, outcome: Outcome, realm: str) -> Step:
    """A challenge that we did not answer, or that our answer did not satisfy."""
    if outcome is Outcome.REFUSED:
        advice = "check username, auth_username and password; it was tried once, because more can lock the account"
    elif outcome is Outcome.UNANSWERABLE and realm:
        advice = "the password goes to the configured realm only: check realm"
    elif outcome is Outcome.UNANSWERABLE:
        advice = "write password (or password_file), or ask the carrier which digest it uses"
    else:
        advice = "ask the carrier: its registrar goes in circles"
    return failed("REGISTER", f"{line(message)}: {exchange.why}", advice, status=message.status)


def granted_steps(answer: RegisterAnswer, ask: Ask, granted: int, seconds: float) -> Iterator[Step]:
    """For how long, over which way, as whom."""
    text = f"{answer.line}: registered for {granted} s"
    if granted != ask.expires:
        text += f", asked for {ask.expires} s"
    yield good("REGISTER", text, seconds, status=answer.status, granted=granted, asked=ask.expires)
    for name, header, values in (
        ("service-route", "Service-Route", answer.service_route),
        ("path", "Path", answer.path),
        ("identities", "P-Associated-URI", answer.associated),
    ):
        if values:
            yield good(name, f"{header}: {_listed(values)}", None, values=[_text(value) for value in values[:LISTED]])


def binding_steps(rewritten: bool, stale: Iterable[bytes], others: Iterable[bytes]) -> Iterator[Step]:
    """Who else is registered on the account, and whether our Contact came through."""
    stale, others = tuple(stale), tuple(others)
    if rewritten:
        text = "the registrar has our Contact with another address: somebody on the way rewrites it"
        yield warning(
            "contact", text, "if your router has a SIP ALG, switch it off; a carrier's own edge may do it too"
        )
    if stale:
        text = f"older registrations of ours: {_listed(stale)}"
        advice = (
            "if the service runs in another container, check in that one; else they end by themselves, and "
            "clear_old_registrations: yes removes them, and everybody else's, at the start"
        )
        yield warning("contact", text, advice, contacts=[_text(uri) for uri in stale[:LISTED]])
    if others:
        text = f"others are registered on this account: {_listed(others)}"
        advice = "the carrier may ring them too, or keep the newest only: let no other device use this account"
        yield warning("contact", text, advice, contacts=[_text(uri) for uri in others[:LISTED]])


def _silent(name: str, reply: Reply) -> Step:
    if reply.why:
        what, advice = words_of(reply.why)
        return failed(name, what, advice)
    advice = "check host and domain: REGISTER may have a host of its own; check the firewall"
    return failed(name, f"no answer within {reply.seconds:.1f} s", advice)


def _next(ask: Ask) -> Ask:
    return Ask(ask.purpose, ask.call_id, ask.from_tag, ask.cseq + 1, ask.contacts, ask.expires)


def _with_expires(ask: Ask, expires: int) -> Ask:
    return Ask(ask.purpose, ask.call_id, ask.from_tag, ask.cseq, ask.contacts, expires)


def _algorithm(challenge: Challenge) -> str:
    return _text(challenge.algorithm or b"MD5")


def _listed(values: Iterable[bytes]) -> str:
    shown = [_text(value) for value in values]
    return ", ".join(shown[:LISTED]) + (f" and {len(shown) - LISTED} more" if len(shown) > LISTED else "")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _tell_all(steps: Iterable[Step], tell: Tell) -> None:
    for step in steps:
        tell(step)
