"""What the reader of the demo sees: a live screen in a terminal, plain lines elsewhere, and the summary in both.

Reads the `Demo`, never changes it. Colour is never the only sign: every state is also a word.
"""

import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sipfailover.simulator.carrier import Mode

if TYPE_CHECKING:
    from sipfailover.simulator.demo import Call, Demo, Phase

GOOD, BAD, WARN, DIM = "green", "bold red", "yellow", "bright_black"
HEALTH = {"up": GOOD, "suspect": WARN, "down": BAD, "trial": WARN}
SIGNS = {"up": "▲", "down": "▼"}

KEYS = {
    "1": (Mode.NORMAL, "well"),
    "2": (Mode.SILENT, "silent"),
    "3": (Mode.DEAD, "port closed"),
    "4": (Mode.REFUSING, "503"),
    "5": (Mode.TRYING_ONLY, "100 only"),
    "6": (Mode.OPTIONS_ONLY, "OPTIONS only"),
}


def seconds(value: float | None) -> str:
    """A wait, as people say it: `42 ms`, `1.1 s`."""
    if value is None:
        return ""
    return f"{value * 1000:.0f} ms" if value < 1.0 else f"{value:.1f} s"


def state_of(call: "Call", now: float) -> tuple[str, str]:
    """(word, style) for a call."""
    leg = call.leg
    if leg.ended_at is not None:
        return "hung up", DIM
    if leg.answered_at is not None:
        return f"talking {now - leg.answered_at:.0f} s", GOOD
    if leg.status:
        return f"LOST ({leg.status})", BAD
    if leg.ringing_at is not None:
        return "ringing", "cyan"
    return f"dialling {now - leg.seen_at:.1f} s", WARN


class Lines:
    """Plain lines, for a log or a pipe."""

    def __init__(self, console: Console, demo: "Demo", phases: "tuple[Phase, ...]") -> None:
        self.console = console
        self.demo = demo
        self.phases = phases
        self._told: set[int] = set()
        self._began = demo.loop.time()
        self._page = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def say(self, text: str = "") -> None:
        """One line, at once."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def phase(self, index: int) -> None:
        """A phase begins."""
        if not self._page:
            self._page = True
            self.say(f"Status page: {self.demo.page}")
        phase = self.phases[index]
        self.say(f"\n[{self.demo.loop.time() - self._began:5.1f} s] {phase.title}. {phase.text}")

    def refresh(self) -> None:
        """Tell of every call that moved, when it rings, and of every call that is lost."""
        trunks = None
        for call in self.demo.calls[-60:]:
            leg = call.leg
            if call.order in self._told or (leg.ringing_after is None and not leg.status):
                continue
            self._told.add(call.order)
            trunks = trunks or self.demo.trunks()
            over = trunks.get(call.number, "")
            if leg.ringing_after is None:
                self.say(f"          {call.number}  LOST: {leg.status}")
            elif "→" in over:
                self.say(f"          {call.number}  {over}, ringing after {seconds(leg.ringing_after)}")

    def phase_over(self, index: int) -> None:
        """A phase has ended."""
        score = self.demo.score(index)
        health = ", ".join(f"{trunk['name']} {trunk['state']}" for trunk in self.demo.status.get("trunks", ()))
        self.say(
            f"          {score.calls} calls: {score.over_main} over main, {score.over_backup} over backup"
            f" ({score.moved} moved while being set up). Trunks: {health or 'unknown'}"
        )

    def closing(self) -> None:
        """No new calls any more."""
        self.say("\nLetting the last calls end …")

    def playing(self, keys: str) -> None:
        """The play is over, the stage stays open."""
        self.say(f"\nLeft running, with one call a second. Status page: {self.demo.page}\n{keys}Ctrl-C ends it.")

    def summary(self, ghosts: int) -> None:
        """The score, phase by phase."""
        table = Table(title="\nWhat the office lived through", title_justify="left", header_style="bold", box=None)
        table.add_column("Phase")
        for name in ("calls", "over main", "over backup", "moved", "lost", "slowest to ring"):
            table.add_column(name, justify="right")
        for index, phase in enumerate(self.phases):
            score = self.demo.score(index)
            if score.calls:
                table.add_row(
                    phase.title, str(score.calls), str(score.over_main), str(score.over_backup),
                    str(score.moved), Text(str(score.lost), style=BAD if score.lost else ""), seconds(score.slowest),
                )  # fmt: skip
        total = self.demo.score()
        table.add_section()
        table.add_row(
            Text("All", style="bold"), str(total.calls), str(total.over_main), str(total.over_backup),
            str(total.moved), str(total.lost), seconds(total.slowest),
        )  # fmt: skip
        self.console.print(table)
        good = not total.lost and not ghosts
        text = (
            f"{total.calls} calls, {total.over_backup} rerouted over the backup carrier, {total.lost} lost; "
            f"slowest to ring {seconds(total.slowest)}; ghost calls left at a carrier: {ghosts}."
        )
        self.console.print(f"\n{text}", style=f"bold {GOOD}" if good else BAD, highlight=False, soft_wrap=True)


class Screen(Lines):
    """The live screen of a terminal."""

    def __init__(self, console: Console, demo: "Demo", phases: "tuple[Phase, ...]") -> None:
        super().__init__(console, demo, phases)
        self._title, self._text = "Starting", ""
        self._index = -1
        self._keys = ""
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def phase(self, index: int) -> None:
        phase = self.phases[index]
        self._index, self._title, self._text = index, phase.title, phase.text

    def phase_over(self, index: int) -> None:
        return None

    def closing(self) -> None:
        self._title, self._text, self._keys = "Curtain", "The last calls come to their end.", ""

    def playing(self, keys: str) -> None:
        self._title, self._text = "The stage is yours", "One call a second, until Ctrl-C."
        self._keys = keys.strip()

    def refresh(self) -> None:
        self._live.update(Group(self._headline(), self._trunks(), self._calls(), self._foot()), refresh=True)

    def _headline(self) -> Panel:
        mode = self.demo.main.mode
        style = GOOD if mode is Mode.NORMAL else BAD
        steps = " ".join("●" if index <= self._index else "○" for index in range(len(self.phases)))
        return Panel(
            Group(Text(self._title, style=f"bold {style}"), Text(self._text)),
            title="sipfailover demo", subtitle=steps, border_style=style, padding=(0, 2),
        )  # fmt: skip

    def _trunks(self) -> Table:
        table = Table.grid(padding=(0, 2))
        really = {"main": self.demo.main.mode.value, "backup": self.demo.backup.mode.value}
        active = self.demo.status.get("active_trunk", "")
        for trunk in self.demo.status.get("trunks", ()):
            name, state = str(trunk["name"]), str(trunk["state"])
            table.add_row(
                Text(f"  {name}", style="bold"),
                Text(
                    f"{'▲' if state == 'up' else '▼' if state == 'down' else '◆'} {state}", style=HEALTH.get(state, "")
                ),
                Text("takes new calls" if name == active else "", style="cyan"),
                Text(f"carrier {really.get(name, '')}", style=DIM),
                Text(str(trunk.get("why", "")), style=DIM, no_wrap=True, overflow="ellipsis"),
            )
        return table

    def _calls(self) -> Table:
        now, trunks = self.demo.loop.time(), self.demo.trunks()
        table = Table(box=None, header_style="bold", padding=(0, 2), pad_edge=True, expand=False)
        for name, width in (("Call", 5), ("Number", 14), ("", 4), ("Trunk", 15), ("Rang after", 10), ("State", 16)):
            table.add_column(name, min_width=width, justify="right" if name in ("Call", "Rang after") else "left")
        rows = max(4, min(18, self.console.height - 13))
        for call in self.demo.calls[-rows:]:
            word, style = state_of(call, now)
            over = trunks.get(call.number, "")
            waited = call.leg.ringing_after
            table.add_row(
                str(call.order), call.number, Text("in" if call.inbound else "out", style=DIM),
                Text(over, style=WARN if "→" in over else "cyan" if over == "backup" else ""),
                Text(seconds(waited), style=WARN if waited and waited > 1.0 else ""), Text(word, style=style),
            )  # fmt: skip
        return table

    def _foot(self) -> Text:
        score = self.demo.score()
        lost = sum(1 for call in self.demo.calls if call.leg.status >= 300)
        text = Text("\n  ")
        text.append(f"{score.calls} calls   {score.over_backup} over the backup, {score.moved} of them moved   ")
        text.append(f"{lost} lost", style=BAD if lost else GOOD)
        text.append(f"   slowest to ring {seconds(score.slowest)}\n  ")
        text.append("Status page ", style=DIM)
        text.append(self.demo.page, style="underline")
        if self._keys:
            text.append(f"\n  {self._keys}", style=WARN)
        return text


class Keys:
    """Single keys of a terminal change the main carrier, while the demo is kept running. Without a terminal:
    nothing."""

    def __init__(self, become: Callable[[Mode], None], end: Callable[[], None]) -> None:
        self._become = become
        self._end = end
        self._before: list[Any] | None = None
        self.help = ""

    def __enter__(self) -> Self:
        if sys.stdin.isatty():
            import asyncio
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
            asyncio.get_running_loop().add_reader(sys.stdin, self._pressed)
            self.help = (
                "Main carrier: " + "  ".join(f"[{key}] {word}" for key, (_, word) in KEYS.items()) + "  [q] end\n"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            import asyncio
            import termios

            asyncio.get_running_loop().remove_reader(sys.stdin)
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def _pressed(self) -> None:
        for key in os.read(sys.stdin.fileno(), 16).decode(errors="ignore"):
            if key in KEYS:
                self._become(KEYS[key][0])
            elif key in "qQ":
                self._end()
