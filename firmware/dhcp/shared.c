/* Drivers and protocols, waiting in a busy loop. */

#include "../net/dhcp.c"
#include "../net/net.c"
#include "../net/nic.c"
#include "../net/wait_busy.c"
#include "../virtio/virtio.c"
