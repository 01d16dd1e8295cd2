/*
 * gotable.h - the table of functions that Go's linker puts into each program (.gopclntab): for its own run-time, so it is
 * there in stripped programs too.  It names the functions, and says how far the return address is from the stack pointer.
 *
 * Go 1.18 and later, little-endian, 64 bits; source of the format: go/src/runtime/symtab.go and go/src/debug/gosym.  No
 * state; safe on any bytes.
 */
#ifndef SNAG_GOTABLE_H
#define SNAG_GOTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gotable {
    const unsigned char *bytes;
    size_t size;
    uint64_t text; /* what the functions' addresses are counted from; link-time, to be set by who knows better */
    uint64_t count;
    uint64_t names, steps, functions; /* where in the bytes those are */
    bool newer;                       /* Go 1.20 or later */
};

struct gofunction {
    const char *name;  /* terminated; lives with the bytes */
    uint64_t from, to; /* its code, `to` not included */
    uint64_t entry;    /* of its description, in the bytes */
};

/* Reads the head of the SIZE BYTES of a section .gopclntab, which must outlive OUT.  Returns whether it is one that is known. */
bool gotable_open(struct gotable *out, const unsigned char *bytes, size_t size);

/* Function INDEX of TABLE, below its count, in the order of addresses; false if it is damaged. */
bool gotable_function(const struct gotable *table, uint64_t index, struct gofunction *out);

/* The function that ADDRESS is in; false: none. */
bool gotable_find(const struct gotable *table, uint64_t address, struct gofunction *out);

/* How to get from a function to its caller. */
enum gotable_way {
    GO_STEPS,  /* *DEPTH bytes above the stack pointer is the return address */
    GO_ENDS,   /* nothing called it: a goroutine or a thread begins there */
    GO_UNSAFE, /* it changes stacks, or the table does not know */
};
enum gotable_way gotable_way(const struct gotable *table, const struct gofunction *function, uint64_t address,
                             uint64_t *depth);

#endif
