"""Desks (see `carrier`) behind real sockets, each in a thread of its own: what a check talks to from outside."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sipfailover.wire import Message
from tests.preflight.carrier import Desk

POLL = 0.02
"""Seconds after which a thread looks whether it should end."""
HANDSHAKE_WITHIN = 1.0


@contextmanager
def udp_desk(desk: Desk, host: str) -> Iterator[int]:
    """A desk at this address. Gives its port."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(POLL)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    data, source = sock.recvfrom(65535)
                except TimeoutError:
                    continue
                _see(desk, source)
                for answer in desk.hear(data):
                    sock.sendto(answer, source)

        with _thread(serve, over):
            yield sock.getsockname()[1]


@contextmanager
def tcp_desk(desk: Desk, host: str, secure: ssl.SSLContext | None = None) -> Iterator[int]:
    """A desk behind TCP or, with `secure`, TLS, for requests without a body, one connection at a time."""
    with socket.create_server((host, 0)) as server:
        server.settimeout(POLL)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, source = server.accept()
                except TimeoutError:
                    continue
                _see(desk, source)
                connection.settimeout(HANDSHAKE_WITHIN)
                with connection, suppress(OSError):  # whoever refuses our certificate goes
                    stream = secure.wrap_socket(connection, server_side=True) if secure else connection
                    with stream:
                        stream.settimeout(POLL)
                        _talk(desk, stream, over)

        with _thread(serve, over):
            yield server.getsockname()[1]


def _talk(desk: Desk, connection: socket.socket, over: threading.Event) -> None:
    data = b""
    while not over.is_set():
        try:
            piece = connection.recv(65535)
        except TimeoutError:
            continue
        except ConnectionError:
            return
        if not piece:
            return
        data += piece
        while b"\r\n\r\n" in data:
            head, _, data = data.partition(b"\r\n\r\n")
            if head.strip():
                for answer in desk.hear(head + b"\r\n\r\n"):
                    connection.sendall(answer)


def _see(desk: Desk, source: Any) -> None:
    if desk.sees is not None and desk.sees[0] != b"203.0.113.5":  # a test that plays a NAT has said where
        desk.sees = (source[0].encode(), source[1])


@contextmanager
def _thread(serve: Any, over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def invites(desk: Desk) -> list[Message]:
    """The calls that a desk was offered."""
    return [message for message in desk.heard if message.method == b"INVITE"]
