# Counts three rising edges of the GPIO block's pin 0, shows each count on its output pins, and ends.
# riscv64-unknown-elf-gcc -nostdlib -march=rv64g -mabi=lp64 -Wl,-Ttext=0x80000000 gpio.S
# riscv64-unknown-elf-objcopy -O ihex a.out gpio.hex
        .equ GPIO, 0x10060000
        .equ IRQ, 12
        .equ PLIC, 0x0c000000

        .globl _start
_start: li      s0, GPIO
        li      s1, PLIC
        li      t0, 1
        sw      t0, 4 * IRQ(s1)         # the interrupt's priority
        sw      t0, 8(s0)               # ENABLE: pin 0
        li      t1, 1 << IRQ
        li      t2, PLIC + 0x2000
        sw      t1, 0(t2)               # enabled for the hart's M-mode
        li      s2, PLIC + 0x200004     # claim and complete
        li      t1, 1 << 11
        csrw    mie, t1
        li      s3, 0

wait:   wfi
        lw      s4, 0(s2)
        beqz    s4, wait
        addi    s3, s3, 1
        sw      s3, 4(s0)               # OUT
        li      t0, 0xff
        sw      t0, 12(s0)              # PENDING: clear
        sw      s4, 0(s2)
        li      t0, 3
        blt     s3, t0, wait

        li      t0, 0x5555              # power off
        li      t1, 0x100000
        sw      t0, 0(t1)
1:      j       1b
