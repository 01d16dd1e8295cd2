/*
 * record.h - writes records into this thread's ring on the board.  Never waits; see event.h for the protocol.
 *
 * The way of a call's record is inline, for it is on the way of each call that is recorded.
 */
#ifndef SNAG_RECORD_H
#define SNAG_RECORD_H

#include <stddef.h>

#include "session.h"

enum {
    SLOTS_AHEAD = 8, /* the reader's core had the lines that come next: fetched early, a record takes 48 ns, not 76 */
};

/* Behind record_begin(): each is for what the usual record does not need. */
struct ring *record_find_ring(struct thread *thread);
bool record_look_for_room(struct ring *ring, uint64_t head);
void record_copy(struct ring *ring, uint64_t position, const void *payload, size_t length);

static inline unsigned char *record_slot(struct ring *ring, uint64_t position)
{
    return ring->slots[position % RING_SLOTS];
}

static inline bool record_has_room(struct ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t taken = head - atomic_load_explicit(&ring->tail_seen, memory_order_relaxed);
    return __builtin_expect(taken < RING_SLOTS - RING_SLACK, 1) || record_look_for_room(ring, head);
}

/*
 * Takes SLOTS of RING, of which none but this thread and its signal handlers take any: a single instruction is enough for
 * that, and the lock that other processors would respect makes a call that is recorded 11 ns slower.
 */
static inline uint64_t record_take_own(struct ring *ring, uint64_t slots)
{
#if defined(__x86_64__)
    __asm__ volatile("xaddq %0, %1" : "+r"(slots), "+m"(ring->head) : : "cc");
    return slots;
#else
    return atomic_fetch_add_explicit(&ring->head, slots, memory_order_relaxed);
#endif
}

static inline uint64_t record_take_shared(struct ring *ring, uint64_t slots)
{
    return atomic_fetch_add_explicit(&ring->head, slots, memory_order_relaxed);
}

/* Field by field: a copy of a whole header that was just built would wait for each of its stores. */
static inline void record_clear(struct event *event, enum event_kind kind, size_t length, const struct thread *thread)
{
    event->kind = (uint8_t)kind;
    event->slots = (uint8_t)(1 + (length + EVENT_SLOT - 1) / EVENT_SLOT);
    event->payload = (uint16_t)length;
    event->t_ns = event->dur_ns = 0;
    event->pid = atomic_load_explicit(&snag_process->pid, memory_order_relaxed);
    event->tid = thread->tid;
    event->fd = -1;
    event->ret = 0;
    event->err = event->call = event->rule = event->flags = 0;
    event->nth = event->arg = 0;
    event->site = 0;
}

/*
 * Takes room for a record of KIND with LENGTH bytes of PAYLOAD (cut to EVENT_PAYLOAD_MAX), copies the payload there, and
 * returns the header, in the ring: kind, slots, payload, pid, tid are set, fd is -1, the rest is 0.  The caller sets
 * what it knows and calls record_end() with *POSITION as it was set here.  NULL: there was no room, and that was
 * counted.  Async-signal-safe.
 */
static inline struct event *record_begin(enum event_kind kind, const void *payload, size_t length, uint64_t *position)
{
    struct thread *thread = session_thread();
    struct ring *ring = __builtin_expect(thread->ring != NULL, 1) ? thread->ring : record_find_ring(thread);
    if (!ring || !record_has_room(ring))
        return NULL;
    if (length > EVENT_PAYLOAD_MAX)
        length = EVENT_PAYLOAD_MAX;
    size_t slots = 1 + (length + EVENT_SLOT - 1) / EVENT_SLOT;
    *position = ring == thread->ring ? record_take_own(ring, slots) : record_take_shared(ring, slots);
    __builtin_prefetch(record_slot(ring, *position + SLOTS_AHEAD), 1);
    if (length > 0)
        record_copy(ring, *position + 1, payload, length);
    struct event *event = (struct event *)(void *)record_slot(ring, *position);
    record_clear(event, kind, length, thread);
    return event;
}

/* Publishes the record. */
static inline void record_end(struct event *event, uint64_t position)
{
    atomic_store_explicit(&event->seq, (uint32_t)(position + 1), memory_order_release);
}

#endif
