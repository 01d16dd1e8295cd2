/*
 * backend.h - the seam between a run and the way its faults get into the server.
 *
 * A backend is a constant of functions, in a file of its own.  A run asks, in this order: can it reach the program
 * (reach), is what it needs there (prepare), what must the server's environment say (variables).  From then on the board
 * is all that the two share.
 */
#ifndef SNAG_BACKEND_H
#define SNAG_BACKEND_H

#include "engine/board.h"
#include "run/reach.h"

enum { BACKEND_VARIABLES = 3 };

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
};

/* LD_PRELOAD and libsnag.so. */
extern const struct backend backend_preload;

#endif
