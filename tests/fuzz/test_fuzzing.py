"""The fuzzer in small, for every run: its corpus and some damage; and that its marks are what leads it.

The long run is `make fuzz SECONDS=…`. What it finds becomes a test where the fault was.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS, CORPUS_MAX, INPUT_MAX, make, read

ROOT = Path(__file__).parents[2]
INPUTS = {"wire": 6000, "digest": 4000, "engine": 250}
"""Target → damaged inputs in each run: some five seconds together."""


@pytest.mark.parametrize("name", INPUTS)
def test_the_corpus_and_its_next_of_kin_do_no_harm(name: str) -> None:
    target, dice = make(name, 2.0), random.Random(4711)
    corpus = target.seeds() + read(name)
    for one in corpus:
        target.eat(one)
    for number in range(INPUTS[name]):
        one = target.mutate(dice, dice.choice(corpus), corpus)
        try:
            target.eat(one)
        except Exception as error:
            raise AssertionError(f"input {number} of {name}: {one!r}") from error


@pytest.mark.parametrize("name", INPUTS)
def test_the_corpus_is_small_and_has_nothing_twice(name: str) -> None:
    inputs = read(name)
    assert 0 < len(inputs) <= CORPUS_MAX
    assert len(set(inputs)) == len(inputs)
    assert max(map(len, inputs)) <= INPUT_MAX
    text = (CORPUS / f"{name}.jsonl").read_text()
    assert text.isascii()
    assert all(isinstance(json.loads(line), str) for line in text.splitlines())


MARKED = """
from tests.fuzz import blocks
blocks.mark("sipfailover.wire")
from sipfailover.wire import Via
counts = [blocks.count()]
for value in (b"SIP/2.0/UDP a;branch=b", b"SIP/2.0/UDP a;branch=b", b"SIP / 2.0 / UDP [::1]:5060"):
    Via.parse(value)
    counts.append(blocks.count())
print(*counts, blocks.total())
"""


def test_marks_tell_which_inputs_reach_new_code() -> None:
    """In a process of its own, because modules get their marks when they are imported."""
    done = subprocess.run([sys.executable, "-c", MARKED], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    before, first, same, other, total = map(int, done.stdout.split())
    assert 0 <= before < first == same < other < total


@pytest.mark.slow
def test_a_run_ends_in_time_and_says_what_it_did() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--target", "digest", "--seconds", "2", "--seed", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 finds" in done.stdout.splitlines()[-1]
