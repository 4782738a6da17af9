"""Runs the fuzzer: `python -m tests.fuzz --seconds 600`, or `make fuzz SECONDS=600`.

A find is written to standard output with the input that does it, as Python, and ends the run with 1. What reached new
code joins the corpus, which is made small again at the end: the shortest inputs that together reach everything.
"""

import argparse
import json
import random
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz import blocks

CORPUS = Path(__file__).parents[1] / "corpus"
CORPUS_MAX = 150
"""Inputs of one target in the repository. What reaches little that is new goes first."""
INPUT_MAX = 4_000
"""Bytes of an input that may join the corpus."""
FINDS_MAX = 20
PACKAGES = tuple(f"sipfailover.{name}" for name in ("wire", "transaction", "trunk", "routing", "proxy", "chance"))


def read(name: str) -> list[bytes]:
    """The corpus of a target."""
    path = CORPUS / f"{name}.jsonl"
    return [json.loads(line).encode("latin-1") for line in path.read_text().splitlines()] if path.exists() else []


def write(name: str, inputs: list[bytes]) -> None:
    """Keep this corpus: ASCII, a line each."""
    CORPUS.mkdir(exist_ok=True)
    text = "".join(json.dumps(one.decode("latin-1")) + "\n" for one in inputs)
    (CORPUS / f"{name}.jsonl").write_text(text)


def make(name: str, slowness: float = 1.0):  # type: ignore[no-untyped-def]
    """A target by its name. Only now: its modules must be imported after the marks are set."""
    from tests.fuzz.conversation import Conversations
    from tests.fuzz.targets import Digest, Wire

    return {"wire": Wire, "digest": Digest, "engine": lambda: Conversations(slowness)}[name]()


def smaller(name: str, inputs: list[bytes]) -> list[bytes]:
    """The inputs that reach something that no shorter one before them does, at most CORPUS_MAX."""
    kept: list[tuple[int, bytes]] = []
    target, before = make(name, 100.0), bytes(blocks.reached)
    blocks.reached[:] = bytes(len(blocks.reached))
    for one in sorted(set(inputs), key=len):
        count = blocks.count()
        target.eat(one)
        if (new := blocks.count() - count) > 0:
            kept.append((new, one))
    blocks.reached[:] = bytes(a | b for a, b in zip(before, blocks.reached, strict=True))
    kept.sort(key=lambda item: -item[0])
    return sorted((one for _, one in kept[:CORPUS_MAX]), key=lambda one: (len(one), one))


class Run:
    """One target being fed, until `count` messages or `seconds` are over."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.dice = name, random.Random(seed)
        self.target = make(name, 2.0)
        self.corpus = self.target.seeds() + read(name)
        self.messages = self.inputs = self.new = self.finds = 0

    def feed(self, seconds: float, count: int) -> None:
        start, told = time.monotonic(), time.monotonic()
        for one in list(self.corpus):
            self._eat(one)
        first = blocks.count()
        while self.messages < count and time.monotonic() - start < seconds and self.finds < FINDS_MAX:
            base = self.dice.choice(self.corpus[-200:] if self.dice.random() < 0.5 else self.corpus)
            one = self.target.mutate(self.dice, base, self.corpus)
            before = blocks.count()
            self._eat(one)
            if blocks.count() > before and len(one) <= INPUT_MAX:
                self.corpus.append(one)
                self.new += 1
            if time.monotonic() - told > 30:
                told = time.monotonic()
                self.tell(first, told - start)
        self.tell(first, time.monotonic() - start)

    def tell(self, first: int, seconds: float) -> None:
        print(
            f"{self.name}: {self.messages} messages ({self.inputs} inputs) in {seconds:.0f} s, {blocks.count()} of "
            f"{blocks.total()} blocks, {blocks.count() - first} of them by new inputs, {self.new} inputs kept, "
            f"{self.finds} finds",
            flush=True,
        )

    def _eat(self, one: bytes) -> None:
        self.inputs += 1
        try:
            self.messages += self.target.eat(one)
        except Exception as error:
            self.finds += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {str(error)[:1500]}"
            print(f"FOUND by {self.name}: {what} at {where.filename}:{where.lineno}")
            print(f"    {one!r}", flush=True)
            self.messages += 1


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz")
    options.add_argument("--seconds", type=float, default=60.0, help="for each target")
    options.add_argument("--count", type=int, default=sys.maxsize, help="messages for each target, if sooner")
    options.add_argument("--seed", type=int, default=2018)
    options.add_argument("--target", choices=["wire", "digest", "engine"], action="append")
    options.add_argument("--keep", action="store_true", help="write the corpus")
    options.add_argument("--no-marks", action="store_true", help="faster and blind")
    asked = options.parse_args()
    if not asked.no_marks:
        blocks.mark(*PACKAGES)
    finds = 0
    for name in asked.target or ["wire", "digest", "engine"]:
        run = Run(name, asked.seed)
        run.feed(asked.seconds, asked.count)
        finds += run.finds
        if asked.keep and not run.finds:
            write(name, smaller(name, run.corpus))
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
