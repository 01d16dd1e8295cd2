/*
 * modules.h - the modules of a board (engine/stack.h) as files that can be read.
 *
 * A module's file is looked for where its process sees it (/proc/PID/root), where snag does, and, for a program that was
 * deleted, behind /proc/PID/exe.  A file with another build id than what is mapped is not the module.  Each is opened once;
 * modules with one build id share it.  What the board says is not trusted.  One thread only.
 */
#ifndef SNAG_MODULES_H
#define SNAG_MODULES_H

#include "engine/board.h"
#include "sites/symbols.h"

struct modules;

/* Returns the modules of BOARD, which must outlive them; NULL with errno ENOMEM. */
struct modules *modules_new(struct board *board);
void modules_free(struct modules *modules);

/* Returns how many there are, of which some may not have a name yet. */
uint32_t modules_count(const struct modules *modules);

/* Returns the path of module INDEX, NULL if it has none yet, or there is no such module.  Lives with MODULES. */
const char *modules_path(struct modules *modules, uint32_t index);

/* Returns the base name in PATH. */
const char *modules_base(const char *path);

/* Returns what is in the file of module INDEX; NULL if it can't be read.  Lives with MODULES. */
struct symbols *modules_symbols(struct modules *modules, uint32_t index);

#endif
