/*
 * readiness.h - when a server is ready, seen from outside: a thread of it waits on, or accepts from, a socket that listens.
 *
 * Waits are not trapped for that: /proc/PID/task/TID/syscall says which call a thread is in.  It needs the rights of ptrace.
 */
#ifndef SNAG_READINESS_H
#define SNAG_READINESS_H

#include "run/notified.h"
#include "run/proc.h"

/* Reports that descriptor FD of process PID listens, if DUPLICATE of it does.  Returns whether. */
bool readiness_listening(struct supervisor *supervisor, pid_t pid, int fd, int duplicate);

/* CALL is an accept: if its socket listens, the server is ready. */
void readiness_accept(struct notified *call);

/* Looks at what the threads of the COUNT processes at LIST wait for, until one shows that the server is ready. */
void readiness_look(struct supervisor *supervisor, const struct proc *list, size_t count);

#endif
