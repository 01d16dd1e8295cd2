/*
 * create.c - making a listener: what a backlog means, what can fail, what each flag does.
 */
#include "server.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* Tells what became of the call on the line before. */
static struct evconnlistener *result(struct evconnlistener *l, int number, const char *function)
{
    int error = errno;
    if (l)
        tell_at("made", evconnlistener_get_fd(l), 0, __FILE__, number - 1, function);
    else
        tell_at("new_failed", -1, error, __FILE__, number - 1, function);
    return l;
}
#define MADE(l) result(l, __LINE__, __func__)

static void give_up(struct evconnlistener *l)
{
    doing("free", -1);
    evconnlistener_free(l);
}

/* --- backlog ------------------------------------------------------------------------------------------------------------ */

/* A socket of our own, bound; the listener gets it. */
static int bound_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, LOOPBACK) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static struct evconnlistener *unheard; /* on a socket that does not listen */

static int start_backlog(void)
{
    struct evconnlistener *l = evconnlistener_new_bind(base, close_client, NULL, USUAL, -1, LOOPBACK);
    if (MADE(l))
        give_up(l);
    l = evconnlistener_new_bind(base, close_client, NULL, USUAL, 5, LOOPBACK);
    if (MADE(l))
        give_up(l);
    l = evconnlistener_new_bind(base, close_client, NULL, USUAL, 0, LOOPBACK);
    if (MADE(l))
        give_up(l);
    int silent = bound_socket();
    unheard = evconnlistener_new(base, close_client, NULL, USUAL, 0, silent);
    if (MADE(unheard))
        evconnlistener_set_error_cb(unheard, tell_error);
    int fd = bound_socket();
    doing("listen", fd);
    listen(fd, 3);
    listener = evconnlistener_new(base, close_client, NULL, USUAL, 0, fd);
    return MADE(listener) ? 0 : -1;
}

static void end_backlog(void)
{
    if (unheard)
        give_up(unheard);
}

/* --- start-failures ------------------------------------------------------------------------------------------------------- */

/* An address of the documentation's network: nobody has it. */
static struct sockaddr_in nobodys_address(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(0xc0000201);
    return address;
}

static struct sockaddr_in address_of(struct evconnlistener *l)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    if (l)
        getsockname(evconnlistener_get_fd(l), (struct sockaddr *)&address, &length);
    return address;
}

/* The script makes the first socket() fail, the fourth bind() and the second listen(). */
static int start_failures(void)
{
    /* Abstract: no file stays behind where libevent makes a listener of it. */
    const struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "\0snag lesson"};
    struct sockaddr_in nobody = nobodys_address();
    struct evconnlistener *l = evconnlistener_new_bind(base, close_client, NULL, USUAL, -1, LOOPBACK);
    if (MADE(l))
        give_up(l);
    l = evconnlistener_new_bind(base, close_client, NULL, USUAL, 0, LOOPBACK);
    if (MADE(l))
        give_up(l);
    l = evconnlistener_new_bind(base, close_client, NULL, USUAL, -1, NULL, 0);
    if (MADE(l))
        give_up(l);
    l = evconnlistener_new_bind(base, close_client, NULL, LEV_OPT_REUSEABLE, -1, (const void *)&path, sizeof path);
    if (MADE(l))
        give_up(l);
    l = evconnlistener_new_bind(base, close_client, NULL, LEV_OPT_BIND_IPV6ONLY, -1, LOOPBACK);
    if (MADE(l))
        give_up(l);
    listener = evconnlistener_new_bind(base, close_client, NULL, USUAL, -1, LOOPBACK);
    MADE(listener);
    struct sockaddr_in taken = address_of(listener);
    l = evconnlistener_new_bind(base, close_client, NULL, USUAL, -1, (struct sockaddr *)&taken, sizeof taken);
    if (MADE(l))
        give_up(l);
    l = evconnlistener_new_bind(base, close_client, NULL, USUAL, -1, (struct sockaddr *)&nobody, sizeof nobody);
    if (MADE(l))
        give_up(l);
    l = evconnlistener_new_bind(base, close_client, NULL, USUAL, -1, LOOPBACK);
    if (MADE(l))
        give_up(l);
    l = evconnlistener_new_bind(base, close_client, NULL, USUAL, -1, LOOPBACK);
    if (MADE(l))
        give_up(l);
    /* What is given to new() stays with its owner. */
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    l = evconnlistener_new(base, close_client, NULL, USUAL, -1, fd);
    if (MADE(l))
        give_up(l);
    doing("close", fd);
    close(fd);
    return 0;
}

/* --- flags ---------------------------------------------------------------------------------------------------------------- */

static const struct flag {
    const char *name;
    unsigned flag;
    int family;
} at_start[] = {
    {"no_flag", 0, AF_INET},
    {"LEV_OPT_CLOSE_ON_FREE", LEV_OPT_CLOSE_ON_FREE, AF_INET},
    {"LEV_OPT_CLOSE_ON_EXEC", LEV_OPT_CLOSE_ON_EXEC, AF_INET},
    {"LEV_OPT_REUSEABLE", LEV_OPT_REUSEABLE, AF_INET},
    {"LEV_OPT_REUSEABLE_PORT", LEV_OPT_REUSEABLE_PORT, AF_INET},
    {"LEV_OPT_DEFERRED_ACCEPT", LEV_OPT_DEFERRED_ACCEPT, AF_INET},
    {"LEV_OPT_BIND_IPV6ONLY", LEV_OPT_BIND_IPV6ONLY, AF_INET6},
    {"LEV_OPT_BIND_IPV4_AND_IPV6", LEV_OPT_BIND_IPV4_AND_IPV6, AF_INET6},
    {"LEV_OPT_THREADSAFE", LEV_OPT_THREADSAFE, AF_INET},
    {"LEV_OPT_DISABLED", LEV_OPT_DISABLED, AF_INET},
};

static void try_flag(const struct flag *flag)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct sockaddr *sa = flag->family == AF_INET6 ? (struct sockaddr *)&any : LOOPBACK_ADDRESS;
    int length = flag->family == AF_INET6 ? (int)sizeof any : (int)sizeof loopback_address;
    doing(flag->name, -1);
    struct evconnlistener *l = evconnlistener_new_bind(base, close_client, NULL, flag->flag, -1, sa, length);
    if (MADE(l) == NULL)
        return;
    int fd = evconnlistener_get_fd(l);
    give_up(l);
    if (flag->flag & LEV_OPT_CLOSE_ON_FREE)
        return;
    doing("close", fd);
    close(fd);
}

static int serve_with_flags(const char *name, unsigned flags)
{
    doing(name, -1);
    listener = evconnlistener_new_bind(base, close_client, NULL, flags | LEV_OPT_CLOSE_ON_FREE, -1, LOOPBACK);
    return MADE(listener) ? 0 : -1;
}

static int start_flags(void)
{
    for (size_t i = 0; i < sizeof at_start / sizeof at_start[0]; i++)
        try_flag(&at_start[i]);
    return serve_with_flags("no_flag", 0);
}

static void command_flags(const char *word)
{
    give_up(listener);
    if (strcmp(word, "blocking") == 0)
        serve_with_flags("LEV_OPT_LEAVE_SOCKETS_BLOCKING", LEV_OPT_LEAVE_SOCKETS_BLOCKING);
    else
        serve_with_flags("LEV_OPT_CLOSE_ON_EXEC", LEV_OPT_CLOSE_ON_EXEC);
}

const struct server servers_create[] = {
    {.name = "backlog", .start = start_backlog, .end = end_backlog},
    {.name = "start-failures", .start = start_failures, .ends = true},
    {.name = "flags", .start = start_flags, .command = command_flags},
    {.name = NULL},
};
