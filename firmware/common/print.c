#include "print.h"

#include <stdarg.h>
#include <stdint.h>

#include "board.h"
#include "format.h"

static void put_char(char c)
{
    while (!(*mmio8(UART_BASE + UART_LSR) & UART_LSR_THRE))
        ;
    *mmio8(UART_BASE + UART_THR) = (uint8_t)c;
}

__attribute__((weak)) void print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_format(format, &arguments);
    va_end(arguments);
}
