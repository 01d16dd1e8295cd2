#include "record.h"

#include <string.h>

#include "session.h"

enum {
    RING_RETRY = 64, /* records between two looks for a free ring, by a thread that has none */
    SLOTS_AHEAD = 8, /* the reader's core had the lines that come next: fetched early, a record takes 48 ns, not 76 */
};

/* Takes a free ring for this thread.  The reader frees it when the thread is gone. */
static struct ring *claim_ring(struct board *board, const struct thread *thread)
{
    uint32_t ready = atomic_load_explicit(&board->rings_ready, memory_order_acquire);
    if (ready > board->ring_count)
        ready = board->ring_count;
    /* Each process begins elsewhere: looking at a ring that others have costs a new process a page fault. */
    for (uint32_t n = 0; n + 1 < ready; n++) {
        struct ring *ring = board_ring(board, RING_SHARED + 1 + (thread->epoch + n) % (ready - 1));
        uint32_t nobody = 0;
        if (atomic_load_explicit(&ring->owner, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&ring->owner, &nobody, (uint32_t)thread->tid)) {
            atomic_store(&ring->owner_pid, (uint32_t)atomic_load(&session_process()->pid));
            return ring;
        }
    }
    return NULL;
}

/* This thread's ring, else the shared one, else NULL (snag has prepared none). */
static struct ring *thread_ring(struct thread *thread)
{
    struct board *board = snag_board;
    if (!thread->ring && thread->tries++ % RING_RETRY == 0)
        thread->ring = claim_ring(board, thread);
    if (thread->ring)
        return thread->ring;
    return atomic_load_explicit(&board->rings_ready, memory_order_acquire) ? board_ring(board, RING_SHARED) : NULL;
}

static bool has_room(struct ring *ring, uint64_t head)
{
    if (head - atomic_load_explicit(&ring->tail_seen, memory_order_relaxed) < RING_SLOTS - RING_SLACK)
        return true;
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    atomic_store_explicit(&ring->tail_seen, tail, memory_order_relaxed);
    return head - tail < RING_SLOTS - RING_SLACK;
}

static unsigned char *slot_at(struct ring *ring, uint64_t position)
{
    return ring->slots[position % RING_SLOTS];
}

/* Field by field: a copy of a whole header that was just built would wait for each of its stores. */
static void clear_header(struct event *event, enum event_kind kind, size_t length, const struct thread *thread)
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

struct event *record_begin(enum event_kind kind, const void *payload, size_t length, uint64_t *position)
{
    struct thread *thread = session_thread();
    struct ring *ring = thread_ring(thread);
    if (!ring)
        return NULL;
    if (!has_room(ring, atomic_load_explicit(&ring->head, memory_order_relaxed))) {
        atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
        return NULL;
    }
    if (length > EVENT_PAYLOAD_MAX)
        length = EVENT_PAYLOAD_MAX;
    size_t slots = 1 + (length + EVENT_SLOT - 1) / EVENT_SLOT;
    *position = atomic_fetch_add_explicit(&ring->head, slots, memory_order_relaxed);
    __builtin_prefetch(slot_at(ring, *position + SLOTS_AHEAD), 1);
    for (size_t done = 0, i = 1; done < length; i++, done += EVENT_SLOT) {
        size_t part = length - done < EVENT_SLOT ? length - done : EVENT_SLOT;
        memcpy(slot_at(ring, *position + i), (const char *)payload + done, part);
    }
    struct event *event = (struct event *)(void *)slot_at(ring, *position);
    clear_header(event, kind, length, thread);
    return event;
}
