/* Gets an address by DHCP and fetches the boot file by TFTP; prints its size and CRC-32.
 *
 * The server names the file, or else it is hello.txt. Asks for blocks of 1024 bytes, takes 512 from a server that
 * knows no options. Ends with code 3 if the server reports an error.
 *
 * Lines that start with `t:` hold times and differ between machines; all others are the same everywhere.
 * Source: RFC 1350, RFC 2347 to 2349.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../net/bytes.h"
#include "../net/dhcp.h"
#include "../net/net.h"
#include "board.h"
#include "crc32.h"
#include "print.h"

#define TRANSACTION 0x5eed0100U
#define DEFAULT_FILE "hello.txt"
#define DEFAULT_SERVER 0x0a000202U
#define REFUSED 3

#define SERVER_PORT 69
#define CLIENT_PORT 49152

#define DEFAULT_BLOCK_SIZE 512
#define WANTED_BLOCK_SIZE 1024

/* Opcode, and block number or error code. */
#define HEADER_SIZE 4

enum opcode { READ_REQUEST = 1, DATA = 3, ACK = 4, ERROR = 5, OPTIONS_ACK = 6 };

#define ERROR_OPTIONS_REFUSED 8

static struct {
    const char *file;
    uint32_t server;
    uint16_t port;     /* where all must come from; 0 until the server has answered */
    bool without_options;
    uint16_t block;    /* the last one that came; the count wraps */
    uint32_t block_size;
    bool has_begun;
    uint32_t promised_size;
    bool has_promised_size;
    uint32_t size, crc;
    bool is_complete;
} transfer;

/* ---- what we send */

static uint8_t *put_text(uint8_t *at, const char *text)
{
    do
        *at++ = (uint8_t)*text;
    while (*text++);
    return at;
}

static void send_request(void)
{
    uint8_t *packet = udp_payload();
    packet[0] = 0;
    packet[1] = READ_REQUEST;
    uint8_t *at = put_text(put_text(packet + 2, transfer.file), "octet");
    if (!transfer.without_options) {
        at = put_text(put_text(at, "blksize"), "1024");
        at = put_text(put_text(at, "tsize"), "0");
    }
    udp_send(transfer.server, SERVER_PORT, CLIENT_PORT, (unsigned)(at - packet));
}

static void send_ack(void)
{
    uint8_t *packet = udp_payload();
    *(be16 *)packet = to_be16(ACK);
    *(be16 *)(packet + 2) = to_be16(transfer.block);
    udp_send(transfer.server, transfer.port, CLIENT_PORT, HEADER_SIZE);
}

/* What the server should answer next: also what to send again when it does not. */
static void send_next(void)
{
    if (transfer.port)
        send_ack();
    else
        send_request();
}

/* ---- what we get */

/* A file name or message, as far as it can be shown. */
static void print_text(const uint8_t *text, unsigned size)
{
    for (unsigned i = 0; i < size && text[i]; i++)
        print("%c", text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
}

static void on_error(const struct datagram *datagram)
{
    unsigned code = from_be16(*(const be16 *)(datagram->payload + 2));
    if (code == ERROR_OPTIONS_REFUSED && !transfer.without_options) {
        transfer.without_options = true;
        transfer.port = 0;
        send_request();
        return;
    }
    print("tftp: error %u: ", code);
    print_text(datagram->payload + HEADER_SIZE, datagram->size - HEADER_SIZE);
    print("\n");
    board_fail(REFUSED);
}

/* The text at `*at`, which moves behind it; null if it has no end. */
static const char *next_text(const uint8_t **at, const uint8_t *end)
{
    const char *text = (const char *)*at;
    while (*at < end)
        if (!*(*at)++)
            return text;
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    while (*a && (*a | 0x20) == *b)
        a++, b++;
    return !*a && !*b;
}

static uint32_t to_number(const char *text)
{
    uint32_t value = 0;
    while (*text >= '0' && *text <= '9')
        value = 10 * value + (uint32_t)(*text++ - '0');
    return value;
}

static void on_options(const struct datagram *datagram)
{
    const uint8_t *at = datagram->payload + 2, *end = datagram->payload + datagram->size;
    const char *name, *value;
    while ((name = next_text(&at, end)) && (value = next_text(&at, end))) {
        if (same_text(name, "blksize"))
            transfer.block_size = to_number(value);
        if (same_text(name, "tsize")) {
            transfer.promised_size = to_number(value);
            transfer.has_promised_size = true;
        }
    }
    if (transfer.block_size == 0 || transfer.block_size > WANTED_BLOCK_SIZE) {
        print("tftp: blocks of %u bytes, asked for %u\n", (unsigned)transfer.block_size, WANTED_BLOCK_SIZE);
        board_fail(NET_FAILED);
    }
    send_ack();
}

/* A block that came before is acknowledged again: our answer to it may be lost. */
static void on_data(const struct datagram *datagram)
{
    uint16_t block = from_be16(*(const be16 *)(datagram->payload + 2));
    uint32_t size = datagram->size - HEADER_SIZE;
    if (block == (uint16_t)(transfer.block + 1)) {
        transfer.block = block;
        transfer.has_begun = true;
        transfer.size += size;
        transfer.crc = crc32(transfer.crc, datagram->payload + HEADER_SIZE, size);
        transfer.is_complete = size < transfer.block_size;
    } else if (block != transfer.block) {
        return;
    }
    send_ack();
}

static bool is_from_server(const struct datagram *datagram)
{
    if (datagram->source != transfer.server || datagram->size < HEADER_SIZE)
        return false;
    return !transfer.port || datagram->source_port == transfer.port;
}

static void on_datagram(const struct datagram *datagram)
{
    transfer.port = datagram->source_port;
    switch (from_be16(*(const be16 *)datagram->payload)) {
    case DATA: on_data(datagram); break;
    case ERROR: on_error(datagram); break;
    case OPTIONS_ACK:
        if (!transfer.has_begun)
            on_options(datagram);
        break;
    }
}

/* ---- the transfer */

static bool receive_from_server(struct datagram *datagram)
{
    uint64_t deadline = time_now() + ANSWER_TICKS_MAX;
    while (udp_receive(datagram, CLIENT_PORT, deadline))
        if (is_from_server(datagram))
            return true;
    return false;
}

static void fetch(void)
{
    struct datagram datagram;
    unsigned retries = 0;
    transfer.block_size = DEFAULT_BLOCK_SIZE;
    send_next();
    while (!transfer.is_complete) {
        if (receive_from_server(&datagram)) {
            retries = 0;
            on_datagram(&datagram);
            continue;
        }
        print("tftp: no answer within %u s\n", ANSWER_SECONDS_MAX);
        if (retries++ == RETRIES_MAX)
            board_fail(NET_FAILED);
        send_next();
    }
}

static void choose_file_and_server(const struct dhcp_lease *lease)
{
    transfer.file = *lease->file ? lease->file : DEFAULT_FILE;
    transfer.server = lease->next_server ? lease->next_server : lease->server ? lease->server : DEFAULT_SERVER;
}

static void report(uint64_t ticks)
{
    print("t: fetched in %llu ns, blocks of %u bytes\n", ticks_to_ns(ticks), (unsigned)transfer.block_size);
    print_text((const uint8_t *)transfer.file, DHCP_FILE_SIZE);
    print(": %u bytes, crc32 ", (unsigned)transfer.size);
    print_hex(transfer.crc, 8);
    print("\n");
    if (transfer.has_promised_size && transfer.promised_size != transfer.size) {
        print("FAIL the server promised %u bytes\n", (unsigned)transfer.promised_size);
        board_fail(NET_FAILED);
    }
}

int main(void)
{
    static struct dhcp_lease lease;
    net_start();
    if (!dhcp_cycle(&lease, TRANSACTION)) {
        print("no lease\n");
        board_fail(NET_FAILED);
    }
    print("leased ");
    print_address(lease.address);
    print("\n");

    choose_file_and_server(&lease);
    if (!net_resolve(transfer.server))
        board_fail(NET_FAILED);
    uint64_t start = time_now();
    fetch();
    report(time_now() - start);
    return 0;
}
