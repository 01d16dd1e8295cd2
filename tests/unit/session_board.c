#include "session_board.h"

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "plan/plan.h"

static void compile(const char *const *rules, struct rule_set *set)
{
    struct plan *plan = plan_new();
    assert_non_null(plan);
    for (; *rules; rules++)
        if (plan_add(plan, *rules, stderr) != 0)
            fail_msg("the test's rule is wrong: %s", *rules);
    assert_int_equal(plan_compile(plan, false, set), 0);
    plan_free(plan);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void session_board_begin(struct session_board *session, const char *const *rules, uint64_t record, uint32_t rings,
                         const char *shim)
{
    static struct rule_set set;
    compile(rules, &set);
    session->size = board_size();
    snprintf(session->path, sizeof session->path, "/dev/shm/snag-test-%d-XXXXXX", (int)getpid());
    int fd = mkstemp(session->path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)session->size), 0);
    void *memory = mmap(NULL, session->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(memory != MAP_FAILED);
    close(fd);
    struct board *board = session->board = board_make(memory, session->size, &set, now_ns());
    assert_non_null(board);
    assert_true(readlink("/proc/self/ns/pid", board->pid_namespace, sizeof board->pid_namespace - 1) > 0);
    board->lease_at = offsetof(struct board, lease_mutex);
    session->lease = (_Atomic uint32_t *)(void *)board->lease_mutex;
    *session->lease = 1;
    snprintf(board->board_path, sizeof board->board_path, "%s", session->path);
    snprintf(board->shim_path, sizeof board->shim_path, "%s", shim);
    for (enum call call = 0; call < CALL_COUNT; call++)
        if (record >> call & 1)
            board->wanted[call] |= WANT_RECORD;
    board_watch_ready(board, true);
    atomic_store(&board->rings_ready, rings);
}

void session_board_end(struct session_board *session)
{
    munmap(session->board, session->size);
    unlink(session->path);
}

/* Copies the payload that follows the header at POSITION. */
static void copy_payload(struct ring *ring, uint64_t position, const struct event *event, unsigned char *payload)
{
    for (unsigned i = 1; i < event->slots; i++)
        memcpy(payload + (size_t)(i - 1) * EVENT_SLOT, ring->slots[(position + i) % RING_SLOTS], EVENT_SLOT);
}

size_t session_board_drain(struct session_board *session,
                           void (*see)(const struct event *event, const void *payload, void *data), void *data)
{
    size_t count = 0;
    for (uint32_t i = 0; i < session->board->ring_count; i++) {
        struct ring *ring = board_ring(session->board, i);
        for (uint64_t at = ring->tail; at < ring->head; count++) {
            const struct event *event = (const void *)ring->slots[at % RING_SLOTS];
            unsigned char payload[EVENT_PAYLOAD_MAX];
            assert_int_equal(event->seq, (uint32_t)(at + 1));
            copy_payload(ring, at, event, payload);
            if (see)
                see(event, payload, data);
            at += event->slots;
            ring->tail = at;
        }
    }
    return count;
}
