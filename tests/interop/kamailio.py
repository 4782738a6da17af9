"""Kamailio as a carrier with record-routing, as one with accounts, and as the dispatcher that the service is measured
against.

The configurations are templates in `kamailio`; `{name}` is filled in here. One UDP worker, so that figures per core
can be compared.
"""

import os
import re
import signal
from pathlib import Path
from typing import NamedTuple

from tests.interop.sipp import listens
from tests.interop.stage import SIP_PORT, SIPS_PORT, Child, Stage, until

TEMPLATES = Path(__file__).with_name("kamailio")
START_WITHIN = 10.0
NAME = re.compile(r"\{(\w+)\}")
SEEN = re.compile(r"\b([A-Z][A-Z-]+) ([A-Z]+) (\S+) (\d+)\b")

CORES = """\
debug=1
log_stderror=yes
log_facility=LOG_LOCAL0
children=1
{tcp}
auto_aliases=no
disable_core_dump=yes
dns=off
rev_dns=off
server_header="Server: Kamailio"
mhomed=0
listen=udp:{host}:{port}
"""
TCP = "tcp_children=1\nlisten=tcp:{host}:{port}"
TLS = "tcp_children=1\nenable_tls=yes\nlisten=tls:{host}:{tls_port}"
TLS_MODULE = """\
loadmodule "tls.so"
modparam("tls", "private_key", "{certificate}")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "tls_method", "TLSv1.2+")
"""


class Seen(NamedTuple):
    """A line that a configuration wrote about a request: what became of it, and which it was."""

    word: str
    """LET-IN, CHALLENGED, WRONG (password), NOT-REGISTERED, ON-ROUTE, …"""
    method: str
    call_id: str
    cseq: int


class Kamailio(Child):
    """A Kamailio at `host`:`port`, listening when the constructor returns. `names`: the fillings of the template.
    `tcp`: whether it listens on TCP as well, `tls`: on TLS too. `memory`: MiB of shared memory."""

    def __init__(
        self,
        stage: Stage,
        name: str,
        template: str,
        host: str,
        port: int = SIP_PORT,
        *,
        names: dict[str, str],
        tcp: bool = False,
        tls: bool = False,
        memory: int = 64,
        cpu: int | None = None,
    ) -> None:
        self.host = host
        place = {"host": host, "port": str(port), "tls_port": str(SIPS_PORT)}
        streams = filled(TLS if tls else TCP, place) if tcp or tls else "disable_tcp=yes"
        cores = filled(CORES, {**place, "tcp": streams})
        file = stage.folder / f"{name}.cfg"
        file.write_text(filled((TEMPLATES / f"{template}.cfg").read_text(), {**names, "cores": cores}))
        command = ["kamailio", "-DD", "-E", "-m", str(memory), "-Y", stage.folder, "-f", file]
        super().__init__(stage, name, command, cpu=cpu)
        until(lambda: listens("udp", host, port), START_WITHIN, f"{name} listens", self)

    def log_has(self, text: str, times: int = 1) -> bool:
        """Whether a text stands in its log at least so many times."""
        return self.log.read_text(errors="replace").count(text) >= times

    def seen(self, word: str, method: str) -> list[Seen]:
        """The requests of a method of which its log has this word, in order."""
        found = SEEN.findall(self.log.read_text(errors="replace"))
        return [Seen(a, b, call_id, int(cseq)) for a, b, call_id, cseq in found if (a, b) == (word, method)]

    def kill(self) -> None:
        """End it in its tracks, with its workers: it says goodbye to nobody."""
        os.killpg(self.pid, signal.SIGKILL)  # it leads a session of its own
        self.process.wait()

    @classmethod
    def carrier(
        cls,
        stage: Stage,
        name: str,
        host: str,
        *,
        service: str,
        callee: str,
        third: str,
        callee_numbers: str,
        third_numbers: str,
    ) -> "Kamailio":
        """A carrier with two subscribers, `callee` and `third`, and a customer's trunk, `service`: host:port each. A
        number goes to the subscriber whose regular expression it fits, else to the customer."""
        names = {
            "service": service, "callee": callee, "third": third, "callee_numbers": callee_numbers,
            "third_numbers": third_numbers,
        }  # fmt: skip
        return cls(stage, name, "carrier", host, names=names)

    @classmethod
    def registrar(
        cls,
        stage: Stage,
        name: str,
        host: str,
        *,
        callee: str,
        network: str,
        account: str,
        auth_username: str,
        password: str,
        domain: str,
        expires: int,
        nonce_expire: int = 300,
        once: bool = False,
        algorithm: str = "",
        numbers: str = "^.",
        certificate: Path | None = None,
    ) -> "Kamailio":
        """A carrier with one account. `callee`: host:port of whom the account calls. `network`: the host from which
        calls come to it. `expires`: seconds granted. `nonce_expire`: seconds that a nonce is good. `once`: each nonce
        is good for one request, so that all are challenged; else it is counted (RFC 7616 nc). `algorithm`: SHA-256, or
        empty for MD5. `numbers`: a regular expression for how numbers are written there. `certificate`: a PEM file with
        key and certificate, for TLS on port 5061."""
        names = {
            "callee": callee, "callee_host": callee.partition(":")[0], "network": network, "account": account,
            "auth_username": auth_username, "password": password, "domain": domain, "expires": str(expires),
            "nonce_expire": str(nonce_expire), "nonces": "one_time_nonce" if once else "nonce_count",
            "algorithm": algorithm, "numbers": numbers,
            "tls": filled(TLS_MODULE, {"certificate": str(certificate)}) if certificate else "",
        }  # fmt: skip
        return cls(stage, name, "registrar", host, names=names, tls=certificate is not None)

    @classmethod
    def dispatcher(
        cls,
        stage: Stage,
        name: str,
        host: str,
        *,
        trunks: list[str],
        fr_timer: float = 2.0,
        fr_inv_timer: float = 60.0,
        memory: int = 64,
        cpu: int | None = None,
    ) -> "Kamailio":
        """A dispatcher. `trunks`: host:port in the order of trial. Timers in seconds: until any answer, until a final
        one."""
        file = stage.folder / f"{name}.list"
        file.write_text("".join(f"1 sip:{trunk} 0 {100 - index}\n" for index, trunk in enumerate(trunks)))
        return cls(
            stage, name, "dispatcher", host, memory=memory, cpu=cpu,
            names={
                "list_file": str(file), "fr_timer_ms": str(round(fr_timer * 1000)),
                "fr_inv_timer_ms": str(round(fr_inv_timer * 1000)),
            },
        )  # fmt: skip


def filled(template: str, names: dict[str, str]) -> str:
    """The template with every {name} of `names` replaced; other braces are the language's own."""
    return NAME.sub(lambda found: names.get(found[1], found[0]), template)
