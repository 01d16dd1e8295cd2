/*
 * event.h - what the shim tells snag: records in rings on the board, one ring a thread.
 *
 * A ring is an array of 64-byte slots.  A record is one header slot, and as many payload slots as its payload
 * fills (an address, a path).  A producer takes slots by adding to `head`, writes them, and publishes the header by
 * storing its `seq` last, so a record is complete or invisible, and one that a killed thread left half-written
 * is skipped.  Adding is one instruction, so that a signal handler may record in the middle of a record; in ring 0, which
 * all the threads share that found no free ring, it is atomic between processors too.  Nothing here waits: a full ring drops the record and counts it.
 */
#ifndef SNAG_EVENT_H
#define SNAG_EVENT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    EVENT_SLOT = 64,         /* bytes */
    RING_SLOTS = 8192,       /* a power of two: 512 KiB a ring, of which only what is used takes memory */
    RING_SLACK = 64,         /* slots kept free, for producers that passed the check for room together */
    RING_SHARED = 0,         /* the index of the ring for everybody who got none */
    EVENT_PAYLOAD_MAX = 448, /* bytes of payload in one record, at most: seven slots */
};

enum event_kind {
    EVENT_CALL = 1,    /* a call returned (or was replaced); payload: its arguments if asked for, then its address */
    EVENT_PROCESS,     /* a process attached, after exec or fork; payload: struct event_process */
    EVENT_EXEC,        /* a process is about to exec, or has spawned `pid`; payload: the path */
    EVENT_EXEC_FAILED, /* it did not: `err` says why */
    EVENT_LISTENING,   /* descriptor `fd` listens (seen or inherited); payload: the local address */
    EVENT_READY,       /* the first wait on, or accept from, listening socket `fd`; payload: its local address */
};

enum event_flag {
    EVENT_INJECTED = 1 << 0,  /* rule `rule` fired and the fault was delivered */
    EVENT_MISSED = 1 << 1,    /* it fired and the kernel had nothing to consume or to tamper with */
    EVENT_YIELDED = 1 << 2,   /* EMFILE or ENFILE let through, for a descriptor had been closed */
    EVENT_REPEATED = 1 << 3,  /* the fallback from accept4 to accept: the same logical call, same ordinal */
    EVENT_CONSUMED = 1 << 4,  /* a connection was taken out of the queue and ended; payload: its peer */
    EVENT_ARGUMENTS = 1 << 5, /* the payload begins with a struct event_arguments */
    EVENT_UNOBSERVED =
        1 << 6, /* let through by who sees no results: `ret` is -1, `err` 0, and neither means anything */
};

/* One record's header.  Times are CLOCK_MONOTONIC; in a ring of a board that counts_ticks, they are ticks. */
struct event {
    _Atomic uint32_t seq; /* low 32 bits of the slot's position in the ring, plus 1; 0: never written */
    uint8_t kind;         /* of enum event_kind */
    uint8_t slots;        /* of this record, this header included */
    uint16_t payload;     /* bytes */
    uint64_t t_ns;        /* at entry */
    uint64_t dur_ns;      /* 0 for a call that was not made */
    int32_t pid, tid;     /* as the process itself sees them; a vfork child shows its parent's */
    int32_t fd;           /* the descriptor that the call names, -1 if none */
    int32_t ret;          /* as the target saw it */
    uint16_t err;         /* errno if ret is -1 */
    uint16_t call;        /* of enum call */
    uint16_t rule;        /* low bits of the number of the rule that acted, never 0; 0: none */
    uint16_t flags;       /* of enum event_flag */
    uint32_t nth;         /* ordinal at which the rule fired */
    uint32_t arg;         /* listen: backlog; accept, getsockname, getpeername, getsockopt: the length reported */
    uint64_t site;        /* id of the call site; 0: the stack was not walked */
};

/* The payload of EVENT_PROCESS. */
struct event_process {
    int32_t ppid;
    uint32_t forked; /* 1: a fork of an attached process; 0: a fresh exec */
    char comm[16];
    char exe[256]; /* cut to fit, terminated */
};

/*
 * What a call was given, where WANT_ARGUMENTS asked for it.  Behind it come the bytes that its pointers led to: `before` of
 * them as they were before the call, `after` as it left them, and then, to the end of the payload, its address.  A piece
 * that could not be read is missing, and so is all that would follow it.
 */
struct event_arguments {
    int64_t words[6]; /* in the order of the prototype; pointers as numbers */
    uint32_t length;  /* accept, getsockname, getpeername, getsockopt: *length before the call */
    uint16_t before, after;
    uint64_t reserved;
};

struct ring {
    _Alignas(64) _Atomic uint32_t owner; /* thread id, 0: free; always 1 for the shared ring */
    _Atomic uint32_t owner_pid;          /* its process; 0: not told, so nobody may take the ring away */
    _Alignas(64) _Atomic uint64_t head;  /* slots taken so far; written by the producer */
    _Atomic uint64_t lost;               /* records dropped, for want of room */
    _Atomic uint64_t tail_seen;          /* the producer's last look at tail; a hint */
    _Alignas(64) _Atomic uint64_t tail;  /* slots read so far; written by snag */
    _Alignas(64) unsigned char slots[RING_SLOTS][EVENT_SLOT];
};

_Static_assert(sizeof(struct event) == EVENT_SLOT, "a header fills one slot");
_Static_assert(sizeof(struct event_arguments) == EVENT_SLOT, "arguments fill one slot");

/* Returns the address in the PAYLOAD of a call's record, whose length in bytes goes to *LENGTH: 0 if there is none. */
static inline const void *event_address(const struct event *event, const void *payload, size_t *length)
{
    struct event_arguments arguments;
    size_t start = 0;
    if (event->flags & EVENT_ARGUMENTS) {
        if (event->payload < sizeof arguments) {
            *length = 0;
            return payload;
        }
        memcpy(&arguments, payload, sizeof arguments);
        start = sizeof arguments + arguments.before + arguments.after;
    }
    *length = start < event->payload ? event->payload - start : 0;
    return (const unsigned char *)payload + (*length ? start : 0);
}

#endif
