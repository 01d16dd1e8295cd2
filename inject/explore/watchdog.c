#include "explore/watchdog.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GENERATIONS = 64 }; /* that a child may be away: a bound for a loop */

static const struct limited *find_limited(const struct limited *list, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (list[i].who.pid == pid)
            return &list[i];
    return NULL;
}

static pid_t parent_of(const struct proc *all, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].pid == pid)
            return all[i].ppid;
    return 0;
}

/* The limited process that is the nearest ancestor of WHO; NULL: none is. */
static const struct limited *inherited_from(const struct limited *list, size_t count, const struct proc *all,
                                            size_t total, const struct proc *who)
{
    const struct limited *from = NULL;
    pid_t pid = who->ppid;
    for (int depth = 0; depth < GENERATIONS && pid > 1 && from == NULL; depth++) {
        from = find_limited(list, count, pid);
        pid = parent_of(all, total, pid);
    }
    return from;
}

/* Returns how many failed.  A child whose limit is another than the one that was pulled down has set it itself. */
static size_t give_to_children(const struct limited *list, size_t count)
{
    struct proc *all;
    size_t failed = 0;
    ssize_t total = proc_list(&all);
    for (ssize_t i = 0; i < total; i++) {
        struct rlimit now;
        if (all[i].state == 'Z' || find_limited(list, count, all[i].pid) != NULL)
            continue;
        const struct limited *from = inherited_from(list, count, all, (size_t)total, &all[i]);
        if (from == NULL || prlimit(all[i].pid, RLIMIT_NOFILE, NULL, &now) != 0 || now.rlim_cur != from->low)
            continue;
        now.rlim_cur = from->old.rlim_cur < now.rlim_max ? from->old.rlim_cur : now.rlim_max;
        failed += prlimit(all[i].pid, RLIMIT_NOFILE, &now, NULL) != 0 && errno != ESRCH;
    }
    if (total >= 0)
        free(all);
    return failed;
}

/* Parents first: who is started from then on has the right limit, and who was started before is in the list of processes. */
size_t limits_give_back(const struct limited *list, size_t count)
{
    size_t failed = 0;
    struct proc now;
    for (size_t i = 0; i < count; i++) {
        bool lives = proc_read(list[i].who.pid, &now) == 0 && now.start == list[i].who.start;
        if (lives && prlimit(list[i].who.pid, RLIMIT_NOFILE, &list[i].old, NULL) != 0 && errno != ESRCH)
            failed++;
    }
    return failed + give_to_children(list, count);
}

/* Ctrl-C at a terminal goes to the whole group: this one leaves it, and lets no signal but SIGKILL end it. */
static _Noreturn void watch(int end, const struct limited *list, size_t count, uint64_t ns)
{
    struct pollfd closed = {.fd = end, .events = POLLIN};
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    poll(&closed, 1, (int)(ns / 1000000));
    limits_give_back(list, count);
    _exit(0);
}

/* Forks twice: nobody waits for the one that watches, and it is no child of snag's that could be killed with the others. */
int watchdog_start(const struct limited *list, size_t count, uint64_t ns)
{
    int ends[2], status;
    if (pipe(ends) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[1]);
        pid_t second = fork();
        if (second == 0)
            watch(ends[0], list, count, ns);
        _exit(second < 0 ? 1 : 0);
    }
    int saved = errno;
    close(ends[0]);
    if (pid > 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return ends[1];
    close(ends[1]);
    errno = pid < 0 ? saved : EAGAIN;
    return -1;
}
