"""pytest-embedded-qemu as it comes from PyPI, with minstret in QEMU's place."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from support.commands import PATIENCE_S, Command
from support.needs import Need

from minstret.firmware import image_path

PRODUCT_TEST = """\
def test_console_input_and_reset(dut):
    dut.expect_exact("echo: type, end with a full stop")
    dut.hard_reset()
    dut.expect_exact("echo: type, end with a full stop")
    dut.write(b"hello.")
    assert dut.expect(r"(\\d+) bytes").group(1) == b"5"


def test_that_fails(dut):
    dut.expect_exact("goodbye", timeout=1)
"""


def test_pytest_embedded_qemu_runs_its_tests_on_minstret(tmp_path: Path, need: Need, inside: Command) -> None:
    need("pytest-embedded-qemu", find_spec("pytest_embedded_qemu"))
    (tmp_path / "test_product.py").write_text(PRODUCT_TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert inside("qemu", "--install", tmp_path / "bin").returncode == 0

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "pytest.ini", "-p", "no:cacheprovider", "--embedded-services", "qemu",
         "--qemu-image-path", image_path("echo", 64), "--qemu-prog-path", tmp_path / "bin/qemu-system-riscv64",
         "--qemu-cli-args=-machine virt -nographic -bios none", tmp_path],
        capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip

    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "pexpect.exceptions.TIMEOUT: Not found" in done.stdout
