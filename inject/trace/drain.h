/*
 * drain.h - takes the shim's records out of the board's rings, and gives them out twice: to `seen` as soon as they are
 * read, ring after ring, and to `ordered` in the order in which the calls completed, over all threads.
 *
 * A record gets into its ring a little after its call completed, so `ordered` holds records back for DRAIN_HOLD_NS, and
 * one that is later still comes out late.  Each thread's own order is always kept.  What the rings hold is not trusted: a
 * target may have written anything there.  Times are CLOCK_MONOTONIC here, whatever the board counts in.  No I/O; one
 * thread only.
 */
#ifndef SNAG_DRAIN_H
#define SNAG_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/board.h"

#define DRAIN_HOLD_NS UINT64_C(50000000)

struct drain;

/* What is done with a record: EVENT's payload is at PAYLOAD (event->payload bytes).  Both die with the call. */
typedef void drain_sink(void *context, const struct event *event, const void *payload);

struct drain_ops {
    drain_sink *seen;    /* or NULL */
    drain_sink *ordered; /* or NULL: then nothing is held back */
    /* Whether a ring's owner is gone for good: its ring may go to another thread. */
    bool (*gone)(void *context, uint32_t pid, uint32_t tid);
    void *context;
};

/* Returns a reader of BOARD's rings, NULL with errno if there is no memory.  BOARD must outlive it. */
struct drain *drain_new(struct board *board, const struct drain_ops *ops);

/* Frees DRAIN and what it still holds back.  NULL is fine. */
void drain_free(struct drain *drain);

/*
 * Reads what is in the rings, and gives out what was held back long enough at NOW_NS (CLOCK_MONOTONIC).  Returns how
 * many records it read.
 */
size_t drain_read(struct drain *drain, uint64_t now_ns);

/*
 * Reads what is in the rings and gives nothing out in order: for `ordered`, where that takes long, lest the rings fill.
 * In the middle of a reading, for `seen`, it does nothing.
 */
void drain_collect(struct drain *drain);

/*
 * Looks after the rings: frees those of threads that are gone, and steps over records that will never be completed,
 * because their writer was killed.  To be called now and then; NOW_NS as in drain_read().
 */
void drain_sweep(struct drain *drain, uint64_t now_ns);

/* Reads everything and gives out everything that was held back: at the end, when nothing writes any more. */
void drain_finish(struct drain *drain);

/* Returns how many ready rings have no owner. */
uint32_t drain_spare(struct drain *drain);

/*
 * Returns how many records were lost so far, at least: those that found a ring full are counted one by one, but what a
 * killed writer left unfinished, or damage, hides where the next record starts, and counts as one with all behind it.
 */
uint64_t drain_lost(struct drain *drain);

#endif
