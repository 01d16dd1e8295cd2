/*
 * boardfile.h - the file that holds the board: made for one session, gone after it.
 *
 *     /dev/shm/snag.PID.XXXXXX/RANDOM       (in $TMPDIR or /tmp where /dev/shm is not there, or is full)
 *
 * The folder can be entered but not listed, and the file's name can't be guessed, so that a server which changes its user
 * still attaches while other users do not.  snag keeps a lock on the folder while it lives, however it ends: a folder
 * of ours without a lock is a dead session's, and the next run removes it and what still runs of it.
 */
#ifndef SNAG_BOARDFILE_H
#define SNAG_BOARDFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/board.h"

struct boardfile;

/*
 * Makes a board of SET that starts at START_NS and takes the lease on it, for the calling thread: faults end when that
 * thread does.  SHIM is the path for board->shim_path.  OWNED: what attaches to it is started by snag, and killed if it is
 * left over from a session that did not end well.  Says why and returns NULL if it can't.
 */
struct boardfile *boardfile_new(const struct rule_set *set, uint64_t start_ns, const char *shim, bool owned);

/* Gives the lease back, removes file and folder, which must hold nothing else.  NULL is fine. */
void boardfile_free(struct boardfile *file);

/* Whether PATH is the board of a session that is not over. */
bool boardfile_is_live(const char *path);

struct board *boardfile_board(struct boardfile *file);
const char *boardfile_path(const struct boardfile *file);

/* The folder that the file is in, open; it stays the boardfile's. */
int boardfile_folder(const struct boardfile *file);

/*
 * Makes the memory of MORE rings sure, so that no target can get a SIGBUS from a full file system, and opens them.
 * Returns -1 with errno (ENOSPC) if there is no room: threads then share a ring.  At the most there is, returns 0.
 */
int boardfile_grow(struct boardfile *file, uint32_t more);

/*
 * Removes boards of this user's sessions that ended without doing so, and kills what still runs under them, if it is snag's.
 * Returns how many these were.
 */
size_t boardfile_clean(void);

/* Calls SEE for the open FOLDER of each living session of this user (root: of everybody), whose snag is process PID. */
void boardfile_each(void (*see)(void *context, pid_t pid, uid_t owner, int folder), void *context);

#endif
