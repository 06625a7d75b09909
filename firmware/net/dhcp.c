#include "dhcp.h"

#include <stddef.h>

#include "bytes.h"
#include "net.h"
#include "packets.h"
#include "print.h"

#define CLIENT_PORT 68
#define SERVER_PORT 67

#define BOOT_REQUEST 1
#define BOOT_REPLY 2
#define FLAG_BROADCAST 0x8000
#define COOKIE 0x63825363U

#define OPTION_PAD 0
#define OPTION_NETMASK 1
#define OPTION_ROUTER 3
#define OPTION_REQUESTED_ADDRESS 50
#define OPTION_MESSAGE_TYPE 53
#define OPTION_SERVER 54
#define OPTION_WANTED 55
#define OPTION_FILE 67
#define OPTION_END 255

/* Some servers drop what is shorter than BOOTP's messages were. */
#define OPTIONS_SIZE 64

enum message_type { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6 };

struct message {
    uint8_t operation, hardware, hardware_size, hops;
    be32 transaction;
    be16 seconds, flags;
    be32 client, yours, next_server, relay;
    uint8_t client_hardware[16], server_name[64], file[128];
    be32 cookie;
    uint8_t options[];
};

struct option {
    const uint8_t *data;
    unsigned size;
};

/* ---- what we send */

static uint8_t *put_option(uint8_t *at, uint8_t code, const uint8_t *data, uint8_t size)
{
    *at++ = code;
    *at++ = size;
    copy_bytes(at, data, size);
    return at + size;
}

static uint8_t *put_address(uint8_t *at, uint8_t code, uint32_t address)
{
    be32 bytes = to_be32(address);
    return put_option(at, code, bytes.bytes, sizeof bytes);
}

/* Answers are to be broadcast: we can't be reached otherwise yet. */
static void send_message(uint8_t type, uint32_t transaction, const struct dhcp_lease *lease)
{
    static const uint8_t wanted[] = {OPTION_NETMASK, OPTION_ROUTER, OPTION_FILE};
    struct message *message = (struct message *)udp_payload();
    clear_bytes((uint8_t *)message, sizeof *message + OPTIONS_SIZE);
    message->operation = BOOT_REQUEST;
    message->hardware = ARP_HARDWARE_ETHERNET;
    message->hardware_size = MAC_SIZE;
    message->transaction = to_be32(transaction);
    message->flags = to_be16(FLAG_BROADCAST);
    copy_bytes(message->client_hardware, net.mac, MAC_SIZE);
    message->cookie = to_be32(COOKIE);

    uint8_t *at = put_option(message->options, OPTION_MESSAGE_TYPE, &type, 1);
    if (type == REQUEST) {
        at = put_address(at, OPTION_REQUESTED_ADDRESS, lease->address);
        at = put_address(at, OPTION_SERVER, lease->server);
    }
    at = put_option(at, OPTION_WANTED, wanted, sizeof wanted);
    *at = OPTION_END;
    udp_send(IPV4_BROADCAST, SERVER_PORT, CLIENT_PORT, sizeof *message + OPTIONS_SIZE);
}

/* ---- what we get */

static struct option find_option(const struct datagram *datagram, uint8_t code)
{
    const uint8_t *end = datagram->payload + datagram->size;
    const uint8_t *at = datagram->payload + sizeof(struct message);
    while (at < end && *at != OPTION_END) {
        if (*at == OPTION_PAD) {
            at++;
            continue;
        }
        if (end - at < 2 || end - at < 2 + at[1])
            break;
        if (*at == code)
            return (struct option){.data = at + 2, .size = at[1]};
        at += 2 + at[1];
    }
    return (struct option){0};
}

/* 0 if it is not there. */
static uint32_t find_address(const struct datagram *datagram, uint8_t code)
{
    struct option option = find_option(datagram, code);
    return option.size >= sizeof(be32) ? from_be32(*(const be32 *)option.data) : 0;
}

static bool is_ours_to_read(const struct datagram *datagram, uint32_t transaction)
{
    const struct message *message = (const struct message *)datagram->payload;
    return datagram->size >= sizeof *message && message->operation == BOOT_REPLY &&
           from_be32(message->transaction) == transaction && from_be32(message->cookie) == COOKIE &&
           same_bytes(message->client_hardware, net.mac, MAC_SIZE);
}

/* Waits for a message of type `wanted`, or a NAK to it; 0 if none comes. */
static unsigned receive_message(struct datagram *datagram, uint32_t transaction, unsigned wanted)
{
    uint64_t deadline = time_now() + ANSWER_TICKS_MAX;
    while (udp_receive(datagram, CLIENT_PORT, deadline)) {
        if (!is_ours_to_read(datagram, transaction))
            continue;
        struct option type = find_option(datagram, OPTION_MESSAGE_TYPE);
        if (type.size == 1 && (*type.data == wanted || (wanted == ACK && *type.data == NAK)))
            return *type.data;
    }
    return 0;
}

static void copy_file_name(char *name, const uint8_t *bytes, unsigned size)
{
    unsigned used = 0;
    while (used < size && used < DHCP_FILE_SIZE - 1 && bytes[used]) {
        name[used] = (char)bytes[used];
        used++;
    }
    name[used] = '\0';
}

static void read_message(struct dhcp_lease *lease, const struct datagram *datagram)
{
    const struct message *message = (const struct message *)datagram->payload;
    lease->address = from_be32(message->yours);
    lease->netmask = find_address(datagram, OPTION_NETMASK);
    lease->gateway = find_address(datagram, OPTION_ROUTER);
    lease->server = find_address(datagram, OPTION_SERVER);
    lease->next_server = from_be32(message->next_server);

    struct option file = find_option(datagram, OPTION_FILE);
    if (file.size)
        copy_file_name(lease->file, file.data, file.size);
    else
        copy_file_name(lease->file, message->file, sizeof message->file);
}

/* ---- the cycle */

static bool discover(struct dhcp_lease *lease, uint32_t transaction)
{
    struct datagram datagram;
    for (unsigned retry = 0; retry <= RETRIES_MAX; retry++) {
        lease->discover_time = time_now();
        send_message(DISCOVER, transaction, lease);
        if (receive_message(&datagram, transaction, OFFER)) {
            lease->offer_time = datagram.time;
            read_message(lease, &datagram);
            return true;
        }
        print("dhcp: no OFFER within %u s\n", ANSWER_SECONDS_MAX);
    }
    return false;
}

static bool request(struct dhcp_lease *lease, uint32_t transaction)
{
    struct datagram datagram;
    for (unsigned retry = 0; retry <= RETRIES_MAX; retry++) {
        send_message(REQUEST, transaction, lease);
        unsigned type = receive_message(&datagram, transaction, ACK);
        if (type == ACK) {
            lease->ack_time = datagram.time;
            read_message(lease, &datagram);
            return true;
        }
        if (type == NAK) {
            print("dhcp: NAK\n");
            return false;
        }
        print("dhcp: no ACK within %u s\n", ANSWER_SECONDS_MAX);
    }
    return false;
}

bool dhcp_cycle(struct dhcp_lease *lease, uint32_t transaction)
{
    net.address = net.netmask = net.gateway = 0;
    if (!discover(lease, transaction) || !request(lease, transaction))
        return false;
    net.address = lease->address;
    net.netmask = lease->netmask;
    net.gateway = lease->gateway;
    return true;
}
