#include "trace/drain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/ticks.h"

#define STUCK_NS UINT64_C(1000000000) /* a record of the shared ring that is not complete by then never will be */

enum {
    READ_EVERY = 32,    /* records that are written between two looks at the rings */
    HELD_MAX = 1000000, /* records that wait; with more, the rings fill, and what is lost is counted */
};

/* A record that waits for its turn. */
struct held {
    uint64_t key;        /* when its call completed */
    uint64_t order;      /* of arrival */
    struct event *event; /* its payload follows it */
};

/* What the reader knows of a ring besides what is on the board. */
struct watch {
    uint64_t last_key;    /* the latest completion in it: a thread's order is its ring's order */
    uint64_t fresh_ns;    /* when a new program was reported in it, ... */
    int32_t fresh_pid;    /* ... as this process; 0: never */
    uint64_t stuck_at;    /* the position that did not move, ... */
    uint64_t stuck_since; /* ... and since when; 0: it moves */
};

struct drain {
    struct board *board;
    struct drain_ops ops;
    struct watch rings[BOARD_RINGS];
    double ns_per_tick; /* 0: not known yet */
    uint64_t lost;      /* found by the reader; producers count theirs in the ring */
    struct held *held;
    size_t held_count, held_room;
    bool in_order; /* `held` is sorted; to sort what one busy thread wrote takes as long as its ring has room */
    uint64_t arrivals;
    uint64_t next_turn; /* not before then is anything given out in order */
    bool reading;
};

struct drain *drain_new(struct board *board, const struct drain_ops *ops)
{
    struct drain *drain = calloc(1, sizeof *drain);
    if (drain == NULL)
        return NULL;
    drain->board = board;
    drain->ops = *ops;
    return drain;
}

void drain_free(struct drain *drain)
{
    if (drain == NULL)
        return;
    for (size_t i = 0; i < drain->held_count; i++)
        free(drain->held[i].event);
    free(drain->held);
    free(drain);
}

static uint32_t ready_rings(struct drain *drain)
{
    uint32_t ready = atomic_load(&drain->board->rings_ready), rings = drain->board->ring_count;
    if (ready > rings)
        ready = rings;
    return ready < BOARD_RINGS ? ready : BOARD_RINGS;
}

/* The slot of POSITION; the header of a record starts there. */
static struct event *slot_at(struct ring *ring, uint64_t position)
{
    return (struct event *)(void *)ring->slots[position % RING_SLOTS];
}

static bool published(struct ring *ring, uint64_t position)
{
    return atomic_load_explicit(&slot_at(ring, position)->seq, memory_order_acquire) == (uint32_t)(position + 1);
}

/* A header that no producer of ours writes: memory that a target overwrote. */
static bool plausible(const struct event *event)
{
    return event->slots >= 1 && event->payload <= EVENT_PAYLOAD_MAX &&
           event->payload <= (event->slots - 1u) * EVENT_SLOT && event->kind >= EVENT_CALL &&
           event->kind <= EVENT_READY && event->call <= CALL_NONE;
}

/*
 * Copies the record at POSITION, header and payload, into one piece at OUT: the payload may wrap around the ring's end.
 * The header is judged by its copy, which nobody can change any more.
 */
static bool copy_record(struct ring *ring, uint64_t position, struct event *out)
{
    memcpy(out, slot_at(ring, position), sizeof *out);
    if (!plausible(out))
        return false;
    size_t left = out->payload;
    unsigned char *to = (unsigned char *)(out + 1);
    while (left > 0) {
        size_t part = left < EVENT_SLOT ? left : EVENT_SLOT;
        memcpy(to, ring->slots[++position % RING_SLOTS], part);
        to += part;
        left -= part;
    }
    return true;
}

/*
 * Measures the counter that stamps the records, over all the time since the session began: the longer ago that is, the
 * less the few ns between the two readings matter.
 */
static void measure_ticks(struct drain *drain)
{
    const struct board *board = drain->board;
    uint64_t ticks = 0, ns = 0;
    if (!board->counts_ticks)
        return;
    ticks_and_ns(&ticks, &ns);
    if (ticks > board->origin_ticks)
        drain->ns_per_tick = (double)(ns - board->origin_ns) / (double)(ticks - board->origin_ticks);
}

/* Turns EVENT's times into CLOCK_MONOTONIC. */
static void convert_times(const struct drain *drain, struct event *event)
{
    const struct board *board = drain->board;
    if (!board->counts_ticks)
        return;
    int64_t ticks = (int64_t)(event->t_ns - board->origin_ticks);
    event->t_ns = board->origin_ns + (uint64_t)(int64_t)((double)ticks * drain->ns_per_tick);
    event->dur_ns = (uint64_t)((double)event->dur_ns * drain->ns_per_tick);
}

/* Keeps a copy of EVENT for its turn.  A thread's records keep the order of its ring, whatever their clocks say. */
static void hold(struct drain *drain, uint32_t index, const struct event *event)
{
    size_t size = sizeof *event + event->payload;
    uint64_t key = event->t_ns + event->dur_ns;
    if (index != RING_SHARED)
        key = drain->rings[index].last_key; /* note_owner() has made that the later of the two */
    if (drain->held_count == drain->held_room) {
        size_t room = drain->held_room ? 2 * drain->held_room : 1024;
        struct held *more = realloc(drain->held, room * sizeof *more);
        if (more == NULL) {
            drain->lost++;
            return;
        }
        drain->held = more;
        drain->held_room = room;
    }
    struct event *copy = malloc(size);
    if (copy == NULL) {
        drain->lost++;
        return;
    }
    memcpy(copy, event, size);
    if (drain->held_count > 0 && key < drain->held[drain->held_count - 1].key)
        drain->in_order = false;
    struct held *last = &drain->held[drain->held_count++];
    last->key = key;
    last->order = drain->arrivals++;
    last->event = copy;
}

static int compare_held(const void *left, const void *right)
{
    const struct held *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static size_t read_rings(struct drain *drain);

/*
 * Gives out, in order, what completed before LIMIT.  To write a record takes longer than to read one, so the rings are read
 * in between, lest they fill: what comes then has its turn the next time.
 */
static void give_out(struct drain *drain, uint64_t limit)
{
    size_t done = 0, sorted = drain->held_count;
    if (drain->held_count > 0 && !drain->in_order)
        qsort(drain->held, drain->held_count, sizeof *drain->held, compare_held);
    drain->in_order = true;
    while (done < sorted && drain->held[done].key <= limit) {
        struct event *event = drain->held[done++].event;
        drain->ops.ordered(drain->ops.context, event, event + 1);
        free(event);
        if (done % READ_EVERY == 0 && drain->held_count - done < HELD_MAX)
            read_rings(drain);
    }
    drain->held_count -= done;
    if (done > 0)
        memmove(drain->held, drain->held + done, drain->held_count * sizeof *drain->held);
}

/* Notes what RECORD, read from ring INDEX, tells of the ring's owner. */
static void note_owner(struct drain *drain, uint32_t index, const struct event *event)
{
    const struct event_process *process = (const void *)(event + 1);
    struct watch *watch = &drain->rings[index];
    uint64_t key = event->t_ns + event->dur_ns;
    if (key > watch->last_key)
        watch->last_key = key;
    if (event->kind == EVENT_PROCESS && event->payload >= sizeof *process && !process->forked) {
        watch->fresh_pid = event->pid;
        watch->fresh_ns = event->t_ns;
    }
}

static void deliver(struct drain *drain, uint32_t index, const struct event *event)
{
    note_owner(drain, index, event);
    if (drain->ops.seen != NULL)
        drain->ops.seen(drain->ops.context, event, event + 1);
    if (drain->ops.ordered != NULL)
        hold(drain, index, event);
}

/*
 * What lies between is lost; HEAD is where a record starts, for producers take whole records.  How many there were nobody
 * can tell: the length of the first was never written.
 */
static void skip_to_head(struct drain *drain, struct ring *ring, uint64_t head)
{
    drain->lost++;
    atomic_store_explicit(&ring->tail, head, memory_order_release);
}

/* Bounded by the ring's size, so that a busy ring can't keep the others waiting. */
static size_t read_ring(struct drain *drain, uint32_t index)
{
    struct ring *ring = board_ring(drain->board, index);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    size_t count = 0;
    union {
        struct event header;
        unsigned char bytes[EVENT_SLOT + EVENT_PAYLOAD_MAX];
    } record;
    if (head - tail > RING_SLOTS) {
        skip_to_head(drain, ring, head);
        return 0;
    }
    while (tail < head && published(ring, tail)) {
        if (!copy_record(ring, tail, &record.header)) {
            skip_to_head(drain, ring, head);
            return count;
        }
        convert_times(drain, &record.header);
        deliver(drain, index, &record.header);
        tail += record.header.slots;
        count++;
    }
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
    return count;
}

static size_t read_rings(struct drain *drain)
{
    size_t count = 0;
    uint32_t ready = ready_rings(drain);
    measure_ticks(drain);
    drain->reading = true;
    for (uint32_t i = 0; i < ready; i++)
        count += read_ring(drain, i);
    drain->reading = false;
    return count;
}

void drain_collect(struct drain *drain)
{
    if (!drain->reading && drain->held_count < HELD_MAX)
        read_rings(drain);
}

size_t drain_read(struct drain *drain, uint64_t now_ns)
{
    size_t count = drain->held_count < HELD_MAX ? read_rings(drain) : 0;
    if (drain->ops.ordered != NULL && now_ns >= drain->next_turn) {
        give_out(drain, now_ns > DRAIN_HOLD_NS ? now_ns - DRAIN_HOLD_NS : 0);
        drain->next_turn = now_ns + DRAIN_HOLD_NS / 2;
    }
    return count;
}

/* Whether the record at the tail was taken and not completed for so long that nobody writes it any more. */
static bool is_stuck(struct watch *watch, uint64_t tail, uint64_t now_ns)
{
    if (watch->stuck_since == 0 || watch->stuck_at != tail) {
        watch->stuck_at = tail;
        watch->stuck_since = now_ns;
    }
    return now_ns - watch->stuck_since >= STUCK_NS;
}

/*
 * Whether process PID runs another program since ring INDEX was last written: its threads are gone then, though their
 * numbers live.
 */
static bool replaced_by_exec(struct drain *drain, uint32_t index, uint32_t pid)
{
    uint32_t ready = ready_rings(drain);
    for (uint32_t i = 0; i < ready; i++)
        if (i != index && drain->rings[i].fresh_pid == (int32_t)pid &&
            drain->rings[i].fresh_ns > drain->rings[index].last_key)
            return true;
    return false;
}

/* owner_pid first: a ring without a pid is one that a thread has just taken, and is let alone. */
static void free_ring(struct drain *drain, uint32_t index, struct ring *ring)
{
    drain->rings[index].fresh_pid = 0;
    atomic_store(&ring->owner_pid, 0);
    atomic_store_explicit(&ring->owner, 0, memory_order_release);
}

static bool owner_gone(struct drain *drain, uint32_t index, uint32_t pid, uint32_t owner)
{
    return index != RING_SHARED && pid != 0 &&
           (replaced_by_exec(drain, index, pid) || drain->ops.gone(drain->ops.context, pid, owner));
}

static void sweep_ring(struct drain *drain, uint32_t index, uint64_t now_ns)
{
    struct ring *ring = board_ring(drain->board, index);
    struct watch *watch = &drain->rings[index];
    uint32_t owner = atomic_load_explicit(&ring->owner, memory_order_acquire);
    if (owner == 0)
        return;
    uint32_t pid = atomic_load(&ring->owner_pid);
    bool gone = owner_gone(drain, index, pid, owner);
    if (gone)
        read_ring(drain, index); /* what it wrote before it went */
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    if (head == tail)
        watch->stuck_since = 0;
    else if (!published(ring, tail) && (gone || (index == RING_SHARED && is_stuck(watch, tail, now_ns))))
        skip_to_head(drain, ring, head);
    if (gone && atomic_load(&ring->head) == atomic_load(&ring->tail))
        free_ring(drain, index, ring);
}

void drain_sweep(struct drain *drain, uint64_t now_ns)
{
    uint32_t ready = ready_rings(drain);
    for (uint32_t i = 0; i < ready; i++)
        sweep_ring(drain, i, now_ns);
}

void drain_finish(struct drain *drain)
{
    uint32_t ready = ready_rings(drain);
    measure_ticks(drain);
    for (uint32_t i = 0; i < ready; i++) {
        struct ring *ring = board_ring(drain->board, i);
        read_ring(drain, i);
        uint64_t head = atomic_load(&ring->head);
        if (head != atomic_load(&ring->tail))
            skip_to_head(drain, ring, head);
    }
    while (drain->ops.ordered != NULL && drain->held_count > 0)
        give_out(drain, UINT64_MAX);
}

uint32_t drain_spare(struct drain *drain)
{
    uint32_t spare = 0, ready = ready_rings(drain);
    for (uint32_t i = 1; i < ready; i++)
        spare += atomic_load(&board_ring(drain->board, i)->owner) == 0;
    return spare;
}

uint64_t drain_lost(struct drain *drain)
{
    uint64_t lost = drain->lost;
    uint32_t ready = ready_rings(drain);
    for (uint32_t i = 0; i < ready; i++)
        lost += atomic_load(&board_ring(drain->board, i)->lost);
    return lost;
}
