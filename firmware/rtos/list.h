/* First in, first out lists of tasks. A task is in one such list at most. */
#ifndef LIST_H
#define LIST_H

#include <stdbool.h>

struct task;

struct list {
    struct task *first, *last;
};

bool list_is_empty(const struct list *list);
void list_append(struct list *list, struct task *task);
void list_prepend(struct list *list, struct task *task);

/* The list must not be empty. */
struct task *list_take(struct list *list);

#endif
