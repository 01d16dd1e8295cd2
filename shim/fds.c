#include "fds.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "memory.h"
#include "raw.h"
#include "record.h"
#include "session.h"

enum note {
    LISTENS = 1 << 0, /* a listening socket */
    MEMBER = 1 << 1,  /* watched by an epoll descriptor */
    WATCHES = 1 << 2, /* an epoll descriptor that watches a listening socket */
    DOUBT = 1 << 3,   /* closed since: by us, or by a vfork child, whose descriptors are its own and these notes ours */
};

enum {
    INHERITED_MAX = 256, /* numbers below this are looked at when a program starts */
    CLOSED_RUN = 1000,
};

static _Atomic unsigned char notes[FD_MAX];

/* A socket was added to some epoll descriptor first, and made to listen later: which one is not remembered. */
static _Atomic bool any_epoll_watches;

/* Some descriptor of this process, or of one it was forked from, was noted as listening. */
static _Atomic bool any_listens;

static bool has_note(int fd, unsigned note)
{
    return fd >= 0 && fd < FD_MAX && (atomic_load_explicit(&notes[fd], memory_order_relaxed) & note);
}

static void add_note(int fd, unsigned note)
{
    if (fd >= 0 && fd < FD_MAX)
        atomic_fetch_or_explicit(&notes[fd], (unsigned char)note, memory_order_relaxed);
}

/* Records KIND about FD; with the address that it is bound to, if that is ADDRESSED. */
static void report(enum event_kind kind, int fd, bool addressed)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    uint64_t position;
    if (!addressed || raw3(SYS_getsockname, fd, raw_pointer(&own), raw_pointer(&length)) != 0)
        length = 0;
    struct event *event = record_begin(kind, &own, length <= sizeof own ? length : sizeof own, &position);
    if (!event)
        return;
    event->fd = fd;
    event->t_ns = session_stamp();
    record_end(event, position);
}

static bool really_listens(int fd)
{
    int on = 0;
    socklen_t length = sizeof on;
    return snag_raw(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, raw_pointer(&on), raw_pointer(&length), 0) == 0 &&
           on;
}

/* The kernel is asked only where the note is in doubt, for a server may be in a sandbox that ends it for a question. */
static bool listens(int fd)
{
    return has_note(fd, LISTENS) && (!has_note(fd, DOUBT) || really_listens(fd));
}

void fds_inherit(void)
{
    for (int fd = 0; fd < INHERITED_MAX; fd++)
        if (really_listens(fd))
            fds_listen(fd);
}

void fds_listen(int fd)
{
    add_note(fd, LISTENS);
    atomic_store_explicit(&any_listens, true, memory_order_relaxed);
    if (has_note(fd, MEMBER))
        atomic_store_explicit(&any_epoll_watches, true, memory_order_relaxed);
    report(EVENT_LISTENING, fd, true);
}

void fds_watch(int epfd, int fd)
{
    add_note(fd, MEMBER);
    if (has_note(fd, LISTENS | WATCHES))
        add_note(epfd, WATCHES);
}

void fds_copy(int from, int to)
{
    if (has_note(from, LISTENS))
        add_note(to, LISTENS);
    if (has_note(from, WATCHES))
        add_note(to, WATCHES);
}

void fds_forget(unsigned first, unsigned last)
{
    if (last >= FD_MAX)
        last = FD_MAX - 1;
    for (unsigned fd = first; fd <= last; fd++)
        if (atomic_load_explicit(&notes[fd], memory_order_relaxed) != 0)
            atomic_fetch_or_explicit(&notes[fd], DOUBT, memory_order_relaxed);
}

/* The first to say so wins; READY comes once a session.  What was noted has been reported with its address. */
static void set_ready(int fd)
{
    uint64_t not_yet = 0;
    if (atomic_compare_exchange_strong(&snag_board->ready_ns, &not_yet, session_now()))
        report(EVENT_READY, fd, !has_note(fd, LISTENS) || has_note(fd, DOUBT));
}

static bool is_ready(void)
{
    return atomic_load_explicit(&snag_board->ready_ns, memory_order_relaxed) != 0;
}

bool fds_may_show_ready(void)
{
    return !is_ready() && atomic_load_explicit(&any_listens, memory_order_relaxed);
}

void fds_ready_accept(int fd)
{
    if (!is_ready() && (listens(fd) || really_listens(fd)))
        set_ready(fd);
}

void fds_ready_poll(const struct pollfd *fds, unsigned long count)
{
    for (unsigned long i = 0; i < count && !is_ready(); i++)
        if ((fds[i].events & (POLLIN | POLLRDNORM)) && listens(fds[i].fd))
            set_ready(fds[i].fd);
}

void fds_ready_select(const void *set, int count)
{
    fd_set copy;
    if (count < 0 || count > FD_SETSIZE || !memory_copy(&copy, set, ((unsigned)count + 7) / 8))
        return;
    for (int fd = 0; fd < count && !is_ready(); fd++)
        if (FD_ISSET(fd, &copy) && listens(fd))
            set_ready(fd);
}

/* Which of an epoll descriptor's sockets listens is not kept: the lowest number that does is shown. */
void fds_ready_epoll(int epfd)
{
    if (!has_note(epfd, WATCHES) && !atomic_load_explicit(&any_epoll_watches, memory_order_relaxed))
        return;
    for (int fd = 0; fd < FD_MAX && !is_ready(); fd++)
        if (listens(fd))
            set_ready(fd);
}

static bool is_open(uint32_t fd)
{
    return raw2(SYS_fcntl, fd, F_GETFD) >= 0;
}

static uint32_t fd_limit(void)
{
    struct rlimit limit = {.rlim_cur = 1024};
    snag_raw(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, raw_pointer(&limit), 0, 0);
    return limit.rlim_cur < FD_MAX ? (uint32_t)limit.rlim_cur : FD_MAX;
}

uint32_t fds_count_open(uint32_t *high)
{
    uint32_t open = 0, end = *high ? *high : fd_limit(), last = 0;
    for (uint32_t fd = 0; fd < end; fd++) {
        if (is_open(fd)) {
            open++;
            last = fd + 1;
        } else if (*high == 0 && fd - last >= CLOSED_RUN) {
            break;
        }
    }
    if (*high == 0)
        *high = last;
    return open;
}
