#include "listener_world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void world_on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *address, int length, void *arg)
{
    struct world *w = arg;
    (void)l;
    assert_true(w->accepted_count < WORLD_MANY);
    w->accepted[w->accepted_count++] = fd;
    w->peer_length = length;
    memcpy(&w->peer, address, sizeof w->peer);
    if (w->in_cb)
        w->in_cb(w);
}

void world_on_error(struct evconnlistener *l, void *arg)
{
    struct world *w = arg;
    w->last_error = errno;
    (void)l;
    w->errors++;
    if (w->in_errorcb)
        w->in_errorcb(w);
}

void world_on_trouble(struct evconnlistener *l, const struct evconnlistener_error *error, void *arg)
{
    struct world *w = arg;
    (void)l;
    w->trouble = *error;
    w->troubles++;
}

void world_open_base(struct world *w)
{
    memset(w, 0, sizeof *w);
    w->base = event_base_new();
    assert_non_null(w->base);
}

struct evconnlistener *world_bind(struct world *w, unsigned flags)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return evconnlistener_new_bind(w->base, world_on_accept, w, flags | LEV_OPT_CLOSE_ON_FREE, -1,
                                   (struct sockaddr *)&in, sizeof in);
}

static void world_learn_address(struct world *w)
{
    assert_non_null(w->l);
    w->length = sizeof w->address;
    assert_int_equal(getsockname(evconnlistener_get_fd(w->l), (struct sockaddr *)&w->address, &w->length), 0);
}

void world_open(struct world *w, unsigned flags)
{
    world_open_base(w);
    w->l = world_bind(w, flags);
    world_learn_address(w);
}

void world_open_unix(struct world *w, unsigned flags)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int length = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "snag-listener-test-%d", getpid());
    world_open_base(w);
    w->l = evconnlistener_new_bind(w->base, world_on_accept, w, flags | LEV_OPT_CLOSE_ON_FREE, -1,
                                   (struct sockaddr *)&un, (int)offsetof(struct sockaddr_un, sun_path) + 1 + length);
    world_learn_address(w);
}

void world_forget_accepted(struct world *w)
{
    for (int i = 0; i < w->accepted_count; i++)
        close(w->accepted[i]);
    w->accepted_count = 0;
}

void world_close(struct world *w)
{
    fault_clear();
    if (w->l)
        evconnlistener_free(w->l);
    world_forget_accepted(w);
    for (int i = 0; i < w->client_count; i++)
        close(w->clients[i]);
    event_base_free(w->base);
}

int world_connect(struct world *w)
{
    fault_ignored = true;
    int s = socket(w->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fault_ignored = false;
    assert_true(s >= 0);
    assert_int_equal(connect(s, (struct sockaddr *)&w->address, w->length), 0);
    assert_true(w->client_count < WORLD_MANY);
    w->clients[w->client_count++] = s;
    return s;
}

void world_connect_many(struct world *w, int n)
{
    for (int i = 0; i < n; i++)
        world_connect(w);
}

void world_turn(struct world *w)
{
    assert_true(event_base_loop(w->base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0);
}

void world_run_ms(struct world *w, unsigned ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    assert_int_equal(event_base_loopexit(w->base, &tv), 0);
    assert_true(event_base_dispatch(w->base) >= 0);
}

void world_run_until(struct world *w, const int *count, int goal)
{
    time_t end = time(NULL) + 10;
    while (*count < goal && time(NULL) < end) {
        struct timeval tv = {.tv_usec = 5000};
        event_base_loopexit(w->base, &tv);
        event_base_dispatch(w->base);
    }
    assert_true(*count >= goal);
}

bool world_is_waiting(const struct world *w)
{
    struct pollfd p = {.fd = evconnlistener_get_fd(w->l), .events = POLLIN};
    return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

bool world_is_closed(int client)
{
    struct pollfd p = {.fd = client, .events = POLLIN | POLLRDHUP};
    char byte;
    if (poll(&p, 1, 2000) != 1)
        return false;
    return recv(client, &byte, 1, MSG_DONTWAIT) <= 0;
}

struct evconnlistener_counters world_counters(const struct world *w)
{
    struct evconnlistener_counters c;
    assert_int_equal(evconnlistener_get_counters(w->l, &c, sizeof c), 0);
    return c;
}

int world_bind_again(const struct world *w)
{
    fault_ignored = true;
    int s = socket(w->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0, one = 1;
    assert_true(s >= 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* past old connections, not past a listener */
    if (bind(s, (const struct sockaddr *)&w->address, w->length) != 0 || listen(s, 1) != 0)
        error = errno;
    close(s);
    fault_ignored = false;
    return error;
}

bool world_fd_is_open(int fd)
{
    fault_ignored = true;
    bool is_open = fcntl(fd, F_GETFD) >= 0;
    fault_ignored = false;
    return is_open;
}

/* The next free number becomes the limit, so that nothing new can be opened. */
int file_limit_hold(void)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int before = (int)limit.rlim_cur, next = dup(0);
    assert_true(next >= 0);
    close(next);
    limit.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

void file_limit_end(int before)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)before;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}
