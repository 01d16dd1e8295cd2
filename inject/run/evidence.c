/*
 * evidence.c - what the record of a call shows of its arguments, read out of the server's memory while the call waits.  Only
 * what was there before: what the kernel writes nobody sees from outside.
 */
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "run/notified.h"

/* As in the shim's show.c, so that all of a call fits the payload with an address behind it. */
enum {
    VALUE_MAX = 32,
    LIST_MAX = 192,
    SET_MAX = 32,
    MASK_SIZE = 8,
    RING_SIZE = 120,
};

static const uint64_t *given(const struct notified *call)
{
    return (const uint64_t *)(const void *)call->notif.data.args;
}

static size_t used(const struct notified *call)
{
    return (size_t)call->given.before + call->given.after;
}

/* Appends LENGTH bytes at AT; what can't be read is missing, and so is all behind it.  Returns them, NULL: missing. */
static unsigned char *before(struct notified *call, uint64_t at, size_t length)
{
    unsigned char *to = call->bytes + used(call);
    if (at == 0 || length == 0 || call->given.reserved != 0 || length > sizeof call->bytes - used(call))
        return NULL;
    if (!target_read(call->thread->tid, at, to, length)) {
        call->given.reserved = 1;
        return NULL;
    }
    call->given.before = (uint16_t)(call->given.before + length);
    return to;
}

static void take_length(struct notified *call, uint64_t at)
{
    unsigned char *length = before(call, at, sizeof call->given.length);
    if (length != NULL)
        memcpy(&call->given.length, length, sizeof call->given.length);
}

/* The entries come with what the kernel answered, which is not known: as if it had answered nothing. */
static void take_poll(struct notified *call)
{
    size_t size = given(call)[1] < LIST_MAX / sizeof(struct pollfd) ? given(call)[1] * sizeof(struct pollfd) : LIST_MAX;
    if (call->call == CALL_ppoll) {
        before(call, given(call)[2], sizeof(struct timespec));
        before(call, given(call)[3], MASK_SIZE);
    }
    unsigned char *entries = before(call, given(call)[0], size);
    if (entries == NULL)
        return;
    for (size_t at = offsetof(struct pollfd, revents); at < size; at += sizeof(struct pollfd))
        memset(entries + at, 0, sizeof(short));
    call->given.before = (uint16_t)(call->given.before - size);
    call->given.after = (uint16_t)size;
}

static size_t set_size(int count)
{
    size_t words = count > 0 ? ((size_t)count + 63) / 64 : 0;
    return words * 8 < SET_MAX ? words * 8 : SET_MAX;
}

/* libc makes select by pselect6, whose time is in ns and whose mask is behind one more pointer. */
static void take_select(struct notified *call)
{
    uint64_t mask = 0;
    bool by_pselect = call->notif.data.nr == SYS_pselect6;
    for (size_t i = 1; i <= 3; i++)
        before(call, given(call)[i], set_size((int)given(call)[0]));
    unsigned char *time = before(call, given(call)[4], sizeof(struct timespec));
    if (call->call == CALL_select && by_pselect && time != NULL) {
        struct timespec ns;
        memcpy(&ns, time, sizeof ns);
        ns.tv_nsec /= 1000;
        memcpy(time, &ns, sizeof ns);
    }
    if (call->call == CALL_select || !target_read(call->thread->tid, given(call)[5], &mask, sizeof mask))
        mask = 0;
    call->given.words[5] = (int64_t)mask;
    before(call, mask, MASK_SIZE);
}

static bool has_lock(uint64_t command)
{
    return command == F_SETLK || command == F_SETLKW || command == F_GETLK || command == F_OFD_SETLK ||
           command == F_OFD_SETLKW || command == F_OFD_GETLK;
}

static bool reads_int(uint64_t request)
{
    return request == FIONBIO || request == FIOASYNC || request == FIOSETOWN || request == SIOCSPGRP;
}

static void take_pieces(struct notified *call)
{
    const uint64_t *args = given(call);
    switch (call->call) {
    case CALL_setsockopt:
        before(call, args[3], args[4] < VALUE_MAX ? (size_t)args[4] : VALUE_MAX);
        break;
    case CALL_getsockopt:
        take_length(call, args[4]);
        break;
    case CALL_accept:
    case CALL_accept4:
    case CALL_getsockname:
    case CALL_getpeername:
        take_length(call, args[2]);
        break;
    case CALL_fcntl:
        if (has_lock(args[1]))
            before(call, args[2], sizeof(struct flock));
        break;
    case CALL_ioctl:
        if (reads_int(args[1]))
            before(call, args[2], sizeof(int));
        break;
    case CALL_io_uring_setup:
        before(call, args[1], RING_SIZE);
        break;
    case CALL_poll:
    case CALL_ppoll:
        take_poll(call);
        break;
    case CALL_select:
    case CALL_pselect:
        take_select(call);
        break;
    case CALL_epoll_ctl:
        if (args[1] != EPOLL_CTL_DEL)
            before(call, args[3], sizeof(struct epoll_event));
        break;
    case CALL_epoll_pwait2:
        before(call, args[3], sizeof(struct timespec));
        before(call, args[4], MASK_SIZE);
        break;
    case CALL_epoll_pwait:
        before(call, args[4], MASK_SIZE);
        break;
    default:
        break;
    }
}

/* A prototype's int is 32 bits of a register whose other half may be anything. */
static int64_t word(const struct notified *call, size_t i)
{
    uint64_t value = given(call)[i];
    if (call->call == CALL_ioctl && i == 1)
        return (int64_t)value;
    bool pointer = value >> 32 != 0 && value >> 32 != UINT32_MAX;
    return pointer ? (int64_t)value : (int64_t)(int32_t)value;
}

void evidence_take(struct notified *call)
{
    memset(&call->given, 0, sizeof call->given);
    for (size_t i = 0; i < 6; i++)
        call->given.words[i] = word(call, i);
    call->has_payload = true;
    take_pieces(call);
    call->given.reserved = 0;
}
