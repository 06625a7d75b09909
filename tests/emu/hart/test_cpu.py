"""Names of harts and their extensions, and what a guest is told of them."""

from __future__ import annotations

import pytest

from minstret.emu.errors import ConfigError
from minstret.emu.hart.cpu import EXTENSION_NAMES, EXTENSIONS, Cpu, Feature, default_cpu, parse_cpu

each_xlen = pytest.mark.parametrize("xlen", [64, 32])


@each_xlen
def test_gc_is_the_base_alone_and_the_default_what_there_is(xlen: int) -> None:
    assert parse_cpu(f"rv{xlen}gc") == Cpu(xlen)
    assert parse_cpu(f"rv{xlen}") == default_cpu(xlen)


@each_xlen
def test_text_of_a_hart_gives_the_same_hart(xlen: int) -> None:
    harts = [parse_cpu(f"rv{xlen}"), parse_cpu(f"rv{xlen}gc")]
    harts += [parse_cpu(f"rv{xlen},{name}=off") for name in EXTENSION_NAMES]

    assert [parse_cpu(str(hart)) for hart in harts] == harts
    assert len({str(hart) for hart in harts}) == len(set(harts))


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("rv64,zba=off", {"zba"}), (" rv64,ZBA=off ,zba=off", {"zba"}), ("rv64,sv48=off", {"sv48", "sv57"}),
        ("rv64,sm1p12=off", {"sm1p12", "sstc", "svadu", "svpbmt", "zicbom", "zicboz"}),
        ("rv32", {"sv48", "sv57", "svnapot", "svpbmt"}), ("rv32,sv48=off", {"sv48", "sv57", "svnapot", "svpbmt"}),
    ],
)  # fmt: skip
def test_what_is_off_takes_along_what_needs_it(text: str, missing: set[str]) -> None:
    assert set(EXTENSION_NAMES) - set(parse_cpu(text).extensions) == missing


def test_what_is_on_takes_along_what_it_needs() -> None:
    hart = parse_cpu("rv64gc,sstc=on,sv57=on")

    assert hart.extensions == ("sm1p12", "sstc", "sv48", "sv57")
    assert hart.has("sstc") and not hart.has("zba")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("rv128", "cpu: expected rv64, rv32, rv64gc, rv32gc, or one with ,EXTENSION=on|off; got 'rv128'"),
        ("", "cpu: expected rv64, rv32, rv64gc, rv32gc, or one with ,EXTENSION=on|off; got ''"),
        (
            "rv64,zbx=on",
            "cpu: there is no extension 'zbx' to switch; did you mean zbs or zbb?"
            f" There are {' '.join(EXTENSION_NAMES)}",
        ),
        ("rv64,", f"cpu: there is no extension '' to switch; there are {' '.join(EXTENSION_NAMES)}"),
        ("rv64,zba", "cpu: expected zba=on or zba=off, got 'zba'"),
        ("rv64,zba=maybe", "cpu: expected zba=on or zba=off, got 'zba=maybe'"),
        ("rv64,zba=on,zba=off", "cpu: zba is both on and off"),
        ("rv64,sstc=on,sm1p12=off", "cpu: sstc needs sm1p12, which is off"),
        ("rv32,sv48=on", "cpu: sv48 is for rv64 alone"),
        ("rv64,\x1b[2J=on", rf"cpu: there is no extension '\x1b[2j' to switch; there are {' '.join(EXTENSION_NAMES)}"),
    ],
)
def test_text_that_is_no_hart_is_refused_in_a_line(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cpu(text)

    assert str(caught.value) == error


@each_xlen
def test_base_is_told_as_ever(xlen: int) -> None:
    hart = Cpu(xlen)

    assert hart.isa == f"rv{xlen}imafdc"
    assert hart.misa == {64: 0x8000_0000_0014_112D, 32: 0x4014_112D}[xlen]


def test_extensions_are_told_in_the_order_of_the_specification() -> None:
    hart = parse_cpu("rv64")

    assert hart.isa == (
        "rv64imafdc_zicbom_zicboz_zicntr_zicond_zicsr_zifencei_zihintpause_zihpm_zawrs_zba_zbb_zbs"
        "_sstc_svadu_svinval_svnapot_svpbmt"
    )
    assert list(hart.isa_extensions) == [*"imafdc", *hart.isa.split("_")[1:]]


@pytest.mark.parametrize(("text", "has_b"), [("rv64", True), ("rv64,zbs=off", False), ("rv64gc,zba=on", False)])
def test_misa_has_b_where_all_of_its_parts_are_there(text: str, has_b: bool) -> None:
    assert parse_cpu(text).misa >> 1 & 1 == has_b


def test_each_feature_is_one_bit_with_one_extension() -> None:
    features = [extension.feature for extension in EXTENSIONS]

    assert sorted(features) == [1 << bit for bit in range(len(Feature))]
