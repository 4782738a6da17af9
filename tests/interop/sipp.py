"""SIPp as caller, called party or carrier: one process, one scenario file, its books and its statistics.

Scenario files are in `scenarios`, named by what they do. Figures are read from the files SIPp writes, never from its
screen.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from tests.interop.books import Books
from tests.interop.stage import SIP_PORT, Child, Stage, until

SCENARIOS = Path(__file__).with_name("scenarios")
BUFFER_BYTES = 4_000_000
"""Socket buffers: a burst must wait in the socket, not be lost by SIPp and blamed on the service. The kernel grants up
to net.core.rmem_max."""
RECEIVE_WITHIN_MS = 60_000
"""A caller gives a call up after so long without the message it waits for, so that a run always ends."""
START_WITHIN = 5.0
MODES = {"udp": "u1", "tcp": "t1"}


@dataclass(frozen=True, slots=True)
class Statistics:
    """The last line of SIPp's statistics file."""

    created: int
    successful: int
    failed: int
    retransmissions: int
    """What this SIPp sent again."""
    failures: dict[str, int]
    """Why calls failed, and how many: FailedMaxUDPRetrans, FailedUnexpectedMessage, …; without zeros."""

    @classmethod
    def read(cls, file: Path) -> "Statistics":
        """From a statistics file; zeros if nothing was written yet."""
        text = file.read_text() if file.exists() else ""
        rows = list(csv.DictReader(text.splitlines(), delimiter=";"))
        row = {key: value for key, value in (rows[-1] if rows else {}).items() if key and value}

        def total(name: str) -> int:
            return int(float(row.get(f"{name}(C)", row.get(name, "0"))))

        reasons = (
            key[:-3] for key in row if key.startswith("Failed") and key.endswith("(C)") and key != "FailedCall(C)"
        )
        return cls(
            total("TotalCallCreated"), total("SuccessfulCall"), total("FailedCall"), total("Retransmissions"),
            {reason: count for reason in reasons if (count := total(reason))},
        )  # fmt: skip


class Sipp(Child):
    """A SIPp. Without `to` it answers at `host`:`port`, with `to` it calls from there.

    `calls`: how many, then it ends. `rate`: calls a second. `pause_ms`: the length of the scenario's `<pause/>` (a
    caller's talk, a called party's ringing). `variables`: the scenario's globals. `keys`: its [keywords].
    `books`: whether to keep them. `limit`: calls at a time; SIPp's own limit is 3 seconds' worth.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        scenario: str,
        host: str,
        port: int = SIP_PORT,
        *,
        to: tuple[str, int] | None = None,
        transport: str = "udp",
        calls: int = 0,
        rate: float = 0,
        pause_ms: int = 0,
        limit: int = 0,
        variables: dict[str, int] | None = None,
        keys: dict[str, str] | None = None,
        books: bool = True,
        whole_messages: bool = False,
        cpu: int | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self._short = stage.folder / f"{name}.books"
        self._statistics = stage.folder / f"{name}.csv"
        self.messages = stage.folder / f"{name}.messages"
        command: list[str | Path] = ["sipp", "-sf", SCENARIOS / f"{scenario}.xml"]
        if to is not None:
            command += [f"{to[0]}:{to[1]}", "-recv_timeout", str(RECEIVE_WITHIN_MS)]
        command += ["-i", host, "-p", str(port), "-bind_local", "-mi", host, "-ci", host, "-t", MODES[transport]]
        command += ["-nostdin", "-buff_size", str(BUFFER_BYTES), "-watchdog_interval", "0", "-d", str(pause_ms)]
        command += ["-trace_stat", "-stf", self._statistics, "-fd", "1"]
        command += ["-trace_err", "-error_file", stage.folder / f"{name}.errors"]
        if books:
            command += ["-trace_shortmsg", "-shortmessage_file", self._short]
        if whole_messages:
            command += ["-trace_msg", "-message_file", self.messages]
        if calls:
            command += ["-m", str(calls)]
        if rate:
            whole = max(1, round(rate))
            command += ["-r", str(whole), "-l", str(limit or max(200, whole * 60))]
        for key, value in (variables or {}).items():
            command += ["-set", key, str(value)]
        for key, text in (keys or {}).items():
            command += ["-key", key, text]
        super().__init__(stage, name, [*command, *options], cpu=cpu)
        if to is None:
            until(lambda: listens(transport, host, port), START_WITHIN, f"{name} listens", self)

    @property
    def books(self) -> Books:
        """What it received and sent so far."""
        return Books(self._short)

    @property
    def statistics(self) -> Statistics:
        return Statistics.read(self._statistics)

    def finished(self, within: float) -> Statistics:
        """Wait until a caller has placed its calls. Raises AssertionError if it does not end in so many seconds."""
        self.wait(within)
        return self.statistics


def listens(transport: str, host: str, port: int) -> bool:
    """Whether somebody has this socket, from the kernel's list."""
    address = "".join(f"{int(byte):02X}" for byte in reversed(host.split("."))) + f":{port:04X}"
    listening = {"udp": "07", "tcp": "0A"}[transport]
    rows = (line.split() for line in Path(f"/proc/net/{transport}").read_text().splitlines()[1:])
    return any(row[1] == address and row[3] == listening for row in rows)
