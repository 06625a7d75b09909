/* A DHCP client. Source: RFC 2131, RFC 2132. */
#ifndef DHCP_H
#define DHCP_H

#include <stdbool.h>
#include <stdint.h>

#define DHCP_FILE_SIZE 256

struct dhcp_lease {
    uint64_t discover_time, offer_time, ack_time;    /* in ticks */
    uint32_t address, netmask, gateway;
    uint32_t server;         /* the DHCP server */
    uint32_t next_server;    /* the one that has the boot file, or 0 */
    char file[DHCP_FILE_SIZE];    /* the boot file, or an empty string */
};

/* A whole cycle from DISCOVER to ACK; this host has the address then. Says so if there is no answer. */
bool dhcp_cycle(struct dhcp_lease *lease, uint32_t transaction);

#endif
