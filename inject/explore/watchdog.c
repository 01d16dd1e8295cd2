#include "explore/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GENERATIONS = 64 }; /* that a child may be away: a bound for a loop */

/* The real, effective and saved ids of PID, user and group. */
static int read_ids(pid_t pid, uid_t users[3], gid_t groups[3])
{
    char path[64], line[256];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        found += sscanf(line, "Uid: %u %u %u", &users[0], &users[1], &users[2]) == 3;
        found += sscanf(line, "Gid: %u %u %u", &groups[0], &groups[1], &groups[2]) == 3;
    }
    if (file != NULL)
        fclose(file);
    return found == 2 ? 0 : -1;
}

/* All of its ids must be ours: that is what prlimit(2) asks for. */
static int change_as(pid_t pid, const struct rlimit *to, struct rlimit *old)
{
    uid_t users[3];
    gid_t groups[3];
    if (read_ids(pid, users, groups) != 0)
        return ESRCH;
    if (setgroups(0, NULL) != 0 || setresgid(groups[0], groups[0], groups[0]) != 0 ||
        setresuid(users[0], users[0], users[0]) != 0)
        return EPERM;
    return prlimit(pid, RLIMIT_NOFILE, to, old) == 0 ? 0 : errno;
}

/* What the child has to say. */
struct changed {
    int error;
    struct rlimit old;
};

static int change_in_child(pid_t pid, const struct rlimit *to, struct rlimit *old)
{
    struct changed told = {.error = EPERM};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        told.error = change_as(pid, to, &told.old);
        _exit(write(ends[1], &told, sizeof told) == sizeof told ? 0 : 1);
    }
    close(ends[1]);
    if (child < 0 || read(ends[0], &told, sizeof told) != sizeof told)
        told.error = EPERM;
    close(ends[0]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    if (told.error == 0 && old != NULL)
        *old = told.old;
    errno = told.error;
    return told.error == 0 ? 0 : -1;
}

int limit_change(pid_t pid, const struct rlimit *to, struct rlimit *old)
{
    if (prlimit(pid, RLIMIT_NOFILE, to, old) == 0)
        return 0;
    return errno == EPERM && geteuid() == 0 ? change_in_child(pid, to, old) : -1;
}

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
        if (from == NULL || limit_change(all[i].pid, NULL, &now) != 0 || now.rlim_cur != from->low)
            continue;
        now.rlim_cur = from->old.rlim_cur < now.rlim_max ? from->old.rlim_cur : now.rlim_max;
        failed += limit_change(all[i].pid, &now, NULL) != 0 && errno != ESRCH;
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
        if (lives && limit_change(list[i].who.pid, &list[i].old, NULL) != 0 && errno != ESRCH)
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
