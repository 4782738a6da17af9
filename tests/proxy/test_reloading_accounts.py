"""Other settings while we are registered with a carrier, and a PBX with us: what is kept, renewed, given up."""

from sipfailover.config import Settings, parse
from sipfailover.proxy import RegistrationChanged
from sipfailover.transaction import LIFE
from sipfailover.trunk.lease import START_SPREAD
from tests.kit import ack, answer, received, send, sends_nothing
from tests.kit.digest import Doorman
from tests.proxy.office import MAIN
from tests.proxy.street import EDGE, EDGE_2, PASSWORD, PBX, SETTINGS, USER, Street
from tests.proxy.test_registrar import HOME, ONE, TRUNKS, calling_in, office, register
from tests.proxy.test_registrar import registered as registered_pbx
from tests.proxy.test_reloading import gone

SOON = START_SPREAD + 1.0


def file(keys: str = "", host: str = EDGE, name: str = "main", password: str = PASSWORD.decode()) -> Settings:
    text = SETTINGS % (PBX, host, USER.decode(), password, f", {keys}" if keys else "", "")
    return parse(text.replace("name: main", f"name: {name}"))


def registered(keys: str = "") -> Street:
    street = Street(keys)
    street.until_registered()
    return street.live(1.0)


def reload(street: Street, settings: Settings, *edges: str) -> tuple[str, ...]:
    """`edges`: where the first trunk is, if it starts anew."""
    told = street.engine.reload(settings, street.now)
    if edges:
        name = settings.trunks[0].name
        street.engine.resolved(name, tuple(street.target(edge) for edge in edges), street.now)
    street._perform()
    return told


def test_a_registration_that_nothing_changed_is_kept() -> None:
    street = registered()
    asked, registration = len(street.asked), street.line.account.registration  # type: ignore[union-attr]
    assert reload(street, file("channels: 4")) == ("trunk main: channels none → 4: from the next call on",)
    street.live(5.0)
    assert street.line.account.registration is registration  # type: ignore[union-attr]
    assert (street.registered, len(street.asked)) == (True, asked)


def test_another_time_to_be_registered_for_is_asked_for_at_once() -> None:
    street = registered()
    asked = len(street.asked)
    assert reload(street, file("register_expires: 20m")) == ("trunk main: register_expires 5m → 20m: at once",)
    street.live(1.0)
    assert len(street.asked) == asked + 1
    assert street.asked[-1][2].get(b"expires") == b"1200"
    assert street.registered


def test_another_pause_between_keep_alives_holds_at_once() -> None:
    street = registered()
    reload(street, file("keep_alive_every: 5s"))
    before = len(street.pings)
    street.live(30.0)
    assert len(street.pings) >= before + 6


def test_another_password_is_tried_at_once_and_is_told_without_being_shown() -> None:
    street = registered()
    street.doorman = Doorman(b"carrier", USER, b"neu")
    told = reload(street, file(password="neu"))
    assert told == ("trunk main: password changed: at once",)
    street.live(2.0)
    assert street.registered
    assert street.errors() == []
    assert not any(word in str(one) for one in street.log for word in ("geheim", "neu"))


def test_a_right_password_after_a_wrong_one_need_not_wait_for_the_slow_lane() -> None:
    street = Street("")
    street.doorman = Doorman(b"carrier", USER, b"neu")
    street.live(300.0)
    assert not street.registered
    reload(street, file(password="neu"))
    assert street.until_registered() <= SOON


def test_a_trunk_that_is_taken_out_gives_its_registration_up_and_is_gone() -> None:
    street = registered()
    other = parse(f"pbx: {PBX}\nlisten: [udp 192.0.2.1:5060]\ntrunks: [{{name: b, host: 203.0.113.1, register: no}}]")
    assert reload(street, other)[0] == "trunk main removed: there is no call on it"
    street.live(1.0)
    assert street.bindings == {}
    assert street.changes[-1] == RegistrationChanged(
        street.changes[-1].at, "main", "Registered", "Not used", "the configuration has it no more", 0
    )
    street.live(LIFE + 5.0)
    assert street.engine.core.left == []
    asked = len(street.asked)
    street.live(3600.0)
    assert len(street.asked) == asked


def test_a_trunk_with_another_account_gives_the_former_one_up() -> None:
    street = registered()
    settings = file()
    trunk = settings.trunks[0].model_copy(update={"username": "+41443219999"})
    reload(street, settings.model_copy(update={"trunks": (trunk,)}), EDGE)
    street.live(0.5)
    assert street.bindings == {}, "the old binding goes"


def test_a_trunk_at_another_edge_of_its_carrier_takes_its_binding_over() -> None:
    street = registered()
    (contact,) = street.bindings
    reload(street, file(host=EDGE_2), EDGE_2)
    street.live(SOON)
    assert list(street.bindings) == [contact], "nothing else, and never removed"
    assert street.asked[-1][1].host == EDGE_2
    assert not any(message.get(b"expires") == b"0" for _, _, message in street.asked)


def test_another_name_for_a_trunk_takes_its_binding_over() -> None:
    street = registered()
    (contact,) = street.bindings
    told = reload(street, file(name="swisscom"), EDGE)
    assert told[:2] == (
        "trunk main removed: there is no call on it",
        "trunk swisscom added: it begins as at a start",
    )
    street.live(SOON)
    assert list(street.bindings) == [contact]
    assert street.engine.view(street.now).trunks[0].registration.startswith("Registered")


def test_two_trunks_of_one_account_keep_a_binding_each() -> None:
    """Taking one out must not change the Contact of the other."""
    street = registered()
    both = file()
    twin = both.trunks[0].model_copy(update={"name": "twin", "tier": 2})
    pair = both.model_copy(update={"trunks": (*both.trunks, twin)})
    street.engine.reload(pair, street.now)
    street.engine.resolved("twin", (street.target(EDGE),), street.now)
    street._perform()
    street.live(SOON)
    assert len(street.bindings) == 2
    token = street.line.account.token  # type: ignore[union-attr]
    reload(street, both)
    street.live(1.0)
    assert street.line.account.token == token  # type: ignore[union-attr]
    assert [contact.startswith(b"sip:" + token) for contact in street.bindings] == [True]


def test_the_end_of_the_service_gives_up_what_has_left_too() -> None:
    street = registered()
    settings = parse(
        f"pbx: {PBX}\nlisten: [udp 192.0.2.1:5060]\ntrunks: [{{name: b, host: 203.0.113.1, register: no}}]"
    )
    street.line.trunk.calls_now += 1  # as if there were a call
    reload(street, settings)
    street.live(10.0)
    assert street.bound
    street.engine.leave(street.now)
    street._perform()
    street.live(1.0)
    assert street.bindings == {}
    assert not street.engine.leaving


# -- PBXs that register with us ---------------------------------------------------------------------------------------


def with_file(pbx: str, more: str = "") -> Settings:
    text = f"{pbx}\nlisten: [udp 192.0.2.1:5060, tcp 192.0.2.1:5060]\nmonitor: {{options_every: 1h}}\n"
    return parse(f"{text}{more}\ntrunks:{TRUNKS}")


def test_a_pbx_stays_registered_when_something_else_of_it_changes() -> None:
    book = registered_pbx(office())
    told = book.engine.reload(with_file("pbx: {username: '100', password: neu, number_format: e164}"), book.now)
    assert told == (
        "PBX pbx: password changed: at once",
        "PBX pbx: number_format keep → e164: from the next call on",
    )
    assert calling_in(book)
    assert book >> received(HOME, answer(486)) << send(HOME, "ACK") << send(MAIN, 486) >> received(MAIN, ack())
    registered_pbx(book, password="neu")


def test_a_pbx_that_gets_a_host_beside_its_registration_stays_registered() -> None:
    book = registered_pbx(office())
    told = book.engine.reload(with_file("pbx: {host: 192.168.10.9, username: '100', password: geheim}"), book.now)
    assert told[0].startswith("PBX pbx: host none → 192.168.10.9: it starts anew")
    assert calling_in(book)
    assert book >> received(HOME, answer(486)) << send(HOME, "ACK") << send(MAIN, 486) >> received(MAIN, ack())
    assert gone(book)


def test_a_pbx_that_may_not_register_any_more_is_a_stranger_after_its_last_call() -> None:
    book = registered_pbx(office())
    book.engine.reload(with_file("pbx: {host: 192.168.10.9}"), book.now)
    assert gone(book)
    assert book >> received(HOME, register()) << sends_nothing()


def test_the_first_pbx_that_registers_finds_an_open_door() -> None:
    book = office("pbx: {name: fixed, host: 192.0.2.10}")
    book.engine.reload(with_file(ONE), book.now)
    registered_pbx(book)
