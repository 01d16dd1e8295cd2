/*
 * evconnlistener_new_bind: a socket with its options, bound.  Everything that fails closes it and keeps errno.
 */
#include "observe.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum { KEEPALIVE_IDLE_S = 300, KEEPALIVE_INTERVAL_S = 100, KEEPALIVE_PROBES = 3 };

static int bind_set(int fd, int level, int name, int value)
{
    observe_birth_call("setsockopt", fd);
    return setsockopt(fd, level, name, &value, sizeof value);
}

/* Accepted connections inherit it. */
static int bind_keepalive(int fd, int family)
{
    if (option_default_policy()->exact)
        return bind_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (family != AF_INET && family != AF_INET6)
        return 0;
    if (bind_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) != 0 ||
        bind_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S) != 0 ||
        bind_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S) != 0)
        return -1;
    return bind_set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

/* The kernel takes SO_REUSEADDR for a unix socket and ignores it: who asks for it expects what he won't get.  libevent 2.2
   refuses it.  Programs for 2.1 that ask all the same (fstrm_capture does) run with the libevent policy, and are told. */
static bool bind_refuses(int family, unsigned flags)
{
    if (family != AF_UNIX || !(flags & (LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT)) || option_default_policy()->exact)
        return false;
    error_warn(
        "A unix socket can't be LEV_OPT_REUSEABLE (EVCONNLISTENER_POLICY=libevent ignores that, as libevent 2.1 did)");
    return true;
}

static int bind_options(int fd, int family, unsigned flags)
{
    static const struct {
        unsigned flag;
        int level, name, value;
    } options[] = {
        {LEV_OPT_REUSEABLE, SOL_SOCKET, SO_REUSEADDR, 1},
        {LEV_OPT_REUSEABLE_PORT, SOL_SOCKET, SO_REUSEPORT, 1},
        {LEV_OPT_DEFERRED_ACCEPT, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1},
        {LEV_OPT_BIND_IPV6ONLY, IPPROTO_IPV6, IPV6_V6ONLY, 1},
        {LEV_OPT_BIND_IPV4_AND_IPV6, IPPROTO_IPV6, IPV6_V6ONLY, 0},
    };
    if (bind_keepalive(fd, family) != 0)
        return -1;
    if (bind_refuses(family, flags)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (flags & options[i].flag && bind_set(fd, options[i].level, options[i].name, options[i].value) != 0)
            return -1;
    return 0;
}

static int bind_address(int fd, const struct sockaddr *sa, int socklen)
{
    observe_birth_call("bind", fd);
    return bind(fd, sa, (socklen_t)socklen);
}

struct evconnlistener *evconnlistener_new_bind(struct event_base *base, evconnlistener_cb cb, void *arg, unsigned flags,
                                               int backlog, const struct sockaddr *sa, int socklen)
{
    if (backlog == 0) { /* nobody has called listen on a new socket */
        observe_failure(EINVAL);
        errno = EINVAL;
        return NULL;
    }
    int family = sa ? sa->sa_family : AF_UNSPEC; /* the latter gives EAFNOSUPPORT */
    int type = SOCK_STREAM | SOCK_NONBLOCK | (flags & LEV_OPT_CLOSE_ON_EXEC ? SOCK_CLOEXEC : 0);
    observe_birth_call("socket", -1);
    int fd = socket(family, type, 0);
    if (fd < 0) {
        observe_failure(errno);
        return NULL;
    }
    if (bind_options(fd, family, flags) == 0 && bind_address(fd, sa, socklen) == 0) {
        struct evconnlistener *l = evconnlistener_new(base, cb, arg, flags, backlog, fd);
        if (l)
            return l;
    }
    int error = errno;
    observe_birth_call("close", fd);
    close(fd);
    observe_failure(error);
    errno = error;
    return NULL;
}
