/* What print makes of its arguments. For files that define a `put_char` and include this. */
#ifndef FORMAT_H
#define FORMAT_H

#include <stdarg.h>
#include <stdint.h>

static void put_char(char c);

static void put_string(const char *text)
{
    while (*text)
        put_char(*text++);
}

/* Divides in place and returns the remainder; 16 bits at a time, as rv32 has no 64-bit division without a library. */
static unsigned divide_by_ten(uint64_t *value)
{
    uint64_t quotient = 0;
    uint32_t rest = 0;
    for (int shift = 48; shift >= 0; shift -= 16) {
        uint32_t part = rest << 16 | (uint16_t)(*value >> shift);
        quotient = quotient << 16 | part / 10;
        rest = part % 10;
    }
    *value = quotient;
    return rest;
}

static void put_decimal(uint64_t value)
{
    char digits[21];
    char *first = &digits[20];
    *first = '\0';
    do
        *--first = (char)('0' + divide_by_ten(&value));
    while (value);
    put_string(first);
}

static void put_signed(int64_t value)
{
    if (value < 0)
        put_char('-');
    put_decimal(value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static void put_hex(uint64_t value)
{
    int shift = 60;
    while (shift > 0 && !(value >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put_char("0123456789abcdef"[value >> shift & 0xf]);
}

static uint64_t next_unsigned(va_list *arguments, int longs)
{
    if (longs == 2)
        return va_arg(*arguments, unsigned long long);
    return longs ? va_arg(*arguments, unsigned long) : va_arg(*arguments, unsigned);
}

static int64_t next_signed(va_list *arguments, int longs)
{
    if (longs == 2)
        return va_arg(*arguments, long long);
    return longs ? va_arg(*arguments, long) : va_arg(*arguments, int);
}

static void put_conversion(char conversion, int longs, va_list *arguments)
{
    switch (conversion) {
    case 's': put_string(va_arg(*arguments, const char *)); break;
    case 'c': put_char((char)va_arg(*arguments, int)); break;
    case 'd': put_signed(next_signed(arguments, longs)); break;
    case 'u': put_decimal(next_unsigned(arguments, longs)); break;
    case 'x': put_hex(next_unsigned(arguments, longs)); break;
    default: put_char(conversion);
    }
}

static void put_format(const char *format, va_list *arguments)
{
    for (; *format; format++) {
        if (*format != '%') {
            put_char(*format);
            continue;
        }
        int longs = 0;
        while (*++format == 'l')
            longs++;
        put_conversion(*format, longs, arguments);
    }
}

#endif
