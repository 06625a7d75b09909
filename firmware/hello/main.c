/* The smallest image: one greeting, the hart id, pass. */

#include "csr.h"
#include "print.h"

int main(void)
{
    print("hello from minstret, rv%d\n", __riscv_xlen);
    print("hart %lu\n", (unsigned long)csr_read(mhartid));
    return 0;
}
