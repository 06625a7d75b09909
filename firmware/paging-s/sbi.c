/* Console and end of the run by way of the firmware below, in place of the UART and the finisher. */

#include "sbi.h"

#include <stdarg.h>

#include "board.h"
#include "format.h"
#include "print.h"

static void put_char(char c)
{
    sbi_call(SBI_LEGACY_PUTCHAR, 0, (uint8_t)c, 0);
}

void print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_format(format, &arguments);
    va_end(arguments);
}

static _Noreturn void shut_down(uintptr_t reason)
{
    sbi_call(SBI_EXTENSION_RESET, 0, SBI_RESET_SHUTDOWN, reason);
    for (;;)
        __asm__ volatile("wfi");
}

_Noreturn void board_pass(void)
{
    shut_down(SBI_REASON_NONE);
}

/* There is no way to pass the code on. */
_Noreturn void board_fail(unsigned code)
{
    (void)code;
    shut_down(SBI_REASON_FAILURE);
}
