/* The image `dhcp`, asleep while it waits. */

#include "../dhcp/main.c"
