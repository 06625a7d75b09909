#include "kernel.h"

#include "board.h"
#include "csr.h"
#include "frame.h"

#define CANARY ((uintptr_t)0xdeadc0de5afe57acULL)
#define STACK_WORDS (STACK_SIZE / sizeof(uintptr_t))

extern void trap_entry(void);

static struct task idle = {.name = "idle", .priority = PRIORITY_IDLE, .state = STATE_RUNNING};

struct task *current = &idle;
struct kernel_counts kernel_counts;
bool timers_in_order = true, stacks_intact = true;

static struct list ready[PRIORITY_COUNT];
static struct task *first_timer;
static uint64_t slice_end = CLINT_NEVER;
static volatile uint32_t tasks_alive;

uintptr_t interrupts_off(void)
{
    uintptr_t before = csr_read(mstatus) & MSTATUS_MIE;
    csr_clear(mstatus, MSTATUS_MIE);
    return before;
}

void interrupts_restore(uintptr_t before)
{
    csr_set(mstatus, before);
}

/* Lets the kernel choose again. */
static void reschedule(void)
{
    __asm__ volatile("ecall" ::: "memory");
}

/* ---- timers: a list of sleepers, the next to wake first; among equals the first to sleep */

static void add_timer(struct task *task)
{
    struct task **link = &first_timer;
    while (*link && (*link)->deadline <= task->deadline)
        link = &(*link)->next_timer;
    task->next_timer = *link;
    *link = task;
}

static void check_timers(void)
{
    for (const struct task *task = first_timer; task && task->next_timer; task = task->next_timer)
        timers_in_order &= task->deadline <= task->next_timer->deadline;
}

static void make_ready(struct task *task)
{
    task->state = STATE_READY;
    list_append(&ready[task->priority], task);
}

static bool expire_timers(uint64_t now)
{
    bool any = false;
    for (; first_timer && first_timer->deadline <= now; any = true) {
        struct task *task = first_timer;
        first_timer = task->next_timer;
        make_ready(task);
    }
    return any;
}

/* ---- the choice of a task */

static enum priority best_ready(void)
{
    unsigned priority = PRIORITY_COUNT;
    while (--priority > PRIORITY_IDLE && list_is_empty(&ready[priority]))
        ;
    return (enum priority)priority;
}

static bool has_ready_equal(const struct task *task)
{
    return task->priority != PRIORITY_IDLE && !list_is_empty(&ready[task->priority]);
}

/* One that is preempted stays the first of its equals; one whose slice is used up becomes the last. */
static void put_back(struct task *task, bool slice_used_up)
{
    task->state = STATE_READY;
    if (slice_used_up) {
        task->slices_used_up++;
        list_append(&ready[task->priority], task);
    } else {
        task->preempted++;
        list_prepend(&ready[task->priority], task);
    }
}

/* The idle task is in no list: it runs when there is nothing else. */
static struct task *take_best(void)
{
    enum priority priority = best_ready();
    return list_is_empty(&ready[priority]) ? &idle : list_take(&ready[priority]);
}

static struct task *choose(bool slice_used_up)
{
    if (current->state == STATE_RUNNING && current != &idle) {
        bool gives_way = slice_used_up && has_ready_equal(current);
        if (!gives_way && best_ready() <= current->priority)
            return current;
        put_back(current, gives_way);
    }
    return take_best();
}

/* The next deadline, and the end of the slice if there is an equal to run then. There is no other tick. */
static void program_timer(void)
{
    uint64_t next = first_timer ? first_timer->deadline : CLINT_NEVER;
    if (has_ready_equal(current) && slice_end < next)
        next = slice_end;
    clint_set_mtimecmp(next);
}

static void check_stack(const struct task *task)
{
    for (unsigned i = 0; task->stack && i < CANARY_WORDS; i++)
        stacks_intact &= task->stack[i] == CANARY;
}

static void switch_to(struct task *task)
{
    if (task == current)
        return;
    check_stack(current);
    kernel_counts.switches++;
    task->state = STATE_RUNNING;
    current = task;
    slice_end = clint_mtime() + SLICE_TICKS;
}

/* Returns whether the slice of the current task is used up. */
static bool on_timer(void)
{
    uint64_t now = clint_mtime();
    kernel_counts.timer_interrupts++;
    bool expired = expire_timers(now);
    bool used_up = now >= slice_end;
    if (!expired && !used_up)
        kernel_counts.interrupts_without_reason++;
    return used_up;
}

/* Any other trap is a bug, and the host sees its cause as the exit code. */
void *kernel_trap(uintptr_t *frame)
{
    bool slice_used_up = false;
    uintptr_t cause = csr_read(mcause);
    switch (cause) {
    case CAUSE_INTERRUPT | IRQ_MTI: slice_used_up = on_timer(); break;
    case CAUSE_ECALL_M: frame[FRAME_MEPC] += 4; break;
    default: board_fail(0x100 | (uint8_t)cause);
    }
    current->frame = frame;
    check_timers();
    switch_to(choose(slice_used_up));
    /* One that goes on alone gets a new slice when its equal arrives late. */
    if (slice_used_up)
        slice_end = clint_mtime() + SLICE_TICKS;
    program_timer();
    return current->frame;
}

/* ---- what tasks call */

void sleep_until(uint64_t deadline)
{
    uintptr_t before = interrupts_off();
    current->deadline = deadline;
    current->state = STATE_SLEEPING;
    add_timer(current);
    reschedule();
    interrupts_restore(before);
}

void block(struct list *waiting)
{
    current->state = STATE_BLOCKED;
    list_append(waiting, current);
    reschedule();
}

void wake(struct task *task)
{
    make_ready(task);
    reschedule();
}

/* Where a task returns to. */
static void end_task(void)
{
    interrupts_off();
    current->state = STATE_ENDED;
    tasks_alive--;
    reschedule();
    board_fail(0x200);
}

void task_create(struct task *task, uintptr_t *stack, void (*entry)(void))
{
    for (unsigned i = 0; i < STACK_WORDS; i++)
        stack[i] = CANARY;
    uintptr_t *frame = stack + STACK_WORDS - FRAME_SIZE / sizeof *frame;
    for (unsigned i = 0; i < FRAME_SIZE / sizeof *frame; i++)
        frame[i] = 0;
    frame[FRAME_MEPC] = (uintptr_t)entry;
    frame[FRAME_RA] = (uintptr_t)end_task;
    frame[FRAME_MSTATUS] = MSTATUS_MPP | MSTATUS_MPIE | MSTATUS_FS_INITIAL;
    __asm__ volatile("mv %0, gp" : "=r"(frame[FRAME_GP]));

    task->stack = stack;
    task->frame = frame;
    tasks_alive++;
    make_ready(task);
}

void kernel_start(void)
{
    csr_write(mtvec, (uintptr_t)trap_entry | TVEC_DIRECT);
    clint_set_mtimecmp(CLINT_NEVER);
    csr_set(mie, 1UL << IRQ_MTI);
}

/* Interrupts are off between test and WFI, or the end of the last task could come in between; WFI wakes up all the
 * same. */
void idle_until_all_ended(void)
{
    reschedule();
    while (tasks_alive) {
        kernel_counts.idle_sleeps++;
        __asm__ volatile("wfi");
        csr_set(mstatus, MSTATUS_MIE);
        csr_clear(mstatus, MSTATUS_MIE);
    }
    clint_set_mtimecmp(CLINT_NEVER);
}
