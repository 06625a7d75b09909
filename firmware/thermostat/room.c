#include "room.h"

#define COLD 150
#define HOT 300

const struct config defaults = {.mode = MODE_AUTOMATIC, .target = 210, .band = 5};
volatile struct room room;

void room_start(void)
{
    room.temperature = 200;
}

static bool should_heat(const struct config *config)
{
    switch (config->mode) {
    case MODE_OFF: return false;
    case MODE_ON: return true;
    default: break;
    }
    if (room.temperature + config->band < config->target)
        return true;
    return room.is_heating && room.temperature < config->target + config->band;
}

static void switch_heater(bool is_heating, uint32_t ms)
{
    volatile struct entry *entry = &room.log[room.switches % LOG_SIZE];
    entry->ms = ms;
    entry->temperature = room.temperature;
    entry->is_heating = is_heating;
    room.is_heating = is_heating;
    room.switches++;
}

void room_tick(const struct config *config, uint32_t ms)
{
    if (room.is_heating && room.temperature < HOT)
        room.temperature++;
    else if (!room.is_heating && room.temperature > COLD)
        room.temperature--;
    bool is_heating = should_heat(config);
    if (is_heating != room.is_heating)
        switch_heater(is_heating, ms);
}
