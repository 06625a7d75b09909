/* The console: bytes come by interrupt, lines are taken by main. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include "room.h"

#define LINE_SIZE 32

extern struct config cfg;

void console_start(void);

/* The UART's interrupt: takes what has come. */
void console_receive(void);

/* Waits for a line and echoes it; without its end, and valid up to the next call. */
char *console_line(void);

#endif
