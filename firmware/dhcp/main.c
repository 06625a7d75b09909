/* Gets an address by DHCP four times, each time anew, then pings the gateway.
 *
 * How it waits for the network card is the other file's choice: shared.c here, and in dhcp-wfi/.
 * Lines that start with `t:` hold times and differ between machines; all others are the same everywhere.
 */

#include <stdint.h>

#include "../net/dhcp.h"
#include "../net/net.h"
#include "board.h"
#include "print.h"

#define CYCLES 4

/* Each cycle has a transaction of its own: an answer to the one before does not count. */
#define FIRST_TRANSACTION 0x5eed0001U

/* QEMU's user network, if the server names no router. */
#define DEFAULT_GATEWAY 0x0a000202U

static void run_cycle(unsigned cycle)
{
    static struct dhcp_lease lease;
    if (!dhcp_cycle(&lease, FIRST_TRANSACTION + cycle - 1)) {
        print("cycle %u: no lease\n", cycle);
        board_fail(NET_FAILED);
    }
    print("t: cycle %u: discover at %llu ns, offer at %llu ns, ack at %llu ns\n", cycle,
          ticks_to_ns(lease.discover_time), ticks_to_ns(lease.offer_time), ticks_to_ns(lease.ack_time));
    print("cycle %u: leased ", cycle);
    print_address(lease.address);
    print("\n");
}

static void ping(uint32_t address)
{
    uint64_t ticks;
    for (unsigned retry = 0; retry <= RETRIES_MAX; retry++) {
        if (net_ping(address, (uint16_t)(retry + 1), &ticks)) {
            print("t: ping took %llu ns\n", ticks_to_ns(ticks));
            print_address(address);
            print(" answers\n");
            return;
        }
        print("ping: no reply within %u s\n", ANSWER_SECONDS_MAX);
    }
    board_fail(NET_FAILED);
}

int main(void)
{
    net_start();
    for (unsigned cycle = 1; cycle <= CYCLES; cycle++)
        run_cycle(cycle);

    uint32_t gateway = net.gateway ? net.gateway : DEFAULT_GATEWAY;
    if (!net_resolve(gateway))
        board_fail(NET_FAILED);
    ping(gateway);
    return 0;
}
