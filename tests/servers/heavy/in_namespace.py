"""Runs a command in a network namespace of its own and lets single ports of it be reached on our loopback.

For servers that listen on every interface and cannot be told otherwise (Ray). Inside, there is only a loopback; each port
given as OUTER:INNER is relayed through a Unix socket, since those belong to the file system and not to a namespace.
Usage: in_namespace.py OUTER:INNER… -- COMMAND…
"""

import asyncio
import fcntl
import os
import shutil
import socket
import struct
import sys
import tempfile

SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


def relay(connect):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await connect()
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        for end in (far_writer, writer):
            end.close()

    return serve


def raise_loopback() -> None:
    with socket.socket() as handle:
        request = struct.pack("16sh", b"lo", IFF_UP | IFF_RUNNING) + b"\0" * 14
        fcntl.ioctl(handle, SIOCSIFFLAGS, request)


async def inside(folder: str, ports: list[tuple[int, int]], command: list[str]) -> int:
    raise_loopback()
    for outer, inner in ports:
        connect = lambda inner=inner: asyncio.open_connection("127.0.0.1", inner)
        await asyncio.start_unix_server(relay(connect), f"{folder}/{outer}")
    return await (await asyncio.create_subprocess_exec(*command)).wait()


async def outside(folder: str, ports: list[tuple[int, int]], command: list[str]) -> int:
    for outer, _ in ports:
        connect = lambda outer=outer: asyncio.open_unix_connection(f"{folder}/{outer}")
        await asyncio.start_server(relay(connect), "127.0.0.1", outer)
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    words = ["unshare", *rights, "--net", sys.executable, __file__, "--inside", folder]
    words += [f"{outer}:{inner}" for outer, inner in ports] + ["--", *command]
    return await (await asyncio.create_subprocess_exec(*words)).wait()


def main() -> int:
    arguments, command = sys.argv[1:], []
    position = arguments.index("--")
    arguments, command = arguments[:position], arguments[position + 1 :]
    is_inside = arguments[:1] == ["--inside"]
    folder = arguments[1] if is_inside else tempfile.mkdtemp()
    pairs = arguments[2:] if is_inside else arguments
    ports = [tuple(int(part) for part in pair.split(":")) for pair in pairs]
    try:
        return asyncio.run((inside if is_inside else outside)(folder, ports, command))
    finally:
        if not is_inside:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
