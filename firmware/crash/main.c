/* Dies of a store to nowhere, three calls deep and with no trap handler: what the host reports is the point. */

#include "board.h"
#include "print.h"

/* No device here. QEMU's PCIe window at this address swallows the store, and the image then says so and fails. */
#define NOWHERE 0x40000000UL

static __attribute__((noinline)) void store_word(uintptr_t address, uint32_t value)
{
    *mmio32(address) = value;
}

static __attribute__((noinline)) void save_record(uintptr_t base, uint32_t index)
{
    store_word(base + index * sizeof index, index);
    print("record %u saved\n", (unsigned)index);
}

static __attribute__((noinline)) void save_all(uintptr_t base)
{
    for (uint32_t index = 0; index < 3; index++)
        save_record(base, index);
}

int main(void)
{
    print("about to crash\n");
    save_all(NOWHERE);
    print("nothing stopped the store\n");
    board_fail(1);
}
