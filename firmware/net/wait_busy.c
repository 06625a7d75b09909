#include "time.h"
#include "wait.h"

void wait_prepare(const struct virtio_device *device)
{
    (void)device;
}

bool wait_for_used(const struct virtq *queue, uint64_t deadline)
{
    while (!virtq_has_used(queue))
        if (time_now() >= deadline)
            return false;
    return true;
}
