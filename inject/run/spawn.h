/*
 * spawn.h - starts a process: the server, the client, the --ready command.
 *
 * Each gets a process group of its own, the signal mask and dispositions that snag itself was started with, and is
 * killed by the kernel if snag dies.
 */
#ifndef SNAG_SPAWN_H
#define SNAG_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * What is done in a process before it executes its command, and gives a descriptor that the parent must have by then (the
 * notifications of a seccomp filter).
 */
struct spawn_gate {
    int (*enter)(void *context);         /* in the child: returns the descriptor, or -1 with errno */
    int (*admit)(void *context, int fd); /* in the parent, whose FD is then: 0, or -1 with errno */
    void *context;
    int error; /* set where spawn_start() fails: the errno of `enter`; 0: it was something else */
};

struct spawn {
    char *const *argv; /* argv[0] is searched for in PATH */
    char *const *env;
    int in, out, err;            /* descriptors that become its stdin, stdout and stderr; -1: ours */
    struct spawn_gate *gate;     /* NULL: none */
    void (*born)(void *context); /* called in the child before the gate; NULL: nothing */
    void *context;               /* of `born` */
    bool kept; /* under a keeper (keeper.h), whose pid is the one that is returned, and the group of the kept */
};

/*
 * Remembers the signal mask and dispositions that processes are started with.  To be called once, before anything
 * changes them.
 */
void spawn_remember_signals(void);

/* Whether SIGNAL was ignored when spawn_remember_signals() was called (nohup, a shell's background job). */
int spawn_was_ignored(int signal);

/* Starts it.  Returns its pid, or -1 with errno: of fork, or of exec in the child. */
pid_t spawn_start(const struct spawn *spawn);

/*
 * Returns a copy of the environment BASE in which each of the COUNT "NAME=VALUE" at SETS replaces what NAME was; NULL in
 * SETS is let pass.  To be freed with free() alone: the strings are not copied.  NULL with errno ENOMEM.
 */
char **spawn_environment(char *const *base, char *const *sets, size_t count);

/* Returns "NAME=VALUE", to be freed; NULL with errno ENOMEM. */
char *spawn_variable(const char *name, const char *value);

#endif
