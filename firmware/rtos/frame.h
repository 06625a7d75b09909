/* What a task leaves on its stack when it is not running. Shared by C and assembly. */
#ifndef FRAME_H
#define FRAME_H

/* x0 to x31 by number, but for two that need no saving: x0 has mepc in its place, and sp has mstatus. */
#define FRAME_MEPC 0
#define FRAME_RA 1
#define FRAME_MSTATUS 2
#define FRAME_GP 3
#define FRAME_A0 10
#define FRAME_WORDS 32

/* In bytes: the registers, fcsr with padding, 32 floating-point registers. */
#define FRAME_FCSR (FRAME_WORDS * (__riscv_xlen / 8))
#define FRAME_FLOATS (FRAME_FCSR + 16)
#define FRAME_SIZE (FRAME_FLOATS + 32 * 8)

#endif
