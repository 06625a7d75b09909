"""Logs: complete, the same in every way of counting and in slices of every size, and never seen by the run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.asm import (
    A0,
    A1,
    A2,
    ECALL,
    MRET,
    ZERO,
    add,
    addi,
    code,
    csrr,
    csrrs,
    csrw,
    jalr,
    lb,
    li,
    lw,
    sb,
    slli,
    sw,
)
from support.guest_boards import setup_of, summary
from support.recordings import RAM, UART, finish_code, record, setup_of_code

from minstret.devices.board.board import Board, Setup
from minstret.devices.board.config import BoardConfig
from minstret.devices.board.traced import Replay
from minstret.emu.cli.log import KINDS
from minstret.emu.errors import AccessFault, ConfigError
from minstret.emu.hart.shared import Counting
from minstret.emu.hart.spec import Cause, Interrupt
from minstret.emu.images.image import SymbolTable
from minstret.emu.irq import SourceChange
from minstret.emu.logs import ExecEntry, InterruptEntry, IrqEntry, Log, LogEntry, LogKind, TrapEntry, UnmappedEntry
from minstret.emu.part import Device

ALL = {"traps": True, "unmapped": True, "irq": True}
PASS = 0x5555
NOTHING, ROM = 0x5000_0000, 0x1000
HANDLER = 0x200
WIDTHS = (64, 32)


def logged(setup: Setup, *, icount: int | None = None, **wanted: Any) -> tuple[tuple[object, ...], list[LogEntry]]:
    """What there is to see of a run that is logged, and the log."""
    board = setup.make()
    log = board.log(**wanted)
    return summary(board, board.run_until(icount=icount)), list(log)


# ---- complete


@pytest.mark.parametrize("xlen", WIDTHS)
def test_log_of_traps_has_every_trap_of_the_image_that_takes_each_kind(xlen: int) -> None:
    _, entries = logged(setup_of("traps", xlen), **ALL)

    kinds = Counter((entry.name, entry.cause) for entry in entries if type(entry) is TrapEntry)
    taken = Counter(entry.cause for entry in entries if type(entry) is InterruptEntry)
    assert kinds.total() == {64: 173, 32: 169}[xlen]
    assert taken.total() == 16
    assert {cause for _, cause in kinds} == set(Cause) - {Cause.FETCH_MISALIGNED}
    assert set(taken) == set(Interrupt) - {Interrupt.MEI}
    unmapped = [entry for entry in entries if type(entry) is UnmappedEntry]
    assert Counter(entry.access for entry in unmapped) == {"load": 4, "store": 4, "fetch": 1}
    assert {entry.device for entry in unmapped} == {None}


@pytest.mark.parametrize("xlen", WIDTHS)
def test_log_of_ticks_has_one_timer_interrupt_a_millisecond(xlen: int) -> None:
    _, entries = logged(setup_of("ticks", xlen), irq=True)

    assert [(type(entry), entry.virtual_ns // 1_000_000) for entry in entries] == [
        (InterruptEntry, tick) for tick in range(1, 101)
    ]
    assert {entry.cause for entry in entries if isinstance(entry, TrapEntry)} == {Interrupt.MTI}


@pytest.mark.parametrize("xlen", WIDTHS)
def test_log_of_a_trap_loop_has_each_of_its_traps(xlen: int) -> None:
    board = setup_of("crash", xlen).make()
    log = board.log(traps=True, unmapped=True)
    board.run()

    store, trap, *rest = log
    assert isinstance(store, UnmappedEntry)
    assert isinstance(trap, TrapEntry)
    assert (store.access, store.address, store.size, store.device) == ("store", 0x4000_0000, 4, None)
    assert board.symbols.describe(store.pc or 0).startswith("store_word")
    assert (trap.cause, trap.tval, trap.pc, trap.handler) == (Cause.STORE_ACCESS, 0x4000_0000, store.pc, 0)
    assert Counter(map(type, rest)) == {UnmappedEntry: 999, TrapEntry: 999}


@pytest.mark.parametrize("harts", [2, 3])
def test_log_of_several_harts_tells_who_took_each_trap(harts: int) -> None:
    _, entries = logged(setup_of("smp", smp=harts), traps=True)

    by_hart = Counter((entry.hart, type(entry)) for entry in entries)
    assert {hart for hart, _ in by_hart} == set(range(harts))
    assert all(by_hart[hart, TrapEntry] == 24 for hart in range(harts))
    assert sum(by_hart[hart, InterruptEntry] for hart in range(harts)) == {2: 435, 3: 843}[harts]


@pytest.mark.parametrize(("image", "xlen", "begin", "end"), [("traps", 64, 29_200, 33_200), ("ticks", 32, 0, 1_500)])
def test_log_has_what_one_finds_by_looking_after_each_instruction(image: str, xlen: int, begin: int, end: int) -> None:
    board = setup_of(image, xlen).make()
    board.run_until(icount=begin)
    found: list[tuple[int, int, bool]] = []
    pcs: dict[int, int] = {}
    last = board.hart.last_trap
    for icount in range(begin, end):
        pc = board.registers["pc"]
        board.run_until(icount=icount + 1)
        if board.hart.last_trap == last:
            pcs[icount] = pc
        elif (last := board.hart.last_trap) is not None:
            found.append((last.icount, last.epc, last.is_interrupt))

    other = setup_of(image, xlen).make()
    other.run_until(icount=begin)
    with other.log(traps=True, exec=True) as log:
        other.run_until(icount=end)
    traps = [(entry.icount, entry.pc, entry.is_interrupt) for entry in log if isinstance(entry, TrapEntry)]
    insns = {entry.icount: entry.pc for entry in log if type(entry) is ExecEntry}
    assert len(found) > 7
    assert traps == found
    assert list(insns) == list(range(begin, end))
    assert {icount: insns[icount] for icount in pcs} == pcs


# ---- never seen, and always the same


@pytest.mark.parametrize(
    ("image", "xlen", "slice_insns"),
    [*(("ticks", 64, slice_insns) for slice_insns in (1, 7, 1000, None)), ("mix", 32, 50), ("mix", 32, None)],
)
def test_run_with_logs_is_the_run_without_and_its_log_always_the_same(
    image: str, xlen: int, slice_insns: int | None, counting: str
) -> None:
    icount = {"ticks": 3_000, "mix": None}[image]
    plain, board = setup_of(image, xlen), setup_of(image, xlen).make()
    expected = summary(board, board.run_until(icount=icount))

    seen, entries = logged(setup_of(image, xlen, counting, slice_insns_max=slice_insns), icount=icount, **ALL)

    assert seen == expected
    assert entries
    assert entries == logged(plain, icount=icount, **ALL)[1]


@pytest.mark.parametrize(("image", "xlen", "smp"), [("traps", 32, 1), ("smp", 64, 2)])
def test_run_of_which_each_instruction_is_logged_is_the_run_without(
    image: str, xlen: int, smp: int, counting: str
) -> None:
    setup, end = setup_of(image, xlen, counting, smp=smp), 35_000
    board = setup.make()
    board.run_until(icount=end - 5_000)
    with board.log(exec=True, **ALL) as log:
        seen = summary(board, board.run_until(icount=end))

    plain = setup_of(image, xlen, smp=smp).make()
    plain.run_until(icount=end - 5_000)
    with plain.log(**ALL) as without:
        assert seen == summary(plain, plain.run_until(icount=end))
    assert [entry.icount for entry in log if type(entry) is ExecEntry] == list(range(end - 5_000, end))
    assert [entry for entry in log if type(entry) is not ExecEntry] == list(without)


@pytest.mark.parametrize("counting", [each.value for each in Counting])
def test_checks_of_all_traps_pass_while_they_are_logged(counting: str) -> None:
    board = setup_of("traps").make()
    expected = summary(board, board.run())

    seen, entries = logged(setup_of("traps", 64, counting), **ALL)

    assert seen == expected
    assert entries == logged(setup_of("traps"), **ALL)[1]


@pytest.mark.parametrize(("image", "smp"), [("dhcp-wfi", 1), ("smp", 2)])
def test_log_of_a_replay_is_that_of_the_recording(image: str, smp: int, tmp_path: Path) -> None:
    logs: list[Log] = []
    recorded = record(tmp_path, setup_of(image, smp=smp), drive=lambda board: logs.append(board.log(**ALL)))

    with recorded.reader() as reader:
        replay = Replay(reader)
        log = replay.log(**ALL)
        replay.run()
        assert replay.board.digest() == recorded.end.digest
    assert len(log) > 20
    assert list(log) == list(logs[0])


# ---- what is in it


def test_sources_of_the_plic_are_raised_claimed_lowered_and_completed_with_their_device() -> None:
    _, entries = logged(setup_of("mix"), irq=True)

    assert [entry.change for entry in entries if isinstance(entry, IrqEntry)] == 10 * [
        SourceChange.RAISED, SourceChange.CLAIMED, SourceChange.LOWERED, SourceChange.COMPLETED
    ]  # fmt: skip
    assert {(entry.device, entry.source) for entry in entries if isinstance(entry, IrqEntry)} == {("uart0", 10)}
    assert [type(entry) for entry in entries[:3]] == [IrqEntry, InterruptEntry, IrqEntry]


def test_what_an_instruction_causes_comes_after_it() -> None:
    board = setup_of("mix").make()
    board.run_until(icount=57_000)
    log = board.log(irq=True, exec=True)
    board.run()

    before = [(one, other) for one, other in zip(log, list(log)[1:], strict=False) if isinstance(other, IrqEntry)]
    assert len(before) == 40
    assert all(isinstance(one, ExecEntry) and (one.icount, one.pc) == (other.icount, other.pc) for one, other in before)


@dataclass(slots=True)
class PickyState:
    """Nothing."""


class Picky(Device):
    """Refuses its second word."""

    def __init__(self, base: int = 0, irq: int | None = None, name: str = "") -> None:
        super().__init__(base, irq, name)
        self.state = PickyState()

    def read(self, offset: int, size: int) -> int:
        if offset:
            raise AccessFault("no such register")
        return 0


def probes(xlen: int) -> bytes:
    """Accesses that all become access faults, with a handler that goes on behind them."""
    trials = (
        (li(A1, NOTHING), lb(A0, A1, 3)), (li(A1, NOTHING), sw(A0, A1, 8)), (li(A1, ROM), sb(A0, A1, 0)),
        (li(A1, 0x1006_0000), lw(A0, A1, 0), lw(A0, A1, 4)),
    )  # fmt: skip
    begin = code(li(A2, RAM + HANDLER), csrw("mtvec", A2), *(insn for trial in trials for insn in trial))
    jump = code(li(A1, UART), jalr(A2, A1, 0))
    main = begin + jump + finish_code(PASS)
    on_fetch = code(csrw("mepc", A2), MRET)
    on_other = code(csrr(A0, "mepc"), addi(A0, A0, 4), csrw("mepc", A0), MRET)
    choose = code(csrr(A0, "mcause"), addi(A0, A0, -1), 0x00051663)  # bne a0, zero, .+12
    return main.ljust(HANDLER, b"\0") + choose + on_fetch + on_other


@pytest.mark.parametrize("xlen", WIDTHS)
def test_unmapped_access_is_told_with_what_refused_it(xlen: int, counting: str) -> None:
    config = BoardConfig(ram_size=1 << 20, xlen=xlen, counting=Counting(counting))
    setup = setup_of_code(probes(xlen), xlen=xlen)
    board = Setup(config, setup.bios, devices=(Picky(0x1006_0000, name="picky0"),)).make()
    log = board.log(unmapped=True)
    board.run()

    assert [(e.access, e.address, e.size, e.device) for e in log if isinstance(e, UnmappedEntry)] == [
        ("load", NOTHING + 3, 1, None), ("store", NOTHING + 8, 4, None), ("store", ROM, 1, "the boot ROM"),
        ("load", 0x1006_0004, 4, "picky0"), ("fetch", UART, 2, "uart0"),
    ]  # fmt: skip
    load, _, rom, refused, _ = (entry.text(board.symbols, shows_hart=False) for entry in log)
    assert f"unmapped  load of 1 byte at {NOTHING + 3:#x}: nothing is there; by 0x8" in load
    assert "store of 1 byte at 0x1000: the boot ROM refuses it; by 0x8" in rom
    assert "load of 4 bytes at 0x10060004: picky0 refuses it; by 0x8" in refused


@pytest.mark.parametrize("tables", [RAM + 0x2000, NOTHING])
def test_unmapped_access_is_told_where_it_was_as_the_page_tables_say(tables: int, counting: str) -> None:
    address = 0x123_0010
    begin = code(
        li(A2, RAM + HANDLER), csrw("mtvec", A2), li(A0, -1), csrw("pmpaddr0", A0), li(A0, 0x1F), csrw("pmpcfg0", A0),
        li(A0, 8), slli(A0, A0, 60), li(A1, tables >> 12), add(A0, A0, A1), csrw("satp", A0),
        li(A0, 1 << 17 | 1 << 11), csrw("mstatus", A0), li(A1, address), lw(A0, A1, 0),
    )  # fmt: skip
    gigapage = (0x4000_0000 >> 2 | 0xCF).to_bytes(8, "little")
    setup = setup_of_code(begin, (HANDLER, finish_code(PASS)), (0x2000, gigapage), counting=Counting(counting))
    _, entries = logged(setup, unmapped=True)

    (entry,) = entries
    assert isinstance(entry, UnmappedEntry)
    assert (entry.access, entry.address, entry.size) == ("load", address, 4)
    assert entry.physical == (None if tables == NOTHING else 0x4000_0000 + address)
    why = "its page table is outside RAM" if tables == NOTHING else "nothing is there"
    assert f"{f' (physical {entry.physical:#x})' if entry.physical else ''}: {why}; by 0x8" in entry.text(SymbolTable())


def test_access_that_pmp_forbids_is_a_trap_and_not_unmapped() -> None:
    allow_nothing = code(li(A0, 0x80), csrrs(ZERO, "pmpcfg0", A0))  # locked, off: nothing matches in M-mode
    user = code(li(A1, RAM + 0x100), csrw("mepc", A1), MRET)
    _, entries = logged(
        setup_of_code(code(li(A2, RAM + HANDLER), csrw("mtvec", A2)) + allow_nothing + user,
                      (HANDLER, finish_code(PASS)), (0x100, code(ECALL))), traps=True, unmapped=True,
    )  # fmt: skip

    assert [(type(entry), entry.word) for entry in entries] == [(TrapEntry, "trap")]
    assert isinstance(entries[0], TrapEntry)
    assert entries[0].cause == Cause.FETCH_ACCESS


def test_entries_read_as_one_line_and_as_json() -> None:
    board = setup_of("crash").make()
    log = board.log(traps=True, unmapped=True, exec=True)
    board.run()
    insn, unmapped, trap = list(log)[244:247]

    assert insn.text(board.symbols, shows_hart=False) == (
        "           244     0.000000488  exec      0x800004ac <store_word+0x6>:     0800  c.addi4spn s0, sp, 0x10"
    )
    assert unmapped.text(board.symbols, shows_hart=False) == (
        "           245     0.000000490  unmapped  store of 4 bytes at 0x40000000: nothing is there;"
        " by 0x800004ae <store_word+0x8>"
    )
    assert trap.text(board.symbols) == (
        "           245     0.000000490  hart0    trap      store/AMO access fault (7) at 0x800004ae <store_word+0x8>,"
        " tval 0x40000000, in M-mode; handler 0x0"
    )
    assert json.loads(json.dumps(trap.facts(board.symbols))) == {
        "icount": 245, "virtual_ns": 490, "kind": "trap", "hart": 0, "pc": "0x800004ae", "symbol": "store_word+0x8",
        "cause": 7, "name": "store/AMO access fault", "tval": "0x40000000", "privilege": "M-mode", "handler": "0x0",
        "handler_symbol": None, "handler_privilege": "M-mode",
    }  # fmt: skip
    assert unmapped.facts(board.symbols)["physical"] == "0x40000000"
    assert insn.facts(board.symbols)["assembler"] == "c.addi4spn s0, sp, 0x10"


# ---- a log


def test_log_can_be_gone_through_again_while_the_run_goes_on() -> None:
    board = setup_of("ticks").make()
    log = board.log(traps=True)

    board.run_until(virtual_ns=10_500_000)
    assert [len(list(log)), len(list(log)), len(log)] == [10, 10, 10]
    board.run_until(virtual_ns=20_500_000)
    assert len(list(log)) == 20


def test_log_keeps_the_newest_and_says_how_many_it_has_dropped() -> None:
    board = setup_of("ticks").make()
    log = board.log(traps=True, limit=10)
    board.run()

    assert [entry.virtual_ns // 1_000_000 for entry in log] == list(range(91, 101))
    assert log.dropped == 90


def test_closed_log_keeps_what_it_has_and_others_go_on() -> None:
    board = setup_of("ticks").make()
    with board.log(traps=True) as first, board.log(irq=True) as second:
        board.run_until(virtual_ns=10_500_000)
        first.close()
        board.run_until(virtual_ns=20_500_000)
    board.run()

    assert (len(first), len(second)) == (10, 20)


@pytest.mark.parametrize("smp", [1, 2])
def test_nothing_is_told_without_a_log(smp: int) -> None:
    board = setup_of("smp", smp=smp).make()
    board.log(exec=True, **ALL).close()

    assert all(not hart._shared.logs_traps and hart.observers.on_insn is None for hart in board.harts)
    assert board.plic.on_change is None


def test_error_of_who_is_told_ends_the_run_which_can_go_on_as_if_nothing_had_been(counting: str) -> None:
    board = setup_of("ticks", 64, counting).make()
    expected = setup_of("ticks").make()

    def refuse(entry: LogEntry) -> None:
        raise ConfigError(f"{entry.word} {len(log)}")

    log = board.log(traps=True, on_entry=refuse)
    for count in range(1, 4):
        with pytest.raises(ConfigError, match=f"^interrupt {count}$"):
            board.run()
    log.close()
    assert summary(board, board.run()) == summary(expected, expected.run())


def test_log_of_nothing_is_refused() -> None:
    board = Board(setup_of("ticks").bios, setup_of("ticks").config)

    with pytest.raises(ConfigError, match=r"^log: nothing to log; ask for traps, unmapped, irq or exec$"):
        board.log()
    with pytest.raises(ConfigError, match="can't keep -1 entries"):
        board.log(traps=True, limit=-1)
    assert tuple(kind.value for kind in LogKind) == KINDS
