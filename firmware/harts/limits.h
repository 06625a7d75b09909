/* How many harts there may be and what each gets. For assembly too. */
#ifndef HARTS_LIMITS_H
#define HARTS_LIMITS_H

#define HARTS_MAX 8

/* 2 KB each: all of them are the stack of link.ld. */
#define HART_STACK_SHIFT 11

#endif
