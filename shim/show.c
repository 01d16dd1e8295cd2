#include "show.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#include "memory.h"

/* Bytes that are copied at most, so that all of a call fits the payload with an address behind it. */
enum {
    VALUE_MAX = 32, /* of an option */
    LIST_MAX = 192, /* of poll's and epoll_wait's entries */
    SET_MAX = 32,   /* of each of select's sets: 256 descriptors */
    MASK_SIZE = 8,  /* of a signal mask, as the kernel has it */
    RING_SIZE = 120 /* of a struct io_uring_params */
};

static void begin(struct hook *hook, const long words[6])
{
    memset(&hook->shown.head, 0, sizeof hook->shown.head);
    for (size_t i = 0; i < 6; i++)
        hook->shown.head.words[i] = words[i];
    hook->shows = true;
    hook->shows_no_more = false;
}

/* Appends LENGTH bytes from the caller's MEMORY, if it gave any; returns how many. */
static uint16_t append(struct hook *hook, const void *memory, size_t length)
{
    struct shown *shown = &hook->shown;
    size_t used = (size_t)shown->head.before + shown->head.after;
    if (!hook->shows || hook->shows_no_more || !memory || length == 0)
        return 0;
    if (length > sizeof shown->bytes - used || !memory_copy(shown->bytes + used, memory, length)) {
        hook->shows_no_more = true;
        return 0;
    }
    return (uint16_t)length;
}

static void before(struct hook *hook, const void *memory, size_t length)
{
    hook->shown.head.before = (uint16_t)(hook->shown.head.before + append(hook, memory, length));
}

static void after(struct hook *hook, const void *memory, size_t length)
{
    hook->shown.head.after = (uint16_t)(hook->shown.head.after + append(hook, memory, length));
}

static long number(const void *pointer)
{
    return (long)(intptr_t)pointer;
}

void show_words(struct hook *hook, long a, long b, long c)
{
    begin(hook, (const long[6]){a, b, c});
}

void show_setsockopt(struct hook *hook, int fd, int level, int name, const void *value, socklen_t length)
{
    begin(hook, (const long[6]){fd, level, name, number(value), length});
    before(hook, value, length < VALUE_MAX ? length : VALUE_MAX);
}

void show_getsockopt(struct hook *hook, int fd, int level, int name, const void *value, const socklen_t *length)
{
    begin(hook, (const long[6]){fd, level, name, number(value), number(length)});
    before(hook, length, sizeof *length);
    memcpy(&hook->shown.head.length, hook->shown.bytes, sizeof *length);
}

/* The length that the kernel reports may exceed the caller's buffer. */
void show_getsockopt_after(struct hook *hook, int ret, const void *value, const socklen_t *length)
{
    if (ret != 0 || hook->replaced)
        return;
    hook->arg = *length;
    size_t known = hook->arg < hook->shown.head.length ? hook->arg : hook->shown.head.length;
    after(hook, value, known < VALUE_MAX ? known : VALUE_MAX);
}

void show_socketpair(struct hook *hook, int domain, int type, int protocol, const int fds[2])
{
    begin(hook, (const long[6]){domain, type, protocol, number(fds)});
}

void show_pipe(struct hook *hook, const int fds[2], int flags)
{
    begin(hook, (const long[6]){number(fds), flags});
}

void show_pair_after(struct hook *hook, int ret, const int fds[2])
{
    if (ret == 0 && !hook->replaced)
        after(hook, fds, 2 * sizeof *fds);
}

void show_bind(struct hook *hook, int fd, const struct sockaddr *address, socklen_t length)
{
    begin(hook, (const long[6]){fd, number(address), length});
}

void show_name(struct hook *hook, int fd, const struct sockaddr *address, const socklen_t *length, int flags)
{
    begin(hook, (const long[6]){fd, number(address), number(length), flags});
    before(hook, length, sizeof *length);
    memcpy(&hook->shown.head.length, hook->shown.bytes, sizeof *length);
}

static bool has_lock(int command)
{
    return command == F_SETLK || command == F_SETLKW || command == F_GETLK || command == F_OFD_SETLK ||
           command == F_OFD_SETLKW || command == F_OFD_GETLK;
}

void show_fcntl(struct hook *hook, int fd, int command, const void *argument)
{
    begin(hook, (const long[6]){fd, command, number(argument)});
    if (has_lock(command))
        before(hook, argument, sizeof(struct flock));
}

void show_fcntl_after(struct hook *hook, int command, const void *argument)
{
    if (command == F_GETLK || command == F_OFD_GETLK)
        after(hook, argument, sizeof(struct flock));
}

/* Whether REQUEST reads, or writes, an int at its argument. */
static bool reads_int(unsigned long request)
{
    return request == FIONBIO || request == FIOASYNC || request == FIOSETOWN || request == SIOCSPGRP;
}

static bool writes_int(unsigned long request)
{
    return request == FIONREAD || request == TIOCOUTQ || request == SIOCOUTQNSD || request == SIOCATMARK ||
           request == FIOGETOWN || request == SIOCGPGRP;
}

void show_ioctl(struct hook *hook, int fd, unsigned long request, const void *argument)
{
    begin(hook, (const long[6]){fd, (long)request, number(argument)});
    if (reads_int(request))
        before(hook, argument, sizeof(int));
}

void show_ioctl_after(struct hook *hook, int ret, unsigned long request, const void *argument)
{
    if (ret >= 0 && !hook->replaced && writes_int(request))
        after(hook, argument, sizeof(int));
}

void show_io_uring_setup(struct hook *hook, unsigned entries, const void *parameters)
{
    begin(hook, (const long[6]){(long)entries, number(parameters)});
    before(hook, parameters, RING_SIZE);
}

void show_io_uring_setup_after(struct hook *hook, int ret, const void *parameters)
{
    if (ret >= 0 && !hook->replaced)
        after(hook, parameters, RING_SIZE);
}

/* The kernel writes a poll entry's answer beside what was asked, so the entries are read once, afterwards. */
void show_poll(struct hook *hook, const struct pollfd *fds, nfds_t count, long timeout, const struct timespec *time,
               const sigset_t *mask)
{
    bool plain = hook->call == CALL_poll;
    begin(hook, (const long[6]){number(fds), (long)count, plain ? timeout : number(time), number(mask)});
    before(hook, time, sizeof *time);
    before(hook, mask, MASK_SIZE);
}

void show_poll_after(struct hook *hook, const struct pollfd *fds, nfds_t count)
{
    after(hook, fds, count < LIST_MAX / sizeof *fds ? count * sizeof *fds : LIST_MAX);
}

static size_t set_size(int count)
{
    if (count <= 0)
        return 0;
    size_t words = ((size_t)count + 63) / 64; /* whole words, as the kernel takes them */
    return words * 8 < SET_MAX ? words * 8 : SET_MAX;
}

void show_select(struct hook *hook, int count, const fd_set *const sets[3], const void *time, const sigset_t *mask)
{
    begin(hook, (const long[6]){count, number(sets[0]), number(sets[1]), number(sets[2]), number(time), number(mask)});
    for (size_t i = 0; i < 3; i++)
        before(hook, sets[i], set_size(count));
    before(hook, time, sizeof(struct timespec));
    before(hook, mask, MASK_SIZE);
}

void show_select_after(struct hook *hook, int ret, int count, const fd_set *const sets[3])
{
    for (size_t i = 0; i < 3 && ret > 0 && !hook->replaced; i++)
        after(hook, sets[i], set_size(count));
}

void show_epoll_ctl(struct hook *hook, int epfd, int op, int fd, const struct epoll_event *event)
{
    begin(hook, (const long[6]){epfd, op, fd, number(event)});
    if (op != EPOLL_CTL_DEL)
        before(hook, event, sizeof *event);
}

void show_epoll_wait(struct hook *hook, int epfd, const struct epoll_event *events, int count, long timeout,
                     const struct timespec *time, const sigset_t *mask)
{
    bool timed = hook->call == CALL_epoll_pwait2;
    begin(hook, (const long[6]){epfd, number(events), count, timed ? number(time) : timeout, number(mask)});
    before(hook, time, sizeof *time);
    before(hook, mask, MASK_SIZE);
}

void show_epoll_wait_after(struct hook *hook, int ret, const struct epoll_event *events)
{
    size_t size = ret > 0 && !hook->replaced ? (size_t)ret * sizeof *events : 0;
    after(hook, events, size < LIST_MAX ? size : LIST_MAX);
}

const void *show_payload(struct hook *hook, const void *address, size_t *size)
{
    struct shown *shown = &hook->shown;
    size_t used = (size_t)shown->head.before + shown->head.after;
    size_t known = *size < sizeof shown->bytes - used ? *size : sizeof shown->bytes - used;
    if (known > 0)
        memcpy(shown->bytes + used, address, known);
    *size = sizeof shown->head + used + known;
    return shown;
}
