/* The headers of the protocols, as they lie in a frame. */
#ifndef PACKETS_H
#define PACKETS_H

#include "bytes.h"
#include "nic.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806

struct ethernet_header {
    uint8_t destination[MAC_SIZE], source[MAC_SIZE];
    be16 type;
};

#define ARP_HARDWARE_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2

struct arp_packet {
    be16 hardware, protocol;
    uint8_t hardware_size, protocol_size;
    be16 operation;
    uint8_t sender_mac[MAC_SIZE];
    be32 sender_ip;
    uint8_t target_mac[MAC_SIZE];
    be32 target_ip;
};

#define IPV4_VERSION_5_WORDS 0x45
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV4_BROADCAST 0xffffffffU
#define PROTOCOL_ICMP 1
#define PROTOCOL_UDP 17

struct ipv4_header {
    uint8_t version_and_words, service;
    be16 size, id, fragment;
    uint8_t hops, protocol;
    be16 checksum;
    be32 source, destination;
};

struct udp_header {
    be16 source_port, destination_port, size, checksum;
};

#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8

struct icmp_echo {
    uint8_t type, code;
    be16 checksum, id, sequence;
};

struct arp_frame {
    struct ethernet_header ethernet;
    struct arp_packet arp;
};

/* Without IP options: we send none and drop packets with any. */
struct ipv4_frame {
    struct ethernet_header ethernet;
    struct ipv4_header ip;
    uint8_t payload[];
};

#endif
