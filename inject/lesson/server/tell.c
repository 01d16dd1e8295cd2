/*
 * tell.c - one line of JSON on stdout for each step.  Written with one write(2), by whichever thread takes the step; no
 * memory is asked for and no descriptor opened, so that a server that has none left is told of as well.
 */
#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };

struct line {
    char bytes[LINE_MAX_BYTES];
    size_t length;
};

/* The listener's state as it was told last, for the steps of the callback's lane. */
static struct evconnlistener_event last;
static bool last_known;
static int last_left = -1; /* a reference was about to go: how many are left when the callback's lane is back */
static int queue_fd = -1;
static pthread_mutex_t last_lock = PTHREAD_MUTEX_INITIALIZER;

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...)
{
    size_t room = sizeof line->bytes - line->length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line->bytes + line->length, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        line->length += (size_t)length < room ? (size_t)length : room - 1;
}

/* The kernel tells how many connections wait to be accepted in the field that counts unacknowledged bytes elsewhere. */
static int queue_length(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state != TCP_LISTEN)
        return -1;
    return (int)info.tcpi_unacked;
}

/* With last_lock held. */
static void remember(const struct evconnlistener_event *event, bool known)
{
    last = *event;
    last_known = known;
    if (event->step == EVCONNLISTENER_STEP_RELEASED)
        last_left = event->refcount - 1;
    else if (event->step != EVCONNLISTENER_STEP_CALL)
        last_left = -1;
    if (last_left >= 0)
        last.refcount = last_left;
}

static void add_state(struct line *line, const struct evconnlistener_event *event)
{
    add(line, ",\"refcount\":%d,\"enabled\":%d,\"callback\":%d,\"in_loop\":%d,\"pause_ms\":%u", event->refcount,
        event->enabled, event->has_cb, event->in_loop, event->pause_ms);
}

static void begin(struct line *line, const char *lane, const char *what, int fd)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    line->length = 0;
    add(line, "{\"t\":%" PRIu64 ",\"tid\":%d,\"lane\":\"%s\",\"what\":\"%s\"",
        (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, (int)gettid(), lane, what);
    if (fd >= 0)
        add(line, ",\"fd\":%d", fd);
}

static void add_errno(struct line *line, int error)
{
    const char *name = strerrorname_np(error);
    add(line, ",\"errno\":\"%s\"", name ? name : "?");
}

static void add_place(struct line *line, const char *file, int number, const char *function)
{
    add(line, ",\"file\":\"%s\",\"line\":%d,\"function\":\"%s\"", file, number, function);
}

/* Who reads may be gone: then there is nobody to tell. */
static void end(struct line *line)
{
    add(line, "}\n");
    for (size_t done = 0; done < line->length;) {
        ssize_t n = write(STDOUT_FILENO, line->bytes + done, line->length - done);
        if (n < 0 && errno != EINTR)
            return;
        done += n > 0 ? (size_t)n : 0;
    }
}

static void observed(struct evconnlistener *l, const struct evconnlistener_event *event, void *arg)
{
    struct line line;
    bool call = event->step == EVCONNLISTENER_STEP_CALL;
    (void)arg;
    begin(&line, "round", call ? event->call : evconnlistener_step_name(event->step), event->fd);
    if (call)
        add(&line, ",\"call\":true");
    if (event->step == EVCONNLISTENER_STEP_ERROR || event->step == EVCONNLISTENER_STEP_FAILED)
        add_errno(&line, event->error);
    else if (event->step == EVCONNLISTENER_STEP_RELEASED)
        add(&line, ",\"value\":%d", event->refcount - 1); /* what will be left */
    else if (event->step != EVCONNLISTENER_STEP_WARNED)
        add(&line, ",\"value\":%d", event->error);
    if (event->step == EVCONNLISTENER_STEP_ERROR)
        add(&line, ",\"class\":\"%s\"", evconnlistener_class_name(event->error_class));
    add_place(&line, event->file, event->line, event->function);
    if (l) {
        add_state(&line, event);
        add(&line, ",\"queue\":%d", queue_length(evconnlistener_get_fd(l)));
    }
    pthread_mutex_lock(&last_lock);
    remember(event, l != NULL);
    end(&line);
    pthread_mutex_unlock(&last_lock);
}

void tell_at(const char *what, int fd, int value, const char *file, int number, const char *function)
{
    struct line line;
    int kept = errno;
    size_t length = strlen(what);
    begin(&line, "callback", what, fd);
    if (length > 7 && strcmp(what + length - 7, "_failed") == 0)
        add_errno(&line, value);
    else
        add(&line, ",\"value\":%d", value);
    add_place(&line, file, number, function);
    pthread_mutex_lock(&last_lock);
    if (last_known)
        add_state(&line, &last);
    add(&line, ",\"queue\":%d", queue_length(queue_fd));
    end(&line);
    pthread_mutex_unlock(&last_lock);
    errno = kept;
}

void tell_queue_of(int fd)
{
    pthread_mutex_lock(&last_lock);
    queue_fd = fd;
    pthread_mutex_unlock(&last_lock);
}

/* libevent's words are plain: quotes, backslashes and control characters become blanks. */
static void logged(int severity, const char *text)
{
    struct line line;
    char clean[200];
    size_t i = 0;
    if (severity < EVENT_LOG_WARN)
        return;
    for (; i < sizeof clean - 1 && text[i] != '\0'; i++)
        clean[i] = (unsigned char)text[i] < ' ' || text[i] == '"' || text[i] == '\\' ? ' ' : text[i];
    clean[i] = '\0';
    begin(&line, "round", "log", -1);
    add(&line, ",\"text\":\"%s\"", clean);
    pthread_mutex_lock(&last_lock);
    if (last_known)
        add_state(&line, &last);
    add(&line, ",\"queue\":%d", queue_length(queue_fd));
    end(&line);
    pthread_mutex_unlock(&last_lock);
}

void tell_all(void)
{
    static const struct evconnlistener_observer observer = {.told = observed};
    evconnlistener_set_default_observer(&observer);
    event_set_log_callback(logged);
}
