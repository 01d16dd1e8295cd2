#include "explore/place.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPEN_FOLDERS = 16 };

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t written = write(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    errno = saved;
    return written == (ssize_t)strlen(text) ? 0 : -1;
}

/* In a user namespace we are who we were, so that files keep their owner. */
static int map_user(uid_t user, gid_t group)
{
    char map[64];
    snprintf(map, sizeof map, "%u %u 1", (unsigned)user, (unsigned)user);
    if (write_file("/proc/self/setgroups", "deny") != 0 || write_file("/proc/self/uid_map", map) != 0)
        return -1;
    snprintf(map, sizeof map, "%u %u 1", (unsigned)group, (unsigned)group);
    return write_file("/proc/self/gid_map", map);
}

static int raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    int result = ioctl(fd, SIOCSIFFLAGS, &request);
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int place_isolate(void)
{
    uid_t user = geteuid();
    gid_t group = getegid();
    if (unshare(CLONE_NEWNET) != 0) {
        if (errno != EPERM || unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0 || map_user(user, group) != 0)
            return -1;
    }
    return raise_loopback();
}

int place_isolation_error(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(place_isolate() == 0 ? 0 : errno);
    if (pid < 0)
        return errno;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

bool place_has_words(const char *text)
{
    return strstr(text, "{port}") != NULL || strstr(text, "{dir}") != NULL;
}

char *place_fill(const char *text, uint16_t port, const char *dir)
{
    char *out = NULL, number[8];
    size_t size = 0;
    FILE *file = open_memstream(&out, &size);
    if (file == NULL)
        return NULL;
    snprintf(number, sizeof number, "%u", (unsigned)port);
    while (*text != '\0') {
        if (strncmp(text, "{port}", 6) == 0) {
            fputs(number, file);
            text += 6;
        } else if (strncmp(text, "{dir}", 5) == 0) {
            fputs(dir, file);
            text += 5;
        } else {
            fputc(*text++, file);
        }
    }
    if (fclose(file) == 0)
        return out;
    free(out);
    errno = ENOMEM;
    return NULL;
}

uint16_t place_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint16_t port = 0;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &length) == 0)
        port = ntohs(address.sin_port);
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    return port;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    remove(path);
    return 0;
}

void place_remove(const char *path)
{
    nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
