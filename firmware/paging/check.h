/* Checks: each prints one line, `ok NAME` or `FAIL NAME expected .. got ..`.
 *
 * A note is a check whose result depends on the machine: its line starts with `t:`, and it never fails the run.
 */
#ifndef CHECK_H
#define CHECK_H

#include "trial.h"

extern unsigned checks_done, checks_failed;

/* The trap must come home with exactly these values. */
void check_trap(const char *name, struct outcome got, uintptr_t cause, uintptr_t epc, uintptr_t tval);

/* The same, taken by `handler` ('M' or 'S'). */
void check_trap_by(const char *name, struct outcome got, char handler, uintptr_t cause, uintptr_t epc,
                   uintptr_t tval);

/* As check_trap for what QEMU 7.2 does otherwise: prints a `t:` line and counts as no check. */
void note_trap(const char *name, struct outcome got, uintptr_t cause, uintptr_t epc, uintptr_t tval);

/* `code` must fault on its first instruction when it uses `address`. */
void check_fault(const char *name, enum mode mode, trial *code, uintptr_t cause, uintptr_t address);

/* Going to `address` must fail with a page fault there. */
void check_fetch_page_fault(const char *name, enum mode mode, uintptr_t address);

/* An illegal instruction at `code`: tval is the instruction or 0. */
void check_illegal(const char *name, struct outcome got, enum mode mode, trial *code);

/* The trial must have returned, and in the second form with `value`. */
void check_return(const char *name, struct outcome got);
void check_value(const char *name, struct outcome got, uintptr_t value);

void check_equal(const char *name, uintptr_t got, uintptr_t want);

void note_equal(const char *name, uintptr_t got, uintptr_t want);

/* What the machine chose where the specification leaves it the choice. */
void note_choice(const char *name, const char *choice);

#endif
