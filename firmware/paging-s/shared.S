/* The assembly of the image `paging`, with S-mode for home. */

#define HOME_IS_S

#include "../paging/handlers.S"
#include "../paging/provoke.S"
