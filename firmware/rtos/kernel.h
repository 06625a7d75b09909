/* A preemptive scheduler in M-mode: fixed priorities, time slices among equals, tickless.
 *
 * Tasks call these functions; all changes of task happen in the trap handler.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "list.h"

enum priority { PRIORITY_IDLE, PRIORITY_NORMAL, PRIORITY_HIGH, PRIORITY_COUNT };

/* A third of a millisecond, in ticks of mtime. */
#define SLICE_TICKS 3333

#define STACK_SIZE 4096
#define CANARY_WORDS 8

enum state { STATE_READY, STATE_RUNNING, STATE_SLEEPING, STATE_BLOCKED, STATE_ENDED };

struct task {
    const char *name;
    enum priority priority;
    enum state state;
    void *frame;                /* while it does not run */
    struct task *next;          /* in a ready or waiting list */
    uint64_t deadline;          /* in ticks, while it sleeps */
    struct task *next_timer;    /* the sleeper after it */
    volatile uint32_t slices_used_up;   /* how often it had to give way to an equal */
    volatile uint32_t preempted;        /* how often to a higher priority */
    uintptr_t *stack;           /* 0 for the idle task, which has that of main */
};

struct kernel_counts {
    uint32_t switches, timer_interrupts, idle_sleeps;
    uint32_t interrupts_without_reason;
};

extern struct task *current;
extern struct kernel_counts kernel_counts;

/* Whether the timer queue was in order, and all stacks within their bounds, whenever the kernel looked. */
extern bool timers_in_order, stacks_intact;

/* Makes the caller the idle task, and traps come to the kernel. */
void kernel_start(void);

/* `task` has its name and priority. It runs `entry` from the next reschedule on, and ends when that returns. */
void task_create(struct task *task, uintptr_t *stack, void (*entry)(void));

/* Sleeps until no task is left. For the idle task. */
void idle_until_all_ended(void);

/* Sleeps until `deadline`, in ticks; a deadline that has passed is no reason to fail. */
void sleep_until(uint64_t deadline);

/* For what makes tasks wait: with interrupts off, `block` waits in a list and `wake` ends that of another task. */
uintptr_t interrupts_off(void);
void interrupts_restore(uintptr_t before);
void block(struct list *waiting);
void wake(struct task *task);

#endif
