/* The driver. */

#include "../virtio/sleep.c"
#include "../virtio/virtio.c"
