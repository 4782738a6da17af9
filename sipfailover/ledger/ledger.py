"""The thread in front of the history file: a bounded queue, batches, and a disk that may fail.

`record` only appends to a queue. The writer takes what has gathered for `BATCH_SECONDS`, or `BATCH_ROWS` of it, and
stores it in one transaction. When the disk refuses, it says so once, keeps trying every `RETRY_SECONDS`, and what
does not fit into the queue meanwhile is dropped and counted. Calls never wait for any of it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

import structlog

from sipfailover.proxy.facts import Fact

from .store import FILE_MAX_BYTES, Again, Store, StoreError, put_aside

LEDGER_QUEUE_MAX = 20_000
"""Facts waiting for the disk. Beyond it the newest is dropped and counted; calls go on."""

BATCH_ROWS = 200
BATCH_SECONDS = 0.5
RETRY_SECONDS = 5.0
ALIVE_EVERY = 5.0
"""Seconds between two notes that the process is there: as exact is known when a killed one has ended."""
FORGET_EVERY = 3600.0
"""Seconds between two looks for records that have been kept long enough."""
CLOSE_SECONDS = 5.0
"""How long `close` waits for the last batch. A disk that hangs longer costs that batch."""


class Ledger:
    """Stores facts in the background. `record`, `flush` and `close` belong to one thread (the loop's)."""

    def __init__(
        self,
        path: str | None,
        wall: Callable[[float], datetime],
        *,
        queue_max: int = LEDGER_QUEUE_MAX,
        max_bytes: int = FILE_MAX_BYTES,
        retry_seconds: float = RETRY_SECONDS,
        keep: float | None = None,
    ) -> None:
        self.path = path
        self.written = 0
        """Facts stored since the start."""
        self.lost = 0
        """Facts dropped since the start: the queue was full, or the process ended while the disk refused."""
        self.taken = 0
        """Facts that went into the queue since the start, and …"""
        self.settled = 0
        """… those that have left it, in the same order: stored, or given up."""
        self._trouble = ""
        self._wall = wall
        self._queue_max = queue_max
        self._max_bytes = max_bytes
        self._retry_seconds = retry_seconds
        self._keep = keep
        self._forget_at = 0.0
        self._alive_at = float("-inf")
        self._queue: deque[Fact | Again] = deque()
        self._some = threading.Event()
        self._enough = threading.Event()
        self._closing = threading.Event()
        self._turned = threading.Condition()
        self._turns = 0
        self._store: Store | None = None
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger("sipfailover.ledger")

    def start(self) -> None:
        """Start the writer. The file is opened there: a slow disk does not delay the first call."""
        if self.path is not None and self._thread is None:
            # A daemon: a disk that hangs for ever must not keep the process from ending.
            self._thread = threading.Thread(target=self._write_until_closed, name="ledger", daemon=True)
            self._thread.start()

    def record(self, fact: Fact | Again) -> bool:
        """Keep this fact. Never waits, never raises. False if it is not kept, not even in the queue."""
        queue = self._queue
        if self.path is None:
            return False
        if len(queue) >= self._queue_max:
            self.lost += 1
            return False
        queue.append(fact)
        self.taken += 1
        # The order matters: append, then look. The writer clears the event before it empties the queue.
        if not self._some.is_set():
            self._some.set()
        if len(queue) >= BATCH_ROWS and not self._enough.is_set():
            self._enough.set()
        return True

    def keep_for(self, seconds: float) -> None:
        """Keep records for so long from now on; those that are older go when the hour of that comes."""
        self._keep = seconds

    @property
    def waiting(self) -> int:
        """Facts that are not stored yet."""
        return len(self._queue)

    @property
    def queue_max(self) -> int:
        """How many may wait. Beyond it the newest is lost, and counted."""
        return self._queue_max

    @property
    def problem(self) -> str:
        """One sentence for the operator; empty when every fact so far is stored or on its way."""
        lost = f"{self.lost} records lost since the start" if self.lost else ""
        return "; ".join(part for part in (self._trouble, lost) if part)

    def flush(self, seconds: float) -> bool:
        """Wait until everything recorded so far is stored, or the disk refuses, or `seconds` are over. True: stored."""
        if self._thread is None:
            return not self._queue
        with self._turned:
            seen = self._turns
            self._some.set()
            self._enough.set()
            self._turned.wait_for(lambda: self._turns > seen and (self._trouble or not self._queue), seconds)
            return not self._queue and not self._trouble

    def close(self) -> None:
        """Store what is left and end the run; waits `CLOSE_SECONDS` at most. May be called twice."""
        self._closing.set()
        self._enough.set()
        self._some.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def _write_until_closed(self) -> None:
        self._open_if_needed()
        while not self._closing.is_set():
            if self._some.wait(ALIVE_EVERY):
                self._enough.wait(BATCH_SECONDS)
                self._turn()
                self._forget()
            self._say_alive()
            if self._trouble:
                self._closing.wait(self._retry_seconds)
        while self._queue and self._turn():
            pass
        self._lose(len(self._queue))
        self._queue.clear()
        if self._store is not None:
            self._store.close(time.monotonic())

    def _turn(self) -> bool:
        """Store everything that waits, in batches. False if the disk refused; the batch then waits on."""
        self._some.clear()
        self._enough.clear()
        stored = True
        try:
            while stored and self._queue:
                stored = self._write_batch()
        except Exception as error:  # The border of the thread: an error of ours costs a batch, not the writer.
            self._lose(self._drop_batch())
            self._say(f"the history writer failed: {error!r}")
            stored = False
        if not stored:
            self._some.set()
        with self._turned:
            self._turns += 1
            self._turned.notify_all()
        return stored

    def _write_batch(self) -> bool:
        self._open_if_needed()
        if self._store is None:
            return False
        batch = [self._queue[place] for place in range(min(len(self._queue), BATCH_ROWS))]
        try:
            self._store.write(batch)
        except StoreError as error:
            self._refused(error)
            return False
        self._drop_batch(len(batch))
        self.written += len(batch)
        self._recovered()
        return True

    def _say_alive(self) -> None:
        """Note once in a while that the process is there: after a kill nobody else can say until when it was."""
        now = time.monotonic()
        if self._store is None or self._trouble or now < self._alive_at + ALIVE_EVERY:
            return
        self._alive_at = now
        try:
            self._store.alive(now)
        except StoreError as error:
            self._refused(error)

    def _forget(self) -> None:
        """Delete what has been kept for `keep` seconds, a little at a time, when its hour has come."""
        now = time.monotonic()
        if self._keep is None or self._store is None or now < self._forget_at:
            return
        before = self._wall(now).timestamp() - self._keep
        try:
            more = self._store.forget(round(before * 1000))
        except StoreError as error:
            self._refused(error)
            return
        self._forget_at = now if more else now + FORGET_EVERY

    def _open_if_needed(self) -> None:
        if self._store is not None and self._store.gone:
            self._log.warning("history file was moved away; a new one is begun", file=self.path)
            self._store.close()
            self._store = None
        if self._store is not None:
            return
        try:
            self._store = self._open()
        except StoreError as error:
            self._say(str(error))

    def _open(self) -> Store:
        assert self.path is not None
        try:
            return Store(self.path, self._wall, max_bytes=self._max_bytes)
        except StoreError as error:
            if not error.damaged:
                raise
            self._put_aside(error)
        return Store(self.path, self._wall, max_bytes=self._max_bytes)

    def _refused(self, error: StoreError) -> None:
        if not error.damaged or self._store is None:
            self._say(str(error))
            return
        self._store.close()
        self._store = None
        try:
            self._put_aside(error)
        except StoreError as worse:
            self._say(str(worse))

    def _put_aside(self, error: StoreError) -> None:
        assert self.path is not None
        kept = put_aside(self.path, self._wall(time.monotonic()))
        self._log.error("history file was damaged and put aside; a new one is begun", why=str(error), kept=kept)

    def _say(self, trouble: str) -> None:
        """Tell the log once; the page as long as it lasts."""
        if not self._trouble:
            self._log.error("history cannot be written; calls go on", why=trouble)
        self._trouble = trouble

    def _recovered(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._log.info("history is written again", lost=self.lost)

    def _drop_batch(self, rows: int = BATCH_ROWS) -> int:
        rows = min(rows, len(self._queue))
        for _ in range(rows):
            self._queue.popleft()
        self.settled += rows
        return rows

    def _lose(self, rows: int) -> None:
        # `record` counts on the loop's thread: two losers at the same moment could lose one count, no more.
        self.lost += rows
