/* The parts of `mix`. Each does its work in rounds and returns a checksum, the same on every correct machine. */
#ifndef WORK_H
#define WORK_H

#include <stdint.h>

/* Copies half of a stretch of memory to its other half, then changes words all over it, each found by the one before.
 */
uint32_t work_memory(uint32_t rounds);

/* Moves five bodies by their gravity, one small step a round: products, sums, a root and a quotient, all double. */
uint32_t work_floats(uint32_t rounds);

/* Prints a line a round, polling the UART for each character. */
uint32_t work_lines(uint32_t rounds);

/* Lets the UART interrupt through the PLIC, once a round, and waits for it in WFI. */
uint32_t work_interrupts(uint32_t rounds);

/* One step of FNV-1a, a word at a time. */
static inline uint32_t mix(uint32_t checksum, uint32_t word)
{
    return (checksum ^ word) * 16777619;
}

#endif
