"""Independent readers of device trees: dtc, and a small reader of the format."""

from __future__ import annotations

import subprocess

from minstret.emu.fdt import Node


def dtc(data: bytes, into: str = "dts", *options: str) -> tuple[bytes, str]:
    """A DTB as text, as dtc prints it, and dtc's complaints."""
    done = subprocess.run(
        ["dtc", "-I", "dtb", "-O", into, *options], input=data, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout, done.stderr.decode()


def parsed(data: bytes) -> Node:
    """A reader of DTBs, for what dtc wrote."""
    words = [int.from_bytes(data[at : at + 4], "big") for at in range(0, 40, 4)]
    magic, total, structure, strings = words[:4]
    assert (magic, total) == (0xD00DFEED, len(data))
    at, open_nodes, root = structure, [], None

    def text(at: int) -> str:
        return data[at : data.index(b"\0", at)].decode()

    while True:
        token, at = int.from_bytes(data[at : at + 4], "big"), at + 4
        if token == 1:
            node = Node(text(at))
            at += len(node.name.encode()) + 1
            if open_nodes:
                open_nodes[-1].children.append(node)
            root = root or node
            open_nodes.append(node)
        elif token == 2:
            open_nodes.pop()
        elif token == 3:
            size, name = int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big")
            open_nodes[-1].properties[text(strings + name)] = data[at + 8 : at + 8 + size]
            at += 8 + size
        elif token == 9:
            assert root is not None and not open_nodes
            return root
        at += -at % 4
