/*
 * module.h - the files that this process has mapped, as call sites know them: which one an address is in, where in it,
 * and its place on the board.
 *
 * The loader is asked by _dl_find_object() (glibc 2.35), which takes no lock and so is safe in a forked child, too.
 * Everything here is for one thread at a time: who holds the lock of site.c.
 */
#ifndef SNAG_SHIM_MODULE_H
#define SNAG_SHIM_MODULE_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a return address is. */
struct place {
    uint16_t module; /* on the board, MODULE_NONE if it is in no file */
    uint32_t key;    /* of the module, 0 if there is none */
    uint64_t offset;
    bool left_out; /* libc's, the loader's, ours, a sanitizer's: not shown in a stack */
};

/* Gets ready.  Returns false if this libc is too old. */
bool module_begin(void);

/* Puts all files that are mapped now on the board. */
void module_register_all(void);

/* Asks the loader what ADDRESS is in.  Returns false if it is in no file. */
bool module_find(uintptr_t address, struct dl_find_object *out);

/* Returns where ADDRESS is. */
struct place module_place(uintptr_t address);

/* Forgets what is not mapped any more; tells SEE of each, with its addresses from START up to END. */
void module_sweep(void (*see)(uintptr_t start, uintptr_t end));

/* Returns whether snag has resolved all patterns of the plan in all of them. */
bool module_all_resolved(void);

#endif
