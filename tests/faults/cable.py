"""Stories of a machine whose network goes away and comes back, told inside a network namespace of their own:

    unshare --net python -m tests.faults.cable STORY FOLDER

The office, the service and the carriers live on the addresses of one cable (both ends are in the namespace). Exits with
0 if all went well; what went wrong is a traceback.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.street import SETTINGS, Street
from tests.interop.stage import Stage, until

ADDRESSES = ("198.51.100.2", "198.51.100.10", "198.51.100.20", "198.51.100.1")
SERVICE = ADDRESSES[-1]
PORT = 5070
"""Ours: on all addresses, where the others have 5060."""
AWAY = 12.0
"""Seconds without a network: long enough that every trunk is Down or asked in vain, if anybody was blamed."""

Change = Callable[[], None]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class Cabled(Stage):
    """A stage on the cable's addresses."""

    def host(self, number: int) -> str:
        return f"198.51.100.{number}"


def lay_cable() -> None:
    """A link with all addresses of the street."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "wire", "type", "veth", "peer", "name", "end")
    for address in ADDRESSES:
        ip("addr", "add", f"{address}/24", "dev", "wire")
    for end in ("wire", "end"):
        ip("link", "set", end, "up")


def without_address() -> None:
    ip("addr", "del", f"{SERVICE}/24", "dev", "wire")


def with_address() -> None:
    ip("addr", "add", f"{SERVICE}/24", "dev", "wire")


def without_link() -> None:
    ip("addr", "flush", "dev", "wire")
    ip("link", "set", "wire", "down")


def with_link() -> None:
    ip("link", "set", "wire", "up")
    for address in ADDRESSES:
        ip("addr", "add", f"{address}/24", "dev", "wire")


STORIES: dict[str, tuple[str, Change, Change]] = {
    "address": ("udp {service}:5070", without_address, with_address),
    "link": ("[udp {service}:5070, tcp {service}:5070]", without_link, with_link),
    "link-any": ("[udp 0.0.0.0:5070, tcp 0.0.0.0:5070]", without_link, with_link),
}
"""Name → where the service listens, what goes away, how it comes back."""


def tell(story: str, folder: Path) -> None:
    """Live through one."""
    listen, go, come = STORIES[story]
    lay_cable()
    settings = SETTINGS.replace("listen: udp {service}:5060", f"listen: {listen}")
    settings = settings.replace("status: {{listen: {service}:8080}}", "status: {{listen: 127.0.0.1:8080}}")
    with Cabled(folder) as stage, Street(stage, settings=settings, page="http://127.0.0.1:8080", port=PORT) as street:
        street.calls(5)
        held = street.call(talk=None)
        until(lambda: held.acked_at, 5.0, "answered", street.service)
        go()
        gone_at = time.monotonic()
        time.sleep(AWAY)
        print(street.status()["summary"], street.status()["own_line"], [t["why"] for t in street.status()["trunks"]])
        assert street.status()["own_line"]["why"], "the page says that it is us"
        come()
        for _ in range(20):
            begun = street.call()
            until(lambda begun=begun: begun.status, 40.0, "a call after it", street.service)  # type: ignore[misc]
            if begun.status == 200:
                break
        print(f"calls again {time.monotonic() - gone_at - AWAY:.2f} s after it was back")
        until(lambda: not street.status()["own_line"]["why"], 15.0, "all is well", street.service)
        street.calls(5)
        assert held.ended_at is None, "the call that was held goes on"
        street.hang_up(held)
        until(lambda: held.ended_at and not any(leg.open for leg in street.main.legs), 8.0, "its BYE", street.service)
        changes = [line for line in street.get("/metrics").splitlines() if "trunk_changes_total{" in line]
        assert not any('state="down"' in line for line in changes), "no trunk was blamed for our own network"


if __name__ == "__main__":
    tell(sys.argv[1], Path(sys.argv[2]))
