#include "list.h"

#include "kernel.h"

bool list_is_empty(const struct list *list)
{
    return !list->first;
}

void list_append(struct list *list, struct task *task)
{
    task->next = 0;
    if (list->first)
        list->last->next = task;
    else
        list->first = task;
    list->last = task;
}

void list_prepend(struct list *list, struct task *task)
{
    task->next = list->first;
    if (!list->first)
        list->last = task;
    list->first = task;
}

struct task *list_take(struct list *list)
{
    struct task *task = list->first;
    list->first = task->next;
    return task;
}
