/* virtio-input, and the codes of Linux that it uses. Source: VIRTIO 1.2, section 5.8. */
#ifndef INPUT_H
#define INPUT_H

#include <stdint.h>

#define EVENT_QUEUE 0
#define STATUS_QUEUE 1

/* Offsets in the configuration; what SELECT and SUBSEL ask for is in UNION, SIZE bytes of it. */
#define INPUT_SELECT 0
#define INPUT_SUBSEL 1
#define INPUT_SIZE 2
#define INPUT_UNION 8

#define SELECT_ID_NAME 0x01
#define SELECT_EV_BITS 0x11

#define EV_SYN 0x00
#define EV_KEY 0x01
#define EV_REL 0x02
#define EV_ABS 0x03
#define EV_LED 0x11

#define KEY_ESC 1
#define LED_CAPSL 1

#define AXIS_X 0
#define AXIS_Y 1
#define REL_WHEEL 8

struct input_event {
    uint16_t type, code;
    uint32_t value;
};

#endif
