#include "sync.h"

#include "board.h"
#include "kernel.h"

/* The mutex goes straight to the next owner: nobody can come in between. */
void mutex_lock(struct mutex *mutex)
{
    uintptr_t before = interrupts_off();
    if (!mutex->owner) {
        mutex->owner = current;
    } else {
        mutex->contended++;
        block(&mutex->waiting);
    }
    interrupts_restore(before);
}

void mutex_unlock(struct mutex *mutex)
{
    uintptr_t before = interrupts_off();
    if (mutex->owner != current)
        board_fail(0x300);
    mutex->owner = list_is_empty(&mutex->waiting) ? 0 : list_take(&mutex->waiting);
    if (mutex->owner)
        wake(mutex->owner);
    interrupts_restore(before);
}

static void wake_first(struct list *waiting)
{
    if (!list_is_empty(waiting))
        wake(list_take(waiting));
}

/* Who wakes up looks again: another may have been faster. */
void queue_send(struct queue *queue, uint32_t message)
{
    uintptr_t before = interrupts_off();
    while (queue->sent - queue->received == QUEUE_SIZE) {
        queue->full++;
        block(&queue->senders);
    }
    queue->messages[queue->sent++ % QUEUE_SIZE] = message;
    wake_first(&queue->receivers);
    interrupts_restore(before);
}

uint32_t queue_receive(struct queue *queue)
{
    uintptr_t before = interrupts_off();
    while (queue->sent == queue->received)
        block(&queue->receivers);
    uint32_t message = queue->messages[queue->received++ % QUEUE_SIZE];
    wake_first(&queue->senders);
    interrupts_restore(before);
    return message;
}
