/* The first part of what a listener must do: each row of the specification by name. */
#include "listener_world.h"

#include <errno.h>
#include <event2/thread.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static struct evconnlistener *bind_in(struct world *w, unsigned flags, int backlog)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return evconnlistener_new_bind(w->base, world_on_accept, w, flags | LEV_OPT_CLOSE_ON_FREE, backlog,
                                   (struct sockaddr *)&in, sizeof in);
}

static struct evconnlistener *bind_in6(struct world *w, unsigned flags)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    return evconnlistener_new_bind(w->base, world_on_accept, w, flags | LEV_OPT_CLOSE_ON_FREE, -1,
                                   (struct sockaddr *)&in6, sizeof in6);
}

static struct evconnlistener *bind_unix(struct world *w, unsigned flags)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    return evconnlistener_new_bind(w->base, world_on_accept, w, flags | LEV_OPT_CLOSE_ON_FREE, -1,
                                   (struct sockaddr *)&un, sizeof un.sun_family); /* autobind */
}

static int bound_socket(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

static int backlog_of(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return (int)info.tcpi_sacked; /* of a listening socket: the length of its queue */
}

/* --- new ------------------------------------------------------------------------------------------------------- */

static void new_with_backlog_listens_so_long(void **state)
{
    static const struct {
        int given, listened;
    } rows[] = {{7, 7}, {-1, 128}, {-9, 128}};
    struct world w;
    (void)state;
    world_open_base(&w);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = bound_socket();
        w.l = evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, rows[i].given, fd);
        assert_non_null(w.l);
        assert_int_equal(backlog_of(fd), rows[i].listened);
        evconnlistener_free(w.l);
    }
    w.l = NULL;
    world_close(&w);
}

static void new_with_backlog_0_does_not_listen(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    int fd = bound_socket();
    assert_int_equal(listen(fd, 33), 0);
    fault_clear();
    w.l = evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    assert_non_null(w.l);
    assert_int_equal(fault_calls(FAULT_LISTEN), 0);
    assert_int_equal(backlog_of(fd), 33);
    world_close(&w);
}

static void new_that_fails_keeps_errno_and_the_descriptor(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    int fd = bound_socket(), datagram = socket(AF_INET, SOCK_DGRAM, 0);
    fault_set(FAULT_LISTEN, EADDRINUSE, 1, 1);
    assert_null(evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, -1, fd));
    assert_int_equal(errno, EADDRINUSE);
    fault_set(FAULT_EVENT_ADD, ENOSPC, 1, 1);
    assert_null(evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_THREADSAFE, -1, fd));
    assert_int_equal(errno, ENOSPC);
    assert_true(world_fd_is_open(fd));
    assert_null(evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, -1, datagram));
    assert_int_equal(errno, EOPNOTSUPP);
    assert_true(world_fd_is_open(datagram));
    assert_null(evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, -1, -1));
    assert_int_equal(errno, EBADF);
    close(fd);
    close(datagram);
    world_close(&w);
}

static void new_refuses_what_is_no_descriptor_and_no_base(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    int fd = bound_socket(), gone = dup(fd);
    close(gone);
    const int wrong[] = {-1, gone};
    for (size_t i = 0; i < 2; i++) {
        errno = 0;
        assert_null(evconnlistener_new(w.base, world_on_accept, &w, 0, 0, wrong[i]));
        assert_int_equal(errno, EBADF);
        assert_null(evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_DISABLED, 0, wrong[i]));
        assert_int_equal(errno, EBADF);
    }
    assert_null(evconnlistener_new(NULL, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_THREADSAFE, -1, fd));
    assert_int_equal(errno, EINVAL);
    assert_null(evconnlistener_new(NULL, world_on_accept, &w, LEV_OPT_DISABLED, -1, fd));
    assert_int_equal(errno, EINVAL);
    assert_true(world_fd_is_open(fd));
    close(fd);
    world_close(&w);
}

static void new_fails_when_the_event_cannot_be_added(void **state)
{
    struct world w;
    char path[] = "/tmp/snag-listener-XXXXXX"; /* epoll takes no plain file */
    (void)state;
    world_open_base(&w);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_null(evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, 0, fd));
    assert_int_equal(errno, EPERM);
    assert_true(world_fd_is_open(fd));
    close(fd);
    world_close(&w);
}

static void new_ignores_socket_flags_but_those_of_accepted_sockets(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    int fd = bound_socket();
    w.l = evconnlistener_new(w.base, world_on_accept, &w,
                             LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT |
                                 LEV_OPT_DEFERRED_ACCEPT | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_LEAVE_SOCKETS_BLOCKING,
                             -1, fd);
    assert_non_null(w.l);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_REUSEADDR), 0);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_REUSEPORT), 0);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    w.length = sizeof w.address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&w.address, &w.length), 0);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_int_equal(fcntl(w.accepted[0], F_GETFD), FD_CLOEXEC);
    assert_false(fcntl(w.accepted[0], F_GETFL) & O_NONBLOCK);
    world_close(&w);
}

static void accepted_sockets_are_nonblocking_and_kept_over_exec_by_default(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_int_equal(fcntl(w.accepted[0], F_GETFD), 0);
    assert_true(fcntl(w.accepted[0], F_GETFL) & O_NONBLOCK);
    world_close(&w);
}

/* --- new_bind -------------------------------------------------------------------------------------------------- */

static void new_bind_with_backlog_0_is_refused(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    assert_null(bind_in(&w, 0, 0));
    assert_int_equal(errno, EINVAL);
    world_close(&w);
}

static void new_bind_without_address_is_refused(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    assert_null(evconnlistener_new_bind(w.base, world_on_accept, &w, 0, -1, NULL, 0));
    assert_int_equal(errno, EAFNOSUPPORT);
    world_close(&w);
}

static void new_bind_sets_what_the_flags_say(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    struct evconnlistener *plain = bind_in(&w, 0, -1);
    struct evconnlistener *full =
        bind_in(&w, LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT | LEV_OPT_DEFERRED_ACCEPT | LEV_OPT_CLOSE_ON_EXEC, 9);
    assert_non_null(plain);
    assert_non_null(full);
    int p = evconnlistener_get_fd(plain), f = evconnlistener_get_fd(full);
    assert_int_equal(option_of(p, SOL_SOCKET, SO_REUSEADDR), 0);
    assert_int_equal(option_of(p, SOL_SOCKET, SO_REUSEPORT), 0);
    assert_int_equal(option_of(p, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
    assert_int_equal(fcntl(p, F_GETFD), 0);
    assert_true(fcntl(p, F_GETFL) & O_NONBLOCK);
    assert_int_equal(backlog_of(p), 128);
    assert_int_equal(option_of(f, SOL_SOCKET, SO_REUSEADDR), 1);
    assert_int_equal(option_of(f, SOL_SOCKET, SO_REUSEPORT), 1);
    assert_true(option_of(f, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
    assert_int_equal(fcntl(f, F_GETFD), FD_CLOEXEC);
    assert_int_equal(backlog_of(f), 9);
    evconnlistener_free(plain);
    evconnlistener_free(full);
    world_close(&w);
}

static void keepalive_has_times_on_inet_and_inet6_and_is_not_set_elsewhere(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    struct evconnlistener *listeners[] = {bind_in(&w, 0, -1), bind_in6(&w, 0)};
    for (int i = 0; i < 2; i++) {
        assert_non_null(listeners[i]);
        int fd = evconnlistener_get_fd(listeners[i]);
        assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
        assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 300);
        assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 100);
        assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
        evconnlistener_free(listeners[i]);
    }
    struct evconnlistener *unix_listener = bind_unix(&w, 0);
    assert_non_null(unix_listener);
    assert_int_equal(option_of(evconnlistener_get_fd(unix_listener), SOL_SOCKET, SO_KEEPALIVE), 0);
    evconnlistener_free(unix_listener);
    world_close(&w);
}

static void libevent_policy_sets_keepalive_as_2_1_12_does(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    assert_int_equal(evconnlistener_set_default_policy(EVCONNLISTENER_POLICY_LIBEVENT), 0);
    w.l = bind_in(&w, 0, -1);
    assert_non_null(w.l);
    assert_int_equal(option_of(evconnlistener_get_fd(w.l), SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_not_equal(option_of(evconnlistener_get_fd(w.l), IPPROTO_TCP, TCP_KEEPIDLE), 300);
    struct evconnlistener *unix_listener = bind_unix(&w, LEV_OPT_REUSEABLE);
    assert_non_null(unix_listener);
    assert_int_equal(option_of(evconnlistener_get_fd(unix_listener), SOL_SOCKET, SO_KEEPALIVE), 1);
    evconnlistener_free(unix_listener);
    world_close(&w);
}

static void unix_socket_cannot_be_reuseable(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    assert_null(bind_unix(&w, LEV_OPT_REUSEABLE));
    assert_int_equal(errno, EOPNOTSUPP);
    assert_null(bind_unix(&w, LEV_OPT_REUSEABLE_PORT));
    assert_int_equal(errno, EOPNOTSUPP);
    world_close(&w);
}

static void inet_socket_has_no_v6only(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    assert_null(bind_in(&w, LEV_OPT_BIND_IPV6ONLY, -1));
    assert_int_equal(errno, ENOPROTOOPT);
    world_close(&w);
}

static void inet6_is_v6only_or_both(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    struct evconnlistener *only = bind_in6(&w, LEV_OPT_BIND_IPV6ONLY), *both = bind_in6(&w, LEV_OPT_BIND_IPV4_AND_IPV6);
    assert_non_null(only);
    assert_non_null(both);
    assert_int_equal(option_of(evconnlistener_get_fd(only), IPPROTO_IPV6, IPV6_V6ONLY), 1);
    assert_int_equal(option_of(evconnlistener_get_fd(both), IPPROTO_IPV6, IPV6_V6ONLY), 0);
    evconnlistener_free(only);
    w.l = both;
    struct sockaddr_in6 at;
    socklen_t length = sizeof at;
    assert_int_equal(getsockname(evconnlistener_get_fd(both), (struct sockaddr *)&at, &length), 0);
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = at.sin6_port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    memcpy(&w.address, &in, sizeof in);
    w.length = sizeof in;
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_int_equal(w.peer.ss_family, AF_INET6); /* v4-mapped */
    world_close(&w);
}

/* The call that fails, and that the socket is closed then and errno is that call's: the harness sees a descriptor left. */
static void new_bind_that_fails_closes_its_socket_and_keeps_errno(void **state)
{
    static const enum fault_call calls[] = {FAULT_SOCKET, FAULT_SETSOCKOPT, FAULT_BIND,
                                            FAULT_LISTEN, FAULT_CALLOC,     FAULT_EVENT_ADD};
    struct world w;
    (void)state;
    world_open_base(&w);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        fault_clear();
        fault_set(calls[i], EPROTO, 1, 0);
        errno = 0;
        assert_null(bind_in(&w, LEV_OPT_REUSEABLE, -1));
        assert_int_equal(errno, EPROTO);
    }
    world_close(&w);
    world_open(&w, 0);
    assert_int_equal(world_bind_again(&w), EADDRINUSE);
    assert_null(
        evconnlistener_new_bind(w.base, world_on_accept, &w, 0, -1, (struct sockaddr *)&w.address, (int)w.length));
    assert_int_equal(errno, EADDRINUSE);
    world_close(&w);
}

static unsigned setsockopts_until(struct world *w, unsigned nth)
{
    fault_set(FAULT_SETSOCKOPT, ELIBBAD, nth, nth);
    struct evconnlistener *l = bind_in(w, LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT | LEV_OPT_DEFERRED_ACCEPT, -1);
    unsigned calls = fault_calls(FAULT_SETSOCKOPT);
    if (l)
        evconnlistener_free(l);
    return calls;
}

static void new_bind_stops_at_the_first_option_that_fails(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    fault_clear();
    for (unsigned nth = 1; nth <= 7; nth++) /* keepalive and its three times, then the three flags */
        assert_int_equal(setsockopts_until(&w, nth), nth);
    assert_int_equal(setsockopts_until(&w, 8), 7);
    world_close(&w);
}

static void vsock_is_taken_where_the_kernel_has_it(void **state)
{
    struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = VMADDR_PORT_ANY};
    struct world w;
    (void)state;
    world_open_base(&w);
    int probe = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (probe < 0) {
        world_close(&w);
        skip();
    }
    close(probe);
    w.l = evconnlistener_new_bind(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, -1, (struct sockaddr *)&vm,
                                  sizeof vm);
    assert_non_null(w.l);
    world_close(&w);
}

/* --- The callback ---------------------------------------------------------------------------------------------- */

static void without_callback_it_is_enabled_and_not_in_the_loop(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    struct evconnlistener *l =
        evconnlistener_new(w.base, NULL, NULL, 0, 0, dup(evconnlistener_get_fd(w.l))); /* the same queue */
    assert_non_null(l);
    evconnlistener_free(w.l);
    w.l = l;
    world_connect(&w);
    world_turn(&w);
    assert_true(world_is_waiting(&w));
    assert_int_equal(world_counters(&w).wakeups, 0);
    evconnlistener_set_cb(l, world_on_accept, &w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    close(evconnlistener_get_fd(l)); /* no CLOSE_ON_FREE */
    world_close(&w);
}

static void without_callback_and_disabled_set_cb_does_not_start_it(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, LEV_OPT_DISABLED);
    world_connect(&w);
    evconnlistener_set_cb(w.l, NULL, NULL);
    evconnlistener_set_cb(w.l, world_on_accept, &w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 0);
    assert_int_equal(evconnlistener_enable(w.l), 0);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

static void set_cb_to_null_closes_clients_one_a_wakeup(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    evconnlistener_set_cb(w.l, NULL, NULL);
    world_connect_many(&w, 2);
    world_turn(&w);
    assert_true(world_is_closed(w.clients[0]));
    assert_true(world_is_waiting(&w));
    world_turn(&w);
    assert_true(world_is_closed(w.clients[1]));
    assert_false(world_is_waiting(&w));
    assert_int_equal(world_counters(&w).no_callback, 2);
    world_close(&w);
}

static void set_cb_to_null_pauses_when_asked(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB);
    evconnlistener_set_cb(w.l, NULL, NULL);
    world_connect(&w);
    world_turn(&w);
    assert_true(world_is_waiting(&w));
    evconnlistener_set_cb(w.l, world_on_accept, &w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

static void pausing_without_callback_can_be_switched_on_and_off(void **state)
{
    const unsigned option = EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB;
    struct world w;
    (void)state;
    world_open(&w, 0);
    evconnlistener_set_cb(w.l, NULL, NULL);
    assert_int_equal(evconnlistener_set_option(w.l, option, 1), 0);
    world_connect(&w);
    world_turn(&w);
    assert_true(world_is_waiting(&w));
    fault_set(FAULT_EVENT_ADD, ENOMEM, 1, 1);
    assert_int_equal(evconnlistener_set_option(w.l, option, 0), -1);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(evconnlistener_set_option(w.l, option, 0), 0);
    world_turn(&w);
    assert_true(world_is_closed(w.clients[0]));
    assert_int_equal(evconnlistener_set_option(w.l, option, 1), 0);
    evconnlistener_set_cb(w.l, world_on_accept, &w);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

/* What is out for another reason stays out. */
static void clearing_the_pause_without_callback_starts_nothing_else(void **state)
{
    const unsigned option = EVCONNLISTENER_OPT_PAUSE_WITHOUT_CB;
    struct world w;
    (void)state;
    world_open(&w, option);
    evconnlistener_set_cb(w.l, NULL, NULL);
    assert_int_equal(evconnlistener_disable(w.l), 0);
    assert_int_equal(evconnlistener_set_option(w.l, option, 0), 0);
    world_connect(&w);
    world_turn(&w);
    assert_true(world_is_waiting(&w));
    evconnlistener_set_cb(w.l, world_on_accept, &w);
    assert_int_equal(evconnlistener_set_option(w.l, option, 1), 0);
    assert_int_equal(evconnlistener_set_option(w.l, option, 0), 0);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 0);
    world_close(&w);
}

static int others;

static void other_on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int length, void *arg)
{
    (void)l, (void)a, (void)length, (void)arg;
    others++;
    close(fd);
}

static void sets_other(struct world *w)
{
    evconnlistener_set_cb(w->l, other_on_accept, NULL);
}

static void set_cb_in_the_callback_holds_from_the_next_accept(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    w.in_cb = sets_other;
    world_connect_many(&w, 3);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_int_equal(others, 2);
    world_close(&w);
}

static void sets_none(struct world *w)
{
    evconnlistener_set_cb(w->l, NULL, NULL);
}

static void set_cb_to_null_in_the_callback_closes_the_next_one(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    w.in_cb = sets_none;
    world_connect_many(&w, 3);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_true(world_is_closed(w.clients[1]));
    assert_true(world_is_waiting(&w));
    world_close(&w);
}

static void frees(struct world *w)
{
    evconnlistener_free(w->l);
    w->l = NULL;
    assert_int_equal(world_bind_again(w), 0); /* the port is free before free returns */
}

static void free_in_the_callback(struct world *w)
{
    int second = dup(evconnlistener_get_fd(w->l)); /* who can still look at the queue */
    w->in_cb = frees;
    close(second);
    world_connect_many(w, 3);
    world_turn(w);
    assert_int_equal(w->accepted_count, 1);
    assert_true(world_fd_is_open(w->accepted[0]));
    world_close(w);
}

static void free_in_the_callback_stops_the_round_and_leaves_the_connection(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, LEV_OPT_REUSEABLE);
    free_in_the_callback(&w);
    world_open(&w, LEV_OPT_REUSEABLE | LEV_OPT_THREADSAFE);
    free_in_the_callback(&w);
}

static void disables(struct world *w)
{
    assert_int_equal(evconnlistener_disable(w->l), 0);
}

static void disable_in_the_callback_stops_the_round(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    w.in_cb = disables;
    world_connect_many(&w, 3);
    world_turn(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    w.in_cb = NULL;
    assert_int_equal(evconnlistener_enable(w.l), 0);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 3);
    world_close(&w);
}

static int refcount_in_cb;

static void looks_at_refcount(struct world *w)
{
    refcount_in_cb = w->l->refcnt;
}

static void reference_is_held_across_the_callback(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    assert_int_equal(w.l->refcnt, 1);
    w.in_cb = looks_at_refcount;
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(refcount_in_cb, 2);
    assert_int_equal(w.l->refcnt, 1);
    world_close(&w);
}

/* --- The round --------------------------------------------------------------------------------------------------- */

static void round_accepts_until_the_queue_is_empty(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    fault_clear();
    world_connect_many(&w, 5);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 5);
    assert_int_equal(fault_calls(FAULT_ACCEPT4), 6);
    assert_int_equal(world_counters(&w).wakeups, 1);
    assert_int_equal(w.errors, 0);
    world_close(&w);
}

static void address_is_the_peers_and_the_rest_is_zero(void **state)
{
    struct world w;
    struct sockaddr_in mine;
    socklen_t length = sizeof mine;
    (void)state;
    world_open(&w, 0);
    int client = world_connect(&w);
    assert_int_equal(getsockname(client, (struct sockaddr *)&mine, &length), 0);
    world_turn(&w);
    assert_int_equal(w.peer_length, sizeof mine);
    assert_int_equal(((struct sockaddr_in *)&w.peer)->sin_port, mine.sin_port);
    const char *rest = (const char *)&w.peer + sizeof mine;
    for (size_t i = 0; i < sizeof w.peer - sizeof mine; i++)
        assert_int_equal(rest[i], 0);
    world_close(&w);
}

static void unix_client_without_a_name_is_no_zero_length(void **state)
{
    struct world w;
    (void)state;
    world_open_unix(&w, 0);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_int_equal(w.peer_length, 2);
    assert_int_equal(((struct sockaddr_un *)&w.peer)->sun_path[0], 0);
    world_close(&w);
}

static void enosys_falls_back_to_accept_for_good(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, LEV_OPT_CLOSE_ON_EXEC);
    fault_set(FAULT_ACCEPT4, ENOSYS, 1, 0);
    world_connect_many(&w, 2);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 2);
    assert_int_equal(fault_calls(FAULT_ACCEPT4), 1);
    assert_int_equal(fcntl(w.accepted[1], F_GETFD), FD_CLOEXEC);
    assert_true(fcntl(w.accepted[1], F_GETFL) & O_NONBLOCK);
    assert_int_equal(w.errors, 0);
    world_close(&w);
}

static void einval_is_remembered_only_if_accept_succeeds(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    fault_set(FAULT_ACCEPT4, EINVAL, 1, 1);
    fault_set(FAULT_ACCEPT, EAGAIN, 1, 1);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(fault_calls(FAULT_ACCEPT), 1);
    world_turn(&w); /* accept4 works: it is used */
    assert_int_equal(w.accepted_count, 1);
    assert_int_equal(fault_calls(FAULT_ACCEPT), 1);
    fault_set(FAULT_ACCEPT4, EINVAL, 1, 0);
    world_connect_many(&w, 3);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 4);
    assert_int_equal(fault_calls(FAULT_ACCEPT4), 1);
    world_close(&w);
}

static void fallback_that_cannot_set_flags_loses_no_descriptor(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, LEV_OPT_CLOSE_ON_EXEC);
    evconnlistener_set_error_cb(w.l, world_on_error);
    fault_set(FAULT_ACCEPT4, ENOSYS, 1, 0);
    fault_set(FAULT_FCNTL, ENOMEM, 1, 2);
    world_connect_many(&w, 2);
    world_turn(&w);
    assert_int_equal(w.errors, 1);
    assert_int_equal(w.last_error, ENOMEM);
    assert_true(world_is_closed(w.clients[0]));
    world_close(&w);
}

static void address_length_0_closes_that_socket_and_goes_on(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    evconnlistener_set_error_cb(w.l, world_on_error);
    fault_set_zero_length(2, 2);
    world_connect_many(&w, 3);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 2);
    assert_true(world_is_closed(w.clients[1]));
    assert_int_equal(world_counters(&w).zero_length, 1);
    assert_int_equal(w.errors, 0);
    world_close(&w);
}

/* --- Errors as libevent has them ------------------------------------------------------------------------------------ */

static int warnings;
static char warning[256];

static void keep_warning(int severity, const char *text)
{
    if (severity == EVENT_LOG_WARN)
        warnings++;
    snprintf(warning, sizeof warning, "%s", text);
}

static void libevent_policy_is_silent_for_three_errors(void **state)
{
    static const int silent[] = {EAGAIN, EINTR, ECONNABORTED};
    struct world w;
    (void)state;
    event_set_log_callback(keep_warning);
    for (size_t i = 0; i < 3; i++) {
        world_open(&w, 0);
        evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_LIBEVENT);
        evconnlistener_set_error_cb(w.l, world_on_error);
        fault_set(FAULT_ACCEPT4, silent[i], 1, 1);
        world_connect_many(&w, 2);
        world_turn(&w);
        assert_int_equal(w.accepted_count, 0);
        assert_int_equal(fault_calls(FAULT_ACCEPT4), 1);
        world_turn(&w);
        assert_int_equal(w.accepted_count, 2);
        assert_int_equal(w.errors, 0);
        world_close(&w);
    }
    assert_int_equal(warnings, 0);
}

static void default_is_silent_for_the_same_three(void **state)
{
    static const int silent[] = {EAGAIN, EINTR, ECONNABORTED};
    struct world w;
    (void)state;
    event_set_log_callback(keep_warning);
    for (size_t i = 0; i < 3; i++) {
        world_open(&w, 0);
        evconnlistener_set_error_cb(w.l, world_on_error);
        fault_set(FAULT_ACCEPT4, silent[i], 1, 1);
        world_connect_many(&w, 2);
        world_turn(&w);
        world_turn(&w);
        assert_int_equal(w.accepted_count, 2);
        assert_int_equal(w.errors, 0);
        world_close(&w);
    }
    assert_int_equal(warnings, 0);
}

static void libevent_policy_tells_all_other_errors_each_time(void **state)
{
    static const int told[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EPERM, EPROTO, EINVAL, EBADF, ENETDOWN, ETIMEDOUT};
    struct world w;
    (void)state;
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        world_open(&w, 0);
        evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_LIBEVENT);
        evconnlistener_set_error_cb(w.l, world_on_error);
        fault_set(FAULT_ACCEPT4, told[i], 1, 3);
        fault_set(FAULT_ACCEPT, told[i], 1, 0);
        world_connect(&w);
        for (int turn = 1; turn <= 3; turn++) {
            world_turn(&w);
            assert_int_equal(w.errors, turn);
            assert_int_equal(w.last_error, told[i]);
        }
        world_turn(&w);
        assert_int_equal(w.accepted_count, 1);
        world_close(&w);
    }
}

static void without_errorcb_one_warning_an_error_goes_to_libevents_log(void **state)
{
    struct world w;
    (void)state;
    event_set_log_callback(keep_warning);
    world_open(&w, 0);
    evconnlistener_set_policy(w.l, EVCONNLISTENER_POLICY_LIBEVENT);
    fault_set(FAULT_ACCEPT4, EMFILE, 1, 2);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(warnings, 1);
    assert_string_equal(warning, "Error from accept() call: Too many open files");
    world_turn(&w);
    assert_int_equal(warnings, 2);
    world_close(&w);
}

static void errorcb_after_k_connections(void **state)
{
    struct world w;
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        world_open(&w, 0);
        evconnlistener_set_error_cb(w.l, world_on_error);
        fault_set(FAULT_ACCEPT4, EMFILE, k + 1, 0);
        world_connect_many(&w, 4);
        world_turn(&w);
        assert_int_equal(w.accepted_count, k);
        assert_int_equal(w.errors, 1);
        world_close(&w);
    }
}

static void free_in_errorcb_is_safe(void **state)
{
    static const int errors[] = {EMFILE, EBADF, EPERM};
    static const unsigned flags[] = {0, LEV_OPT_THREADSAFE};
    struct world w;
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        world_open(&w, LEV_OPT_REUSEABLE | flags[i % 2]);
        w.in_errorcb = frees;
        evconnlistener_set_error_cb(w.l, world_on_error);
        fault_set(FAULT_ACCEPT4, errors[i / 2], 1, 0);
        world_connect(&w);
        world_turn(&w);
        assert_int_equal(w.errors, 1);
        assert_null(w.l);
        world_close(&w);
    }
}

static void disable_in_errorcb_is_safe(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    w.in_errorcb = disables;
    evconnlistener_set_error_cb(w.l, world_on_error);
    fault_set(FAULT_ACCEPT4, EMFILE, 1, 1);
    world_connect(&w);
    world_run_ms(&w, 50); /* longer than the first pause: it must not come back */
    assert_int_equal(w.errors, 1);
    assert_int_equal(w.accepted_count, 0);
    evconnlistener_enable(w.l);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

static void errorcb_gets_the_user_data_of_the_callback(void **state)
{
    struct world w, other = {0};
    (void)state;
    world_open(&w, 0);
    evconnlistener_set_error_cb(w.l, world_on_error);
    evconnlistener_set_cb(w.l, world_on_accept, &other);
    fault_set(FAULT_ACCEPT4, EMFILE, 1, 1);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(other.errors, 1);
    assert_int_equal(w.errors, 0);
    world_close(&w);
}

/* --- free, enable, disable, get ------------------------------------------------------------------------------------- */

static void enable_and_disable_are_idempotent(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, 0);
    world_connect(&w);
    for (int i = 0; i < 3; i++)
        assert_int_equal(evconnlistener_disable(w.l), 0);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(evconnlistener_enable(w.l), 0);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_int_equal(evconnlistener_disable(w.l), 0);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_close(&w);
}

static void disabled_flag_starts_disabled(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, LEV_OPT_DISABLED);
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 0);
    assert_int_equal(event_base_dispatch(w.base), 1); /* nothing in the loop */
    world_close(&w);
}

static void free_without_close_on_free_leaves_the_descriptor(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    int fd = bound_socket();
    w.l = evconnlistener_new(w.base, world_on_accept, &w, 0, -1, fd);
    assert_non_null(w.l);
    evconnlistener_free(w.l);
    w.l = NULL;
    assert_true(world_fd_is_open(fd));
    close(fd);
    world_close(&w);
}

static void port_is_free_when_free_returns(void **state)
{
    static const unsigned flags[] = {0, LEV_OPT_THREADSAFE};
    struct world w;
    (void)state;
    for (int i = 0; i < 2; i++) {
        world_open(&w, flags[i]);
        evconnlistener_free(w.l);
        w.l = NULL;
        assert_int_equal(world_bind_again(&w), 0);
        world_close(&w);
    }
}

static void free_after_the_base_is_survived(void **state)
{
    struct world w, paused;
    (void)state;
    world_open(&w, 0);
    event_base_free(w.base);
    evconnlistener_free(w.l);
    world_open(&paused, 0);
    fault_set(FAULT_ACCEPT4, EMFILE, 1, 1);
    evconnlistener_set_error_cb(paused.l, world_on_error);
    int client = world_connect(&paused);
    world_turn(&paused);
    assert_int_equal(paused.errors, 1);
    event_base_free(paused.base);
    evconnlistener_free(paused.l);
    close(client);
}

static void threadsafe_memory_goes_with_the_base_when_the_loop_never_runs(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, LEV_OPT_THREADSAFE);
    world_close(&w); /* the leak check of the sanitizer build looks at this */
}

static void threadsafe_gives_a_recursive_lock_without_evthread(void **state)
{
    struct world w;
    (void)state;
    world_open(&w, LEV_OPT_THREADSAFE);
    assert_non_null(w.l->lock);
    assert_int_equal(pthread_mutex_lock(w.l->lock), 0);
    assert_int_equal(evconnlistener_disable(w.l), 0); /* would hang on one that is not recursive */
    pthread_mutex_unlock(w.l->lock);
    world_close(&w);
    world_open(&w, 0);
    assert_null(w.l->lock);
    world_close(&w);
}

static void get_fd_and_base_say_what_was_given(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    int fd = bound_socket();
    w.l = evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, -1, fd);
    assert_int_equal(evconnlistener_get_fd(w.l), fd);
    assert_ptr_equal(evconnlistener_get_base(w.l), w.base);
    world_close(&w);
}

/* --- The table of operations is real: another implementation of it -------------------------------------------------- */

struct double_listener {
    struct evconnlistener base;
    int enabled, disabled, shut_down, destroyed;
};

static int double_enable(struct evconnlistener *l)
{
    return ((struct double_listener *)l)->enabled++, 0;
}

static int double_disable(struct evconnlistener *l)
{
    return ((struct double_listener *)l)->disabled++, -1;
}

static void double_destroy(struct evconnlistener *l)
{
    ((struct double_listener *)l)->destroyed++;
    listener_unlock(l);
}

static void double_shutdown(struct evconnlistener *l)
{
    ((struct double_listener *)l)->shut_down++;
}

static evutil_socket_t double_getfd(struct evconnlistener *l)
{
    (void)l;
    return 4711;
}

static struct event_base *double_getbase(struct evconnlistener *l)
{
    (void)l;
    return NULL;
}

static void operations_go_through_the_table(void **state)
{
    static const struct evconnlistener_ops without_shutdown = {double_enable, double_disable, double_destroy,
                                                               NULL,          double_getfd,   double_getbase};
    static const struct evconnlistener_ops ops = {double_enable,   double_disable, double_destroy,
                                                  double_shutdown, double_getfd,   double_getbase};
    struct double_listener d = {0}, e = {0};
    (void)state;
    assert_int_equal(listener_init(&d.base, &ops, LEV_OPT_THREADSAFE), 0);
    assert_int_equal(evconnlistener_enable(&d.base), 0);
    assert_int_equal(d.enabled, 0); /* no callback */
    evconnlistener_set_cb(&d.base, world_on_accept, NULL);
    assert_int_equal(d.enabled, 1);
    assert_int_equal(evconnlistener_disable(&d.base), -1);
    assert_int_equal(evconnlistener_get_fd(&d.base), 4711);
    assert_null(evconnlistener_get_base(&d.base));
    assert_int_equal(evconnlistener_retry_now(&d.base), -1);
    assert_int_equal(errno, ENOTSUP);
    d.base.refcnt = 2;
    evconnlistener_free(&d.base);
    assert_int_equal(d.shut_down, 1);
    assert_int_equal(d.destroyed, 0);
    listener_lock(&d.base);
    listener_unref_and_unlock(&d.base);
    assert_int_equal(d.destroyed, 1);
    pthread_mutex_destroy(d.base.lock);
    assert_int_equal(listener_init(&e.base, &without_shutdown, 0), 0);
    evconnlistener_free(&e.base);
    assert_int_equal(e.destroyed, 1);
}

/* --- Inherited sockets ------------------------------------------------------------------------------------------------ */

static void inherited_blocking_socket_does_not_hang_the_loop(void **state)
{
    struct world w;
    (void)state;
    world_open_base(&w);
    int fd = bound_socket();
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    assert_int_equal(listen(fd, 8), 0);
    w.l = evconnlistener_new(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    assert_non_null(w.l);
    w.length = sizeof w.address;
    getsockname(fd, (struct sockaddr *)&w.address, &w.length);
    world_connect_many(&w, 2);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 2);
    world_turn(&w);
    world_close(&w);
}

static void unix_path_is_served(void **state)
{
    struct world w;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    (void)state;
    world_open_base(&w);
    snprintf(un.sun_path, sizeof un.sun_path, "/tmp/snag-listener-%d.sock", getpid());
    w.l = evconnlistener_new_bind(w.base, world_on_accept, &w, LEV_OPT_CLOSE_ON_FREE, 5, (struct sockaddr *)&un,
                                  sizeof un);
    assert_non_null(w.l);
    memcpy(&w.address, &un, sizeof un);
    w.length = sizeof un;
    world_connect(&w);
    world_turn(&w);
    assert_int_equal(w.accepted_count, 1);
    assert_null(evconnlistener_new_bind(w.base, world_on_accept, &w, 0, 5, (struct sockaddr *)&un, sizeof un));
    assert_int_equal(errno, EADDRINUSE);
    unlink(un.sun_path);
    world_close(&w);
}

TEST_MAIN(
    TEST(new_with_backlog_listens_so_long), TEST(new_with_backlog_0_does_not_listen),
    TEST(new_that_fails_keeps_errno_and_the_descriptor), TEST(new_refuses_what_is_no_descriptor_and_no_base),
    TEST(new_fails_when_the_event_cannot_be_added), TEST(new_ignores_socket_flags_but_those_of_accepted_sockets),
    TEST(accepted_sockets_are_nonblocking_and_kept_over_exec_by_default), TEST(new_bind_with_backlog_0_is_refused),
    TEST(new_bind_without_address_is_refused), TEST(new_bind_sets_what_the_flags_say),
    TEST(keepalive_has_times_on_inet_and_inet6_and_is_not_set_elsewhere),
    TEST(libevent_policy_sets_keepalive_as_2_1_12_does), TEST(unix_socket_cannot_be_reuseable),
    TEST(inet_socket_has_no_v6only), TEST(inet6_is_v6only_or_both),
    TEST(new_bind_that_fails_closes_its_socket_and_keeps_errno), TEST(new_bind_stops_at_the_first_option_that_fails),
    TEST(vsock_is_taken_where_the_kernel_has_it), TEST(without_callback_it_is_enabled_and_not_in_the_loop),
    TEST(without_callback_and_disabled_set_cb_does_not_start_it), TEST(set_cb_to_null_closes_clients_one_a_wakeup),
    TEST(set_cb_to_null_pauses_when_asked), TEST(pausing_without_callback_can_be_switched_on_and_off),
    TEST(clearing_the_pause_without_callback_starts_nothing_else),
    TEST(set_cb_in_the_callback_holds_from_the_next_accept), TEST(set_cb_to_null_in_the_callback_closes_the_next_one),
    TEST(free_in_the_callback_stops_the_round_and_leaves_the_connection), TEST(disable_in_the_callback_stops_the_round),
    TEST(reference_is_held_across_the_callback), TEST(round_accepts_until_the_queue_is_empty),
    TEST(address_is_the_peers_and_the_rest_is_zero), TEST(unix_client_without_a_name_is_no_zero_length),
    TEST(enosys_falls_back_to_accept_for_good), TEST(einval_is_remembered_only_if_accept_succeeds),
    TEST(fallback_that_cannot_set_flags_loses_no_descriptor), TEST(address_length_0_closes_that_socket_and_goes_on),
    TEST(libevent_policy_is_silent_for_three_errors), TEST(default_is_silent_for_the_same_three),
    TEST(libevent_policy_tells_all_other_errors_each_time),
    TEST(without_errorcb_one_warning_an_error_goes_to_libevents_log), TEST(errorcb_after_k_connections),
    TEST(free_in_errorcb_is_safe), TEST(disable_in_errorcb_is_safe), TEST(errorcb_gets_the_user_data_of_the_callback),
    TEST(enable_and_disable_are_idempotent), TEST(disabled_flag_starts_disabled),
    TEST(free_without_close_on_free_leaves_the_descriptor), TEST(port_is_free_when_free_returns),
    TEST(free_after_the_base_is_survived), TEST(threadsafe_memory_goes_with_the_base_when_the_loop_never_runs),
    TEST(threadsafe_gives_a_recursive_lock_without_evthread), TEST(get_fd_and_base_say_what_was_given),
    TEST(operations_go_through_the_table), TEST(inherited_blocking_socket_does_not_hang_the_loop),
    TEST(unix_path_is_served))
