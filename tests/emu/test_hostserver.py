"""The server by real sockets: one client at a time, whatever it sends, and however it goes."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.commands import PATIENCE_S
from support.needs import Need

from minstret.emu.errors import ConfigError
from minstret.emu.hostserver import LOOPBACK, Address, Server, parse_address

SOME = bytes(range(256))
MUCH = SOME * (1 << 15)
NOW = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends a reset at once."""


class Served:
    """A server, what it has refused, and clients of it."""

    def __init__(self, host: str = LOOPBACK) -> None:
        self.refused: list[str] = []
        self.server = Server(Address(host, 0), option="--gdb", on_refused=self.refused.append)
        self.clients: list[socket.socket] = []

    def client(self) -> socket.socket:
        client = socket.create_connection(self.server.address, PATIENCE_S)
        self.clients.append(client)
        return client

    def wait(self) -> None:
        """Until something comes."""
        poll = select.poll()
        for fd in self.server.files:
            poll.register(fd, self.server.events)
        assert poll.poll(PATIENCE_S * 1000), "nothing comes"
        self.server.look()

    def until_connected(self, is_connected: bool = True) -> None:
        while self.server.is_connected != is_connected:
            self.wait()

    def received(self, size: int) -> bytes:
        data = self.server.take()
        while len(data) < size:
            self.wait()
            data += self.server.take()
        return data

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.server.close()


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.close()


@pytest.fixture
def client(served: Served) -> socket.socket:
    """A client that is connected."""
    one = served.client()
    served.until_connected()
    return one


# ---- addresses


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:1234", "127.0.0.1", 1234),
        ("localhost:0", "localhost", 0),
        (":1234", LOOPBACK, 1234),
        ("65535", LOOPBACK, 65535),
        ("[::1]:99", "::1", 99),
        ("[fe80::1%eth0]:99", "fe80::1%eth0", 99),
        ("0.0.0.0:1234", "0.0.0.0", 1234),
    ],
)
def test_address_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    address = parse_address(text, "--gdb")

    assert address == Address(host, port)
    assert parse_address(str(address), "--gdb") == address


@pytest.mark.parametrize(
    "text",
    ["", ":", "host", "host:", "::1", "::1:1234", "[::1]", "[]:1", "a:b:1", "1:65536", "1:-1", "1:0x10", "a b:1",
     "1:\u0661", "tcp::1234", "\x1b[2J:x", "x" * 200],
)  # fmt: skip
def test_address_that_is_none_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--gdb: expected HOST:PORT such as 127\.0\.0\.1:1234, got ") as caught:
        parse_address(text, "--gdb")

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 150


def test_port_0_is_any_that_is_free(served: Served) -> None:
    assert served.server.address.port > 0
    assert served.server.address.host == LOOPBACK
    assert not served.server.is_open_to_others


def test_port_in_use_is_an_error_that_says_what_to_do(served: Served) -> None:
    with pytest.raises(ConfigError, match=r"--gdb: can't listen at 127.* in use; give another port, or 0 for any that"):
        Server(served.server.address, option="--gdb", on_refused=print)


def test_port_can_be_used_again_at_once(served: Served, client: socket.socket) -> None:
    served.server.close()

    again = Server(served.server.address, option="--gdb", on_refused=print)

    assert again.address == served.server.address
    again.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64, "x" * 70 + "é", "999.1.1.1"])
def test_host_that_is_not_there_is_an_error(host: str) -> None:
    with pytest.raises(ConfigError, match=r"^--gdb: .*: there is no host of that name$"):
        Server(Address(host, 0), option="--gdb", allows_others=True, on_refused=print)


def test_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"--gdb: can't listen at 192\.0\.2\.1:0: "):
        Server(Address("192.0.2.1", 0), option="--gdb", allows_others=True, on_refused=print)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_address_that_others_can_reach_is_refused_unless_allowed(host: str) -> None:
    with pytest.raises(ConfigError, match=r"is not this machine's loopback, .* add --allow-remote if that is wanted"):
        Server(Address(host, 0), option="--gdb", on_refused=print)


def test_address_that_others_can_reach_is_known_as_such() -> None:
    with Server(Address("0.0.0.0", 0), option="--gdb", allows_others=True, on_refused=print) as server:
        assert server.is_open_to_others


def test_loopback_of_ipv6_serves(need: Need) -> None:
    need("IPv6", _has_ipv6())
    served = Served("::1")
    served.client().sendall(SOME)
    served.until_connected()

    assert served.received(len(SOME)) == SOME
    assert served.server.client_name.startswith("[::1]:")
    served.close()


def _has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as one:
        one.bind(("::1", 0))
        return True
    return False


# ---- a client


def test_nothing_comes_where_nobody_connects(served: Served) -> None:
    assert not served.server.look()
    assert not served.server.is_connected


def test_bytes_go_both_ways(served: Served, client: socket.socket) -> None:
    client.sendall(SOME)
    served.server.send(SOME)

    assert served.received(len(SOME)) == SOME
    assert client.recv(1000) == SOME
    assert not served.server.has_unsent


def test_much_arrives_whole_though_neither_side_reads_at_once(served: Served, client: socket.socket) -> None:
    got = bytearray()

    def read_slowly() -> None:
        while len(got) < len(MUCH):
            got.extend(client.recv(50_000))

    served.server.send(MUCH)
    assert served.server.has_unsent
    reader = threading.Thread(target=read_slowly)
    reader.start()
    while served.server.has_unsent:
        served.wait()
    reader.join(PATIENCE_S)

    assert bytes(got) == MUCH


def test_client_that_does_not_read_is_not_read_until_it_does(served: Served, client: socket.socket) -> None:
    served.server.send(MUCH)
    client.sendall(SOME)
    for _ in range(10):
        served.server.look()
    assert served.server.take() == b""

    def read() -> None:
        left = len(MUCH)
        while left:
            left -= len(client.recv(1 << 20))

    reader = threading.Thread(target=read)
    reader.start()
    assert served.received(len(SOME)) == SOME
    while served.server.has_unsent:
        served.wait()
    reader.join(PATIENCE_S)


def test_client_is_not_read_on_while_nobody_takes_what_it_sent(served: Served, client: socket.socket) -> None:
    client.setblocking(False)
    sent = 0
    with suppress(BlockingIOError):
        while sent < 64 << 20:
            sent += client.send(MUCH)
            served.server.look()
    assert sent < 64 << 20
    assert not served.server.events & select.POLLIN

    assert len(served.received(sent)) == sent
    assert served.server.events & select.POLLIN


def test_second_client_is_refused_and_the_first_one_stays(served: Served, client: socket.socket) -> None:
    second = served.client()
    while not served.refused:
        served.wait()

    assert second.recv(1) == b""
    assert served.refused == [str(Address(*second.getsockname()))]
    client.sendall(SOME)
    assert served.received(len(SOME)) == SOME


def test_client_that_comes_after_another_has_left_is_served(served: Served, client: socket.socket) -> None:
    client.close()
    second = served.client()
    served.until_connected(False)
    served.until_connected()
    second.sendall(SOME)

    assert served.received(len(SOME)) == SOME
    assert served.refused == []


def test_what_a_client_sent_before_it_closed_is_still_there(served: Served, client: socket.socket) -> None:
    client.sendall(SOME)
    client.close()
    served.until_connected(False)

    assert served.server.take() == SOME


def test_what_the_last_client_sent_is_not_taken_for_the_next_ones(served: Served, client: socket.socket) -> None:
    client.sendall(SOME)
    client.close()
    served.until_connected(False)
    served.client()
    served.until_connected()

    assert served.server.take() == b""


@pytest.mark.parametrize("has_sent", [False, True])
def test_client_that_resets_the_connection_is_gone(served: Served, client: socket.socket, has_sent: bool) -> None:
    if has_sent:
        client.sendall(SOME)
        served.server.send(MUCH)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
    client.close()
    served.until_connected(False)

    served.server.send(SOME)
    assert not served.server.has_unsent
    assert not served.server.look()


def test_client_that_resets_before_it_is_taken_does_no_harm(served: Served) -> None:
    early = served.client()
    early.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
    early.close()
    deadline = time.monotonic() + PATIENCE_S
    while not served.server.client_name:  # Linux shows it all the same
        served.server.look()
        assert time.monotonic() < deadline
    served.until_connected(False)
    served.client()
    served.until_connected()


def test_client_that_is_sent_away_sees_the_end_after_all_that_was_sent(served: Served, client: socket.socket) -> None:
    served.server.send(SOME)
    served.server.disconnect()

    assert client.recv(1000) == SOME
    assert client.recv(1000) == b""
    assert not served.server.is_connected


def test_closed_server_takes_nobody(served: Served, client: socket.socket) -> None:
    served.server.close()

    assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        served.client()


def test_random_clients_leave_a_server_that_serves(served: Served) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(200):
        act = rng.choice(["connect", "send", "close", "reset", "serve", "answer", "send away"])
        one = rng.choice(served.clients) if served.clients else served.client()
        with suppress(OSError):
            if act == "connect" and len(served.clients) < 30:
                served.client()
            elif act == "send":
                one.send(rng.randbytes(rng.randrange(1, 5000)))
            elif act in ("close", "reset"):
                if act == "reset":
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
                one.close()
                served.clients.remove(one)
        if act == "answer":
            served.server.send(rng.randbytes(rng.randrange(1, 50_000)))
        elif act == "send away":
            served.server.disconnect()
        for _ in range(rng.randrange(4)):
            served.server.look()
        served.server.take()
    for one in served.clients:
        one.close()
    served.clients.clear()
    deadline = time.monotonic() + PATIENCE_S
    while served.server.is_connected or served.server.look():
        served.server.look()
        assert time.monotonic() < deadline
    last = served.client()
    served.until_connected()
    last.sendall(SOME)

    assert served.received(len(SOME)) == SOME
