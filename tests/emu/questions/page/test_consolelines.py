from __future__ import annotations

from minstret.emu.questions.page.consolelines import LINE_MAX, ConsoleLine, ConsoleLines, shown


def lines_of(*parts: tuple[bytes, bool]) -> list[ConsoleLine]:
    """Lines of bytes that are typed or not, one each 10 instructions."""
    lines = list[ConsoleLine]()
    console = ConsoleLines(lines.append)
    icount = 0
    for data, is_typed in parts:
        for byte in data:
            (console.took if is_typed else console.wrote)(icount, 8 * icount, bytes([byte]), icount)
            icount += 10
    console.finish()
    return lines


def test_line_has_the_place_of_its_first_byte() -> None:
    first, second = lines_of((b"ab\r\nc", False))

    assert (first.icount, first.virtual_ns, first.text) == (0, 0, "ab")
    assert (second.icount, second.virtual_ns, second.text) == (40, 320, "c")


def test_typed_bytes_are_lines_of_their_own() -> None:
    found = [(line.text, line.is_typed) for line in lines_of((b"> ", False), (b"ls\r", True), (b"ls\r\n", False))]

    assert found == [("ls", True), ("> ls", False)]


def test_empty_line_is_a_line() -> None:
    assert [line.text for line in lines_of((b"a\n\nb\n", False))] == ["a", "", "b"]


def test_long_line_is_cut_and_says_so() -> None:
    (line,) = lines_of((b"x" * (LINE_MAX + 500) + b"\n", False))

    assert line.text == "x" * LINE_MAX + f"... {LINE_MAX + 500:,} bytes"


def test_what_a_terminal_would_obey_is_shown_as_signs() -> None:
    assert shown(b"a\x1b[2Jb\x00\x07c\td\x7f") == "a\u241b[2Jb\u2400\u2407c\td\u2421"
    assert shown("safe \u202e esrever".encode()) == "safe \\u202e esrever"
    assert shown(b"\x1b[1;31mred\x1b[0m") == "red"
    assert shown(b"\xff\xfe") == "\ufffd\ufffd"
    assert shown(b"<script>alert(1)</script>") == "<script>alert(1)</script>"
