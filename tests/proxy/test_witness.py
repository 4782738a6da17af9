"""A call in progress is asked where OPTIONS fall silent, and then calls are believed."""

from sipfailover.trunk import Evidence, Sign, State
from tests.kit import after, answer, received, send
from tests.proxy.office import BACKUP, MAIN, PBX, Office, answered, calling, office, sent

CHECKS = "options_every: 10s, timeout: 2s"


def talking(more: str = "") -> Office:
    """A call is up over the main trunk, which answers no OPTIONS from now on, nor does anybody else."""
    book = office(more, probes=CHECKS)
    assert answered(book)
    book.line("main").trunk.roundtrip.observe(0.02)
    book.answers_probes = False
    return book


def silent(book: Office) -> None:
    """One OPTIONS to main had no answer: the quick check begins."""
    line = book.line("main")
    book.engine.watch.observe(line, Evidence(Sign.PROBE_FAILED, "no answer within 800 ms"), book.now)
    assert line.trunk.health.state is State.SUSPECT
    book.collect()


def test_a_call_in_progress_is_asked_inside_its_dialog_beside_the_quick_check() -> None:
    book = talking()
    silent(book)
    leg = next(iter(book.engine.core.calls.values())).b
    assert leg is not None
    asked = [message for message in sent(book, MAIN, "OPTIONS") if message.to_tag]
    assert [(message.call_id, message.to_tag) for message in asked] == [(leg.call_id, leg.remote_tag)]


def test_what_is_heard_of_a_call_outdoes_silent_options_until_one_is_answered() -> None:
    book = talking()
    silent(book)
    main = book.line("main")
    main.heard_at = book.now + 0.02  # the call's answer, of whatever kind
    assert book >> after(1.2)
    assert main.trunk.health.state is State.UP
    assert main.trunk.probe.mute
    assert book >> after(60.0)
    assert main.trunk.health.state is State.UP, "their silence is no news any more"
    assert main.trunk.probe.answered(200, "OK", 0.0, book.now) is None or not main.trunk.probe.mute
    assert not main.trunk.probe.mute


def test_without_an_answer_to_that_either_the_trunk_is_down_as_ever() -> None:
    book = talking()
    book.line("backup").heard_at = book.now + 10.0  # so that it is not our own line
    book.line("main").trunk.health.counters.call_good_at = float("-inf")
    silent(book)
    assert book >> after(1.2)
    assert book.line("main").trunk.health.state is State.DOWN


def test_nobody_is_asked_where_no_call_is_up_or_at_another_address() -> None:
    book = office(probes=CHECKS)
    book.answers_probes = False
    silent(book)
    assert not [message for message in sent(book, MAIN, "OPTIONS") if message.to_tag]


def test_one_call_finds_out_whether_it_is_only_options_that_are_silent() -> None:
    book = office(probes=CHECKS)
    book.answers_probes = False
    main, backup = book.line("main"), book.line("backup")
    backup.heard_at = book.now + 10.0
    silent(book)
    assert book >> after(1.2)
    assert main.trunk.health.state is State.DOWN
    backup.trunk.probe.mute = True
    assert book >> after(170.0)
    assert calling(book, BACKUP) >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    assert book >> after(20.0)
    assert calling(book, MAIN, called="+41445550001"), "its time has come"
    assert calling(book, BACKUP, called="+41445550002"), "one at a time"
    assert book >> received(MAIN, answer(486, to="INVITE")) << send(MAIN, "ACK") << send(PBX, 486)
    assert main.trunk.health.state is State.TRIAL
    assert main.trunk.probe.mute
