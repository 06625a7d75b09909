/* What kinds.c only declares, and a static of the same name as one there. */
struct opaque { int secret; };
struct opaque kept = {42};
static int count = 99;

int other(void) { return ++count + kept.secret; }
