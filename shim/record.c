#include "record.h"

#include <string.h>

enum {
    RING_RETRY = 64, /* records between two looks for a free ring, by a thread that has none */
};

/*
 * Takes a free ring for this thread.  The reader frees it when the thread is gone; it must not believe that too early, for
 * a ring with two owners loses records (record_take_own()).  So it is told of no process whose pids it does not know.
 */
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
            if (snag_sees_pids)
                atomic_store(&ring->owner_pid, (uint32_t)atomic_load(&session_process()->pid));
            return ring;
        }
    }
    return NULL;
}

/* Returns this thread's ring, else the shared one, else NULL (snag has prepared none). */
struct ring *record_find_ring(struct thread *thread)
{
    struct board *board = snag_board;
    if (thread->tries++ % RING_RETRY == 0)
        thread->ring = claim_ring(board, thread);
    if (thread->ring)
        return thread->ring;
    return atomic_load_explicit(&board->rings_ready, memory_order_acquire) ? board_ring(board, RING_SHARED) : NULL;
}

/* Whether RING has room beyond HEAD, by where the reader is now; if not, the record is lost and counted. */
bool record_look_for_room(struct ring *ring, uint64_t head)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    atomic_store_explicit(&ring->tail_seen, tail, memory_order_relaxed);
    if (head - tail < RING_SLOTS - RING_SLACK)
        return true;
    atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
    return false;
}

/* Copies LENGTH bytes of PAYLOAD into the slots from POSITION on. */
void record_copy(struct ring *ring, uint64_t position, const void *payload, size_t length)
{
    for (size_t done = 0; done < length; position++, done += EVENT_SLOT) {
        size_t part = length - done < EVENT_SLOT ? length - done : EVENT_SLOT;
        memcpy(record_slot(ring, position), (const char *)payload + done, part);
    }
}
