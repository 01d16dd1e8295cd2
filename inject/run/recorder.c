#include "run/recorder.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/ticks.h"
#include "run/clock.h"

struct recorder {
    struct board *board;
    struct ring *ring;
    pthread_mutex_t lock;
};

/* The reader frees a ring whose thread is gone: this one belongs to the first thread, which lives as long as snag. */
static struct ring *claim_ring(struct board *board)
{
    uint32_t ready = atomic_load(&board->rings_ready);
    for (uint32_t i = RING_SHARED + 1; i < ready; i++) {
        struct ring *ring = board_ring(board, i);
        uint32_t nobody = 0;
        if (atomic_compare_exchange_strong(&ring->owner, &nobody, (uint32_t)getpid())) {
            atomic_store(&ring->owner_pid, (uint32_t)getpid());
            return ring;
        }
    }
    errno = ENOSPC;
    return NULL;
}

struct recorder *recorder_new(struct board *board)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    if (recorder == NULL)
        return NULL;
    recorder->board = board;
    recorder->ring = claim_ring(board);
    int error = recorder->ring != NULL ? pthread_mutex_init(&recorder->lock, NULL) : errno;
    if (error == 0)
        return recorder;
    free(recorder);
    errno = error;
    return NULL;
}

void recorder_free(struct recorder *recorder)
{
    if (recorder == NULL)
        return;
    pthread_mutex_destroy(&recorder->lock);
    free(recorder);
}

uint64_t recorder_stamp(const struct recorder *recorder)
{
    return recorder->board->counts_ticks ? ticks_now() : clock_ns();
}

static unsigned char *slot(struct ring *ring, uint64_t position)
{
    return ring->slots[position % RING_SLOTS];
}

static void copy_payload(struct ring *ring, uint64_t position, const void *payload, size_t length)
{
    for (size_t done = 0; done < length; position++, done += EVENT_SLOT) {
        size_t part = length - done < EVENT_SLOT ? length - done : EVENT_SLOT;
        memcpy(slot(ring, position), (const char *)payload + done, part);
    }
}

void recorder_write(struct recorder *recorder, const struct event *event, const void *payload, size_t length)
{
    struct ring *ring = recorder->ring;
    if (length > EVENT_PAYLOAD_MAX)
        length = EVENT_PAYLOAD_MAX;
    size_t slots = 1 + (length + EVENT_SLOT - 1) / EVENT_SLOT;
    pthread_mutex_lock(&recorder->lock);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) >= RING_SLOTS - RING_SLACK) {
        atomic_fetch_add(&ring->lost, 1);
    } else {
        struct event *out = (struct event *)(void *)slot(ring, head);
        copy_payload(ring, head + 1, payload, length);
        atomic_store_explicit(&out->seq, 0, memory_order_relaxed);
        memcpy((char *)out + sizeof out->seq, (const char *)event + sizeof out->seq, sizeof *out - sizeof out->seq);
        out->slots = (uint8_t)slots;
        out->payload = (uint16_t)length;
        atomic_store_explicit(&out->seq, (uint32_t)(head + 1), memory_order_release);
        atomic_store_explicit(&ring->head, head + slots, memory_order_release);
    }
    pthread_mutex_unlock(&recorder->lock);
}
