"""The journal: what must outlive this process, as lines in an append-only file (DESIGN.md §2.6).

Every record has a key; a later one with the same key takes its place. A record is stored with one `write`, which the
page cache keeps when the process is killed; only a power cut costs the last moments. What a record says is its maker's
business (`proxy.keepsake`), here it is bytes without line feeds.

    sipfailover calls 1                              the head: whose file, which format
    5f2e11a3 call/17 ["outbound", …]                 CRC-32 of what follows, key, record
    90ab33c1 call/17                                 no record: forgotten

A line that is torn, or whose sum is wrong, is left out and counted. Whatever the disk does costs survival, never a
call: nothing here raises, `problem` says what is wrong, and `tidy` tries again. A disk that hangs instead of failing
(a network share) would hang us too: the file belongs on a local one.

Telephone numbers are in it. So it is readable by us alone, and what was forgotten is gone from it within TIDY_EVERY and
COMPACT_WITHIN, by writing the file anew beside the old one and renaming it.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import structlog

HEAD = b"sipfailover calls 1\n"
HEAD_OF_ANY = b"sipfailover calls "

TIDY_EVERY = 5.0
"""Seconds between two calls of `tidy`: for so long what is forgotten may wait to be written."""
COMPACT_WITHIN = 60.0
"""Seconds that a forgotten record may stay in the file, with TIDY_EVERY on top."""
WASTE_MAX_BYTES = 4 << 20
"""The file is written anew before that when more than this, and more than what is alive, is waste in it."""
FILE_MAX_BYTES = 256 << 20
"""A file beyond this is not ours, or broken: 20,000 calls need a tenth. It is not read, and left alone."""
RECORD_MAX_BYTES = 65_536
"""A longer record is not kept, which is told; its call goes on. (A 2xx with its body is the longest.)"""

Record = tuple[str, bytes]
"""(key without spaces, record without line feeds)."""


class Journal:
    """See the module. `path`: None keeps nothing. For one thread; `now` is seconds, monotonic."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self.problem = ""
        """What the operator should know; empty when all is well."""
        self.damaged = 0
        """Lines that could not be read at the start."""
        self._alive: dict[str, bytes] = {}
        """Key → its line. Bounded by what the engine keeps: its calls, twice, and registrations."""
        self._forgotten: list[str] = []
        """Keys whose end waits to be written. Bounded: `tidy` empties it, and so does every `keep`."""
        self._unwritten: list[bytes] = []
        """Lines for the next write. Bounded: it comes with the batch of commands that has made them."""
        self._file = -1
        self._inode = 0
        self._bytes = 0
        """Of the file."""
        self._alive_bytes = 0
        self._is_left_alone = False
        """What is there is not ours: it is neither read nor written."""
        self._compacted_at = float("-inf")
        self._log = structlog.get_logger("sipfailover.journal")

    @property
    def is_on(self) -> bool:
        """Whether anything is kept, or would be if the disk let us."""
        return self.path is not None and not self._is_left_alone

    def open(self, now: float) -> list[Record]:
        """Read what an earlier process has left, in its order, and begin the file anew with that. Never raises."""
        if self.path is None:
            return []
        data = self._read(self.path)
        if self._is_left_alone:
            return []
        found = self._parse(data)
        self._alive = {key: _line(key, record) for key, record in found.items()}
        self._alive_bytes = sum(map(len, self._alive.values()))
        if self.damaged:
            self._log.warning("parts of the calls file cannot be read", file=self.path, lines=self.damaged)
        self._compact(now)
        return list(found.items())

    # -- on the path --------------------------------------------------------------------------------------------------

    def keep(self, records: Iterable[Record], instead_of: Iterable[str] = ()) -> None:
        """Store these, and the end of those, with one write. On the path: some microseconds."""
        self.add(records, instead_of)
        self.flush()

    def add(self, records: Iterable[Record], instead_of: Iterable[str] = ()) -> None:
        """These, and the end of those, are written with the next `flush`, which is soon."""
        alive, lines = self._alive, self._unwritten
        self._forgotten += instead_of
        for key in self._forgotten:
            line = alive.pop(key, None)
            if line is not None:
                self._alive_bytes -= len(line)
                lines.append(_line(key))
        self._forgotten.clear()
        for key, record in records:
            if len(record) > RECORD_MAX_BYTES:
                self._log.warning("a record is too long to be kept; its call goes on", key=key, bytes=len(record))
                continue
            line = _line(key, record)
            self._alive_bytes += len(line) - len(alive.get(key, b""))
            alive[key] = line
            lines.append(line)

    def flush(self) -> None:
        """Write what was added, with one write."""
        lines, self._unwritten = self._unwritten, []
        if lines and self._file >= 0 and not self.problem:
            self._write(b"".join(lines))

    def forget(self, key: str) -> None:
        """This record is not needed any more: written with what is kept next, or by `tidy`."""
        self._forgotten.append(key)

    # -- beside it ----------------------------------------------------------------------------------------------------

    def tidy(self, now: float) -> None:
        """Every TIDY_EVERY: write what waits, write the file anew when it is time, try again what failed."""
        if not self.is_on:
            return
        self.keep(())
        waste = self._bytes - self._alive_bytes - len(HEAD)
        is_due = now - self._compacted_at >= COMPACT_WITHIN or waste > max(WASTE_MAX_BYTES, self._alive_bytes)
        if self.problem or self._is_gone() or (waste > 0 and is_due):
            self._compact(now)

    def close(self) -> None:
        """Write what waits and close the file."""
        self.keep(())
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # -- the file -----------------------------------------------------------------------------------------------------

    def _read(self, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size > FILE_MAX_BYTES:
                    self._leave_alone(f"{path} is too big for a calls file; it is left alone")
                    return b""
                data = file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            self._leave_alone(f"cannot read {path}: {error.strerror}; it is left alone")
            return b""
        if HEAD.startswith(data[: len(HEAD)]):
            return data[len(HEAD) :]
        if data.startswith(HEAD_OF_ANY):
            self._leave_alone(f"{path} was written by a newer sipfailover; it is left alone")
        else:
            self._leave_alone(f"{path} is no calls file of ours; it is left alone")
        return b""

    def _parse(self, data: bytes) -> dict[str, bytes]:
        """The records that are alive at the end of the file, in the order in which they were last written."""
        found: dict[str, bytes] = {}
        lines = data.split(b"\n")
        torn = lines.pop()  # behind the last line feed: nothing, or what a killed process had not finished
        self.damaged = int(bool(torn))
        for line in lines:
            if not line:
                continue  # a line feed that ended a torn line
            text = line[9:]
            if line[:9] != b"%08x " % crc32(text):
                self.damaged += 1
                continue
            name, space, record = text.partition(b" ")
            key = name.decode("latin-1")
            found.pop(key, None)
            if space:
                found[key] = record
        return found

    def _write(self, data: bytes) -> None:
        try:
            done = os.write(self._file, data)
        except OSError as error:
            self._say(f"cannot write {self.path}: {error.strerror}")
            return
        self._bytes += done
        if done < len(data):  # a torn line; nothing is written behind it, because the next thing is a new file
            self._say(f"cannot write {self.path}: the disk, or the space allowed for it, is full")

    def _compact(self, now: float) -> None:
        """Write what is alive to a new file, and put it in the place of the old one: whole, or not at all."""
        assert self.path is not None
        self._compacted_at = now
        beside = f"{self.path}.new"
        data = HEAD + b"".join(self._alive.values())
        file = -1
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            inode = os.fstat(file).st_ino
            os.rename(beside, self.path)
        except OSError as error:
            if file >= 0:
                os.close(file)
                with contextlib.suppress(OSError):
                    os.unlink(beside)
            self._say(f"cannot write {self.path}: {error.strerror}")
            return
        if self._file >= 0:
            os.close(self._file)
        self._file, self._inode, self._bytes = file, inode, len(data)
        if self.problem:
            self.problem = ""
            self._log.info("calls are kept for a restart again", file=self.path)

    def _is_gone(self) -> bool:
        """Whether the file was moved or deleted under us."""
        assert self.path is not None
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return True

    def _leave_alone(self, problem: str) -> None:
        self._is_left_alone = True
        self._say(problem)

    def _say(self, problem: str) -> None:
        """Tell the log once; the page as long as it lasts."""
        if not self.problem:
            self._log.error("calls would not survive a restart now; they go on", why=problem)
        self.problem = problem


def _line(key: str, record: bytes | None = None) -> bytes:
    text = key.encode("latin-1") if record is None else b"%b %b" % (key.encode("latin-1"), record)
    return b"%08x %b\n" % (crc32(text), text)
