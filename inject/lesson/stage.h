/*
 * stage.h - runs a lesson: a server under the shim, clients by the script, and all that happened as a list of steps.
 *
 * The script is made of lines:
 *
 *     connect N            the next N clients connect, one after the other
 *     send K TEXT          client K sends TEXT and a newline          expect K TEXT     ... gets TEXT
 *     close K, reset K     client K closes, in order or by a reset    ended K           client K sees the end
 *     stop, go             the server is halted, and goes on: what clients do meanwhile waits in the kernel's queue
 *     await PATTERN [N]    until N steps (1) match (check.h)
 *     word W               to the lesson's server (not to one that has no ears for it)
 *     idle MS              lets so much time pass, to show that nothing happens
 *     exits                until the server has ended by itself
 *
 * Whatever is waited for is waited for 3 seconds at most; then a step "in_vain" says so, and the script goes on.
 */
#ifndef SNAG_STAGE_H
#define SNAG_STAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lesson/step.h"
#include "run/boardfile.h"
#include "trace/drain.h"

enum stage_server {
    STAGE_OURS,     /* lesson-server: on our listener */
    STAGE_ORIGINAL, /* lesson-server-libevent */
    STAGE_STUDENT,
};

enum { STAGE_CLIENTS = 16 };

struct stage {
    enum stage_server kind;
    const json_t *lesson;
    const char *command; /* STAGE_STUDENT */

    struct plan *plan;
    struct boardfile *file;
    struct board *board;
    struct drain *drain;
    struct steps steps;
    pid_t pid;
    bool ended; /* and was waited for, with STATUS */
    int status;
    int words, told, errors;    /* the server's stdin, stdout and stderr; -1: none */
    int clients[STAGE_CLIENTS]; /* sockets by client; -1: none */
    unsigned connected;         /* clients so far */
    bool halted;                /* by "stop" */
};

/*
 * Runs LESSON (text.h) with that server; COMMAND is a student's.  Returns the steps in their order, a list; NULL, having
 * said why, if the run could not be made, with the exit status in *STATUS.
 */
json_t *stage_run(const json_t *lesson, enum stage_server kind, const char *command, int *status);

/* For script.c: lets the server run for up to MS, and takes in what it tells.  False when the run is to end: a signal. */
bool stage_pump(struct stage *stage, int ms);

/* script.c: plays the script.  Returns -1, having said where, if it has a mistake. */
int script_play(struct stage *stage);

/* For script.c: waits until WHAT is true, 3 s at most. */
bool stage_wait(struct stage *stage, bool (*what)(struct stage *, void *), void *arg);

#endif
