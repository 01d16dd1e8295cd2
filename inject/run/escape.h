/* escape.h - the escapes of --send and --expect. */
#ifndef SNAG_ESCAPE_H
#define SNAG_ESCAPE_H

#include <stddef.h>

/*
 * Replaces the escapes of TEXT (\r \n \t \0 \\ \" \xHH) by what they mean, in place, and sets *LENGTH: the result may hold
 * zero bytes.  Returns NULL, or the place in TEXT of the first escape that is none of these, TEXT being cut there.
 */
const char *escape_decode(char *text, size_t *length);

#endif
