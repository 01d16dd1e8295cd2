/*
 * record.h - writes records into this thread's ring on the board.  Never waits; see event.h for the protocol.
 */
#ifndef SNAG_RECORD_H
#define SNAG_RECORD_H

#include <stddef.h>

#include "../inject/engine/event.h"

/*
 * Takes room for a record of KIND with LENGTH bytes of PAYLOAD (cut to EVENT_PAYLOAD_MAX), copies the payload there, and
 * returns the header, in the ring: kind, slots, payload, pid, tid are set, fd is -1, the rest is 0.  The caller sets
 * what it knows and calls record_end() with *POSITION as it was set here.  NULL: there was no room, and that was
 * counted.  Async-signal-safe.
 */
struct event *record_begin(enum event_kind kind, const void *payload, size_t length, uint64_t *position);

/* Publishes the record. */
static inline void record_end(struct event *event, uint64_t position)
{
    atomic_store_explicit(&event->seq, (uint32_t)(position + 1), memory_order_release);
}

#endif
