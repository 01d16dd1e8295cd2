/*
 * EVCONNLISTENER_REPORT: a line on stderr for each listener, when it is freed, or at exit.  It shows that a program that was
 * started with the library in LD_PRELOAD uses it.  Lock order: reports_lock, then the listener's.
 */
#include "listener.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

struct report {
    struct event_listener *listener;
    struct report *next;
    char address[160];
};

static pthread_mutex_t reports_lock = PTHREAD_MUTEX_INITIALIZER;
static struct report *reports;

static void address_text(evutil_socket_t fd, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "?";
    struct sockaddr_storage storage = {0};
    const struct sockaddr_in *in = (const struct sockaddr_in *)&storage;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&storage;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&storage;
    socklen_t length = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &length) != 0)
        snprintf(text, size, "descriptor %d", fd);
    else if (storage.ss_family == AF_INET)
        snprintf(text, size, "%s:%u", inet_ntop(AF_INET, &in->sin_addr, host, sizeof host), ntohs(in->sin_port));
    else if (storage.ss_family == AF_INET6)
        snprintf(text, size, "[%s]:%u", inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host), ntohs(in6->sin6_port));
    else if (storage.ss_family == AF_UNIX)
        snprintf(text, size, "unix:%s%.107s", un->sun_path[0] ? "" : "@", un->sun_path + (un->sun_path[0] == '\0'));
    else
        snprintf(text, size, "family %d", storage.ss_family);
}

static void report_print(const struct report *report)
{
    struct evconnlistener_counters c = {0};
    struct event_listener *e = report->listener;
    evconnlistener_get_counters(&e->base, &c, sizeof c);
    dprintf(STDERR_FILENO,
            "evconnlistener: %s policy=%s wakeups=%" PRIu64 " accepted=%" PRIu64 " drained=%" PRIu64
            " connection=%" PRIu64 " resource=%" PRIu64 " permission=%" PRIu64 " fatal=%" PRIu64 " zero_length=%" PRIu64
            " no_callback=%" PRIu64 " shed=%" PRIu64 " backoffs=%" PRIu64 " paused_ms=%" PRIu64 " reported=%" PRIu64
            "\n",
            report->address, e->policy->name, c.wakeups, c.accepted, c.drained, c.connection, c.resource, c.permission,
            c.fatal, c.zero_length, c.no_callback, c.shed, c.backoffs, c.paused_ns / 1000000, c.reported);
}

static void reports_at_exit(void)
{
    pthread_mutex_lock(&reports_lock);
    for (const struct report *report = reports; report; report = report->next)
        report_print(report);
    pthread_mutex_unlock(&reports_lock);
}

static void reports_register(void)
{
    atexit(reports_at_exit);
}

void report_begin(struct event_listener *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!option_number("EVCONNLISTENER_REPORT", 0, 1, 0))
        return;
    struct report *report = calloc(1, sizeof *report);
    if (report == NULL) /* a listener without a report is better than none */
        return;
    report->listener = e;
    address_text(e->fd, report->address, sizeof report->address);
    e->report = report;
    pthread_once(&once, reports_register);
    pthread_mutex_lock(&reports_lock);
    report->next = reports;
    reports = report;
    pthread_mutex_unlock(&reports_lock);
}

void report_end(struct event_listener *e)
{
    struct report *report = e->report;
    if (report == NULL)
        return;
    pthread_mutex_lock(&reports_lock);
    struct report **at = &reports;
    while (*at != report)
        at = &(*at)->next;
    *at = report->next;
    pthread_mutex_unlock(&reports_lock);
    report_print(report);
    free(report);
}
