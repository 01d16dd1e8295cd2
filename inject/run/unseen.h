/*
 * unseen.h - what a server does past the calls that the shim stands before: io_uring, and accepts by system calls of its
 * own.  No rule acts there and no trace shows it, so it is looked for from outside, and said.
 *
 * A ring shows as a descriptor (anon_inode:[io_uring]), unless it exists for less than the time between two looks; one that
 * was set up by syscall(2) is seen by the shim.  An accept shows as a connection on a port where the server listens, if no
 * accept at all of it was recorded: where some are made by libc and some are not, those are not found.
 */
#ifndef SNAG_UNSEEN_H
#define SNAG_UNSEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "run/proc.h"

enum { UNSEEN_ADDRESS_MAX = 128 };

/* A program of the server's, by its name; its other processes are not told apart. */
struct unseen_program {
    pid_t pid; /* of the first that was seen */
    char comm[64];
    bool ring;       /* it has an io_uring, ... */
    bool by_syscall; /* ... and the shim saw it set up, so a rule can refuse it */
    bool accepted;   /* it took a connection, at: */
    char address[UNSEEN_ADDRESS_MAX];
    unsigned rings, connections; /* looks that found one */
    bool said_ring, said_accepted;
};

struct unseen;

/* Returns an empty account; REFUSABLE: a rule can refuse a ring however it is set up.  NULL with errno ENOMEM. */
struct unseen *unseen_new(bool refusable);
void unseen_free(struct unseen *unseen);

/* What the shim's records tell: an accept was made through libc; PID, called COMM, set up an io_uring by syscall(2). */
void unseen_accept(struct unseen *unseen);
void unseen_ring(struct unseen *unseen, pid_t pid, const char *comm);

/* Whether any accept was made through libc. */
bool unseen_has_accept(const struct unseen *unseen);

/* Whether any program of the server's is known to have a ring. */
bool unseen_has_ring(const struct unseen *unseen);

/* Whether any program of the server's is known to have accepted a connection that no backend saw. */
bool unseen_has_connection(const struct unseen *unseen);

/*
 * Looks at the COUNT living processes of the server at LIST; with ACCEPTS, for connections too, which takes longer and is done
 * more and more rarely, but when it is the LAST look.
 */
void unseen_look(struct unseen *unseen, const struct proc *list, size_t count, bool accepts, bool last);

/*
 * Decides about what the look has found, now that the records of before it are read, and says what is new.  What a record
 * may still explain waits for the next look, unless this is the LAST one.
 */
void unseen_judge(struct unseen *unseen, bool last);

/* The programs that were looked into; what was found is `ring` and `accepted`.  COUNT of them.  Valid until the next call. */
const struct unseen_program *unseen_programs(const struct unseen *unseen, size_t *count);

#endif
