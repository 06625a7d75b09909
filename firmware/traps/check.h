/* Checks: each prints one line, `ok NAME` or `FAIL NAME expected .. got ..`.
 *
 * A note is a check whose result depends on the machine: its line starts with `t:`, and it never fails the run.
 */
#ifndef CHECK_H
#define CHECK_H

#include "trial.h"

extern unsigned checks_done, checks_failed;

/* The trap must be taken by `handler` ('M' or 'S') with exactly these values. */
void check_trap(const char *name, struct outcome got, char handler, uintptr_t cause, uintptr_t epc, uintptr_t tval);

/* As check_trap for what QEMU 7.2 does otherwise: prints a `t:` line and counts as no check. */
void note_trap(const char *name, struct outcome got, char handler, uintptr_t cause, uintptr_t epc, uintptr_t tval);

/* As check_trap, where the specification leaves tval open. */
void check_cause(const char *name, struct outcome got, char handler, uintptr_t cause, uintptr_t epc);

/* An illegal instruction at `code`, run by `mode`: tval is the instruction or 0. */
void check_illegal(const char *name, struct outcome got, char handler, enum mode mode, trial *code);

/* An interrupt, taken before the instruction at `epc` through entry `vector` of the table. */
void check_interrupt(const char *name, struct outcome got, char handler, uintptr_t irq, uintptr_t epc,
                     uintptr_t vector);

/* As check_interrupt for what QEMU 7.2 does otherwise. */
void note_interrupt(const char *name, struct outcome got, char handler, uintptr_t irq, uintptr_t epc,
                    uintptr_t vector);

/* The trial must have returned. */
void check_return(const char *name, struct outcome got);
void check_return_value(const char *name, struct outcome got, uintptr_t value);

void check_equal(const char *name, uintptr_t got, uintptr_t want);

#endif
