"""What to answer to the challenges of one trunk, and when to stop (RFC 3261 §22.1–22.3, RFC 7616 §3.4–3.6).

A `Wallet` belongs to a trunk: credentials, and the last good nonce of each realm with its count, so that the next
request answers before it is asked. An `Exchange` is one request on its way through challenges: the same Call-ID and
From tag, a CSeq one higher for each try. Many exchanges share a wallet and may be under way at once.
"""

from collections.abc import Iterable
from enum import Enum

from sipfailover.errors import WireError
from sipfailover.wire.compose import Header
from sipfailover.wire.digest import Challenge, Credentials, Domain, answer, challenges, choose, next_nonce
from sipfailover.wire.fields import SHOWN
from sipfailover.wire.limits import MAX_DOMAINS, MAX_NONCE_COUNT, MAX_TRIES
from sipfailover.wire.message import Message
from sipfailover.wire.names import pretty

INFO_OF = {
    b"authentication-info": b"authorization",
    b"proxy-authentication-info": b"proxy-authorization",  # RFC 7615 §4; SIP has no other place for it
}


class Outcome(Enum):
    """What a challenge means for the request that got it."""

    AGAIN = "again"
    """Send it again with `lines`: same Call-ID and From tag, CSeq + 1, new branch."""
    REFUSED = "refused"
    """User name or password is wrong. Tell the operator; trying again can lock the account."""
    UNANSWERABLE = "unanswerable"
    """No challenge that can be read, or none that we have an algorithm and credentials for."""
    GIVEN_UP = "given up"
    """Asked `MAX_TRIES` times, or for a nonce that was just turned down: the peer goes in circles."""


class _Nonce:
    """One nonce of one domain and how often it was used. Shared by all exchanges that got it."""

    __slots__ = ("challenge", "cnonce", "count", "good")

    def __init__(self, challenge: Challenge) -> None:
        self.challenge = challenge
        self.count = 0
        self.cnonce = b""
        """For `-sess`: the one of the first use, which stays."""
        self.good = False
        """Some request with it got through, so the next ones may use it unasked."""


class Wallet:
    """Credentials of one trunk, and the nonces that are good there."""

    __slots__ = ("_credentials", "_nonces", "_only_when_asked", "refused")

    def __init__(self, credentials: Iterable[Credentials] = ()) -> None:
        # Those for one realm go before those for any.
        self._credentials = sorted(credentials, key=lambda known: known.realm is None)
        self._nonces: dict[Domain, _Nonce] = {}
        self._only_when_asked: set[Domain] = set()
        self.refused: set[Domain] = set()
        """Who turned our password down and has not accepted it since."""

    def exchange(self) -> "Exchange":
        """For one new request, inside or outside a dialog."""
        return Exchange(self)

    def credentials_for(self, domain: Domain) -> Credentials | None:
        """None if we have nothing for this realm."""
        realm = domain[1]
        return next((own for own in self._credentials if own.fits(realm)), None)

    def __repr__(self) -> str:
        names = ", ".join(sorted({own.username for own in self._credentials})) or "empty"
        refused = "".join(f", refused by {_shown(domain)}" for domain in sorted(self.refused))
        return f"<Wallet {names}, {len(self._ahead())} nonces in use{refused}>"

    # What follows is for exchanges.

    def _ahead(self) -> dict[Domain, _Nonce]:
        return {domain: nonce for domain, nonce in self._nonces.items() if nonce.good and nonce.count < MAX_NONCE_COUNT}

    def _learn(self, domain: Domain, challenge: Challenge) -> _Nonce:
        """The nonce of a challenge. If another exchange was given the same one, they count together."""
        known = self._nonces.get(domain)
        if known and known.challenge._replace(stale=challenge.stale) == challenge and known.count < MAX_NONCE_COUNT:
            return known
        nonce = _Nonce(challenge)
        if not known or not known.good:
            self._keep(domain, nonce)
        return nonce

    def _keep(self, domain: Domain, nonce: _Nonce) -> None:
        if domain in self._only_when_asked:
            return
        self._nonces.pop(domain, None)
        self._nonces[domain] = nonce
        if len(self._nonces) > MAX_DOMAINS:
            del self._nonces[next(iter(self._nonces))]

    def _forget(self, domain: Domain, nonce: _Nonce) -> None:
        if self._nonces.get(domain) is nonce:
            del self._nonces[domain]

    def _mark(self, domains: set[Domain], domain: Domain) -> None:
        domains.add(domain)
        if len(domains) > MAX_DOMAINS:
            domains.discard(next(other for other in domains if other != domain))


class Exchange:
    """One request and its repetitions until it got through or was turned down. Made by `Wallet.exchange`.

    `lines`, then `challenged` and `lines` again as long as it says AGAIN, `accepted` at the end; not used after that.
    """

    __slots__ = ("_fresh", "_learned", "_tries", "_used", "_wallet", "sent", "why")

    def __init__(self, wallet: Wallet) -> None:
        self._wallet = wallet
        self._learned: dict[Domain, _Nonce] = {}
        """Given to this exchange; goes before what the wallet has."""
        self._fresh: set[Domain] = set()
        """Learned here, and not known to have got past whoever asked."""
        self._used: dict[Domain, _Nonce] = {}
        """In the last request."""
        self._tries = 0
        self.sent: list[Header] = []
        """The headers of the last request. The ACK of its 2xx repeats them (RFC 3261 §22.1); CANCEL has none."""
        self.why = ""
        """For log and alarm: what the last outcome other than AGAIN means, in one sentence."""

    def lines(self, method: bytes, uri: bytes, body: bytes, cnonce: bytes) -> list[bytes]:
        """Authorization and Proxy-Authorization lines for the next request; empty when nobody is known to ask.

        Counts: what is returned has to be sent. uri: the Request-URI as it is sent; cnonce: a fresh token.
        """
        return [b"%b: %b" % (pretty(name), value) for name, value in self.headers(method, uri, body, cnonce)]

    def headers(self, method: bytes, uri: bytes, body: bytes, cnonce: bytes) -> list[Header]:
        """The same as `compose` takes them: (name in lower case, value)."""
        self._used = {**self._wallet._ahead(), **self._learned} if self._wallet._nonces or self._learned else {}
        self.sent = []
        for domain, nonce in self._used.items():
            credentials = self._wallet.credentials_for(domain)
            assert credentials, "only what can be answered is learned"
            nonce.count += 1
            if not nonce.cnonce or not nonce.challenge.is_session:
                nonce.cnonce = cnonce
            value = answer(nonce.challenge, credentials, method, uri, body, nonce.count, nonce.cnonce)
            self.sent.append((domain[0], value))
        return self.sent

    def challenged(self, response: Message) -> Outcome:
        """Take in a 401 or 407 to the last request. Never raises; `why` explains what is not AGAIN."""
        self._tries += 1
        try:
            chosen = choose(challenges(response))
        except WireError as error:
            return self._end(Outcome.UNANSWERABLE, f"cannot read the challenge: {error.text}")
        self._fresh -= {domain for domain in self._used if domain not in chosen}  # these let it pass
        own = {domain: challenge for domain, challenge in chosen.items() if self._wallet.credentials_for(domain)}
        for domain, challenge in own.items():
            if used := self._used.get(domain):
                self._wallet._forget(domain, used)
                again = used.challenge.nonce == challenge.nonce
                if domain in self._fresh and not challenge.stale:
                    self._wallet._mark(self._wallet.refused, domain)
                    return self._end(Outcome.REFUSED, f"{_shown(domain)} refuses user name or password")
                if again:  # It likes no nonce twice, and has no other: let it ask each time from now on.
                    self._wallet._mark(self._wallet._only_when_asked, domain)
                    return self._end(Outcome.GIVEN_UP, f"{_shown(domain)} offers the nonce that it turned down")
        if not own:
            asked = ", ".join(map(_shown, chosen))
            return self._end(Outcome.UNANSWERABLE, f"no credentials for {asked}" if asked else "no known challenge")
        if self._tries > MAX_TRIES:
            return self._end(Outcome.GIVEN_UP, f"challenged {self._tries} times")
        for domain, challenge in list(own.items())[:MAX_DOMAINS]:
            self._learned.pop(domain, None)
            self._learned[domain] = self._wallet._learn(domain, challenge)
            self._fresh.add(domain)
        while len(self._learned) > MAX_DOMAINS:
            del self._learned[next(iter(self._learned))]
        return Outcome.AGAIN

    def accepted(self, response: Message) -> None:
        """Take in any other final response to the last request: its nonces are good for the next one.

        Nothing is learned from 5xx, which may come from before the check; a 403 may be a refusal, so after it nothing
        is used unasked. nextnonce (RFC 7616 §3.5) replaces the nonce if only one realm can be meant.
        """
        status = response.status
        if status < 200 or status in (401, 407) or 500 <= status < 600:
            return
        for domain, nonce in self._used.items():
            if status == 403:
                self._wallet._forget(domain, nonce)
            else:
                self._use(domain, nonce)
        if status < 300:
            for info, header in INFO_OF.items():
                if value := response.get(info):
                    self._follow(header, next_nonce(value))

    def passed(self) -> None:
        """It rings (18x): whoever asks has let the last request pass, so its nonces are good for the next one. A final
        answer may be a minute away, and every call until then would be challenged."""
        for domain, nonce in self._used.items():
            self._use(domain, nonce)

    def _use(self, domain: Domain, nonce: _Nonce) -> None:
        self._wallet.refused.discard(domain)
        nonce.good = True
        known = self._wallet._nonces.get(domain)
        if not known or not known.good:  # never back behind a nextnonce
            self._wallet._keep(domain, nonce)

    def _follow(self, header: bytes, nonce: bytes | None) -> None:
        meant = [domain for domain in self._used if domain[0] == header]
        if nonce is None or len(meant) != 1:
            return
        used = self._used[meant[0]]
        if used.challenge.nonce == nonce:
            return
        if used.challenge.is_session:
            # Whether the session goes on with the old nonce or begins anew is read both ways: better be asked.
            self._wallet._forget(meant[0], used)
            return
        following = _Nonce(used.challenge._replace(nonce=nonce, stale=False))
        following.good = True
        self._wallet._keep(meant[0], following)

    def _end(self, outcome: Outcome, why: str) -> Outcome:
        self.why = why
        return outcome

    def __repr__(self) -> str:
        realms = ", ".join(map(_shown, self._used)) or "nobody"
        return f"<Exchange {self._tries} times challenged, answers {realms}{': ' if self.why else ''}{self.why}>"


def _shown(domain: Domain) -> str:
    where = "proxy" if domain[0] == b"proxy-authorization" else "server"
    return f'{where} "{domain[1][:SHOWN].decode("utf-8", "backslashreplace")}"'
