/* tiny, linked statically: a server that the shim can't get into. */
#include "tiny.c"
