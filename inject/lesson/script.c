/*
 * script.c - the clients of a lesson, and what else its script says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lesson/check.h"
#include "lesson/stage.h"
#include "run/clock.h"
#include "run/say.h"

static void in_vain(struct stage *stage, const char *text)
{
    steps_client(&stage->steps, 0, "in_vain", 0, text, false);
}

/* Returns client K's place, NULL if there is no such client. */
static int *client_at(struct stage *stage, unsigned k)
{
    return k >= 1 && k <= stage->connected ? &stage->clients[k - 1] : NULL;
}

struct readiness {
    int fd;
    short events;
};

static bool is_ready(struct stage *stage, void *arg)
{
    const struct readiness *wanted = arg;
    struct pollfd pollfd = {.fd = wanted->fd, .events = wanted->events};
    (void)stage;
    return poll(&pollfd, 1, 0) > 0;
}

static bool wait_fd(struct stage *stage, int fd, short events)
{
    struct readiness wanted = {fd, events};
    return stage_wait(stage, is_ready, &wanted);
}

/* --- Clients ----------------------------------------------------------------------------------------------------------- */

static bool listens(struct stage *stage, void *arg)
{
    (void)arg;
    return stage->steps.endpoint.length > 0 || stage->ended;
}

static const char *connect_one(struct stage *stage, int fd)
{
    int error = 0;
    socklen_t size = sizeof error;
    const struct endpoint *to = &stage->steps.endpoint;
    if (connect(fd, (const struct sockaddr *)&to->address, to->length) != 0 && errno != EINPROGRESS)
        return "refused";
    if (!wait_fd(stage, fd, POLLOUT))
        return "connect_waits";
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error ? "refused" : "connect";
}

static int play_connect(struct stage *stage, unsigned count, const char *text)
{
    (void)text;
    if (!stage_wait(stage, listens, NULL)) {
        in_vain(stage, "listen");
        return 0;
    }
    endpoint_aim(&stage->steps.endpoint, stage->pid);
    for (unsigned i = 0; i < count && stage->connected < STAGE_CLIENTS; i++) {
        int fd = socket(stage->steps.endpoint.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return -1;
        stage->clients[stage->connected++] = fd;
        uint64_t t_ns = clock_ns(); /* the server may have accepted it when connect() is back */
        const char *what = connect_one(stage, fd);
        steps_client(&stage->steps, t_ns, what, stage->connected, NULL, stage->halted);
    }
    return 0;
}

static int play_send(struct stage *stage, unsigned k, const char *text)
{
    const int *fd = client_at(stage, k);
    char line[256];
    int length = snprintf(line, sizeof line, "%s\n", text);
    if (fd == NULL || length >= (int)sizeof line)
        return -1;
    uint64_t t_ns = clock_ns();
    bool sent = send(*fd, line, (size_t)length, MSG_NOSIGNAL) == length;
    steps_client(&stage->steps, t_ns, sent ? "sends" : "sends_in_vain", k, text, false);
    return 0;
}

static int play_expect(struct stage *stage, unsigned k, const char *text)
{
    const int *fd = client_at(stage, k);
    char got[256] = "";
    size_t have = 0;
    if (fd == NULL)
        return -1;
    while (strstr(got, text) == NULL && have < sizeof got - 1 && wait_fd(stage, *fd, POLLIN)) {
        ssize_t n = recv(*fd, got + have, sizeof got - 1 - have, 0);
        if (n <= 0)
            break;
        have += (size_t)n;
        got[have] = '\0';
    }
    steps_client(&stage->steps, 0, strstr(got, text) ? "receives" : "receives_in_vain", k, text, false);
    return 0;
}

static int play_ended(struct stage *stage, unsigned k, const char *text)
{
    const int *fd = client_at(stage, k);
    char bytes[256];
    ssize_t n = 1;
    (void)text;
    if (fd == NULL)
        return -1;
    while (n > 0 && wait_fd(stage, *fd, POLLIN))
        n = recv(*fd, bytes, sizeof bytes, 0);
    steps_client(&stage->steps, 0, n == 0 ? "end" : n < 0 ? "is_reset" : "no_end", k, NULL, false);
    return 0;
}

static int end_client(struct stage *stage, unsigned k, bool reset)
{
    int *fd = client_at(stage, k);
    struct linger linger = {.l_onoff = 1};
    if (fd == NULL)
        return -1;
    if (reset)
        setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    steps_client(&stage->steps, 0, reset ? "resets" : "closes", k, NULL, false);
    close(*fd);
    *fd = -1;
    return 0;
}

static int play_close(struct stage *stage, unsigned k, const char *text)
{
    (void)text;
    return end_client(stage, k, false);
}

static int play_reset(struct stage *stage, unsigned k, const char *text)
{
    (void)text;
    return end_client(stage, k, true);
}

/* --- The server -------------------------------------------------------------------------------------------------------- */

static bool is_stopped(struct stage *stage, void *arg)
{
    siginfo_t info = {0};
    (void)arg;
    return stage->ended || (waitid(P_PID, (id_t)stage->pid, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid != 0);
}

static int play_stop(struct stage *stage, unsigned k, const char *text)
{
    (void)k, (void)text;
    if (stage->ended || kill(stage->pid, SIGSTOP) != 0 || !stage_wait(stage, is_stopped, NULL))
        in_vain(stage, "stop");
    else
        steps_client(&stage->steps, 0, "stop", 0, NULL, false);
    stage->halted = true;
    return 0;
}

static int play_go(struct stage *stage, unsigned k, const char *text)
{
    (void)k, (void)text;
    steps_client(&stage->steps, 0, "go", 0, NULL, true);
    stage->halted = false;
    if (!stage->ended)
        kill(stage->pid, SIGCONT);
    return 0;
}

static int play_word(struct stage *stage, unsigned k, const char *text)
{
    (void)k;
    if (stage->kind != STAGE_STUDENT && !stage->ended && dprintf(stage->words, "%s\n", text) < 0)
        in_vain(stage, text);
    return 0;
}

static bool has_ended(struct stage *stage, void *arg)
{
    (void)arg;
    return stage->ended;
}

static int play_exits(struct stage *stage, unsigned k, const char *text)
{
    (void)k, (void)text;
    if (!stage_wait(stage, has_ended, NULL))
        in_vain(stage, "exit");
    return 0;
}

static int play_idle(struct stage *stage, unsigned ms, const char *text)
{
    char passed[16];
    (void)text;
    snprintf(passed, sizeof passed, "%u", ms);
    stage_pump(stage, (int)ms);
    steps_client(&stage->steps, 0, "idle", 0, passed, true);
    return 0;
}

struct awaited {
    const char *pattern;
    int count;
};

static bool has_come(struct stage *stage, void *arg)
{
    const struct awaited *awaited = arg;
    char why[160];
    return stage->ended || check_count(awaited->pattern, stage->steps.list, why, sizeof why) >= awaited->count;
}

static int play_await(struct stage *stage, unsigned k, const char *text)
{
    char pattern[128], why[160];
    struct awaited awaited = {.pattern = pattern, .count = 1};
    const char *blank = strrchr(text, ' ');
    (void)k;
    snprintf(pattern, sizeof pattern, "%s", text);
    if (blank && blank[1] >= '0' && blank[1] <= '9') {
        awaited.count = (int)strtol(blank + 1, NULL, 10);
        pattern[blank - text < (int)sizeof pattern ? blank - text : 0] = '\0';
    }
    if (check_count(pattern, stage->steps.list, why, sizeof why) < 0)
        return -1;
    if (!stage_wait(stage, has_come, &awaited))
        in_vain(stage, text);
    return 0;
}

/* --- The lines --------------------------------------------------------------------------------------------------------- */

static const struct command {
    const char *name;
    int (*play)(struct stage *, unsigned number, const char *text);
    bool number, text;
} commands[] = {
    {"connect", play_connect, true, false}, {"send", play_send, true, true},    {"expect", play_expect, true, true},
    {"ended", play_ended, true, false},     {"close", play_close, true, false}, {"reset", play_reset, true, false},
    {"stop", play_stop, false, false},      {"go", play_go, false, false},      {"word", play_word, false, true},
    {"exits", play_exits, false, false},    {"idle", play_idle, true, false},   {"await", play_await, false, true},
};

static int play_line(struct stage *stage, const char *line)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *command = &commands[i];
        size_t length = strlen(command->name);
        if (strncmp(line, command->name, length) != 0 || (line[length] != ' ' && line[length] != '\0'))
            continue;
        const char *rest = line + length + strspn(line + length, " ");
        char *end = (char *)(uintptr_t)rest;
        unsigned long number = command->number ? strtoul(rest, &end, 10) : 0;
        if (command->number && end == rest)
            return -1;
        end += strspn(end, " ");
        return (*end != '\0') == command->text ? command->play(stage, (unsigned)number, end) : -1;
    }
    return -1;
}

int script_play(struct stage *stage)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(stage->lesson, "do"), i, line)
    {
        if (!stage_pump(stage, 0))
            return 0;
        if (play_line(stage, json_string_value(line)) == 0)
            continue;
        say_error("lesson %s: the script's line \"%s\" can't be played",
                  json_string_value(json_object_get(stage->lesson, "name")), json_string_value(line));
        return -1;
    }
    return 0;
}
