/* What the three races of `race` share.
 *
 * The harts work in shifts. All of them are woken at the same time, each works through its shift of up to 700
 * instructions and sleeps again. A round robin whose quantum is longer than a few shifts never interrupts one, so
 * nothing goes wrong; whoever takes the hart away in the wrong place and lets another work meets the bug.
 */
#ifndef RACE_H
#define RACE_H

#include <stdbool.h>
#include <stdint.h>

#include "../harts/harts.h"

/* Rounds of xorshift, eight instructions each, in a shift before and after the part that is wrong, and in it. */
#define WORK_ROUNDS 30
#define WINDOW_ROUNDS 2

struct race {
    const char *name;

    /* Before all other calls, on hart 0. */
    void (*prepare)(void);

    /* One shift of hart `hart`, the `shift`th from 0. */
    void (*work)(unsigned hart, uint32_t shift);

    /* Whether all is as it should be after `shifts` shifts, while all harts rest. Prints what is not. */
    bool (*is_right)(uint32_t shifts);
};

extern const struct race lost_update, aba, missed_wakeup;

/* Computes something, and nothing else, in `rounds` rounds. */
uint32_t compute(unsigned rounds);

/* Ends the run: the bug has struck. The caller has printed how. */
_Noreturn void race_struck(void);

#endif
