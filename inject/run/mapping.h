/*
 * mapping.h - the files that a process of the server has mapped, read from outside: which one an address is in, where in it,
 * its place on the board, and where its unwind table is.
 *
 * The names are those that the server's loader has for them, not those of the files behind its links: so a call site has
 * the id that the shim would give it.  One thread at a time.
 */
#ifndef SNAG_MAPPING_H
#define SNAG_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/board.h"

enum { MARK_MAX = 64 };

/* A file, as it is mapped. */
struct mapped {
    uint64_t start, bias;
    uint64_t table; /* .eh_frame_hdr in memory; 0: none */
    uint32_t key;   /* of its module */
    uint16_t module;
    bool left_out;    /* libc's, the loader's, a sanitizer's: not shown in a stack */
    bool is_program;  /* or else something that may be unloaded again */
    uint64_t mark_at; /* where in memory it differs from what may be mapped there later: its build id, or its head */
    size_t mark_size; /* 0: nothing of it can be read */
    uint8_t mark[MARK_MAX];
};

struct mappings;
struct program;

/* Reads what process PID has mapped; what of it belongs to a file is put on BOARD.  NULL with errno. */
struct mappings *mappings_read(pid_t pid, struct board *board);
void mappings_free(struct mappings *mappings);

/* Returns the file that ADDRESS is in; NULL: none.  Lives with MAPPINGS. */
const struct mapped *mappings_find(const struct mappings *mappings, uint64_t address);

/* Returns what the program's file says, for the file MAPPED; NULL: it is another file, or can't be read. */
struct program *mappings_program(const struct mappings *mappings, const struct mapped *mapped);

/* Puts all files with code on the board, so that functions can be looked for in them. */
void mappings_register(const struct mappings *mappings);

#endif
