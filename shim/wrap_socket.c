/*
 * wrap_socket.c - socket, socketpair, setsockopt, getsockopt, bind, listen, accept, accept4, getsockname, getpeername,
 * shutdown.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fds.h"
#include "hook.h"
#include "memory.h"
#include "raw.h"
#include "real.h"
#include "show.h"

WRAPPER int socket(int domain, int type, int protocol)
{
    struct hook hook;
    if (!hook_wanted(CALL_socket))
        return REAL(socket)(domain, type, protocol);
    hook_init(&hook, CALL_socket, -1);
    hook.domain = domain;
    hook_begin(&hook);
    if (show_wanted(&hook))
        show_words(&hook, domain, type, protocol);
    int ret = hook.replaced ? hook.ret : REAL(socket)(domain, type, protocol);
    return hook_leave(&hook, ret);
}

WRAPPER int socketpair(int domain, int type, int protocol, int fds[2])
{
    struct hook hook;
    if (!hook_wanted(CALL_socketpair))
        return REAL(socketpair)(domain, type, protocol, fds);
    hook_init(&hook, CALL_socketpair, -1);
    hook.domain = domain;
    hook_begin(&hook);
    if (show_wanted(&hook))
        show_socketpair(&hook, domain, type, protocol, fds);
    int ret = hook.replaced ? hook.ret : REAL(socketpair)(domain, type, protocol, fds);
    if (show_wanted(&hook))
        show_pair_after(&hook, ret, fds);
    return hook_leave(&hook, ret);
}

WRAPPER int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_setsockopt, fd))
        return REAL(setsockopt)(fd, level, name, value, length);
    if (show_wanted(&hook))
        show_setsockopt(&hook, fd, level, name, value, length);
    int ret = hook.replaced ? hook.ret : REAL(setsockopt)(fd, level, name, value, length);
    return hook_leave(&hook, ret);
}

WRAPPER int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_getsockopt, fd))
        return REAL(getsockopt)(fd, level, name, value, length);
    if (show_wanted(&hook))
        show_getsockopt(&hook, fd, level, name, value, length);
    int ret = hook.replaced ? hook.ret : REAL(getsockopt)(fd, level, name, value, length);
    if (show_wanted(&hook))
        show_getsockopt_after(&hook, ret, value, length);
    return hook_leave(&hook, ret);
}

WRAPPER int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    struct hook hook;
    struct sockaddr_storage copy = {0};
    if (!hook_wanted(CALL_bind))
        return REAL(bind)(fd, address, length);
    hook_init(&hook, CALL_bind, fd);
    hook.address = address;
    hook.length = length;
    hook_begin(&hook);
    if (show_wanted(&hook))
        show_bind(&hook, fd, address, length);
    int ret = hook.replaced ? hook.ret : REAL(bind)(fd, address, length);
    socklen_t known = length < sizeof copy ? length : sizeof copy;
    if (!memory_copy(&copy, address, known))
        known = 0;
    return hook_leave_with(&hook, ret, &copy, known);
}

WRAPPER int listen(int fd, int backlog)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_listen, fd))
        return REAL(listen)(fd, backlog);
    backlog = hook_backlog(&hook, backlog);
    hook.arg = (uint32_t)backlog;
    if (show_wanted(&hook))
        show_words(&hook, fd, backlog, 0);
    int ret = hook.replaced ? hook.ret : REAL(listen)(fd, backlog);
    if (ret == 0 && !hook.replaced && (hook.want & (WANT_READY | WANT_RECORD)))
        fds_listen(fd);
    return hook_leave(&hook, ret);
}

/* Ends a getsockname or getpeername that found a name, LENGTH bytes of which are at ADDRESS unless the caller's buffer was shorter. */
static int leave_with_name(struct hook *hook, const struct sockaddr *address, socklen_t length)
{
    struct sockaddr_storage copy = {0};
    socklen_t room = hook->shown.head.length;
    socklen_t known = length < room ? length : room;
    if (known > sizeof copy || !memory_copy(&copy, address, known))
        known = 0;
    return hook_leave_with(hook, 0, &copy, known);
}

WRAPPER int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_getsockname, fd))
        return REAL(getsockname)(fd, address, length);
    if (show_wanted(&hook))
        show_name(&hook, fd, address, length, 0);
    int ret = hook.replaced ? hook.ret : REAL(getsockname)(fd, address, length);
    if (ret == 0 && !hook.replaced)
        hook.arg = *length;
    if (show_wanted(&hook) && ret == 0 && !hook.replaced)
        return leave_with_name(&hook, address, *length);
    return hook_leave(&hook, ret);
}

WRAPPER int getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_getpeername, fd))
        return REAL(getpeername)(fd, address, length);
    if (show_wanted(&hook))
        show_name(&hook, fd, address, length, 0);
    int ret = hook.replaced ? hook.ret : REAL(getpeername)(fd, address, length);
    if (ret == 0 && !hook.replaced)
        hook.arg = *length;
    if (show_wanted(&hook) && ret == 0 && !hook.replaced)
        return leave_with_name(&hook, address, *length);
    return hook_leave(&hook, ret);
}

WRAPPER int shutdown(int fd, int how)
{
    struct hook hook;
    if (!hook_enter(&hook, CALL_shutdown, fd))
        return REAL(shutdown)(fd, how);
    if (show_wanted(&hook))
        show_words(&hook, fd, how, 0);
    int ret = hook.replaced ? hook.ret : REAL(shutdown)(fd, how);
    return hook_leave(&hook, ret);
}

/*
 * An accept.  A rule may want the connection consumed, or what is said of its peer changed: then the peer's address is
 * taken into memory of ours first, and what the caller is to see is copied out afterwards.
 */
struct accept_call {
    int fd, flags;
    struct sockaddr *address; /* the caller's */
    socklen_t *length;
    struct sockaddr_storage peer; /* what the kernel said; not zeroed, that would cost as much as all the rest */
    socklen_t peer_length;        /* its true length, which may exceed the buffer; 0: nobody asked */
};

static int really_accept(enum call call, const struct accept_call *accept_call, struct sockaddr *address,
                         socklen_t *length)
{
    if (call == CALL_accept4)
        return REAL(accept4)(accept_call->fd, address, length, accept_call->flags);
    return REAL(accept)(accept_call->fd, address, length);
}

/* Takes the connection away as the network would: the client gets a reset. */
static void reset_connection(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    snag_raw(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, raw_pointer(&at_once), sizeof at_once, 0);
    raw2(SYS_close, fd, 0);
}

/* Moves FD to the lowest free number from FDMIN on; returns the new one, or FD itself if there is none. */
static int move_fd(struct hook *hook, int fd)
{
    long flags = raw2(SYS_fcntl, fd, F_GETFD);
    int command = flags >= 0 && (flags & FD_CLOEXEC) ? F_DUPFD_CLOEXEC : F_DUPFD;
    long moved = raw3(SYS_fcntl, fd, command, hook->decision.rule->fdmin);
    if (moved < 0) {
        hook->missed = true;
        return fd;
    }
    raw2(SYS_close, fd, 0);
    return (int)moved;
}

/* Writes the peer's address to the caller as the rule changes it.  Returns 0, or EFAULT as the kernel would. */
static int report_peer(struct hook *hook, struct accept_call *accept_call)
{
    const struct rule *rule = hook->decision.rule;
    struct sockaddr_storage shown = accept_call->peer;
    socklen_t room, told = accept_call->peer_length;
    if (!memory_copy(&room, accept_call->length, sizeof room))
        return EFAULT;
    if ((int)room < 0)
        return EINVAL;
    if (rule->actions & ACT_FAMILY)
        shown.ss_family = rule->family;
    if (rule->actions & ACT_SOCKLEN)
        told = rule->socklen;
    socklen_t size = told < accept_call->peer_length ? told : accept_call->peer_length;
    size = size < room ? size : room;
    size = size < sizeof shown ? size : sizeof shown;
    if (size > 0 && !memory_copy(accept_call->address, &shown, size))
        return EFAULT;
    hook->arg = told;
    return memory_copy(accept_call->length, &told, sizeof told) ? 0 : EFAULT;
}

/* Does to the accepted connection FD what the rule says; returns what accept returns. */
static int tamper(struct hook *hook, struct accept_call *accept_call, int fd, bool own_address)
{
    if (hook->consume && hook->error == EFAULT) {
        raw2(SYS_close, fd, 0); /* the one that the kernel closes in peace: it was the caller's mistake */
        return -1;
    }
    if (hook->consume) {
        reset_connection(fd);
        return -1;
    }
    int error = own_address ? report_peer(hook, accept_call) : 0;
    if (error) {
        /* The caller's pointers were bad: the kernel closes the connection then, and so do we. */
        raw2(SYS_close, fd, 0);
        hook->missed = true;
        errno = error;
        return -1;
    }
    return hook->decision.rule->actions & ACT_FDMIN ? move_fd(hook, fd) : fd;
}

/* For the record: who connected.  Asked of the kernel if the caller did not care. */
static void learn_peer(const struct hook *hook, struct accept_call *accept_call, int fd)
{
    socklen_t length = sizeof accept_call->peer;
    if (!(hook->want & WANT_RECORD) && !hook->acts)
        return;
    if (raw3(SYS_getpeername, fd, raw_pointer(&accept_call->peer), raw_pointer(&length)) == 0)
        accept_call->peer_length = length;
}

/* Makes the accept that a rule acts on or that is recorded, and ends it. */
static int accept_and_leave(struct hook *hook, struct sockaddr *address, socklen_t *length, int flags)
{
    struct accept_call call;
    call.fd = hook->scene.fd;
    call.flags = flags;
    call.address = address;
    call.length = length;
    const struct rule *rule = hook->acts ? hook->decision.rule : NULL;
    unsigned actions = rule ? rule->actions : 0;
    bool changes = actions & (ACT_SOCKLEN | ACT_FAMILY);
    bool own_address = hook->consume || changes;
    call.peer_length = own_address ? sizeof call.peer : 0;
    int fd = own_address ? really_accept(hook->call, &call, (struct sockaddr *)&call.peer, &call.peer_length)
                         : really_accept(hook->call, &call, address, length);
    if (fd < 0) {
        hook->missed = hook->consume || changes || (actions & ACT_FDMIN);
        return hook_leave(hook, fd);
    }
    if (!own_address) {
        learn_peer(hook, &call, fd);
        hook->arg = address ? *length : 0;
    }
    int ret = rule ? tamper(hook, &call, fd, changes) : fd;
    socklen_t known = call.peer_length < sizeof call.peer ? call.peer_length : sizeof call.peer;
    return hook_leave_with(hook, ret, &call.peer, known);
}

/* An accept that no rule acted on returned RET: the next one may be its second half. */
static int accept_end(struct hook *hook, int ret)
{
    if (hook->scene.fallback) {
        int error = ret < 0 && hook->call == CALL_accept4 ? errno : 0;
        decide_note(hook->scene.fallback, hook->call, hook->scene.fd, error, NULL);
    }
    return ret;
}

/* An accept that somebody wants to know of.  All in one frame: each that is left after a system call costs a ns.
 * Never in the wrappers' own, which nobody wants to know of as a rule, and which need none. */
__attribute__((noinline)) static int accept_hooked(enum call call, int fd, struct sockaddr *address, socklen_t *length,
                                                   int flags)
{
    struct hook hook;
    hook_init(&hook, call, fd);
    hook.scene.has_address = address != NULL;
    if (hook.want & WANT_READY)
        fds_ready_accept(fd);
    if (hook.want & WANT_RULE)
        hook.scene.fallback = &session_thread()->fallback;
    hook_begin(&hook);
    if (!hook.decision.rule && !(hook.want & WANT_RECORD))
        return accept_end(&hook, call == CALL_accept4 ? REAL(accept4)(fd, address, length, flags)
                                                      : REAL(accept)(fd, address, length));
    if (show_wanted(&hook))
        show_name(&hook, fd, address, length, flags);
    if (hook.replaced)
        return hook_leave(&hook, hook.ret);
    return accept_and_leave(&hook, address, length, flags);
}

WRAPPER int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    if (!hook_wanted(CALL_accept) || !hook_concerns(CALL_accept, fd))
        return REAL(accept)(fd, address, length);
    return accept_hooked(CALL_accept, fd, address, length, 0);
}

WRAPPER int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    if (!hook_wanted(CALL_accept4) || !hook_concerns(CALL_accept4, fd))
        return REAL(accept4)(fd, address, length, flags);
    return accept_hooked(CALL_accept4, fd, address, length, flags);
}
