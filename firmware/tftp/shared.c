/* Drivers and protocols, waiting in WFI. */

#include "../net/dhcp.c"
#include "../net/net.c"
#include "../net/nic.c"
#include "../net/wait_wfi.c"
#include "../virtio/sleep.c"
#include "../virtio/virtio.c"
