/* The reader of the rings, on a board in plain memory. */
#include "harness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace/drain.h"

enum { SEEN_MAX = 20000 };

/* One test's board, and what the drain gave out. */
static struct {
    struct board *board;
    struct drain *drain;
    uint32_t seen[SEEN_MAX], ordered[SEEN_MAX]; /* `arg` of each record */
    size_t seen_count, ordered_count;
    unsigned char payload[EVENT_PAYLOAD_MAX]; /* of the last */
    size_t payload_length;
    uint32_t dead; /* the thread that is gone */
} world;

static void see(void *context, const struct event *event, const void *payload)
{
    (void)context;
    world.seen[world.seen_count++] = event->arg;
    world.payload_length = event->payload;
    memcpy(world.payload, payload, event->payload);
}

static void order(void *context, const struct event *event, const void *payload)
{
    (void)context;
    (void)payload;
    world.ordered[world.ordered_count++] = event->arg;
}

static bool gone(void *context, uint32_t pid, uint32_t tid)
{
    (void)context;
    (void)pid;
    return tid == world.dead;
}

static void set_up(uint32_t rings)
{
    struct rule_set *set = calloc(1, sizeof *set);
    void *memory = aligned_alloc(64, board_size());
    struct drain_ops ops = {.seen = see, .ordered = order, .gone = gone};
    memset(&world, 0, sizeof world);
    assert_non_null(set);
    assert_non_null(memory);
    memset(memory, 0, board_size());
    world.board = board_make(memory, board_size(), set, 0);
    assert_non_null(world.board);
    free(set);
    atomic_store(&world.board->rings_ready, rings);
    world.drain = drain_new(world.board, &ops);
    assert_non_null(world.drain);
}

static void tear_down(void)
{
    drain_free(world.drain);
    free(world.board);
}

static void own(uint32_t index, uint32_t pid, uint32_t tid)
{
    struct ring *ring = board_ring(world.board, index);
    atomic_store(&ring->owner, tid);
    atomic_store(&ring->owner_pid, pid);
}

/* Writes a record to ring INDEX as the shim does, up to publishing it; returns its header. */
static struct event *begin(uint32_t index, struct event event, const void *payload, size_t length)
{
    struct ring *ring = board_ring(world.board, index);
    event.payload = (uint16_t)length;
    event.slots = (uint8_t)(1 + (length + EVENT_SLOT - 1) / EVENT_SLOT);
    uint64_t head = atomic_fetch_add(&ring->head, event.slots);
    for (size_t done = 0, i = 1; done < length; done += EVENT_SLOT, i++)
        memcpy(ring->slots[(head + i) % RING_SLOTS], (const char *)payload + done,
               length - done < EVENT_SLOT ? length - done : EVENT_SLOT);
    struct event *header = (struct event *)(void *)ring->slots[head % RING_SLOTS];
    memcpy((char *)header + sizeof header->seq, (char *)&event + sizeof event.seq, sizeof event - sizeof event.seq);
    return header;
}

static void put(uint32_t index, struct event event, const void *payload, size_t length)
{
    uint32_t seq = (uint32_t)(atomic_load(&board_ring(world.board, index)->head) + 1);
    atomic_store(&begin(index, event, payload, length)->seq, seq);
}

static void put_call(uint32_t index, uint32_t arg, uint64_t t_ns, uint64_t dur_ns)
{
    put(index, (struct event){.kind = EVENT_CALL, .arg = arg, .t_ns = t_ns, .dur_ns = dur_ns}, NULL, 0);
}

static void merges_in_order_of_completion(void **state)
{
    (void)state;
    const uint32_t wanted[] = {1, 2, 3, 4, 5};
    set_up(3);
    put_call(1, 2, 100, 100);
    put_call(1, 4, 210, 190);
    put_call(2, 1, 50, 10);
    put_call(2, 3, 60, 200);
    put_call(0, 5, 10, 5000);
    assert_int_equal(drain_read(world.drain, 1000), 5);
    assert_int_equal(world.seen_count, 5);
    assert_int_equal(world.ordered_count, 0);
    drain_finish(world.drain);
    assert_int_equal(world.ordered_count, 5);
    assert_memory_equal(world.ordered, wanted, sizeof wanted);
    tear_down();
}

static void holds_back_until_others_could_have_written(void **state)
{
    (void)state;
    const uint64_t now = 10 * DRAIN_HOLD_NS;
    set_up(3);
    put_call(1, 2, now, 0);
    drain_read(world.drain, now);
    assert_int_equal(world.ordered_count, 0);
    put_call(2, 1, now - 5, 0);
    drain_read(world.drain, now + DRAIN_HOLD_NS);
    assert_int_equal(world.ordered_count, 2);
    assert_int_equal(world.ordered[0], 1);
    tear_down();
}

/* A clock that seems to step back (a signal handler's record) must not turn a thread's order round. */
static void keeps_a_threads_order(void **state)
{
    (void)state;
    set_up(2);
    put_call(1, 1, 500, 0);
    put_call(1, 2, 400, 0);
    put_call(1, 3, 450, 0);
    drain_read(world.drain, 1000);
    drain_finish(world.drain);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(world.ordered[i], i + 1);
    tear_down();
}

static void payloads_wrap_around(void **state)
{
    (void)state;
    unsigned char bytes[EVENT_PAYLOAD_MAX];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 + 1);
    set_up(2);
    for (uint32_t i = 0; i < 3 * RING_SLOTS / 8; i++) {
        bytes[0] = (unsigned char)i;
        put(1, (struct event){.kind = EVENT_CALL, .arg = i}, bytes, sizeof bytes - i % 60);
        assert_int_equal(drain_read(world.drain, 0), 1);
        assert_int_equal(world.payload_length, sizeof bytes - i % 60);
        assert_memory_equal(world.payload, bytes, world.payload_length);
    }
    assert_int_equal(drain_lost(world.drain), 0);
    tear_down();
}

static void steps_over_what_a_killed_writer_left(void **state)
{
    (void)state;
    set_up(2);
    own(1, 10, 11);
    put_call(1, 1, 1, 0);
    begin(1, (struct event){.kind = EVENT_CALL, .arg = 2}, NULL, 0);
    assert_int_equal(drain_read(world.drain, 0), 1);
    drain_sweep(world.drain, 0);
    assert_int_equal(drain_lost(world.drain), 0); /* it lives, and may be about to publish */
    assert_int_equal(drain_spare(world.drain), 0);
    world.dead = 11;
    drain_sweep(world.drain, 0);
    assert_int_equal(drain_lost(world.drain), 1);
    assert_int_equal(drain_spare(world.drain), 1);
    own(1, 20, 21);
    put_call(1, 3, 2, 0);
    assert_int_equal(drain_read(world.drain, 0), 1);
    assert_int_equal(world.seen[1], 3);
    tear_down();
}

static void shared_ring_gets_a_second(void **state)
{
    (void)state;
    const uint64_t second = 1000000000;
    set_up(1);
    begin(0, (struct event){.kind = EVENT_CALL, .arg = 1}, NULL, 0);
    put_call(0, 2, 1, 0);
    drain_sweep(world.drain, 5);
    drain_sweep(world.drain, 5 + second - 1);
    assert_int_equal(drain_lost(world.drain), 0);
    drain_sweep(world.drain, 5 + second);
    assert_int_equal(drain_lost(world.drain), 1);
    put_call(0, 3, 1, 0);
    drain_read(world.drain, 0);
    assert_int_equal(world.seen_count, 1);
    assert_int_equal(world.seen[0], 3);
    tear_down();
}

static void rings_of_dead_threads_are_free_once_read(void **state)
{
    (void)state;
    set_up(4);
    own(1, 10, 10);
    own(2, 10, 11);
    put_call(2, 7, 1, 0);
    world.dead = 11;
    assert_int_equal(drain_spare(world.drain), 1);
    drain_sweep(world.drain, 0);
    assert_int_equal(drain_spare(world.drain), 2);
    assert_int_equal(world.seen[0], 7);
    /* A ring whose owner has not said its process yet has only just been taken. */
    own(3, 0, 11);
    drain_sweep(world.drain, 0);
    assert_int_equal(drain_spare(world.drain), 1);
    tear_down();
}

/* exec keeps the number of the thread and ends it all the same; twice between two looks, in fact. */
static void rings_are_free_after_exec(void **state)
{
    (void)state;
    struct event_process process = {.forked = 0};
    set_up(5);
    for (uint32_t i = 1; i <= 3; i++) {
        own(i, 10, 10);
        put(i, (struct event){.kind = EVENT_PROCESS, .pid = 10, .t_ns = 100 * i}, &process, sizeof process);
    }
    own(4, 12, 12);
    put_call(4, 0, 1, 0);
    assert_int_equal(drain_read(world.drain, 0), 4);
    drain_sweep(world.drain, 0);
    assert_int_equal(atomic_load(&board_ring(world.board, 1)->owner), 0);
    assert_int_equal(atomic_load(&board_ring(world.board, 2)->owner), 0);
    assert_int_equal(atomic_load(&board_ring(world.board, 3)->owner), 10);
    assert_int_equal(atomic_load(&board_ring(world.board, 4)->owner), 12);
    tear_down();
}

static void damage_is_counted_and_survived(void **state)
{
    (void)state;
    const struct event broken[] = {
        {.kind = 99, .slots = 1},
        {.kind = EVENT_CALL, .slots = 0},
        {.kind = EVENT_CALL, .slots = 1, .payload = 64},
        {.kind = EVENT_CALL, .slots = 255, .payload = 60000},
        {.kind = EVENT_CALL, .slots = 1, .call = 60000},
    };
    set_up(2);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct ring *ring = board_ring(world.board, 1);
        uint64_t head = atomic_fetch_add(&ring->head, 1);
        struct event *header = (struct event *)(void *)ring->slots[head % RING_SLOTS];
        memcpy(header, &broken[i], sizeof *header);
        atomic_store(&header->seq, (uint32_t)(head + 1));
        assert_int_equal(drain_read(world.drain, 0), 0);
        assert_int_equal(drain_lost(world.drain), i + 1);
    }
    atomic_store(&board_ring(world.board, 1)->head, UINT64_MAX - 5);
    drain_read(world.drain, 0);
    atomic_store(&world.board->rings_ready, 4000000000U);
    drain_read(world.drain, 0);
    drain_sweep(world.drain, 0);
    drain_finish(world.drain);
    assert_int_equal(world.seen_count, 0);
    tear_down();
}

static void lost_of_producers_counts_too(void **state)
{
    (void)state;
    set_up(3);
    atomic_store(&board_ring(world.board, 1)->lost, 5);
    atomic_store(&board_ring(world.board, 2)->lost, 2);
    assert_int_equal(drain_lost(world.drain), 7);
    tear_down();
}

TEST_MAIN(TEST(merges_in_order_of_completion), TEST(holds_back_until_others_could_have_written),
          TEST(keeps_a_threads_order), TEST(payloads_wrap_around), TEST(steps_over_what_a_killed_writer_left),
          TEST(shared_ring_gets_a_second), TEST(rings_of_dead_threads_are_free_once_read),
          TEST(rings_are_free_after_exec), TEST(damage_is_counted_and_survived), TEST(lost_of_producers_counts_too))
