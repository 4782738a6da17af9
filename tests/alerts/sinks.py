"""A mail server and a webhook that keep what they are told, on loopback."""

import asyncio
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiohttp import web


class MailServer:
    """Speaks SMTP as far as a client needs it (RFC 5321), with STARTTLS and AUTH where it is told to."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, starttls: bool = False, password: str = "") -> None:
        self.tls, self.starttls, self.password = tls, starttls, password
        self.mails: list[EmailMessage] = []
        self.lines: list[str] = []
        self.refuse = ""
        """What it says to RCPT, instead of 250."""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted = self.tls is not None and not self.starttls
        writer.write(b"220 sink\r\n")
        while line := (await reader.readline()).decode().rstrip():
            self.lines.append(line)
            verb = line.upper().split(" ")[0]
            if verb == "EHLO":
                offers = ["sink"]
                if self.starttls and not encrypted:
                    offers.append("STARTTLS")
                if self.password:
                    offers.append("AUTH PLAIN")
                for offer in offers[:-1]:
                    writer.write(f"250-{offer}\r\n".encode())
                writer.write(f"250 {offers[-1]}\r\n".encode())
            elif verb == "STARTTLS":
                writer.write(b"220 go on\r\n")
                await writer.start_tls(cast(ssl.SSLContext, self.tls))
                encrypted = True
            elif verb == "AUTH":
                writer.write(b"235 welcome\r\n" if self.password in self._shown(line) else b"535 wrong password\r\n")
            elif verb == "RCPT" and self.refuse:
                writer.write(f"{self.refuse}\r\n".encode())
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(cast(EmailMessage, message_from_bytes(data[:-5], policy=policy.default)))
                writer.write(b"250 taken\r\n")
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
        writer.close()

    @staticmethod
    def _shown(line: str) -> str:
        return b64decode(line.split(" ")[-1]).decode()


@asynccontextmanager
async def mail_server(**more: Any) -> AsyncIterator[MailServer]:
    """One that listens; `port` says where."""
    sink = MailServer(**more)
    tls = None if sink.starttls else sink.tls
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()


class Hook:
    """A webhook that answers with `status`."""

    def __init__(self) -> None:
        self.status = 200
        self.text = "ok"
        self.posts: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.sources: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.paths.append(request.path)
        self.sources.append(str(request.remote))
        if self.status < 300:
            self.posts.append(await request.json())
        return web.Response(status=self.status, text=self.text, headers={"Location": "http://127.0.0.1:1/"})


@asynccontextmanager
async def webhook() -> AsyncIterator[Hook]:
    """One that listens; `url` says where."""
    hook = Hook()
    application = web.Application()
    application.router.add_post("/{path:.*}", hook.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = cast(asyncio.Server, site._server).sockets[0].getsockname()[1]
    hook.url = f"http://127.0.0.1:{port}/hooks/secret"
    try:
        yield hook
    finally:
        await runner.cleanup()
