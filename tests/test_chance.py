"""Chance: the same seed is the same sequence, and without a seed nothing can be guessed from what was seen."""

from sipfailover.chance import MAGIC_COOKIE, Chance


def drawn(chance: Chance) -> list[object]:
    return [chance.token(), chance.branch(), chance.call_id(), chance.dice(), chance.spread(10.0, 0.1)]


def test_a_seed_repeats_the_whole_sequence() -> None:
    assert drawn(Chance(7)) == drawn(Chance(7)) != drawn(Chance(8))


def test_without_a_seed_no_two_sequences_are_alike() -> None:
    assert drawn(Chance()) != drawn(Chance())


def test_tokens_have_64_bits_and_do_not_come_twice() -> None:
    chance = Chance()
    tokens = [chance.token() for _ in range(1000)]  # more than one pool of them
    assert len(set(tokens)) == 1000
    assert {len(token) for token in tokens} == {16}
    assert not b"".join(tokens).translate(None, b"0123456789abcdef")


def test_branches_carry_the_cookie_and_call_ids_no_host() -> None:
    chance = Chance()
    assert chance.branch().startswith(MAGIC_COOKIE)
    assert b"@" not in chance.call_id()


def test_spread_stays_within_its_share() -> None:
    chance = Chance(1)
    values = [chance.spread(100.0, 0.25) for _ in range(1000)]
    assert 75.0 <= min(values) < 80.0
    assert 120.0 < max(values) <= 125.0
