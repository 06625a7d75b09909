/* The checks of the image `paging` that S-mode can make, with S-mode for home. */

#define HOME_IS_S

#include "../paging/aliases.c"
#include "../paging/atomics.c"
#include "../paging/check.c"
#include "../paging/crossing.c"
#include "../paging/dirty.c"
#include "../paging/fences.c"
#include "../paging/spaces.c"
#include "../paging/superpages.c"
#include "../paging/tables.c"
#include "../paging/trial.c"
#include "../paging/walks.c"
