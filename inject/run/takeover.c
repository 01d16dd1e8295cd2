/*
 * takeover.c - an accept that we make in the server's stead: on a duplicate of its listening socket, whose O_NONBLOCK the two
 * share and which is never changed; what comes out is placed in the server as if it had made the call.
 *
 * Descriptors come first, as in the kernel: that the server may have one more is looked at before the queue is touched.  (A
 * placeholder would be surer against a thread that takes the last one in that moment, but one that turns out not to be
 * needed can't be taken back from outside.  ADDFD's own EMFILE is the second guard: then the connection is kept.)
 *
 * While a blocking accept waits, nothing of ours holds the socket open: epoll watches the server's own file, and forgets it
 * when the server closes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "run/clock.h"
#include "run/notified.h"

#define GUARD_SIGNAL (SIGRTMAX - 3)
#define GUARD_NS (5 * (long)NS_PER_MS)

static __thread timer_t guard;

static void on_guard(int signal)
{
    (void)signal;
}

int takeover_prepare_thread(void)
{
    struct sigaction action = {.sa_handler = on_guard};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = GUARD_SIGNAL};
    sigset_t set;
    event._sigev_un._tid = gettid();
    sigemptyset(&set);
    sigaddset(&set, GUARD_SIGNAL);
    if (sigaction(GUARD_SIGNAL, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &guard) != 0)
        return -1;
    return pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0 ? 0 : -1;
}

bool takeover_wanted(struct notified *call)
{
    unsigned actions = call->acts ? call->decision.rule->actions : 0;
    if (call_info(call->call)->class != OF_ACCEPT)
        return false;
    return (call->want & WANT_RECORD) || call->consume || call->supervisor->kept != NULL ||
           call->supervisor->knocks != NULL || (actions & (ACT_SOCKLEN | ACT_FAMILY | ACT_FDMIN | ACT_DELAY_EXIT));
}

static uint64_t argument(const struct notified *call, size_t i)
{
    return call->notif.data.args[i];
}

static int accept_flags(const struct notified *call)
{
    return call->call == CALL_accept4 ? (int)argument(call, 3) : 0;
}

/* Whether the rule on CALL needs a connection. */
static bool needs_connection(const struct notified *call)
{
    return call->acts && (call->consume || (call->decision.rule->actions & (ACT_SOCKLEN | ACT_FAMILY | ACT_FDMIN)));
}

static enum outcome fail_with(struct notified *call, int error)
{
    if (needs_connection(call))
        notified_miss(call);
    call->ret = -1;
    call->error = error;
    return notified_finish(call);
}

/* --- Connections that are kept ----------------------------------------------------------------------------------- */

/* Wakes whoever waits for the socket, which is empty now: by a connection that the next accept drops. */
static void knock(struct notified *call)
{
    struct knock *knock = calloc(1, sizeof *knock);
    int listener = process_fd(call->process, call->scene.fd), type = 0;
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t length = sizeof address, size = sizeof type;
    if (knock != NULL && listener >= 0 && getsockname(listener, (struct sockaddr *)&address, &length) == 0 &&
        getsockopt(listener, SOL_SOCKET, SO_TYPE, &type, &size) == 0) {
        knock->socket = call->socket;
        knock->own_length = sizeof knock->own;
        knock->fd = socket(address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (knock->fd >= 0 && (connect(knock->fd, (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS) &&
            getsockname(knock->fd, (struct sockaddr *)&knock->own, &knock->own_length) == 0) {
            knock->next = call->supervisor->knocks;
            call->supervisor->knocks = knock;
            knock = NULL;
        } else if (knock->fd >= 0) {
            close(knock->fd);
        }
    }
    if (listener >= 0)
        close(listener);
    free(knock);
}

void takeover_keep(struct notified *call)
{
    struct kept *kept = call->connection >= 0 ? calloc(1, sizeof *kept) : NULL;
    struct kept **last = &call->supervisor->kept;
    if (kept == NULL)
        return;
    *kept = (struct kept){
        .socket = call->socket, .fd = call->connection, .peer = call->peer, .peer_length = call->peer_length};
    call->connection = -1;
    while (*last != NULL)
        last = &(*last)->next;
    *last = kept;
    knock(call);
}

static bool take_kept(struct notified *call)
{
    for (struct kept **link = &call->supervisor->kept; *link != NULL; link = &(*link)->next) {
        struct kept *kept = *link;
        if (kept->socket != call->socket)
            continue;
        call->connection = kept->fd;
        call->peer = kept->peer;
        call->peer_length = kept->peer_length;
        *link = kept->next;
        free(kept);
        return true;
    }
    return false;
}

static bool is_from(const struct notified *call, int connection, const struct knock *knock)
{
    const struct sockaddr_in *peer4 = (const void *)&call->peer, *own4 = (const void *)&knock->own;
    const struct sockaddr_in6 *peer6 = (const void *)&call->peer, *own6 = (const void *)&knock->own;
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (knock->socket != call->socket || call->peer.ss_family != knock->own.ss_family)
        return false;
    if (knock->own.ss_family == AF_INET)
        return peer4->sin_port == own4->sin_port;
    if (knock->own.ss_family == AF_INET6)
        return peer6->sin6_port == own6->sin6_port;
    return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid == getpid();
}

/* Whether CONNECTION is one of our own, which is dropped then. */
static bool drop_knock(struct notified *call, int connection)
{
    for (struct knock **link = &call->supervisor->knocks; *link != NULL; link = &(*link)->next) {
        struct knock *knock = *link;
        if (!is_from(call, connection, knock))
            continue;
        *link = knock->next;
        close(knock->fd);
        free(knock);
        return true;
    }
    return false;
}

void takeover_free(struct supervisor *supervisor)
{
    while (supervisor->kept != NULL) {
        struct kept *kept = supervisor->kept;
        supervisor->kept = kept->next;
        close(kept->fd);
        free(kept);
    }
    while (supervisor->knocks != NULL) {
        struct knock *knock = supervisor->knocks;
        supervisor->knocks = knock->next;
        close(knock->fd);
        free(knock);
    }
}

/* --- The connection ---------------------------------------------------------------------------------------------- */

/*
 * Accepts on LISTENER.  Between the look and the accept another process may take the connection, and on a BLOCKING socket we
 * would wait then: a timer interrupts that.
 */
static int guarded_accept(struct notified *call, int listener, bool blocking)
{
    struct itimerspec soon = {.it_value.tv_nsec = GUARD_NS, .it_interval.tv_nsec = GUARD_NS}, never = {0};
    call->peer_length = sizeof call->peer;
    if (blocking)
        timer_settime(guard, 0, &soon, NULL);
    int fd = accept4(listener, (struct sockaddr *)&call->peer, &call->peer_length, accept_flags(call) | SOCK_CLOEXEC);
    int saved = errno;
    if (blocking)
        timer_settime(guard, 0, &never, NULL);
    errno = saved;
    if (fd < 0)
        call->peer_length = 0;
    return fd;
}

static bool is_readable(int listener)
{
    struct pollfd entry = {.fd = listener, .events = POLLIN};
    return poll(&entry, 1, 0) == 1;
}

static bool listens(int listener)
{
    int on = 0;
    socklen_t length = sizeof on;
    return getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &on, &length) == 0 && on;
}

static uint64_t receive_timeout(int listener)
{
    struct timeval time = {0};
    socklen_t length = sizeof time;
    if (getsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &time, &length) != 0)
        return 0;
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_usec * 1000;
}

/* Parks CALL until LISTENER has a connection, or its time is over. */
static enum outcome wait_for_connection(struct notified *call, int listener)
{
    struct epoll_event event = {.events = EPOLLIN};
    uint64_t timeout = receive_timeout(listener), now_ns = clock_ns();
    if (call->stage != STAGE_CALL && timeout != 0)
        call->times_out_ns = now_ns + timeout;
    call->stage = STAGE_CALL;
    if (call->times_out_ns != 0 && now_ns >= call->times_out_ns)
        return fail_with(call, EAGAIN);
    call->due_ns = call->times_out_ns;
    if (call->epoll >= 0)
        return PARK;
    call->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (call->epoll < 0 || epoll_ctl(call->epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        return fail_with(call, ENOMEM);
    return PARK;
}

/* Takes a connection from LISTENER.  ANSWERED here means: there is one, or the error is in `error`. */
static enum outcome take_connection(struct notified *call, int listener)
{
    int flags = fcntl(listener, F_GETFL);
    bool blocking = flags >= 0 && !(flags & O_NONBLOCK) && listens(listener);
    for (;;) {
        if (blocking && !is_readable(listener))
            return wait_for_connection(call, listener);
        call->connection = guarded_accept(call, listener, blocking);
        call->error = call->connection < 0 ? errno : 0;
        if (call->connection < 0 && call->error == EINTR && blocking)
            continue;
        if (call->connection < 0 || !drop_knock(call, call->connection))
            return ANSWERED;
        close(call->connection);
        call->connection = -1;
    }
}

/* --- Handing it over --------------------------------------------------------------------------------------------- */

/* Takes the connection away as the network would: the client gets a reset; for EFAULT it is closed in peace. */
static void consume(struct notified *call)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (call->error != EFAULT)
        setsockopt(call->connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(call->connection);
    call->connection = -1;
    call->ret = -1;
    call->replaced = true; /* done, whatever becomes of the answer */
}

/* Writes the peer's address to the caller, as the rule changes it.  Returns 0, or the errno that the kernel would. */
static int report_peer(struct notified *call)
{
    unsigned actions = call->acts ? call->decision.rule->actions : 0;
    struct sockaddr_storage shown = call->peer;
    socklen_t room, told = call->peer_length;
    pid_t tid = call->thread->tid;
    if (argument(call, 1) == 0)
        return 0;
    if (!target_read(tid, argument(call, 2), &room, sizeof room))
        return EFAULT;
    if ((int)room < 0)
        return EINVAL;
    if (actions & ACT_FAMILY)
        shown.ss_family = call->decision.rule->family;
    if (actions & ACT_SOCKLEN)
        told = call->decision.rule->socklen;
    socklen_t size = told < call->peer_length ? told : call->peer_length;
    size = size < room ? size : room;
    size = size < sizeof shown ? size : sizeof shown;
    if (!target_write_two(tid, argument(call, 1), &shown, size, argument(call, 2), &told, sizeof told))
        return EFAULT;
    call->arg = told;
    return 0;
}

/* Puts the connection into the server, at NUMBER if that is not -1, and answers with its descriptor; -1 with errno. */
static int place(struct notified *call, int number)
{
    struct supervisor *supervisor = call->supervisor;
    struct seccomp_notif_addfd add = {.id = call->notif.id, .srcfd = (uint32_t)call->connection};
    add.flags = (supervisor->joins ? SECCOMP_ADDFD_FLAG_SEND : 0) | (number >= 0 ? SECCOMP_ADDFD_FLAG_SETFD : 0);
    add.newfd = number >= 0 ? (uint32_t)number : 0;
    add.newfd_flags = accept_flags(call) & SOCK_CLOEXEC ? O_CLOEXEC : 0;
    int fd = ioctl(supervisor->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    if (fd < 0 && errno == EINVAL && supervisor->joins) {
        supervisor->joins = false;
        return place(call, number);
    }
    if (fd < 0 || supervisor->joins)
        return fd;
    call->ret = fd;
    if (notified_answer(call) == ANSWERED)
        return fd;
    errno = ENOENT;
    return -1;
}

static void end_connection(struct notified *call)
{
    close(call->connection);
    call->connection = -1;
}

/* Gives the server what was accepted. */
static enum outcome hand_over(struct notified *call)
{
    int number = -1;
    if (!notified_is_valid(call)) {
        call->taken = true;
        return TAKEN;
    }
    int error = report_peer(call);
    if (error != 0) { /* the caller's pointers were bad: the kernel closes the connection then, and so do we */
        end_connection(call);
        return fail_with(call, error);
    }
    if (call->acts && (call->decision.rule->actions & ACT_FDMIN)) {
        number = process_free_fd(call->process, call->decision.rule->fdmin);
        if (number < 0)
            notified_miss(call);
    }
    int fd = place(call, number);
    if (fd >= 0) {
        end_connection(call);
        call->ret = fd;
        if (call->scene.fallback != NULL)
            decide_note(call->scene.fallback, call->call, call->scene.fd, 0, call->acts ? &call->decision : NULL);
        notified_record(call, &call->peer,
                        call->peer_length < sizeof call->peer ? call->peer_length : sizeof call->peer);
        return ANSWERED;
    }
    error = errno;
    if (error == ENOENT || error == EINPROGRESS) {
        call->taken = true;
        return TAKEN;
    }
    takeover_keep(call); /* EMFILE: a thread of the server was quicker */
    call->peer_length = 0;
    return fail_with(call, error);
}

enum outcome takeover_run(struct notified *call)
{
    struct stat status;
    if (call->connection >= 0)
        return hand_over(call);
    int listener = process_fd(call->process, call->scene.fd);
    int error = listener < 0 ? errno : 0;
    /* What comes straight from the kernel is there; if it goes meanwhile, its connection is kept. */
    if (error == EPERM || error == ESRCH || (call->thread->held == call && !notified_is_valid(call))) {
        if (listener >= 0)
            close(listener);
        notified_miss(call);
        call->consume = false;
        return notified_let_through(call);
    }
    if (error != 0)
        return fail_with(call, EBADF);
    call->socket = fstat(listener, &status) == 0 ? status.st_ino : 0;
    enum outcome outcome = ANSWERED;
    int planned = call->error;
    if (!process_has_room(call->process))
        call->error = EMFILE;
    else if (!take_kept(call))
        outcome = take_connection(call, listener);
    close(listener);
    if (outcome != ANSWERED) {
        if (outcome == PARK)
            call->error = planned;
        return outcome;
    }
    if (call->connection < 0)
        return fail_with(call, call->error);
    call->error = planned;
    if (call->consume) {
        consume(call);
        return notified_finish(call);
    }
    if (call->acts && (call->decision.rule->actions & ACT_DELAY_EXIT))
        return notified_finish(call);
    return hand_over(call);
}
