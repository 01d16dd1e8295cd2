/*
 * watchdog.h - gives limits back, whatever happens to snag: a process of its own that waits for snag's end.
 */
#ifndef SNAG_WATCHDOG_H
#define SNAG_WATCHDOG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "run/proc.h"

/* A process whose limit is to be given back, and what it was. */
struct limited {
    struct proc who;
    struct rlimit old;
    rlim_t low; /* what the soft limit is pulled down to */
};

/*
 * prlimit(2) of RLIMIT_NOFILE, by way of a child with PID's user and groups where this process has not the right, as root has
 * not without CAP_SYS_RESOURCE (in a container).  TO and OLD may be NULL.  Returns 0, or -1 with errno.
 */
int limit_change(pid_t pid, const struct rlimit *to, struct rlimit *old);

/*
 * Starts the process, which gives the COUNT limits at LIST back (limits_give_back()) when snag is gone, however it ended, at the latest after
 * NS.  Returns a descriptor whose closing tells it to do so at once, or -1 with errno.
 */
int watchdog_start(const struct limited *list, size_t count, uint64_t ns);

/*
 * Gives them back, also to children that were started meanwhile and have inherited what was pulled down.  Returns how many
 * could not be, though the process lives.
 */
size_t limits_give_back(const struct limited *list, size_t count);

#endif
