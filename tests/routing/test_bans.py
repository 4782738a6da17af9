"""Who sends much that nobody asked for is not looked at for a while; memory is bounded, no ban lasts."""

from sipfailover.routing import BANS_MAX, SOURCES_MAX, Bans
from sipfailover.routing.bans import BANNED_FOR, FORGIVEN_EVERY, STRIKES


def banned(bans: Bans, source: str, now: float) -> bool:
    return any(bans.strike(source, now) for _ in range(STRIKES + 1))


def test_so_many_unwelcome_messages_at_once_and_one_more_is_a_ban() -> None:
    bans = Bans()
    assert not any(bans.strike("a", 0.0) for _ in range(STRIKES))
    assert not bans.holds("a", 0.0)
    assert bans.strike("a", 0.0)
    assert bans.holds("a", 0.0)
    assert bans.holds("a", BANNED_FOR - 0.1)
    assert (len(bans), bans.imposed) == (1, 1)
    assert not bans.holds("b", 0.0)


def test_a_ban_ends_and_the_next_one_takes_as_many_strikes_again() -> None:
    bans = Bans()
    assert banned(bans, "a", 0.0)
    assert not bans.holds("a", BANNED_FOR)
    assert len(bans) == 0
    assert not bans.strike("a", BANNED_FOR)
    assert banned(bans, "a", BANNED_FOR)


def test_who_asks_seldom_is_never_banned() -> None:
    bans = Bans()
    assert not any(bans.strike("a", number * FORGIVEN_EVERY * 1.01) for number in range(5000))


def test_who_turns_out_to_be_ours_is_let_in_at_once() -> None:
    bans = Bans()
    assert banned(bans, "a", 0.0)
    bans.lift("a")
    bans.lift("a")
    assert not bans.holds("a", 0.0)


def test_the_oldest_ban_gives_way_when_there_are_too_many() -> None:
    bans = Bans()
    for number in range(BANS_MAX + 1):
        assert banned(bans, str(number), 0.0)
    assert len(bans) == BANS_MAX
    assert not bans.holds("0", 0.0)
    assert bans.holds(str(BANS_MAX), 0.0)


def test_forged_sources_without_end_fill_nothing() -> None:
    bans = Bans()
    for number in range(3 * SOURCES_MAX):
        assert not bans.strike(str(number), 0.0)
        assert bans.strikes <= SOURCES_MAX
