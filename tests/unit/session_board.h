/*
 * session_board.h - a session for tests, without the command line: a board in a file, with rules from plan text, a lease
 * that is held while `lease` is 1, and rings that are ready.
 */
#ifndef SNAG_TESTS_SESSION_BOARD_H
#define SNAG_TESTS_SESSION_BOARD_H

#include "engine/board.h"

struct session_board {
    struct board *board;
    size_t size;
    char path[64];           /* for SNAG_BOARD; removed by session_board_end() */
    _Atomic uint32_t *lease; /* the futex word: 1 alive, 0 gone */
};

/*
 * Makes a session with RULES (plan text, ending with NULL), calls of RECORD (bits by enum call) recorded, and RINGS
 * rings ready.  SHIM is the path that exec must put into LD_PRELOAD.  Fails the test if it can't.
 */
void session_board_begin(struct session_board *session, const char *const *rules, uint64_t record, uint32_t rings,
                         const char *shim);

/* Unmaps and removes it. */
void session_board_end(struct session_board *session);

/* Calls SEE for each record in the rings, oldest first within each ring, with its payload; returns how many there are. */
size_t session_board_drain(struct session_board *session,
                           void (*see)(const struct event *event, const void *payload, void *data), void *data);

#endif
