#include "print.h"
#include "work.h"

uint32_t work_lines(uint32_t rounds)
{
    for (uint32_t round = 0; round < rounds; round++)
        print("0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXY\n");
    return rounds;
}
