#include "run/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "run/callsite.h"
#include "run/clock.h"

enum {
    BUCKETS = 1024, /* a power of two */
    FAR = 64,       /* descriptors below the limit */
};

#define LIMIT_NS (100 * NS_PER_MS)

struct targets {
    struct thread *threads[BUCKETS];
    struct process *processes;
    void (*drop)(void *context, struct thread *thread);
    void *context;
};

struct targets *targets_new(void (*drop)(void *context, struct thread *thread), void *context)
{
    struct targets *targets = calloc(1, sizeof *targets);
    if (targets == NULL)
        return NULL;
    targets->drop = drop;
    targets->context = context;
    return targets;
}

static void process_free(struct process *process)
{
    if (process->pidfd >= 0)
        close(process->pidfd);
    if (process->folder >= 0)
        close(process->folder);
    callsites_leave(process);
    free(process->fd_ordinals);
    free(process);
}

static void thread_free(struct targets *targets, struct thread *thread)
{
    if (thread->held != NULL)
        targets->drop(targets->context, thread);
    if (thread->place >= 0)
        close(thread->place);
    thread->process->threads--;
    free(thread);
}

void targets_free(struct targets *targets)
{
    if (targets == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (targets->threads[i] != NULL) {
            struct thread *thread = targets->threads[i];
            targets->threads[i] = thread->next;
            thread_free(targets, thread);
        }
    while (targets->processes != NULL) {
        struct process *process = targets->processes;
        targets->processes = process->next;
        process_free(process);
    }
    free(targets);
}

/* The process that thread TID belongs to; -1 with errno if it is gone. */
static pid_t process_of(pid_t tid)
{
    char path[64], line[128];
    pid_t pid = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    while (pid < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "Tgid:", 5) == 0)
            pid = (pid_t)atoi(line + 5);
    fclose(file);
    if (pid < 0)
        errno = ESRCH;
    return pid;
}

static struct process *process_new(pid_t pid)
{
    char path[64];
    struct process *process = calloc(1, sizeof *process);
    if (process == NULL)
        return NULL;
    process->pid = pid;
    process->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    process->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (process->pidfd >= 0)
        return process;
    int saved = errno;
    process_free(process);
    errno = saved;
    return NULL;
}

static struct process *find_process(struct targets *targets, pid_t pid, bool *fresh)
{
    struct process *process = targets->processes;
    while (process != NULL && process->pid != pid)
        process = process->next;
    *fresh = process == NULL;
    if (process != NULL)
        return process;
    process = process_new(pid);
    if (process == NULL)
        return NULL;
    process->next = targets->processes;
    targets->processes = process;
    return process;
}

struct thread *targets_find(struct targets *targets, pid_t tid, bool *fresh)
{
    struct thread **bucket = &targets->threads[(unsigned)tid % BUCKETS], *thread = *bucket;
    *fresh = false;
    while (thread != NULL && thread->tid != tid)
        thread = thread->next;
    if (thread != NULL)
        return thread;
    pid_t pid = process_of(tid);
    thread = pid > 0 ? calloc(1, sizeof *thread) : NULL;
    if (thread == NULL)
        return NULL;
    thread->tid = tid;
    thread->place = -1;
    thread->process = find_process(targets, pid, fresh);
    if (thread->process == NULL) {
        free(thread);
        return NULL;
    }
    thread->process->threads++;
    thread->next = *bucket;
    *bucket = thread;
    return thread;
}

/* Of a process that is gone, the number may be another's by now; its pidfd is not. */
bool process_lives(const struct process *process)
{
    return syscall(SYS_pidfd_send_signal, process->pidfd, 0, NULL, 0) == 0 || errno != ESRCH;
}

static bool thread_lives(const struct thread *thread)
{
    return process_lives(thread->process) &&
           (syscall(SYS_tgkill, thread->process->pid, thread->tid, 0) == 0 || errno != ESRCH);
}

void targets_sweep(struct targets *targets)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct thread **link = &targets->threads[i]; *link != NULL;) {
            struct thread *thread = *link;
            if (thread_lives(thread)) {
                link = &thread->next;
                continue;
            }
            *link = thread->next;
            thread_free(targets, thread);
        }
    for (struct process **link = &targets->processes; *link != NULL;) {
        struct process *process = *link;
        if (process->threads > 0 || process_lives(process)) {
            link = &process->next;
            continue;
        }
        *link = process->next;
        process_free(process);
    }
}

_Atomic uint64_t *process_fd_ordinal(struct process *process, uint32_t slot, int fd)
{
    for (size_t i = 0; i < process->fd_ordinal_count; i++)
        if (process->fd_ordinals[i].slot == slot && process->fd_ordinals[i].fd == fd)
            return &process->fd_ordinals[i].count;
    size_t count = process->fd_ordinal_count;
    struct fd_ordinal *more = realloc(process->fd_ordinals, (count + 1) * sizeof *more);
    if (more == NULL)
        return NULL;
    process->fd_ordinals = more;
    process->fd_ordinal_count = count + 1;
    more[count].slot = slot;
    more[count].fd = fd;
    atomic_init(&more[count].count, 0);
    return &more[count].count;
}

void process_forget_fds(struct process *process, unsigned first, unsigned last)
{
    for (size_t i = process->fd_ordinal_count; i-- > 0;) {
        unsigned fd = (unsigned)process->fd_ordinals[i].fd;
        if (fd >= first && fd <= last)
            memmove(&process->fd_ordinals[i], &process->fd_ordinals[i + 1],
                    (--process->fd_ordinal_count - i) * sizeof process->fd_ordinals[0]);
    }
}

/* Counts those below LIMIT by reading the folder's names, in a copy of the folder: its place is shared. */
static uint32_t count_names(const struct process *process, long limit)
{
    uint32_t count = 0;
    int copy = openat(process->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry;
    if (folder == NULL) {
        if (copy >= 0)
            close(copy);
        return 0;
    }
    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.' && atol(entry->d_name) < limit;
    closedir(folder);
    return count;
}

/* Since Linux 6.2 the folder's size is the number. */
uint32_t process_open_count(const struct process *process)
{
    struct stat status;
    if (fstat(process->folder, &status) == 0 && status.st_size > 0)
        return (uint32_t)status.st_size;
    return count_names(process, INT32_MAX);
}

/* Where this is wrong, the kernel says EMFILE when the descriptor is placed. */
bool process_has_room(struct process *process)
{
    struct rlimit limit;
    uint64_t now_ns = clock_ns();
    uint32_t count = process_open_count(process);
    if (process->limit_ns != 0 && now_ns - process->limit_ns < LIMIT_NS && count + FAR < process->limit)
        return true;
    if (prlimit(process->pid, RLIMIT_NOFILE, NULL, &limit) != 0)
        return true;
    process->limit = limit.rlim_cur;
    process->limit_ns = now_ns;
    if (count < limit.rlim_cur)
        return true;
    /* Some may be above a limit that was lowered since. */
    return limit.rlim_cur > INT32_MAX || count_names(process, (long)limit.rlim_cur) < limit.rlim_cur;
}

int process_free_fd(const struct process *process, int first)
{
    struct rlimit limit;
    char name[16];
    struct stat status;
    if (prlimit(process->pid, RLIMIT_NOFILE, NULL, &limit) != 0)
        return -1;
    for (int fd = first; (rlim_t)fd < limit.rlim_cur; fd++) {
        snprintf(name, sizeof name, "%d", fd);
        if (fstatat(process->folder, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            return errno == ENOENT ? fd : -1;
    }
    return -1;
}

int process_fd(const struct process *process, int fd)
{
    return (int)syscall(SYS_pidfd_getfd, process->pidfd, fd, 0);
}

bool target_read(pid_t tid, uint64_t at, void *to, size_t length)
{
    struct iovec local = {to, length}, remote = {(void *)(uintptr_t)at, length};
    return length == 0 || process_vm_readv(tid, &local, 1, &remote, 1, 0) == (ssize_t)length;
}

bool target_write_two(pid_t tid, uint64_t at, const void *from, size_t length, uint64_t at2, const void *from2,
                      size_t length2)
{
    struct iovec remote[2] = {{(void *)(uintptr_t)at, length}, {(void *)(uintptr_t)at2, length2}};
    struct iovec local[2] = {{.iov_len = length}, {.iov_len = length2}};
    memcpy(&local[0].iov_base, &from, sizeof from); /* they are only read */
    memcpy(&local[1].iov_base, &from2, sizeof from2);
    return process_vm_writev(tid, local, 2, remote, 2, 0) == (ssize_t)(length + length2);
}

void target_comm(pid_t tid, char out[16])
{
    char path[64];
    memset(out, 0, 16);
    snprintf(path, sizeof path, "/proc/%d/comm", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t length = read(fd, out, 15);
    close(fd);
    if (length > 0 && out[length - 1] == '\n')
        out[length - 1] = '\0';
}
