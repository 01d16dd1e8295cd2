/*
 * life.h - the lives of a server's sockets, process by process, put together from the calls of a trace.
 *
 * What is kept of a socket is a timeline: for each kind of call on it, and each outcome, when it came first and last and how
 * often.  Connections that were accepted are counted with their listener, and so are sockets that were never bound with
 * their process.  So memory grows with processes, listeners, and sockets that are open at a time, not with calls.
 */
#ifndef SNAG_LIFE_H
#define SNAG_LIFE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "sites/sites.h"

enum {
    LIFE_STEPS = 48,   /* kinds of steps of one socket; more are counted together */
    LIFE_DETAIL = 120, /* bytes of a step's detail, terminator included */
};

/* Where a socket came from. */
enum life_origin {
    LIFE_SOCKET,    /* socket() */
    LIFE_ACCEPTED,  /* accept() */
    LIFE_COPIED,    /* fcntl(F_DUPFD) */
    LIFE_INHERITED, /* it was there: from a parent, from before an exec, from what the trace does not show */
};

/* Calls on a socket that had the same outcome. */
struct life_step {
    char call[24];
    char error[24];           /* errno's name; "": it succeeded */
    char detail[LIFE_DETAIL]; /* an address, an option, ...; "" */
    uint64_t count, injected;
    uint64_t first_ns, last_ns; /* since the session began; of an accept, which may wait, its end */
    char site[SITE_ID_MAX];     /* that they were all made at; "": not known, or at several */
};

struct life {
    struct life *next;     /* of the process's, in the order of their beginnings */
    struct life *listener; /* LIFE_ACCEPTED: that accepted it; else NULL */
    pid_t pid;
    int fd;
    enum life_origin origin;
    bool bound;                /* it was bound, or it listened */
    bool ended;                /* closed, or its number was given away */
    bool reused;               /* the end was not seen: the number came back for another socket */
    char address[LIFE_DETAIL]; /* that it was bound to; "": not known */
    uint64_t begin_ns, end_ns;
    uint64_t accepted, closed; /* connections */
    uint64_t lived_ns;         /* the closed ones, together */
    struct life_step *steps;   /* in the order of their first */
    size_t step_count;
};

struct life_process {
    struct life_process *next;
    pid_t pid, ppid;         /* ppid 0: not known */
    char comm[32], exe[256]; /* "": not known */
    struct life *lives;      /* that are kept */
    struct life **lives_end;
    uint64_t plain, plain_open; /* sockets that were never bound: all, still open */
};

struct lives;

/* Returns an empty account; NULL with errno ENOMEM. */
struct lives *lives_new(void);
void lives_free(struct lives *lives);

/* Takes note of a line "process", of a line "call".  Returns -1 with errno ENOMEM. */
int lives_process(struct lives *lives, const json_t *line);
int lives_call(struct lives *lives, const json_t *line);

/* The trace has ended: sorts out what is still open. */
void lives_finish(struct lives *lives);

/* Returns the first process, in the order in which they were seen; NULL if there was none. */
const struct life_process *lives_first(const struct lives *lives);

#endif
