/*
 * program.h - what the file of a program says that its memory does not: where its unwind tables are if no header leads to
 * them, Go's table, and which of a static program's functions are the C library's, around a system call.
 *
 * A file is read once.  What stays is its own addresses (link-time).  One thread at a time.
 */
#ifndef SNAG_PROGRAM_H
#define SNAG_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/call.h"
#include "sites/gotable.h"

/* An entry as in .eh_frame_hdr: where a function begins and where its description is, both from the start of .eh_frame. */
struct unwind_entry {
    int32_t function, description;
};

struct program {
    dev_t device;
    ino_t inode;
    uint64_t frames, frames_size; /* .eh_frame; 0: there is none */
    struct unwind_entry *entries; /* by function; NULL: not made */
    size_t entry_count;
    bool sorted;    /* `entries` was tried */
    uint64_t go_at; /* the address of .gopclntab */
    unsigned char *go_bytes;
    struct gotable go; /* count 0: it is not Go's */
    struct wrapper *wrappers;
    size_t wrapper_count;
    struct program *next;
};

/* Returns the program at PATH, which was read before if it is DEVICE and INODE; NULL: it can't be read. */
struct program *program_at(const char *path, dev_t device, ino_t inode);

/* Forgets them all. */
void programs_forget(void);

/*
 * Makes `entries` of PROGRAM, from .eh_frame as process PID has it in memory, BIAS above its own addresses.  False: there
 * are none.
 */
bool program_sort(struct program *program, pid_t pid, uint64_t bias);

/*
 * The C function around the call CALL that ADDRESS is in: where it begins goes to *FROM.  False: it is in none that the symbols
 * of a static program show.
 */
bool program_wrapper(const struct program *program, enum call call, uint64_t address, uint64_t *from);

/* Whether ADDRESS is in the code by which the C library starts a program or a thread. */
bool program_starts(const struct program *program, uint64_t address);

/* Whether ADDRESS is in a function of the language's library, around the system call CALL, and not in who calls that. */
bool program_wraps(const struct program *program, enum call call, uint64_t address);

#endif
