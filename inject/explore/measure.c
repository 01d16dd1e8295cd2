#include "explore/measure.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "run/tree.h"

enum {
    PATH_LENGTH = 96,
    READ_AT_ONCE = 1 << 16,
    READ_AT_MOST = 64 << 20, /* bytes of one log that are read for its lines */
};

/* Linux 6.15: what became of the process behind a pidfd, even after it was reaped (ioctl_pidfd(2)). */
struct handle_info {
    uint64_t mask, group;
    uint32_t ids[11];
    int32_t exit_code;
};
#define HANDLE_GET_INFO _IOWR(0xff, 11, struct handle_info)
#define HANDLE_INFO_EXIT (UINT64_C(1) << 3)

static DIR *open_folder(pid_t pid, const char *name)
{
    char path[PATH_LENGTH];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return opendir(path);
}

/* The first two numbers of /proc/PID/task/TID/schedstat are the time on a processor and the time that it waited for one, ns. */
static struct thread_times thread_look(int folder, const char *tid)
{
    struct thread_times times = {.tid = (pid_t)strtol(tid, NULL, 10)};
    char path[NAME_MAX + 16], text[64] = "";
    snprintf(path, sizeof path, "%s/schedstat", tid);
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return times;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length > 0 && sscanf(text, "%" SCNu64 " %" SCNu64, &times.ran_ns, &times.waited_ns) < 1)
        times.ran_ns = 0;
    return times;
}

uint64_t process_cpu(pid_t pid)
{
    struct dirent *entry;
    uint64_t sum = 0;
    DIR *folder = open_folder(pid, "task");
    if (folder == NULL)
        return 0;
    while ((entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            sum += thread_look(dirfd(folder), entry->d_name).ran_ns;
    closedir(folder);
    return sum;
}

int process_descriptors(pid_t pid, unsigned *count)
{
    struct dirent *entry;
    int highest = -1;
    DIR *folder = open_folder(pid, "fd");
    *count = 0;
    if (folder == NULL)
        return -1;
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        int fd = (int)strtol(entry->d_name, NULL, 10);
        highest = fd > highest ? fd : highest;
        ++*count;
    }
    closedir(folder);
    if (highest < 0)
        errno = ENOENT;
    return highest;
}

static bool read_flags(pid_t pid, int fd, unsigned *flags)
{
    char path[PATH_LENGTH], line[128];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)pid, fd);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL)
        found = sscanf(line, "flags: %o", flags) == 1;
    fclose(file);
    return found;
}

bool process_nonblocking(pid_t pid, int fd)
{
    unsigned flags;
    return read_flags(pid, fd, &flags) && (flags & O_NONBLOCK);
}

/* --- Processes --------------------------------------------------------------------------------------------------- */

/* What it gave to write(2) and the like. */
static uint64_t process_written(pid_t pid)
{
    char path[PATH_LENGTH], line[128];
    uint64_t bytes = UINT64_MAX;
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return UINT64_MAX;
    while (bytes == UINT64_MAX && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "wchar: %" SCNu64, &bytes) != 1)
            bytes = UINT64_MAX;
    fclose(file);
    return bytes;
}

static void add_threads(struct crowd *crowd, pid_t pid)
{
    struct dirent *entry;
    DIR *folder = open_folder(pid, "task");
    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        crowd->thread_total++;
        if (crowd->thread_count < CROWD_THREADS_MAX)
            crowd->threads[crowd->thread_count++] = thread_look(dirfd(folder), entry->d_name);
    }
    closedir(folder);
}

static void fill(struct crowd *crowd, const struct proc *list, size_t count)
{
    crowd->total = count;
    crowd->count = crowd->total < CROWD_MAX ? crowd->total : CROWD_MAX;
    for (size_t i = 0; i < crowd->count; i++) {
        crowd->list[i] = list[i];
        add_threads(crowd, list[i].pid);
        crowd->written[i] = process_written(list[i].pid);
        crowd->handles[i] = (int)syscall(SYS_pidfd_open, list[i].pid, 0);
    }
}

void crowd_look(struct crowd *crowd)
{
    struct proc *list;
    ssize_t count = tree_list(false, &list);
    crowd->count = crowd->total = crowd->thread_count = crowd->thread_total = 0;
    if (count < 0)
        return;
    fill(crowd, list, (size_t)count);
    free(list);
}

/* Moves those of LIST that are below the first COUNT of it to these, until there are no more.  Returns how many these are. */
static size_t gather_below(struct proc *list, size_t total, size_t count)
{
    for (size_t parent = 0; parent < count; parent++)
        for (size_t i = count; i < total; i++)
            if (list[i].ppid == list[parent].pid && list[i].state != 'Z') {
                struct proc child = list[i];
                list[i] = list[count];
                list[count++] = child;
            }
    return count;
}

void crowd_look_at(struct crowd *crowd, pid_t root)
{
    struct proc *list;
    ssize_t total = proc_list(&list);
    crowd->count = crowd->total = crowd->thread_count = crowd->thread_total = 0;
    for (ssize_t i = 0; i < total; i++)
        if (list[i].pid == root && list[i].state != 'Z') {
            struct proc first = list[i];
            list[i] = list[0];
            list[0] = first;
            fill(crowd, list, gather_below(list, (size_t)total, 1));
            break;
        }
    if (total >= 0)
        free(list);
}

void crowd_close(struct crowd *crowd)
{
    for (size_t i = 0; i < crowd->count; i++)
        if (crowd->handles[i] >= 0)
            close(crowd->handles[i]);
    crowd->count = crowd->total = crowd->thread_count = crowd->thread_total = 0;
}

static const struct proc *find(const struct crowd *crowd, pid_t pid)
{
    for (size_t i = 0; i < crowd->count; i++)
        if (crowd->list[i].pid == pid)
            return &crowd->list[i];
    return NULL;
}

static bool is_same(const struct proc *proc)
{
    struct proc now;
    return proc_read(proc->pid, &now) == 0 && now.start == proc->start && now.state != 'Z' && now.state != 'X';
}

static const struct thread_times *find_thread(const struct crowd *crowd, pid_t tid)
{
    for (size_t i = 0; i < crowd->thread_count; i++)
        if (crowd->threads[i].tid == tid)
            return &crowd->threads[i];
    return NULL;
}

/* A thread that hardly got a processor shows too little to go by: it counts as if it had got a twentieth of the time. */
static uint64_t thread_share(uint64_t ran_ns, uint64_t waited_ns, uint64_t window_ns)
{
    uint64_t had_ns = waited_ns < window_ns ? window_ns - waited_ns : 0;
    had_ns = had_ns < window_ns / 20 ? window_ns / 20 : had_ns;
    had_ns = had_ns < ran_ns ? ran_ns : had_ns;
    return had_ns > 0 ? (uint64_t)((double)ran_ns * (double)window_ns / (double)had_ns) : 0;
}

uint64_t crowd_cpu(const struct crowd *earlier, const struct crowd *now, uint64_t window_ns)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < now->thread_count; i++) {
        struct thread_times times = now->threads[i];
        const struct thread_times *before = find_thread(earlier, times.tid);
        bool same = before != NULL && before->ran_ns <= times.ran_ns && before->waited_ns <= times.waited_ns;
        uint64_t ran_ns = times.ran_ns - (same ? before->ran_ns : 0);
        sum += thread_share(ran_ns, times.waited_ns - (same ? before->waited_ns : 0), window_ns);
    }
    return sum;
}

uint64_t crowd_written(const struct crowd *earlier, const struct crowd *now)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < now->count; i++) {
        uint64_t before = 0;
        for (size_t j = 0; j < earlier->count; j++)
            if (earlier->list[j].pid == now->list[i].pid && earlier->list[j].start == now->list[i].start)
                before = earlier->written[j];
        if (now->written[i] == UINT64_MAX || before == UINT64_MAX)
            return UINT64_MAX;
        sum += now->written[i] > before ? now->written[i] - before : 0;
    }
    return sum;
}

unsigned crowd_descriptors(const struct crowd *earlier)
{
    unsigned sum = 0, count;
    for (size_t i = 0; i < earlier->count; i++)
        if (is_same(&earlier->list[i])) {
            process_descriptors(earlier->list[i].pid, &count);
            sum += count;
        }
    return sum;
}

/* The soft limit, as /proc shows it to everybody. */
static uint64_t process_limit(pid_t pid)
{
    char path[PATH_LENGTH], line[128];
    uint64_t limit = 0;
    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && limit == 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Max open files %" SCNu64, &limit) != 1)
            limit = 0;
    if (file != NULL)
        fclose(file);
    return limit;
}

uint64_t crowd_room(const struct crowd *crowd)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < crowd->count; i++) {
        unsigned count;
        uint64_t limit = process_limit(crowd->list[i].pid);
        if (process_descriptors(crowd->list[i].pid, &count) < 0 || limit == 0)
            continue;
        uint64_t room = limit > count ? limit - count : 1;
        least = room < least ? room : least;
    }
    return least == UINT64_MAX ? 0 : least;
}

bool crowd_has(const struct crowd *crowd, pid_t pid)
{
    const struct proc *proc = find(crowd, pid);
    return proc != NULL && is_same(proc);
}

bool crowd_ended(const struct crowd *crowd, pid_t pid, int *status)
{
    struct handle_info info = {.mask = HANDLE_INFO_EXIT};
    const struct proc *proc = find(crowd, pid);
    *status = -1;
    if (proc == NULL || is_same(proc))
        return false;
    int handle = crowd->handles[proc - crowd->list];
    if (handle >= 0 && ioctl(handle, HANDLE_GET_INFO, &info) == 0 && (info.mask & HANDLE_INFO_EXIT))
        *status = info.exit_code;
    return true;
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

static bool is_known(const struct logs *logs, const struct stat *status)
{
    for (size_t i = 0; i < logs->count; i++)
        if (logs->files[i].device == status->st_dev && logs->files[i].inode == status->st_ino)
            return true;
    return false;
}

static void look_at_file(struct logs *logs, pid_t pid, int folder, const char *name)
{
    struct stat status;
    unsigned flags;
    int fd = (int)strtol(name, NULL, 10);
    if (name[0] == '.' || fstatat(folder, name, &status, 0) != 0 || !S_ISREG(status.st_mode) ||
        is_known(logs, &status) || !read_flags(pid, fd, &flags) || (flags & O_ACCMODE) == O_RDONLY)
        return;
    logs->total++;
    if (logs->count == LOGS_MAX)
        return;
    size_t i = logs->count++;
    logs->files[i].device = status.st_dev;
    logs->files[i].inode = status.st_ino;
    logs->files[i].size = status.st_size;
    logs->files[i].pid = pid;
    logs->files[i].fd = fd;
}

void logs_look(struct logs *logs, const struct crowd *crowd)
{
    struct dirent *entry;
    logs->count = logs->total = 0;
    for (size_t i = 0; i < crowd->count; i++) {
        DIR *folder = open_folder(crowd->list[i].pid, "fd");
        if (folder == NULL)
            continue;
        while ((entry = readdir(folder)) != NULL)
            look_at_file(logs, crowd->list[i].pid, dirfd(folder), entry->d_name);
        closedir(folder);
    }
}

/* Keeps the line that LENGTH bytes of DATA end with. */
static void keep_last(const char *data, size_t length, char *last, size_t size)
{
    const char *end = memrchr(data, '\n', length);
    if (end == NULL || end == data)
        return;
    const char *before = memrchr(data, '\n', (size_t)(end - data));
    const char *start = before != NULL ? before + 1 : data;
    snprintf(last, size, "%.*s", (int)(end - start), start);
}

static uint64_t count_lines(int fd, int64_t from, uint64_t *bytes, char *last, size_t size)
{
    char *data = malloc(READ_AT_ONCE);
    uint64_t lines = 0, total = 0;
    ssize_t length;
    while (data != NULL && total < READ_AT_MOST && (length = pread(fd, data, READ_AT_ONCE, from)) > 0) {
        for (const char *at = data; (at = memchr(at, '\n', (size_t)(data + length - at))) != NULL; at++)
            lines++;
        keep_last(data, (size_t)length, last, size);
        from += length;
        total += (uint64_t)length;
    }
    free(data);
    *bytes += total;
    return lines;
}

uint64_t logs_lines(const struct logs *logs, uint64_t written, uint64_t *bytes, char *last, size_t size)
{
    uint64_t start = *bytes;
    char path[PATH_LENGTH];
    struct stat status;
    uint64_t lines = 0;
    for (size_t i = 0; i < logs->count; i++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)logs->files[i].pid, logs->files[i].fd);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            continue;
        if (fstat(fd, &status) == 0 && status.st_ino == logs->files[i].inode && status.st_size > logs->files[i].size)
            lines += count_lines(fd, logs->files[i].size, bytes, last, size);
        close(fd);
    }
    uint64_t added = *bytes - start;
    return added > written ? (uint64_t)((double)lines * (double)written / (double)added) : lines;
}
