/* What a command line needs of strings. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stdint.h>

static inline bool text_equals(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* Takes the next word off a line, which is changed; an empty one at its end. */
static inline const char *text_word(char **line)
{
    while (**line == ' ')
        ++*line;
    const char *word = *line;
    while (**line && **line != ' ')
        ++*line;
    if (**line)
        *(*line)++ = '\0';
    return word;
}

/* Reads a decimal number below 10,000; false if the text is none. */
static inline bool text_number(const char *text, uint32_t *number)
{
    *number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && at < text + 4; at++)
        *number = *number * 10 + (uint32_t)(*at - '0');
    return at != text && !*at;
}

#endif
