"""Strangers may fill what is theirs, and nothing else."""

import asyncio
import contextlib

from sipfailover.flow import Flow, Target
from sipfailover.transport import Pool
from sipfailover.transport.bounds import Bounds

PING = b"\r\n\r\n"


async def test_strangers_who_sit_on_every_connection_leave_room_for_a_pbx() -> None:
    def ignore(*_: object) -> None:
        pass

    def received(flow: Flow, data: bytes) -> None:
        pass

    def lost(where: Target, reason: str) -> None:
        pass

    pool = Pool(
        asyncio.get_running_loop(), received=received, lost=lost, settled=ignore,
        known=lambda host: host == "127.0.0.2", bounds=Bounds(accepted=8, accepted_kept_for_peers=3),
    )  # fmt: skip
    pool.listen("tcp", "127.0.0.1", 0)
    port = pool.bound[0][2]
    held = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0)) for _ in range(12)]
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        held.append((reader, writer))
        writer.write(PING)
        async with asyncio.timeout(5):
            assert await reader.readexactly(2) == b"\r\n"
        assert pool.connections == 5 + 1
    finally:
        for _, writer in held:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        pool.close()
        await pool.closed()
