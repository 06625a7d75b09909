#include "net.h"

#include "bytes.h"
#include "packets.h"
#include "print.h"

#define HOPS 64
#define PING_ID 0x6d69
#define PING_SIZE 32

struct net_host net;

static const uint8_t broadcast_mac[MAC_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* The one host we talk to: all that is not broadcast goes there. */
static struct {
    uint32_t address;
    uint8_t mac[MAC_SIZE];
    bool is_known;
} neighbour;

struct ipv4_packet {
    uint64_t time;
    uint32_t source, destination;
    const uint8_t *payload;
    unsigned size;
};

/* ---- checksums */

static uint32_t sum_words(uint32_t sum, const uint8_t *bytes, unsigned size)
{
    for (unsigned i = 0; i + 1 < size; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    if (size % 2)
        sum += (uint32_t)bytes[size - 1] << 8;
    return sum;
}

/* Over data that holds its own checksum, 0 means that it is right. */
static uint16_t checksum(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static uint32_t sum_udp(uint32_t source, uint32_t destination, const uint8_t *packet, unsigned size)
{
    uint32_t pseudo_header = (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff);
    return sum_words(pseudo_header + PROTOCOL_UDP + size, packet, size);
}

/* ---- Ethernet and ARP */

static void fill_ethernet(struct ethernet_header *ethernet, const uint8_t *destination, unsigned type)
{
    copy_bytes(ethernet->destination, destination, MAC_SIZE);
    copy_bytes(ethernet->source, net.mac, MAC_SIZE);
    ethernet->type = to_be16(type);
}

static void send_arp(unsigned operation, uint32_t target_ip, const uint8_t *target_mac)
{
    struct arp_frame *frame = (struct arp_frame *)nic_frame();
    fill_ethernet(&frame->ethernet, operation == ARP_REQUEST ? broadcast_mac : target_mac, ETHERTYPE_ARP);

    struct arp_packet *arp = &frame->arp;
    arp->hardware = to_be16(ARP_HARDWARE_ETHERNET);
    arp->protocol = to_be16(ETHERTYPE_IPV4);
    arp->hardware_size = MAC_SIZE;
    arp->protocol_size = sizeof arp->sender_ip;
    arp->operation = to_be16(operation);
    copy_bytes(arp->sender_mac, net.mac, MAC_SIZE);
    arp->sender_ip = to_be32(net.address);
    copy_bytes(arp->target_mac, target_mac, MAC_SIZE);
    arp->target_ip = to_be32(target_ip);
    nic_send(sizeof *frame);
}

/* Answers questions about us, and learns from answers to ours. */
static void on_arp(const struct arp_packet *arp)
{
    uint32_t sender = from_be32(arp->sender_ip);
    unsigned operation = from_be16(arp->operation);
    if (!net.address || from_be32(arp->target_ip) != net.address)
        return;
    if (operation == ARP_REQUEST) {
        send_arp(ARP_REPLY, sender, arp->sender_mac);
    } else if (operation == ARP_REPLY && sender == neighbour.address) {
        copy_bytes(neighbour.mac, arp->sender_mac, MAC_SIZE);
        neighbour.is_known = true;
    }
}

/* Waits for any frame that is for us; ARP is served here already. */
static bool receive_frame(struct frame *frame, uint64_t deadline)
{
    for (;;) {
        if (!nic_receive(frame, deadline))
            return false;
        const struct arp_frame *arp = (const struct arp_frame *)frame->bytes;
        const uint8_t *destination = arp->ethernet.destination;
        if (frame->size < sizeof *arp)
            continue;
        if (!same_bytes(destination, net.mac, MAC_SIZE) && !same_bytes(destination, broadcast_mac, MAC_SIZE))
            continue;
        if (from_be16(arp->ethernet.type) == ETHERTYPE_ARP)
            on_arp(&arp->arp);
        return true;
    }
}

static bool wait_for_neighbour(uint64_t deadline)
{
    struct frame frame;
    while (!neighbour.is_known)
        if (!receive_frame(&frame, deadline))
            return false;
    return true;
}

static uint32_t next_hop(uint32_t address)
{
    bool is_near = !((address ^ net.address) & net.netmask);
    return is_near || !net.gateway ? address : net.gateway;
}

bool net_resolve(uint32_t address)
{
    neighbour.address = next_hop(address);
    neighbour.is_known = false;
    for (unsigned retry = 0; retry <= RETRIES_MAX; retry++) {
        send_arp(ARP_REQUEST, neighbour.address, (const uint8_t[MAC_SIZE]){0});
        if (wait_for_neighbour(time_now() + ANSWER_TICKS_MAX)) {
            print_address(neighbour.address);
            print(" is at ");
            print_mac(neighbour.mac);
            print("\n");
            return true;
        }
        print("arp: no reply within %u s\n", ANSWER_SECONDS_MAX);
    }
    return false;
}

/* ---- IPv4 */

static uint8_t *ipv4_payload(void)
{
    return ((struct ipv4_frame *)nic_frame())->payload;
}

static void ipv4_send(uint32_t destination, uint8_t protocol, unsigned size)
{
    static uint16_t id;
    struct ipv4_frame *frame = (struct ipv4_frame *)nic_frame();
    const uint8_t *mac = destination == IPV4_BROADCAST ? broadcast_mac : neighbour.mac;
    fill_ethernet(&frame->ethernet, mac, ETHERTYPE_IPV4);

    struct ipv4_header *ip = &frame->ip;
    ip->version_and_words = IPV4_VERSION_5_WORDS;
    ip->service = 0;
    ip->size = to_be16(sizeof *ip + size);
    ip->id = to_be16(++id);
    ip->fragment = to_be16(0);
    ip->hops = HOPS;
    ip->protocol = protocol;
    ip->checksum = to_be16(0);
    ip->source = to_be32(net.address);
    ip->destination = to_be32(destination);
    ip->checksum = to_be16(checksum(sum_words(0, (const uint8_t *)ip, sizeof *ip)));
    nic_send(sizeof *frame + size);
}

/* Before we have an address, whatever has our MAC is for us. */
static bool is_ours(uint32_t destination)
{
    return !net.address || destination == net.address || destination == IPV4_BROADCAST;
}

static bool is_good_ipv4(const struct frame *frame, uint8_t protocol)
{
    const struct ipv4_frame *packet = (const struct ipv4_frame *)frame->bytes;
    const struct ipv4_header *ip = &packet->ip;
    unsigned size = from_be16(ip->size);
    return frame->size >= sizeof *packet && from_be16(packet->ethernet.type) == ETHERTYPE_IPV4 &&
           ip->version_and_words == IPV4_VERSION_5_WORDS && size >= sizeof *ip &&
           size <= frame->size - sizeof packet->ethernet && ip->protocol == protocol &&
           !(from_be16(ip->fragment) & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)) &&
           !checksum(sum_words(0, (const uint8_t *)ip, sizeof *ip)) && is_ours(from_be32(ip->destination));
}

static bool ipv4_receive(struct ipv4_packet *packet, uint8_t protocol, uint64_t deadline)
{
    struct frame frame;
    do {
        if (!receive_frame(&frame, deadline))
            return false;
    } while (!is_good_ipv4(&frame, protocol));

    const struct ipv4_frame *ipv4 = (const struct ipv4_frame *)frame.bytes;
    *packet = (struct ipv4_packet){
        .time = frame.time,
        .source = from_be32(ipv4->ip.source),
        .destination = from_be32(ipv4->ip.destination),
        .payload = ipv4->payload,
        .size = from_be16(ipv4->ip.size) - sizeof ipv4->ip,
    };
    return true;
}

/* ---- UDP */

uint8_t *udp_payload(void)
{
    return ipv4_payload() + sizeof(struct udp_header);
}

/* A checksum of 0 would mean that there is none. */
void udp_send(uint32_t destination, uint16_t destination_port, uint16_t source_port, unsigned size)
{
    uint8_t *payload = ipv4_payload();
    struct udp_header *udp = (struct udp_header *)payload;
    size += sizeof *udp;
    udp->source_port = to_be16(source_port);
    udp->destination_port = to_be16(destination_port);
    udp->size = to_be16(size);
    udp->checksum = to_be16(0);
    uint16_t sum = checksum(sum_udp(net.address, destination, payload, size));
    udp->checksum = to_be16(sum ? sum : 0xffff);
    ipv4_send(destination, PROTOCOL_UDP, size);
}

static bool is_good_udp(const struct ipv4_packet *packet, uint16_t port)
{
    const struct udp_header *udp = (const struct udp_header *)packet->payload;
    if (packet->size < sizeof *udp || from_be16(udp->destination_port) != port)
        return false;
    unsigned size = from_be16(udp->size);
    if (size < sizeof *udp || size > packet->size)
        return false;
    return !from_be16(udp->checksum) ||
           !checksum(sum_udp(packet->source, packet->destination, packet->payload, size));
}

bool udp_receive(struct datagram *datagram, uint16_t port, uint64_t deadline)
{
    struct ipv4_packet packet;
    do {
        if (!ipv4_receive(&packet, PROTOCOL_UDP, deadline))
            return false;
    } while (!is_good_udp(&packet, port));

    const struct udp_header *udp = (const struct udp_header *)packet.payload;
    *datagram = (struct datagram){
        .time = packet.time,
        .source = packet.source,
        .source_port = from_be16(udp->source_port),
        .payload = packet.payload + sizeof *udp,
        .size = from_be16(udp->size) - sizeof *udp,
    };
    return true;
}

/* ---- ping */

static void send_echo_request(uint32_t address, uint16_t sequence)
{
    uint8_t *payload = ipv4_payload();
    struct icmp_echo *echo = (struct icmp_echo *)payload;
    echo->type = ICMP_ECHO_REQUEST;
    echo->code = 0;
    echo->checksum = to_be16(0);
    echo->id = to_be16(PING_ID);
    echo->sequence = to_be16(sequence);
    for (unsigned i = sizeof *echo; i < sizeof *echo + PING_SIZE; i++)
        payload[i] = (uint8_t)i;
    echo->checksum = to_be16(checksum(sum_words(0, payload, sizeof *echo + PING_SIZE)));
    ipv4_send(address, PROTOCOL_ICMP, sizeof *echo + PING_SIZE);
}

static bool is_echo_reply(const struct ipv4_packet *packet, uint32_t address, uint16_t sequence)
{
    const struct icmp_echo *echo = (const struct icmp_echo *)packet->payload;
    if (packet->size != sizeof *echo + PING_SIZE || packet->source != address || echo->type != ICMP_ECHO_REPLY)
        return false;
    if (from_be16(echo->id) != PING_ID || from_be16(echo->sequence) != sequence)
        return false;
    for (unsigned i = sizeof *echo; i < packet->size; i++)
        if (packet->payload[i] != (uint8_t)i)
            return false;
    return !checksum(sum_words(0, packet->payload, packet->size));
}

bool net_ping(uint32_t address, uint16_t sequence, uint64_t *ticks)
{
    struct ipv4_packet packet;
    uint64_t start = time_now();
    send_echo_request(address, sequence);
    do {
        if (!ipv4_receive(&packet, PROTOCOL_ICMP, start + ANSWER_TICKS_MAX))
            return false;
    } while (!is_echo_reply(&packet, address, sequence));
    *ticks = packet.time - start;
    return true;
}

/* ---- the rest */

void net_start(void)
{
    nic_start(net.mac);
    print("mac ");
    print_mac(net.mac);
    print("\n");
}

void print_address(uint32_t address)
{
    print("%u.%u.%u.%u", (unsigned)(address >> 24), (unsigned)(address >> 16 & 0xff), (unsigned)(address >> 8 & 0xff),
          (unsigned)(address & 0xff));
}

void print_mac(const uint8_t *mac)
{
    for (unsigned i = 0; i < MAC_SIZE; i++) {
        if (i)
            print(":");
        print_hex(mac[i], 2);
    }
}

void print_hex(uint32_t value, unsigned digits)
{
    while (digits--)
        print("%x", (unsigned)(value >> 4 * digits & 0xf));
}
