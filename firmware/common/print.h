/* Polled output on the first UART. */
#ifndef PRINT_H
#define PRINT_H

/* A small printf: %s, %c, %d, %u, %x and %%, integers also with `l` or `ll`; no widths or flags. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
