"""Other settings while calls go on: what changes is put in the place of what was, and nothing that did not change is
touched.

Which key means what for whom is `config.EFFECTS`' business. A trunk or PBX that is in both files stays the same object:
its health, clocks, registration, addresses and orders go on, and calls know it. One whose address or account changed,
or that is gone, *leaves*: another one begins in its place, if any, and it takes no new calls, but is known by its
addresses, stays registered and is kept alive until its last call is over. Then its registration is given up, and it is
gone.
"""

from dataclasses import replace

from sipfailover.config import Changes, Effect, Settings, compare
from sipfailover.proxy.call import Clock
from sipfailover.proxy.core import Core
from sipfailover.proxy.keepalive import KeepAlive
from sipfailover.proxy.line import MOVED, REMOVED, Account, Line, pbx_lines, trunk_lines
from sipfailover.proxy.registering import Registering
from sipfailover.proxy.registrar import Registrar
from sipfailover.proxy.watch import Watch
from sipfailover.transaction import LIFE
from sipfailover.trunk import NOT_YET

LOOK_EVERY = 1.0
"""Seconds between two looks at a line that has left, while it has calls or its registration is being given up."""
LEFT_MAX = 64
"""Lines that have left and are still here. With more, the oldest goes though it has calls: their BYE is let in by the
dialog alone."""
PLACES = (".host", ".port", ".transport")
"""Ends of keys that say where a trunk or PBX is."""
CREDENTIALS = frozenset({"trunks.password", "trunks.auth_username", "trunks.realm"})


class Reloading:
    """See the module. `now`: seconds, monotonic. Off the path."""

    def __init__(
        self, core: Core, watch: Watch, registering: Registering, registrar: Registrar, keepalive: KeepAlive
    ) -> None:
        self.core = core
        self.watch = watch
        self.registering = registering
        self.registrar = registrar
        self.keepalive = keepalive
        self._count = 0

    def reload(self, settings: Settings, now: float) -> tuple[str, ...]:
        """These settings are in effect from now on. What that changes, and for which calls: a sentence each.

        They are checked, and what needs a restart is in them as it is now. What can fail is done first, so it is all or
        nothing.
        """
        core = self.core
        changes = compare(core.settings, settings)
        trunks, pbxs = (make(settings, core.chance, now) for make in (trunk_lines, pbx_lines))
        told = tuple(self._sentences(changes))
        before = core.lines
        core.configure(settings)
        core.trunks, core.pbxs = (
            [self._settle(line, before.get(line.name), changes, now) for line in fresh] for fresh in (trunks, pbxs)
        )
        core.lines = {line.name: line for line in (*core.trunks, *core.pbxs)}
        begin = [line for line in core.trunks if before.get(line.name) is not line]
        for line in before.values():
            if core.lines.get(line.name) is not line:
                self._leave(line, begin, now)
        for line in core.lines.values():
            core.by_peer[line.peer] = line
            core.admission.lives_in(line.peer, line.networks)
        self.registrar.configure()
        self.watch.blame.references.configure(now)
        for line in core.lines.values():
            self._begin(line, before.get(line.name), changes, now)
        if not any(line.trunk.target is None and line.trunk.resolve_why == NOT_YET for line in begin):
            self.watch.failovers.look(now, "the configuration was changed")  # else when they are found
        return told

    # -- one line -----------------------------------------------------------------------------------------------------

    def _settle(self, fresh: Line, line: Line | None, changes: Changes, now: float) -> Line:
        """The line as it is from now on: the one there was, with the settings of the fresh one; or that, if the other
        one is not the same any more."""
        if line is None:
            return fresh
        if line.name in changes.anew or line.role != fresh.role:
            fresh.trunk.obey(line.trunk.ordered)  # what people said holds for the name
            if not any(one.name == line.name and one.key.endswith(PLACES) for one in changes.values):
                fresh.trunk.resolved(line.trunk.targets, line.trunk.resolve_why, now)
            return fresh
        line.rules, line.host, line.port, line.networks = fresh.rules, fresh.host, fresh.port, fresh.networks
        line.presentation, line.number_form = fresh.presentation, fresh.number_form
        line.keep_alive_every = fresh.keep_alive_every
        line.trunk.take_settings(fresh.trunk, now)
        if line.account is not None and fresh.account is not None:
            other = any(one.name == line.name and one.key in CREDENTIALS for one in changes.values)
            self._settle_account(line, line.account, fresh.account, now, other=other)
        if line.registrant is not None and fresh.registrant is not None:
            have, want = line.registrant, fresh.registrant
            have.password, have.longest = want.password, want.longest
            have.md5_only, have.number_in_uri = want.md5_only, want.number_in_uri
        return line

    def _settle_account(self, line: Line, have: Account, want: Account, now: float, *, other: bool) -> None:
        """`other`: it has another password, or another name for it, which is tried at once."""
        have.expires, have.clears, have.leaves = want.expires, want.clears, want.leaves
        if other:
            have.wallet, have.registrar = want.wallet, want.registrar
            have.silent_until = 0.0
            have.alarms.clear()
        registration = have.registration
        if registration is None:
            return
        rules = replace(
            registration.lease.rules,
            expires=have.expires, clear_stale=have.clears, wipe=have.clears, keep_alive=line.keep_alive_every,
        )  # fmt: skip
        registration.configure(rules, now)
        if other and registration.well:
            registration.hurry(now)
        elif other:
            registration.stop(now, unregister=False)
            registration.start(now)

    def _begin(self, line: Line, before: Line | None, changes: Changes, now: float) -> None:
        """What runs by itself goes on by the new settings."""
        if line is before:
            self.registering.configured(line, now)
        elif before is not None:
            was, now_is = before.registrant, line.registrant
            if was is not None and now_is is not None and was.username == now_is.username:
                self.registrar.restore(line, was.bindings, now)  # only where else to look for it has changed
        self.watch.begin(line, now)

    # -- who leaves ---------------------------------------------------------------------------------------------------

    def _leave(self, line: Line, fresh: list[Line], now: float) -> None:
        """The file has it no more, or elsewhere. `fresh`: those that begin now."""
        core = self.core
        line.left = MOVED if line.name in core.lines else REMOVED
        self._count += 1
        self.watch.leave(line)
        core.by_peer.pop(line.peer, None)
        peer = line.peer._replace(left=self._count)
        core.admission.leaves(line.peer, peer)
        line.peer = peer
        core.by_peer[peer] = line
        core.left.append(line)
        self.registrar.left(line, now)
        account = line.account
        if account is not None:
            heir = next((one.account for one in fresh if _is_the_same(one.account, account)), None)
            if heir is not None:
                # One binding, and from now on it is the other one's: calls that come in find that by its Contact.
                heir.token = account.token
                account.registers = False
                if account.registration is not None:
                    account.registration.stop(now, unregister=False)
        if len(core.left) > LEFT_MAX:
            self._gone(core.left[0])
        self.wake(line, now)

    def wake(self, line: Line, now: float) -> None:
        """Look whether a line that has left can go."""
        line.left_timer = None
        if not line.trunk.calls_now:
            account = line.account
            registration = account.registration if account is not None else None
            if account is not None and account.registers and registration is not None:
                account.registers = False
                self.registering.give_up(line, registration, now)
            if line.unused_since is None:
                line.unused_since = now
            given_up = registration is None or registration.deadline() is None
            if given_up and now >= line.unused_since + LIFE:
                self._gone(line)
                return
        else:
            line.unused_since = None
        line.left_timer = self.core.timers.start(LOOK_EVERY, now, Clock.LEFT, line)

    def _gone(self, line: Line) -> None:
        core = self.core
        core.left.remove(line)
        core.by_peer.pop(line.peer, None)
        core.admission.forget(line.peer)
        for timer in (line.timer, line.registration_timer, line.keep_alive_timer, line.left_timer):
            if timer is not None:
                timer.stop()
        core.log("info", f"{line.role} {line.name} is gone: its last call is over")

    # -- in words -----------------------------------------------------------------------------------------------------

    def _sentences(self, changes: Changes) -> list[str]:
        told = [f"{role} {name} removed: {self._fate(name)}" for role, name in changes.removed]
        told += [f"{role} {name} added: it begins as at a start" for role, name in changes.added]
        for name in sorted(changes.anew):
            found = [change.what for change in changes.values if change.name == name and change.effect is Effect.ANEW]
            told.append(f"{', '.join(found)}: it starts anew; the former one: {self._fate(name)}")
        return told + [str(change) for change in changes.values if change.effect is not Effect.ANEW]

    def _fate(self, name: str) -> str:
        """What becomes of the calls on a line that leaves."""
        count = self.core.lines[name].trunk.calls_now
        if not count:
            return "there is no call on it"
        return f"{_go_on(count)}, no new ones; gone when the last has ended"


def _is_the_same(one: Account | None, other: Account) -> bool:
    """Whether two accounts are one at the carrier, and the first wants its registration."""
    return one is not None and one.registers and one.aor == other.aor


def leaving(core: Core) -> tuple[str, ...]:
    """Who has left the file and still has calls, a sentence each."""
    words = {REMOVED: "is not in the file any more", MOVED: "has started anew"}
    return tuple(
        f"{line.role} {line.name} {words[line.left]}: {_go_on(line.trunk.calls_now)} over the former one"
        for line in core.left
        if line.trunk.calls_now
    )


def _go_on(count: int) -> str:
    return f"{count} call{' goes' if count == 1 else 's go'} on"
