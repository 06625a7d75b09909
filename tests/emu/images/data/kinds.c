/* Variables of all kinds, with known values: what test_variables.py reads. hidden.c is the other half of the program. */

#include <stdbool.h>
#include <stdint.h>

enum mode { IDLE, RUN, SLEEP = 7 };
enum level { LOW = -2, HIGH = 5 };
typedef enum { RED = 1, GREEN } colour_t;

struct point { int16_t x, y; };
struct slot { uint8_t len; char data[7]; };
struct node { struct node *next; int id; };
struct opaque;

typedef struct {
    enum mode mode;
    unsigned ready : 1, count : 5;
    int level : 4;
    enum mode wanted : 3;
    bool is_on : 1;
    struct point at;
    union { uint32_t word; float real; uint8_t bytes[4]; };
    struct { int inner; };
    volatile const double gain;
} config_t;

struct { struct slot slots[4]; struct node *head; uint32_t words[2][3]; } queue = {
    .slots = {{1, "one"}, {2, "two"}, {3, "three"}, {4, "four"}}, .words = {{1, 2, 3}, {4, 5, 6}}};
config_t cfg = {.mode = RUN, .ready = 1, .count = 21, .level = -3, .wanted = SLEEP, .is_on = true, .at = {-5, 300},
    .real = 1.5f, .inner = -9, .gain = 0.25};
static struct node last = {0, 2}, first = {&last, 1};
struct node *head = &first;
struct node **link = &head;
extern struct opaque kept;
struct opaque *hidden = &kept;
void *anywhere = &cfg;
int (*handler)(int);
int8_t s8 = -1;
uint8_t u8 = 200;
int16_t s16 = -300;
uint16_t u16 = 60000;
int32_t s32 = -70000;
uint32_t u32 = 4000000000u;
int64_t s64 = -5000000000;
uint64_t u64 = 0xfedcba9876543210u;
char letter = 'x', name[8] = "board";
float f32 = -2.5f;
double f64 = 1e100;
long double f128 = 1;
bool yes = true;
enum level level = LOW;
colour_t colour = GREEN;
int table[3] = {10, -20, 30};
int8_t temperatures[3] = {-1, 2, -3};
uint8_t packet[4] = {1, 2, 3, 4};
const char *const text = "hello";
char names[2][4] = {"abc", "de"};
struct { uint8_t size; uint16_t tail[]; } message = {2, {7, 8}};
union { uint32_t word; struct { uint16_t low, high; }; } both = {0x12345678};

static int count = 3;

__attribute__((noinline)) int rx(void)
{
    static int calls = 4, only = 5;
    count++;
    return ++calls + ++only;
}

__attribute__((noinline)) int tx(void)
{
    static int calls = 6;
    return ++calls;
}

int other(void);

int _start(void) { return other() + rx() + tx() + first.id + (int)(uintptr_t)hidden + last.id; }
