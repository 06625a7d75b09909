/* A host on an IPv4 network: addresses, ARP, UDP and ping. One thing at a time, nothing happens between two calls.
 *
 * Addresses are numbers here, 10.0.2.2 is 0x0a000202. Times and deadlines are ticks of the `time` register.
 */
#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stdint.h>

#include "nic.h"
#include "time.h"

/* An answer that takes longer is lost; a request is sent again up to so many times. */
#define ANSWER_SECONDS_MAX 2
#define ANSWER_TICKS_MAX (ANSWER_SECONDS_MAX * (uint64_t)TIMEBASE_HZ)
#define RETRIES_MAX 3

/* Exit code of the images when there was no answer, or a wrong one. */
#define NET_FAILED 1

struct net_host {
    uint8_t mac[MAC_SIZE];
    uint32_t address;    /* 0 while there is none */
    uint32_t netmask, gateway;
};

struct datagram {
    uint64_t time;
    uint32_t source;
    uint16_t source_port;
    const uint8_t *payload;
    unsigned size;
};

/* This host. */
extern struct net_host net;

/* Starts the network card. Ends the run if there is none. */
void net_start(void);

/* Where to put what udp_send is to send. */
uint8_t *udp_payload(void);

/* Sends that to a host whose MAC is known, or to 255.255.255.255. */
void udp_send(uint32_t destination, uint16_t destination_port, uint16_t source_port, unsigned size);

/* Waits for a datagram to `port`; drops all others. */
bool udp_receive(struct datagram *datagram, uint16_t port, uint64_t deadline);

/* Finds the MAC of `address`, or of the gateway to it, and keeps it for what is sent next. */
bool net_resolve(uint32_t address);

/* Sends one echo request and waits for its reply; the time it took goes to `ticks`. */
bool net_ping(uint32_t address, uint16_t sequence, uint64_t *ticks);

/* Without a line end. */
void print_address(uint32_t address);
void print_mac(const uint8_t *mac);

/* All of `digits` hexadecimal digits, leading zeros too. */
void print_hex(uint32_t value, unsigned digits);

#endif
