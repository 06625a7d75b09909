/* The room, its heater, and what the thermostat was told. Temperatures are in tenths of a degree. */
#ifndef ROOM_H
#define ROOM_H

#include <stdbool.h>
#include <stdint.h>

enum { MODE_OFF, MODE_AUTOMATIC, MODE_ON };

struct config {
    uint32_t mode;
    uint32_t target;
    uint32_t band;  /* it heats below target - band, and no longer above target + band */
};

#define LOG_SIZE 8

struct entry {
    uint32_t ms;
    uint32_t temperature;
    bool is_heating;
};

struct room {
    uint32_t temperature;
    bool is_heating;
    uint32_t switches;  /* how often the heater was switched */
    struct entry log[LOG_SIZE];  /* the last of them, in a ring */
};

extern const struct config defaults;
extern volatile struct room room;

void room_start(void);

/* 10 ms have passed: the temperature changes, and the heater is switched if it has to be. */
void room_tick(const struct config *config, uint32_t ms);

#endif
