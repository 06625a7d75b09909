/* How tasks wait for each other: a mutex and a queue of messages. Both serve waiters in the order they came. */
#ifndef SYNC_H
#define SYNC_H

#include <stdint.h>

#include "list.h"

struct mutex {
    struct task *owner;
    struct list waiting;
    volatile uint32_t contended;    /* how often a task had to wait */
};

void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

#define QUEUE_SIZE 4

struct queue {
    uint32_t messages[QUEUE_SIZE];
    uint32_t sent, received;    /* how many ever */
    struct list senders, receivers;
    uint32_t full;              /* how often a task had to wait to send */
};

/* Waits while the queue is full. */
void queue_send(struct queue *queue, uint32_t message);

/* Waits while it is empty. */
uint32_t queue_receive(struct queue *queue);

#endif
