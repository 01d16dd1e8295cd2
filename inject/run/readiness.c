#include "run/readiness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run/clock.h"

enum {
    ENTRIES_MAX = 1024, /* of a poll, that are looked at */
    RING_FDS = 256,     /* of a process that waits in a ring */
};

/* A thread's wait, as /proc shows it. */
struct wait {
    struct supervisor *supervisor;
    pid_t pid;
    int pidfd;
    long number;
    uint64_t args[6];
};

static void report(struct supervisor *supervisor, enum event_kind kind, pid_t pid, int fd, int duplicate)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    struct event event = {.kind = (uint8_t)kind, .pid = pid, .tid = pid, .fd = fd};
    if (getsockname(duplicate, (struct sockaddr *)&own, &length) != 0)
        length = 0;
    event.t_ns = recorder_stamp(supervisor->recorder);
    recorder_write(supervisor->recorder, &event, &own, length < sizeof own ? length : sizeof own);
}

static bool listens(int duplicate)
{
    int on = 0;
    socklen_t length = sizeof on;
    return getsockopt(duplicate, SOL_SOCKET, SO_ACCEPTCONN, &on, &length) == 0 && on;
}

bool readiness_listening(struct supervisor *supervisor, pid_t pid, int fd, int duplicate)
{
    if (!listens(duplicate))
        return false;
    report(supervisor, EVENT_LISTENING, pid, fd, duplicate);
    atomic_fetch_add(&supervisor->listens, 1);
    return true;
}

static bool is_ready(struct supervisor *supervisor)
{
    return atomic_load(&supervisor->board->ready_ns) != 0;
}

/* The first to see it says it. */
static void set_ready(struct supervisor *supervisor, pid_t pid, int fd, int duplicate)
{
    uint64_t not_yet = 0;
    if (atomic_compare_exchange_strong(&supervisor->board->ready_ns, &not_yet, clock_ns()))
        report(supervisor, EVENT_READY, pid, fd, duplicate);
}

void readiness_accept(struct notified *call)
{
    if (is_ready(call->supervisor))
        return;
    int duplicate = process_fd(call->process, call->scene.fd);
    if (duplicate >= 0 && listens(duplicate) && notified_is_valid(call))
        set_ready(call->supervisor, call->process->pid, call->scene.fd, duplicate);
    if (duplicate >= 0)
        close(duplicate);
}

static void look_at_fd(const struct wait *wait, int fd)
{
    int duplicate = fd >= 0 ? (int)syscall(SYS_pidfd_getfd, wait->pidfd, fd, 0) : -1;
    if (duplicate < 0)
        return;
    if (listens(duplicate))
        set_ready(wait->supervisor, wait->pid, fd, duplicate);
    close(duplicate);
}

static void look_at_poll(const struct wait *wait)
{
    struct pollfd entry;
    uint64_t count = wait->args[1] < ENTRIES_MAX ? wait->args[1] : ENTRIES_MAX;
    for (uint64_t i = 0; i < count && !is_ready(wait->supervisor); i++)
        if (target_read(wait->pid, wait->args[0] + i * sizeof entry, &entry, sizeof entry) &&
            (entry.events & (POLLIN | POLLRDNORM)))
            look_at_fd(wait, entry.fd);
}

static void look_at_select(const struct wait *wait)
{
    fd_set set;
    uint64_t count = wait->args[0] < FD_SETSIZE ? wait->args[0] : FD_SETSIZE;
    FD_ZERO(&set);
    if (wait->args[1] == 0 || !target_read(wait->pid, wait->args[1], &set, (size_t)(count + 63) / 64 * 8))
        return;
    for (int fd = 0; fd < (int)count && !is_ready(wait->supervisor); fd++)
        if (FD_ISSET(fd, &set))
            look_at_fd(wait, fd);
}

static void look_at_epoll(const struct wait *wait)
{
    char path[64], line[128];
    int fd;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)wait->pid, (int)wait->args[0]);
    FILE *file = fopen(path, "re");
    while (file != NULL && !is_ready(wait->supervisor) && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "tfd: %d", &fd) == 1)
            look_at_fd(wait, fd);
    if (file != NULL)
        fclose(file);
}

/* A ring does not say what it waits for.  Its process listens, and waits: that has to do. */
static void look_at_ring(const struct wait *wait)
{
    if ((int)wait->args[2] == 0)
        return;
    for (int fd = 0; fd < RING_FDS && !is_ready(wait->supervisor); fd++)
        look_at_fd(wait, fd);
}

static void look_at_wait(const struct wait *wait)
{
    switch (wait->number) {
    case SYS_accept4:
#ifdef SYS_accept
    case SYS_accept:
#endif
        look_at_fd(wait, (int)wait->args[0]);
        break;
#ifdef SYS_poll
    case SYS_poll:
#endif
    case SYS_ppoll:
        look_at_poll(wait);
        break;
#ifdef SYS_select
    case SYS_select:
#endif
    case SYS_pselect6:
        look_at_select(wait);
        break;
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
#endif
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
#endif
    case SYS_epoll_pwait:
        look_at_epoll(wait);
        break;
#ifdef SYS_io_uring_enter
    case SYS_io_uring_enter:
        look_at_ring(wait);
        break;
#endif
    default:
        break;
    }
}

static bool read_wait(struct wait *wait, const char *tid)
{
    char path[320], line[256] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%s/syscall", (int)wait->pid, tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, line, sizeof line - 1);
    close(fd);
    return length > 0 &&
           sscanf(line, "%ld %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64, &wait->number,
                  &wait->args[0], &wait->args[1], &wait->args[2], &wait->args[3], &wait->args[4], &wait->args[5]) == 7;
}

static void look_at_process(struct supervisor *supervisor, pid_t pid)
{
    char path[64];
    struct dirent *entry;
    struct wait wait = {.supervisor = supervisor, .pid = pid, .pidfd = (int)syscall(SYS_pidfd_open, pid, 0)};
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = wait.pidfd >= 0 ? opendir(path) : NULL;
    while (folder != NULL && !is_ready(supervisor) && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.' && read_wait(&wait, entry->d_name))
            look_at_wait(&wait);
    if (folder != NULL)
        closedir(folder);
    if (wait.pidfd >= 0)
        close(wait.pidfd);
}

void readiness_look(struct supervisor *supervisor, const struct proc *list, size_t count)
{
    for (size_t i = 0; i < count && !is_ready(supervisor); i++)
        look_at_process(supervisor, list[i].pid);
}
