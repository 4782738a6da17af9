"""When a changed setting takes effect on a reload: one table, in which every key of the file stands.

`changes` compares two files and says it; `proxy.reloading` and the shell do it.
"""

from enum import StrEnum


class Effect(StrEnum):
    """When a change is in effect, in the words that people read."""

    LIVE = "at once"
    NEXT_CALL = "from the next call on"
    NEXT_CONNECTION = "from the next connection on"
    ANEW = "it starts anew"
    """The trunk or PBX is another one from now on. The former one takes no new calls, and is gone after its last."""
    RESTART = "after a restart"
    """What runs goes on as it is, whatever the file says."""


LIVE, NEXT_CALL, NEXT_CONNECTION, ANEW, RESTART = Effect

EFFECTS: dict[str, Effect] = {
    "site": LIVE,
    "public_address": LIVE,
    "drain_within": LIVE,
    "pbx.name": ANEW,
    "pbx.host": ANEW,
    "pbx.port": ANEW,
    "pbx.transport": ANEW,
    "pbx.tls.ca_file": NEXT_CONNECTION,
    "pbx.tls.server_name": NEXT_CONNECTION,
    "pbx.tls.certificate_file": NEXT_CONNECTION,
    "pbx.tls.key_file": NEXT_CONNECTION,
    "pbx.networks": LIVE,
    "pbx.username": ANEW,  # also from none to one: whether it registers
    "pbx.password": LIVE,  # it stays registered until it comes again
    "pbx.password_file": LIVE,
    "pbx.register_expires": LIVE,
    "pbx.called_number_in": NEXT_CALL,
    "pbx.digest": LIVE,
    "pbx.number_format": NEXT_CALL,
    "listen.transport": RESTART,
    "listen.host": RESTART,
    "listen.port": RESTART,
    "trunks.name": ANEW,
    "trunks.profile": LIVE,  # what it sets is compared key by key
    "trunks.description": LIVE,
    "trunks.tier": NEXT_CALL,
    "trunks.host": ANEW,
    "trunks.port": ANEW,
    "trunks.transport": ANEW,
    "trunks.tls.ca_file": NEXT_CONNECTION,
    "trunks.tls.server_name": NEXT_CONNECTION,
    "trunks.tls.certificate_file": NEXT_CONNECTION,
    "trunks.tls.key_file": NEXT_CONNECTION,
    "trunks.networks": LIVE,
    "trunks.register": ANEW,
    "trunks.register_expires": LIVE,
    "trunks.keep_alive_every": LIVE,
    "trunks.clear_old_registrations": LIVE,
    "trunks.unregister_at_stop": LIVE,
    "trunks.domain": ANEW,
    "trunks.username": ANEW,
    "trunks.auth_username": LIVE,
    "trunks.realm": LIVE,
    "trunks.password": LIVE,
    "trunks.password_file": LIVE,
    "trunks.channels": NEXT_CALL,
    "trunks.number_format": NEXT_CALL,
    "trunks.called_format": NEXT_CALL,
    "trunks.caller_format": NEXT_CALL,
    "trunks.identity_format": NEXT_CALL,
    "trunks.inbound_format": NEXT_CALL,
    "trunks.called_prefixes": NEXT_CALL,
    "trunks.caller_prefixes": NEXT_CALL,
    "trunks.caller_id": NEXT_CALL,
    "trunks.allowed_caller_ids": NEXT_CALL,
    "trunks.ddi": NEXT_CALL,
    "trunks.identity.from_user": NEXT_CALL,
    "trunks.identity.headers": NEXT_CALL,
    "trunks.identity.display_name": NEXT_CALL,
    "trunks.identity.hidden": NEXT_CALL,
    "trunks.identity.number_when_hidden": NEXT_CALL,
    "trunks.identity.diversion": NEXT_CALL,
    "trunks.identity.user_phone": NEXT_CALL,
    "trunks.add_headers": NEXT_CALL,
    "trunks.remove_headers": NEXT_CALL,
    "trunks.monitor.options_every": LIVE,
    "trunks.monitor.timeout": LIVE,
    "trunks.monitor.down_after": LIVE,
    "trunks.monitor.up_after": LIVE,
    "trunks.monitor.count_real_calls": LIVE,
    "trunks.monitor.confirm_quickly": LIVE,
    "trunks.monitor.dropped_within": NEXT_CALL,
    "trunks.failover.next_trunk_on": NEXT_CALL,
    "trunks.failover.never_retry": NEXT_CALL,
    "monitor.options_every": LIVE,
    "monitor.timeout": LIVE,
    "monitor.down_after": LIVE,
    "monitor.up_after": LIVE,
    "monitor.count_real_calls": LIVE,
    "monitor.confirm_quickly": LIVE,
    "monitor.dropped_within": NEXT_CALL,
    "failover.no_answer_within": NEXT_CALL,
    "failover.no_ringing_within": NEXT_CALL,
    "failover.give_up_after": NEXT_CALL,
    "failover.ring_timeout": NEXT_CALL,
    "failover.next_trunk_on": NEXT_CALL,
    "failover.never_retry": NEXT_CALL,
    "failover.return_to_main.when": LIVE,
    "failover.return_to_main.stable_for": LIVE,
    "emergency.numbers": NEXT_CALL,
    "emergency.first": NEXT_CALL,
    "emergency.no_answer_within": NEXT_CALL,
    "emergency.no_ringing_within": NEXT_CALL,
    "numbering.country_code": NEXT_CALL,
    "numbering.national_prefix": NEXT_CALL,
    "numbering.international_prefix": NEXT_CALL,
    "numbering.outside_line": NEXT_CALL,
    "inbound.overflow": NEXT_CALL,
    "inbound.no_answer_within": NEXT_CALL,
    "tls.certificate_file": NEXT_CONNECTION,
    "tls.key_file": NEXT_CONNECTION,
    "tls.client_ca_file": NEXT_CONNECTION,
    "status.listen": RESTART,
    "status.token": LIVE,
    "status.token_file": LIVE,
    "history.file": RESTART,
    "history.keep": LIVE,
    "history.calls_file": RESTART,
    "log.level": LIVE,
    "log.format": LIVE,
}
"""Key, without the numbers of lists → when a change of it is in effect. A test walks the schema and finds each here.

An attempt that runs keeps the clock it was started with; of a call that is being set up, the next attempt has the new
one."""
