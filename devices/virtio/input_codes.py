"""Types and codes of input events, as far as our keyboard and tablet have them.

Source: Linux include/uapi/linux/input-event-codes.h and input.h; names as there.
"""

from __future__ import annotations

from enum import IntEnum


class EventType(IntEnum):
    """What kind of event a code belongs to."""

    EV_SYN = 0x00
    EV_KEY = 0x01
    EV_REL = 0x02
    EV_ABS = 0x03
    EV_LED = 0x11
    EV_REP = 0x14


class Syn(IntEnum):
    """Codes of EV_SYN."""

    SYN_REPORT = 0
    """The events before it belong together."""


class Rel(IntEnum):
    """Codes of EV_REL."""

    REL_WHEEL = 0x08


class Abs(IntEnum):
    """Codes of EV_ABS."""

    ABS_X = 0x00
    ABS_Y = 0x01


class Led(IntEnum):
    """Codes of EV_LED. Bit numbers in a mask of lights."""

    LED_NUML = 0x00
    LED_CAPSL = 0x01
    LED_SCROLLL = 0x02


class Button(IntEnum):
    """Codes of EV_KEY that a pointer has. Those with GEAR stand for the wheel where it is reported as buttons."""

    BTN_LEFT = 0x110
    BTN_RIGHT = 0x111
    BTN_MIDDLE = 0x112
    BTN_SIDE = 0x113
    BTN_EXTRA = 0x114
    BTN_GEAR_DOWN = 0x150
    BTN_GEAR_UP = 0x151


class Key(IntEnum):
    """Codes of EV_KEY that a keyboard has: the keys of QEMU 7.2's."""

    KEY_ESC = 1
    KEY_1 = 2
    KEY_2 = 3
    KEY_3 = 4
    KEY_4 = 5
    KEY_5 = 6
    KEY_6 = 7
    KEY_7 = 8
    KEY_8 = 9
    KEY_9 = 10
    KEY_0 = 11
    KEY_MINUS = 12
    KEY_EQUAL = 13
    KEY_BACKSPACE = 14
    KEY_TAB = 15
    KEY_Q = 16
    KEY_W = 17
    KEY_E = 18
    KEY_R = 19
    KEY_T = 20
    KEY_Y = 21
    KEY_U = 22
    KEY_I = 23
    KEY_O = 24
    KEY_P = 25
    KEY_LEFTBRACE = 26
    KEY_RIGHTBRACE = 27
    KEY_ENTER = 28
    KEY_LEFTCTRL = 29
    KEY_A = 30
    KEY_S = 31
    KEY_D = 32
    KEY_F = 33
    KEY_G = 34
    KEY_H = 35
    KEY_J = 36
    KEY_K = 37
    KEY_L = 38
    KEY_SEMICOLON = 39
    KEY_APOSTROPHE = 40
    KEY_GRAVE = 41
    KEY_LEFTSHIFT = 42
    KEY_BACKSLASH = 43
    KEY_Z = 44
    KEY_X = 45
    KEY_C = 46
    KEY_V = 47
    KEY_B = 48
    KEY_N = 49
    KEY_M = 50
    KEY_COMMA = 51
    KEY_DOT = 52
    KEY_SLASH = 53
    KEY_RIGHTSHIFT = 54
    KEY_KPASTERISK = 55
    KEY_LEFTALT = 56
    KEY_SPACE = 57
    KEY_CAPSLOCK = 58
    KEY_F1 = 59
    KEY_F2 = 60
    KEY_F3 = 61
    KEY_F4 = 62
    KEY_F5 = 63
    KEY_F6 = 64
    KEY_F7 = 65
    KEY_F8 = 66
    KEY_F9 = 67
    KEY_F10 = 68
    KEY_NUMLOCK = 69
    KEY_SCROLLLOCK = 70
    KEY_KP7 = 71
    KEY_KP8 = 72
    KEY_KP9 = 73
    KEY_KPMINUS = 74
    KEY_KP4 = 75
    KEY_KP5 = 76
    KEY_KP6 = 77
    KEY_KPPLUS = 78
    KEY_KP1 = 79
    KEY_KP2 = 80
    KEY_KP3 = 81
    KEY_KP0 = 82
    KEY_KPDOT = 83
    KEY_102ND = 86
    KEY_F11 = 87
    KEY_F12 = 88
    KEY_RO = 89
    KEY_HIRAGANA = 91
    KEY_HENKAN = 92
    KEY_KATAKANAHIRAGANA = 93
    KEY_MUHENKAN = 94
    KEY_KPENTER = 96
    KEY_RIGHTCTRL = 97
    KEY_KPSLASH = 98
    KEY_SYSRQ = 99
    KEY_RIGHTALT = 100
    KEY_LINEFEED = 101
    KEY_HOME = 102
    KEY_UP = 103
    KEY_PAGEUP = 104
    KEY_LEFT = 105
    KEY_RIGHT = 106
    KEY_END = 107
    KEY_DOWN = 108
    KEY_PAGEDOWN = 109
    KEY_INSERT = 110
    KEY_DELETE = 111
    KEY_MUTE = 113
    KEY_VOLUMEDOWN = 114
    KEY_VOLUMEUP = 115
    KEY_POWER = 116
    KEY_KPEQUAL = 117
    KEY_PAUSE = 119
    KEY_KPCOMMA = 121
    KEY_HANGEUL = 122
    KEY_HANJA = 123
    KEY_YEN = 124
    KEY_LEFTMETA = 125
    KEY_RIGHTMETA = 126
    KEY_COMPOSE = 127
    KEY_STOP = 128
    KEY_AGAIN = 129
    KEY_PROPS = 130
    KEY_UNDO = 131
    KEY_FRONT = 132
    KEY_COPY = 133
    KEY_OPEN = 134
    KEY_PASTE = 135
    KEY_FIND = 136
    KEY_CUT = 137
    KEY_HELP = 138
    KEY_MENU = 139
    KEY_CALC = 140
    KEY_SLEEP = 142
    KEY_WAKEUP = 143
    KEY_MAIL = 155
    KEY_BOOKMARKS = 156
    KEY_COMPUTER = 157
    KEY_BACK = 158
    KEY_FORWARD = 159
    KEY_NEXTSONG = 163
    KEY_PLAYPAUSE = 164
    KEY_PREVIOUSSONG = 165
    KEY_STOPCD = 166
    KEY_HOMEPAGE = 172
    KEY_REFRESH = 173
    KEY_MEDIA = 226


ABS_MAX = 0x7FFF
"""The right and the lower edge; the left and the upper one are 0."""

BUS_VIRTUAL = 0x06


def pack_event(event_type: EventType, code: int, value: int) -> bytes:
    """A ``struct virtio_input_event``; ``value`` may be negative."""
    return b"".join(
        (event_type.to_bytes(2, "little"), code.to_bytes(2, "little"), (value & 0xFFFF_FFFF).to_bytes(4, "little"))
    )


EVENT_SIZE = 8

REPORT = pack_event(EventType.EV_SYN, Syn.SYN_REPORT, 0)
"""Ends each batch of events."""

_NAMES: dict[int, tuple[type[IntEnum], ...]] = {
    EventType.EV_REL: (Rel,),
    EventType.EV_ABS: (Abs,),
    EventType.EV_KEY: (Key, Button),
    EventType.EV_LED: (Led,),
}


def named_events(batch: bytes) -> tuple[tuple[str, int], ...]:
    """Name and value of each event of a batch: ``KEY_A`` 1; ``3/40`` is code 40 of type 3, without a name."""
    events = (batch[at : at + EVENT_SIZE] for at in range(0, len(batch) - EVENT_SIZE + 1, EVENT_SIZE))
    return tuple(
        (_name(int.from_bytes(event[:2], "little"), int.from_bytes(event[2:4], "little")),
         int.from_bytes(event[4:], "little", signed=True))
        for event in events if event != REPORT
    )  # fmt: skip


def _name(event_type: int, code: int) -> str:
    found = (names(code).name for names in _NAMES.get(event_type, ()) if code in names._value2member_map_)
    return next(found, f"{event_type}/{code}")
