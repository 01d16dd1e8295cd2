/*
 * call.h - the calls of calls.def as an enum and as tables.
 *
 * No I/O, no malloc, no state: every function here may be called from any thread and from a signal handler.
 */
#ifndef SNAG_CALL_H
#define SNAG_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Calls by name: CALL_accept4 and so on, in the order of calls.def. */
enum call {
#define CALL(name, type, parameters, number, class, actions) CALL_##name,
#define SYSCALL(name, number, class, actions) CALL_##name,
#include "calls.def"
    CALL_COUNT,
    CALL_NONE = CALL_COUNT /* "no such call" where one is returned */
};

/* The plan's classes of calls. */
enum call_class { OF_OTHER, OF_ACCEPT, OF_SETUP };

/* What a rule may do to a call, or ask of it; calls.def says what each means. */
enum call_traits {
    FD = 1 << 0,
    SOCKET = 1 << 1,
    ADDRESS = 1 << 2,
    NEWFD = 1 << 3,
    BACKLOG = 1 << 4,
    DOMAIN = 1 << 5,
    PAIR = 1 << 6,
};

/* What an injected failure does besides reporting itself; calls.def says what each means. */
enum call_effect { KEEPS, CONSUMES, NO_QUEUE, ACTS };

/* The longest mode in which an errno can exist with a client waiting; each includes those before it. */
enum call_mode { ONCE, BURST, HELD };

/* One errno of one call. */
struct call_errno {
    enum call call;
    int number;       /* EMFILE */
    const char *name; /* "EMFILE" */
    enum call_effect effect;
    enum call_mode modes;
    const char *cause; /* in words, no full stop */
};

/* One call. */
struct call_info {
    const char *name;
    long number; /* of the system call; NR_NONE where this machine has none */
    enum call_class class;
    unsigned traits;                 /* of enum call_traits */
    const struct call_errno *errnos; /* its call_errno_count() rows, in the order of calls.def */
};

enum { NR_NONE = -1 };

/* Returns the row of CALL, which must be below CALL_COUNT.  Static storage. */
const struct call_info *call_info(enum call call);

/* Returns the call of that exact name (LENGTH bytes at NAME), CALL_NONE if there is none.  Aliases are not names. */
enum call call_by_name(const char *name, size_t length);

/* Returns the call that system call NUMBER is on this machine, CALL_NONE if it is none of ours. */
enum call call_by_number(long number);

/* Returns how many errnos CALL can fail with: the length of call_info(CALL)->errnos. */
size_t call_errno_count(enum call call);

/* Returns the row for errno NUMBER of CALL, NULL if the call can't fail with it on Linux. */
const struct call_errno *call_errno(enum call call, int number);

#endif
