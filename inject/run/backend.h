/*
 * backend.h - the seam between a run and the way its faults get into the server.
 *
 * A backend is a constant of functions, in a file of its own.  A run asks, in this order: can it reach the program
 * (reach), is what it needs there (prepare), what must the server's environment say (variables).  From then on the board
 * is all that the two share.
 */
#ifndef SNAG_BACKEND_H
#define SNAG_BACKEND_H

#include <stdio.h>

#include "engine/board.h"
#include "run/reach.h"

enum { BACKEND_VARIABLES = 3 };

struct outside;
struct spawn_gate;

struct backend {
    const char *name; /* as --backend and the trace call it */

    /* Looks at COMMAND before it starts; OUT->status is 0 if nothing speaks against reaching it. */
    void (*reach)(const char *command, struct reach *out);

    /* Finds what it needs in this installation: writes the path for board->shim_path to SHIM.  -1, having said why. */
    int (*prepare)(char shim[BOARD_PATH_MAX]);

    /*
     * Fills OUT with "NAME=VALUE" for the environment of the program file PROGRAM, each to be freed, NULL for none.
     * Returns -1 with errno ENOMEM or ENAMETOOLONG; OUT is filled then too.
     */
    int (*variables)(const char *program, const char *shim, const char *board, char *out[BACKEND_VARIABLES]);

    /* From here on, only for a backend that works from outside of the server's processes; NULL in another. */

    /* Says what RULE asks for that can't be done from outside; NULL: it can. */
    const char *(*refuses)(const struct rule *rule);

    /* Whether OUTSIDE, as it was opened, can't do RULE, which comes later; says so in WORDS, without a newline. */
    bool (*lacks)(const struct outside *outside, const struct rule *rule, FILE *words);

    /*
     * Makes what answers the calls of all that is started through *GATE, by the rules of BOARD.  Before any process or thread
     * is started.  NULL, having said why.  What it reaches is inherited by what the server starts, so nothing attaches.
     */
    struct outside *(*open)(struct board *board, struct spawn_gate *gate);

    /* Until the server is ready: looks for that (board->ready_ns), if it is time to. */
    void (*look)(struct outside *outside);

    /* Says in words why calls have no call sites, in a session with such; NULL: nothing keeps them from it. */
    const char *(*siteless)(struct outside *outside);

    /* Says in words what failed in the gate with ERROR. */
    const char *(*gate_fault)(int error);

    /* Ends it, when no process of the server lives any more.  NULL is fine. */
    void (*close)(struct outside *outside);
};

/* LD_PRELOAD and libsnag.so. */
extern const struct backend backend_preload;

/* A seccomp filter, and its notifications. */
extern const struct backend backend_seccomp;

#endif
