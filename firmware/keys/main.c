/* Prints what is typed and pointed at until Esc is pressed; each press of a key switches a light of the keyboard.
 *
 * Sleeps in WFI until an input device interrupts. Ends with code 2 if there is no such device.
 * Lines that start with `t:` hold what the devices call themselves; all others are the same everywhere.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../virtio/sleep.h"
#include "../virtio/virtio.h"
#include "board.h"
#include "input.h"
#include "print.h"

#define DEVICES_MAX 4
#define NAME_SIZE_MAX 128

struct input {
    struct virtio_device device;
    struct virtq event_queue, status_queue;
    struct input_event events[VIRTQ_SIZE];
    struct input_event status;
    const char *kind;
    bool has_lights, light_is_on;
};

static struct input inputs[DEVICES_MAX];
static unsigned inputs_found;
static unsigned events_seen;
static bool ended;

/* ---- what a device is */

/* How many bytes the device answers with. */
static unsigned ask(const struct input *input, uint8_t select, uint8_t subsel)
{
    *virtio_config(&input->device, INPUT_SELECT) = select;
    *virtio_config(&input->device, INPUT_SUBSEL) = subsel;
    return *virtio_config(&input->device, INPUT_SIZE);
}

static bool has_events(const struct input *input, uint8_t type)
{
    return ask(input, SELECT_EV_BITS, type) != 0;
}

static const char *kind_of(const struct input *input)
{
    if (has_events(input, EV_ABS))
        return "tablet";
    return has_events(input, EV_REL) ? "mouse" : "keyboard";
}

/* Some names end with a zero byte. */
static void print_name(const struct input *input)
{
    unsigned size = ask(input, SELECT_ID_NAME, 0);
    const volatile uint8_t *name = virtio_config(&input->device, INPUT_UNION);
    print("t: %s: ", input->kind);
    for (unsigned i = 0; i < size && i < NAME_SIZE_MAX && name[i]; i++)
        print("%c", name[i]);
    print("\n");
}

/* ---- start */

static void offer_event(struct input *input, unsigned id)
{
    virtq_offer(&input->event_queue, id, &input->events[id], sizeof input->events[id], true);
}

static void start_input(struct input *input, int slot)
{
    virtio_start(&input->device, slot, 0);
    virtio_add_queue(&input->device, EVENT_QUEUE, &input->event_queue);
    virtio_add_queue(&input->device, STATUS_QUEUE, &input->status_queue);
    input->kind = kind_of(input);
    input->has_lights = has_events(input, EV_LED);
    print_name(input);
    print("%s found%s\n", input->kind, input->has_lights ? ", it has lights" : "");

    for (unsigned id = 0; id < VIRTQ_SIZE; id++)
        offer_event(input, id);
    sleep_allow(&input->device);
    virtio_run(&input->device);
    virtq_notify(&input->event_queue);
}

static void start_all(void)
{
    int slot = VIRTIO_SLOTS;
    while (inputs_found < DEVICES_MAX && (slot = virtio_find(VIRTIO_INPUT, slot)) >= 0)
        start_input(&inputs[inputs_found++], slot);
    if (!inputs_found) {
        print("no input device: none of the virtio slots has one\n");
        board_fail(VIRTIO_NOT_FOUND);
    }
}

/* ---- the light */

/* The device is done with the light before the next event is looked at. */
static void switch_light(struct input *input)
{
    input->light_is_on = !input->light_is_on;
    input->status = (struct input_event){.type = EV_LED, .code = LED_CAPSL, .value = input->light_is_on};
    virtq_offer(&input->status_queue, 0, &input->status, sizeof input->status, false);
    virtq_notify(&input->status_queue);
    while (!virtq_has_used(&input->status_queue))
        sleep_for_device();
    virtq_take(&input->status_queue);
    print("led %s\n", input->light_is_on ? "on" : "off");
}

/* ---- events */

static void on_key(struct input *input, unsigned code, uint32_t value)
{
    static const char *const actions[] = {"release", "press", "repeat"};
    print("%s: KEY %u %s\n", input->kind, code, value < 3 ? actions[value] : "?");
    if (value != 1)
        return;
    if (input->has_lights)
        switch_light(input);
    ended = code == KEY_ESC;
}

static void print_axis(const struct input *input, const char *type, unsigned code, uint32_t value)
{
    print("%s: %s ", input->kind, type);
    switch (code) {
    case AXIS_X: print("x"); break;
    case AXIS_Y: print("y"); break;
    case REL_WHEEL: print("wheel"); break;
    default: print("%u", code);
    }
    print(" %d\n", (int)value);
}

static void on_event(struct input *input, const struct input_event *event)
{
    if (event->type == EV_SYN)
        return;
    events_seen++;
    switch (event->type) {
    case EV_KEY: on_key(input, event->code, event->value); break;
    case EV_REL: print_axis(input, "REL", event->code, event->value); break;
    case EV_ABS: print_axis(input, "ABS", event->code, event->value); break;
    default: print("%s: type %u code %u value %d\n", input->kind, event->type, event->code, (int)event->value);
    }
}

/* Takes all that the device has put there; whether there was anything. */
static bool take_events(struct input *input)
{
    bool any = false;
    while (!ended && virtq_has_used(&input->event_queue)) {
        unsigned id = virtq_take(&input->event_queue).id;
        on_event(input, &input->events[id]);
        offer_event(input, id);
        any = true;
    }
    if (any)
        virtq_notify(&input->event_queue);
    return any;
}

static bool take_all_events(void)
{
    bool any = false;
    for (unsigned i = 0; i < inputs_found; i++)
        any |= take_events(&inputs[i]);
    return any;
}

int main(void)
{
    start_all();
    print("keys: type, end with Esc\n");
    while (!ended)
        if (!take_all_events())
            sleep_for_device();
    print("%u events\n", events_seen);
    return 0;
}
