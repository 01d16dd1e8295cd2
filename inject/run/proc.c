#include "run/proc.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NAME_LENGTH = 64,
    SOCKETS_MAX = 4096,     /* sockets of one process that are compared; one with more still shows its first */
    TCP_ESTABLISHED = 0x01, /* the states, in /proc/net/tcp */
    TCP_CLOSE_WAIT = 0x08,
    TCP_LISTEN = 0x0a,
    UNIX_ACCEPTS = 0x10000, /* the flag of a listening socket, in /proc/net/unix */
    UNIX_CONNECTED = 3,     /* the state there */
    RING_LOOK = 1000,       /* descriptors that are looked at for an io_uring */
};

static FILE *open_file(pid_t pid, const char *name)
{
    char path[NAME_LENGTH];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

/* The name in parentheses may hold anything, a parenthesis too: the last one ends it. */
int proc_read(pid_t pid, struct proc *out)
{
    char line[1024];
    FILE *file = open_file(pid, "stat");
    if (file == NULL)
        return -1;
    size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = '\0';
    char *name = strchr(line, '(');
    char *end = strrchr(line, ')');
    if (name == NULL || end == NULL || length == 0) {
        errno = ESRCH;
        return -1;
    }
    *end = '\0';
    memset(out, 0, sizeof *out);
    out->pid = pid;
    snprintf(out->comm, sizeof out->comm, "%s", name + 1);
    unsigned long long start = 0;
    int ppid = 0, pgid = 0;
    if (sscanf(end + 1, " %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", /* proc(5) */
               &out->state, &ppid, &pgid, &start) != 4) {
        errno = ESRCH;
        return -1;
    }
    out->ppid = ppid;
    out->pgid = pgid;
    out->start = start;
    return 0;
}

static pid_t *left_out; /* sorted */
static size_t left_out_count;

static int compare_pids(const void *left, const void *right)
{
    pid_t a = *(const pid_t *)left, b = *(const pid_t *)right;
    return a < b ? -1 : a > b;
}

static bool is_left_out(pid_t pid)
{
    return left_out_count > 0 && bsearch(&pid, left_out, left_out_count, sizeof pid, compare_pids) != NULL;
}

void proc_leave_out(void)
{
    struct proc *list;
    left_out_count = 0;
    ssize_t count = proc_list(&list);
    pid_t *pids = count > 0 ? realloc(left_out, (size_t)count * sizeof *pids) : NULL;
    for (ssize_t i = 0; pids != NULL && i < count; i++)
        if (list[i].pid != getpid())
            pids[left_out_count++] = list[i].pid;
    if (pids != NULL) {
        left_out = pids;
        qsort(left_out, left_out_count, sizeof *left_out, compare_pids);
    }
    if (count >= 0)
        free(list);
}

static ssize_t list(struct proc **out, bool all)
{
    size_t count = 0, room = 0;
    struct dirent *entry;
    *out = NULL;
    DIR *folder = opendir("/proc");
    if (folder == NULL)
        return -1;
    while ((entry = readdir(folder)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (*end != '\0' || pid <= 0 || (!all && is_left_out((pid_t)pid)))
            continue;
        if (count == room) {
            struct proc *more = realloc(*out, (room = room ? 2 * room : 256) * sizeof **out);
            if (more == NULL)
                goto fail;
            *out = more;
        }
        if (proc_read((pid_t)pid, &(*out)[count]) == 0)
            count++;
    }
    closedir(folder);
    return (ssize_t)count;
fail:
    free(*out);
    *out = NULL;
    closedir(folder);
    errno = ENOMEM;
    return -1;
}

ssize_t proc_list(struct proc **out)
{
    return list(out, false);
}

ssize_t proc_list_all(struct proc **out)
{
    return list(out, true);
}

static int read_link(pid_t pid, const char *name, char out[PATH_MAX])
{
    char path[NAME_LENGTH];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    ssize_t length = readlink(path, out, PATH_MAX - 1);
    if (length < 0)
        return -1;
    out[length] = '\0';
    return 0;
}

void proc_exe(pid_t pid, char out[PATH_MAX])
{
    if (read_link(pid, "exe", out) != 0)
        strcpy(out, "?");
}

int proc_cwd(pid_t pid, char out[PATH_MAX])
{
    return read_link(pid, "cwd", out);
}

int proc_maps(pid_t pid, const char *path)
{
    char *line = NULL;
    size_t room = 0;
    int found = 0;
    FILE *file = open_file(pid, "maps");
    if (file == NULL)
        return -1;
    while (!found && getline(&line, &room, file) > 0) {
        const char *name = strchr(line, '/');
        found = name != NULL && strncmp(name, path, strlen(path)) == 0;
    }
    bool failed = ferror(file);
    free(line);
    fclose(file);
    return failed ? -1 : found;
}

bool proc_has_variable(pid_t pid, const char *text)
{
    char path[64], *line = NULL;
    size_t room = 0, length = strlen(text);
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && getdelim(&line, &room, '\0', file) > 0)
        found = strncmp(line, text, length) == 0;
    if (file != NULL)
        fclose(file);
    free(line);
    return found;
}

bool proc_thread_lives(pid_t pid, pid_t tid)
{
    /* EPERM: it lives and is somebody else's. */
    return syscall(SYS_tgkill, pid, tid, 0) == 0 || errno != ESRCH;
}

int proc_signal(const struct proc *who, int signal)
{
    struct proc now;
    int handle = (int)syscall(SYS_pidfd_open, who->pid, 0);
    if (handle < 0 && errno != ENOSYS)
        return -1;
    /* The handle holds on to whoever has the number now; only then can comparing the start tell. */
    int result = proc_read(who->pid, &now);
    if (result == 0 && now.start != who->start) {
        errno = ESRCH;
        result = -1;
    }
    if (result == 0)
        result = handle >= 0 ? (int)syscall(SYS_pidfd_send_signal, handle, signal, NULL, 0) : kill(who->pid, signal);
    if (handle >= 0) {
        int saved = errno;
        close(handle);
        errno = saved;
    }
    return result;
}

/* The inodes of the sockets of some processes, and whose they are. */
struct inodes {
    size_t count;
    unsigned long items[SOCKETS_MAX];
    pid_t owners[SOCKETS_MAX];
};

/* Adds those of PID. */
static void read_inodes(pid_t pid, struct inodes *out)
{
    char path[NAME_LENGTH], target[NAME_LENGTH];
    struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL && out->count < SOCKETS_MAX) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        out->owners[out->count] = pid;
        if (sscanf(target, "socket:[%lu]", &out->items[out->count]) == 1)
            out->count++;
    }
    closedir(folder);
}

/* Returns who has the socket; 0: none of them.  Inode 0 is one that nobody has any more. */
static pid_t owner_of(const struct inodes *inodes, unsigned long inode)
{
    for (size_t i = 0; inode != 0 && i < inodes->count; i++)
        if (inodes->items[i] == inode)
            return inodes->owners[i];
    return 0;
}

/* Addresses in /proc/net are words of memory in hex, each in the machine's own byte order. */
static bool format_address(const char *hex, unsigned port, char *out, size_t size)
{
    uint32_t words[4];
    char text[INET6_ADDRSTRLEN];
    int count = sscanf(hex, "%8x%8x%8x%8x", &words[0], &words[1], &words[2], &words[3]);
    if ((count != 1 && count != 4) || inet_ntop(count == 1 ? AF_INET : AF_INET6, words, text, sizeof text) == NULL)
        return false;
    snprintf(out, size, count == 1 ? "%s:%u" : "[%s]:%u", text, port);
    return true;
}

/* A socket of a process, as a line of /proc/net tells it. */
struct socket_line {
    char address[256]; /* TCP: in hex; unix: the path, "" without a name */
    unsigned port, state;
    pid_t owner;
};

/* Reads on to the next line of FILE, a table of TCP sockets, that is of one of INODES. */
static bool next_tcp(FILE *file, const struct inodes *inodes, struct socket_line *out)
{
    char line[512];
    unsigned long inode;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, " %*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*d %*d %lu", out->address, &out->port,
                   &out->state, &inode) == 4 &&
            (out->owner = owner_of(inodes, inode)) != 0)
            return true;
    return false;
}

/* The same of the table of unix sockets; `state` is TCP_LISTEN or TCP_ESTABLISHED. */
static bool next_unix(FILE *file, const struct inodes *inodes, struct socket_line *out)
{
    char line[512];
    unsigned flags, state;
    unsigned long inode;
    while (fgets(line, sizeof line, file) != NULL) {
        out->address[0] = '\0';
        if (sscanf(line, "%*s %*x %*x %x %*x %x %lu %255[^\n]", &flags, &state, &inode, out->address) < 3 ||
            (out->owner = owner_of(inodes, inode)) == 0)
            continue;
        out->state = flags & UNIX_ACCEPTS ? TCP_LISTEN : state == UNIX_CONNECTED ? TCP_ESTABLISHED : 0;
        return true;
    }
    return false;
}

static bool find_tcp(pid_t pid, const char *table, const struct inodes *inodes, char *out, size_t size)
{
    struct socket_line line;
    bool found = false;
    FILE *file = open_file(pid, table);
    if (file == NULL)
        return false;
    while (!found && next_tcp(file, inodes, &line))
        if (line.state == TCP_LISTEN)
            found = format_address(line.address, line.port, out, size);
    fclose(file);
    return found;
}

static bool find_unix(pid_t pid, const struct inodes *inodes, char *out, size_t size)
{
    struct socket_line line;
    bool found = false;
    FILE *file = open_file(pid, "net/unix");
    if (file == NULL)
        return false;
    while (!found && next_unix(file, inodes, &line))
        found = line.state == TCP_LISTEN;
    if (found)
        snprintf(out, size, "%s", line.address[0] ? line.address : "a unix socket without a name");
    fclose(file);
    return found;
}

bool proc_listens(pid_t pid, char *out, size_t size)
{
    struct inodes *inodes = calloc(1, sizeof *inodes);
    if (inodes == NULL)
        return false;
    read_inodes(pid, inodes);
    bool found =
        inodes->count > 0 && (find_tcp(pid, "net/tcp", inodes, out, size) ||
                              find_tcp(pid, "net/tcp6", inodes, out, size) || find_unix(pid, inodes, out, size));
    free(inodes);
    return found;
}

/* Two passes: which ports are listened on, and which connections are on one of these. */
static pid_t accepted_tcp(pid_t pid, const char *table, const struct inodes *inodes, char *out, size_t size)
{
    struct socket_line line;
    bool listens[UINT16_MAX + 1] = {false};
    pid_t found = 0;
    FILE *file = open_file(pid, table);
    if (file == NULL)
        return 0;
    while (next_tcp(file, inodes, &line))
        listens[line.port & UINT16_MAX] |= line.state == TCP_LISTEN;
    rewind(file);
    while (found == 0 && next_tcp(file, inodes, &line))
        if ((line.state == TCP_ESTABLISHED || line.state == TCP_CLOSE_WAIT) && listens[line.port & UINT16_MAX] &&
            format_address(line.address, line.port, out, size))
            found = line.owner;
    fclose(file);
    return found;
}

/* A connection that was accepted has its listener's name.  Only the first listener with a name is looked at. */
static pid_t accepted_unix(pid_t pid, const struct inodes *inodes, char *out, size_t size)
{
    struct socket_line line;
    char listener[sizeof line.address] = "";
    pid_t found = 0;
    FILE *file = open_file(pid, "net/unix");
    if (file == NULL)
        return 0;
    while (listener[0] == '\0' && next_unix(file, inodes, &line))
        if (line.state == TCP_LISTEN)
            memcpy(listener, line.address, sizeof listener);
    rewind(file);
    while (found == 0 && listener[0] != '\0' && next_unix(file, inodes, &line))
        if (line.state == TCP_ESTABLISHED && strcmp(line.address, listener) == 0)
            found = line.owner;
    fclose(file);
    snprintf(out, size, "%s", listener);
    return found;
}

pid_t proc_accepted(const struct proc *list, size_t count, char *out, size_t size)
{
    struct inodes *inodes = calloc(1, sizeof *inodes);
    pid_t found = 0;
    if (inodes == NULL)
        return 0;
    for (size_t i = 0; i < count; i++)
        read_inodes(list[i].pid, inodes);
    if (inodes->count > 1)
        found = accepted_tcp(list[0].pid, "net/tcp", inodes, out, size);
    if (inodes->count > 1 && found == 0)
        found = accepted_tcp(list[0].pid, "net/tcp6", inodes, out, size);
    if (inodes->count > 1 && found == 0)
        found = accepted_unix(list[0].pid, inodes, out, size);
    free(inodes);
    return found;
}

/* A connection that nobody has accepted yet has no file: its inode is 0. */
static bool find_connection(const char *table, uint16_t server, uint16_t own)
{
    char line[512];
    bool found = false;
    FILE *file = fopen(table, "re");
    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        unsigned local, remote;
        unsigned long inode;
        found = sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%x %*x %*s %*s %*s %*d %*d %lu", &local, &remote,
                       &inode) == 3 &&
                local == server && remote == own && inode != 0;
    }
    fclose(file);
    return found;
}

bool proc_has_accepted(uint16_t server, uint16_t own)
{
    return find_connection("/proc/self/net/tcp", server, own) || find_connection("/proc/self/net/tcp6", server, own);
}

bool proc_has_ring(pid_t pid)
{
    char path[NAME_LENGTH], target[NAME_LENGTH];
    struct dirent *entry;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    for (int i = 0; !found && i < RING_LOOK && (entry = readdir(folder)) != NULL; i++) {
        ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        found = strcmp(target, "anon_inode:[io_uring]") == 0;
    }
    closedir(folder);
    return found;
}
