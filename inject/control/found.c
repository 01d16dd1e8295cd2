#include "control/found.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/ctl.h"
#include "control/frame.h"
#include "run/boardfile.h"
#include "run/clock.h"

/* --- Finding ------------------------------------------------------------------------------------------------------ */

struct gathering {
    struct found *list;
    size_t count;
    bool failed;
};

static void read_name(int folder, char out[SESSION_NAME_MAX + 1])
{
    int fd = openat(folder, FRAME_FOLDER "/" FRAME_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t length = fd >= 0 ? read(fd, out, SESSION_NAME_MAX) : 0;
    if (fd >= 0)
        close(fd);
    out[length > 0 ? length : 0] = '\0';
}

static void gather(void *context, pid_t pid, uid_t owner, int folder)
{
    struct gathering *all = context;
    if (faccessat(folder, FRAME_FOLDER "/" FRAME_SOCKET, F_OK, 0) != 0)
        return; /* it has just begun, or could not open one */
    struct found *more = realloc(all->list, (all->count + 1) * sizeof *more);
    int copy = more != NULL ? fcntl(folder, F_DUPFD_CLOEXEC, 0) : -1;
    if (more != NULL)
        all->list = more;
    if (copy < 0) {
        all->failed = true;
        return;
    }
    struct found *found = &all->list[all->count++];
    *found = (struct found){.pid = pid, .owner = owner, .folder = copy};
    read_name(folder, found->name);
}

static int by_pid(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    return a->pid < b->pid ? -1 : a->pid > b->pid;
}

ssize_t found_list(struct found **out)
{
    struct gathering all = {0};
    boardfile_each(gather, &all);
    if (all.failed) {
        found_free(all.list, (ssize_t)all.count);
        errno = ENOMEM;
        return -1;
    }
    if (all.count > 0)
        qsort(all.list, all.count, sizeof *all.list, by_pid);
    *out = all.list;
    return (ssize_t)all.count;
}

void found_close(struct found *found)
{
    close(found->folder);
}

void found_free(struct found *list, ssize_t count)
{
    for (ssize_t i = 0; i < count; i++)
        found_close(&list[i]);
    free(list);
}

static bool is_called(const struct found *found, const char *name)
{
    char pid[16];
    snprintf(pid, sizeof pid, "%d", (int)found->pid);
    return strcmp(found->name, name) == 0 || strcmp(pid, name) == 0;
}

bool found_session(const char *name, struct found *out)
{
    struct found *list;
    bool is_there = false;
    ssize_t count = found_list(&list);
    for (ssize_t i = 0; i < count; i++) {
        if (!is_there && is_called(&list[i], name)) {
            *out = list[i];
            is_there = true;
        } else {
            found_close(&list[i]);
        }
    }
    if (count >= 0)
        free(list);
    return is_there;
}

/* A name is a word that no option, no process number and no command can be taken for. */
const char *found_name_fault(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (name[0] == '\0' || strlen(name) > SESSION_NAME_MAX || name[strspn(name, letters)] != '\0')
        return "expected 1 to 64 letters, digits, '.', '_' or '-'";
    if (strspn(name, "0123456789") == strlen(name))
        return "expected more than digits: a number means the process of a session";
    if (name[0] == '-')
        return "expected a name that does not begin with '-'";
    if (ctl_is_command(name))
        return "this is a command of snag ctl; expected another name";
    return NULL;
}

/* --- Asking ------------------------------------------------------------------------------------------------------- */

/* Connecting and sending wait for a session that takes nothing, as one that is stopped, and fail with EAGAIN then. */
static int connect_to(const struct found *found)
{
    static const struct timeval patience = {.tv_sec = FOUND_PATIENCE_MS / 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" FRAME_FOLDER "/" FRAME_SOCKET,
             found->folder);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int send_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return -1;
        text += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int send_request(int fd, const json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    if (text == NULL) {
        errno = ENOMEM;
        return -1;
    }
    size_t length = strlen(text);
    int result = -1;
    if (length + 1 > FRAME_REQUEST_MAX) {
        errno = E2BIG;
    } else {
        text[length] = '\n'; /* in the place of the terminator: what is sent has a length */
        result = send_all(fd, text, length + 1);
    }
    free(text);
    return result;
}

/* Waits until FD can be read or UNTIL has passed.  Returns -1 with errno ETIMEDOUT then. */
static int wait_readable(int fd, uint64_t until)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    for (;;) {
        uint64_t now_ns = clock_ns();
        int ready = now_ns < until ? poll(&wait, 1, (int)((until - now_ns) / NS_PER_MS) + 1) : 0;
        if (ready > 0)
            return 0;
        if (ready == 0)
            errno = ETIMEDOUT;
        if (ready == 0 || errno != EINTR)
            return -1;
    }
}

/* Reads the answer up to the end of the connection into OUT.  Returns its length, or -1 with errno. */
static ssize_t read_answer(int fd, char *out)
{
    size_t length = 0;
    uint64_t until = clock_ns() + FOUND_PATIENCE_MS * NS_PER_MS;
    for (;;) {
        if (wait_readable(fd, until) != 0)
            return -1;
        ssize_t got = recv(fd, out + length, FRAME_ANSWER_MAX - length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            return (ssize_t)length;
        length += (size_t)got;
        if (length == FRAME_ANSWER_MAX) {
            errno = EMSGSIZE;
            return -1;
        }
    }
}

/* Returns the answer, or NULL with errno. */
static json_t *exchange(int fd, const json_t *request)
{
    json_t *answer = NULL;
    char *text = malloc(FRAME_ANSWER_MAX);
    if (text == NULL || send_request(fd, request) != 0) {
        free(text);
        return NULL;
    }
    ssize_t length = read_answer(fd, text);
    if (length >= 0) {
        answer = json_loadb(text, (size_t)length, 0, NULL);
        if (!json_is_object(answer)) {
            json_decref(answer);
            answer = NULL;
            errno = length == 0 ? ECONNRESET : EPROTO;
        }
    }
    free(text);
    return answer;
}

static void say_why(char why[FOUND_WHY_MAX])
{
    const char *words = errno == ETIMEDOUT || errno == EAGAIN      ? "it does not answer"
                        : errno == E2BIG                           ? "the request is too long: 65536 bytes are the most"
                        : errno == ENOENT || errno == ECONNREFUSED ? "it has just ended"
                        : errno == ECONNRESET || errno == EPIPE    ? "it has ended, or does not listen to this user"
                                                                   : strerror(errno);
    snprintf(why, FOUND_WHY_MAX, "%s", words);
}

json_t *found_ask(const struct found *found, const json_t *request, char why[FOUND_WHY_MAX])
{
    int fd = connect_to(found);
    json_t *answer = fd >= 0 ? exchange(fd, request) : NULL;
    if (answer == NULL)
        say_why(why);
    if (fd >= 0)
        close(fd);
    return answer;
}
