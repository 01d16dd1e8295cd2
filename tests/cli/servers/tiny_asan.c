/* tiny, with the AddressSanitizer of the compiler: gcc's is a library of its own, and wants to be the first. */
#include "tiny.c"
