#include "work.h"

#define BODIES 5
#define STEP 0.01

struct body {
    double place[3];
    double speed[3];
    double mass;
};

static struct body bodies[BODIES] = {
    {{0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}, 40.0},
    {{5.0, -1.0, -0.1}, {0.6, 2.8, -0.02}, 0.04},
    {{8.0, 4.0, -0.4}, {-1.0, 1.8, 0.008}, 0.01},
    {{13.0, -15.0, -0.2}, {1.1, 0.9, -0.01}, 0.002},
    {{15.0, -26.0, 0.2}, {1.0, 0.6, -0.03}, 0.002},
};

static double square_root(double x)
{
    double root;
    __asm__("fsqrt.d %0, %1" : "=f"(root) : "f"(x));
    return root;
}

/* Changes the speeds of two bodies by what they pull at each other. */
static void attract(struct body *a, struct body *b)
{
    double apart[3];
    double square = 0.0;
    for (int i = 0; i < 3; i++) {
        apart[i] = a->place[i] - b->place[i];
        square += apart[i] * apart[i];
    }
    double pull = STEP / (square * square_root(square));
    for (int i = 0; i < 3; i++) {
        a->speed[i] -= apart[i] * b->mass * pull;
        b->speed[i] += apart[i] * a->mass * pull;
    }
}

static void move(void)
{
    for (int a = 0; a < BODIES; a++)
        for (int b = a + 1; b < BODIES; b++)
            attract(&bodies[a], &bodies[b]);
    for (int a = 0; a < BODIES; a++)
        for (int i = 0; i < 3; i++)
            bodies[a].place[i] += STEP * bodies[a].speed[i];
}

uint32_t work_floats(uint32_t rounds)
{
    while (rounds-- > 0)
        move();

    uint32_t checksum = 0;
    for (int a = 0; a < BODIES; a++)
        for (int i = 0; i < 3; i++) {
            union {
                double value;
                uint32_t words[2];
            } place = {bodies[a].place[i]};
            checksum = mix(mix(checksum, place.words[0]), place.words[1]);
        }
    return checksum;
}
