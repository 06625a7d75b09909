/* How several harts start. */

#include "../harts/harts.c"
#include "../harts/tree.c"
