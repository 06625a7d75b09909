# Sends a line to the virtio device with ID 42, prints what comes back, and ends.
# riscv64-unknown-elf-gcc -nostdlib -march=rv64g -mabi=lp64 -Wl,-Ttext=0x80000000 shout.S
# riscv64-unknown-elf-objcopy -O ihex a.out shout.hex
        .equ LENGTH, 14

        .option norelax
        .globl _start
_start: li      s0, 0x10000000          # the slot before the first
        li      t1, 42
1:      li      t2, 0x1000
        add     s0, s0, t2
        lw      t0, 0x08(s0)            # DeviceID
        bne     t0, t1, 1b

        li      t0, 3                   # ACKNOWLEDGE, DRIVER
        sw      t0, 0x70(s0)
        li      t0, 1
        sw      t0, 0x24(s0)            # DriverFeaturesSel
        sw      t0, 0x20(s0)            # DriverFeatures: VERSION_1
        li      t0, 11                  # FEATURES_OK
        sw      t0, 0x70(s0)
        sw      zero, 0x30(s0)          # QueueSel
        li      t0, 2
        sw      t0, 0x38(s0)            # QueueNum
        la      s1, desc
        sw      s1, 0x80(s0)
        sw      zero, 0x84(s0)
        la      s2, avail
        sw      s2, 0x90(s0)
        sw      zero, 0x94(s0)
        la      s3, used
        sw      s3, 0xa0(s0)
        sw      zero, 0xa4(s0)
        li      t0, 1
        sw      t0, 0x44(s0)            # QueueReady
        li      t0, 15                  # DRIVER_OK
        sw      t0, 0x70(s0)

        la      t0, line                # descriptor 0: the line, then descriptor 1
        sd      t0, 0(s1)
        li      t0, LENGTH
        sw      t0, 8(s1)
        li      t0, 1 << 16 | 1
        sw      t0, 12(s1)
        la      s4, answer              # descriptor 1: room for the answer
        sd      s4, 16(s1)
        li      t0, 64
        sw      t0, 24(s1)
        li      t0, 2
        sw      t0, 28(s1)
        li      t0, 1
        sh      t0, 2(s2)
        fence
        sw      zero, 0x50(s0)          # QueueNotify

2:      lhu     t0, 2(s3)               # until it is used
        beqz    t0, 2b
        lw      t1, 8(s3)               # bytes written
        li      t2, 0x10000000          # the UART
3:      lbu     t0, 0(s4)
        sb      t0, 0(t2)
        addi    s4, s4, 1
        addi    t1, t1, -1
        bnez    t1, 3b

        li      t0, 0x5555              # power off
        li      t1, 0x100000
        sw      t0, 0(t1)
4:      j       4b

line:   .ascii  "hello, device\n"
        .balign 16
desc:   .zero   32
avail:  .zero   16
used:   .zero   32
answer: .zero   64
