/*
 * recorder.h - writes records into a ring of the board from snag itself, for a backend that sees the calls from outside.
 * They are those of the shim (event.h), and are read the same way.  Thread-safe.
 */
#ifndef SNAG_RECORDER_H
#define SNAG_RECORDER_H

#include <stddef.h>
#include <stdint.h>

#include "engine/board.h"

struct recorder;

/* Takes a ring of BOARD, which must have one that is ready and free.  NULL with errno: ENOMEM, ENOSPC. */
struct recorder *recorder_new(struct board *board);

/* Gives the ring back; what is in it stays to be read.  NULL is fine. */
void recorder_free(struct recorder *recorder);

/* The time as records of this board carry it. */
uint64_t recorder_stamp(const struct recorder *recorder);

/* Writes EVENT, of which seq, slots and payload are set here, with LENGTH bytes of PAYLOAD (cut to EVENT_PAYLOAD_MAX).  A full
 * ring drops it and counts that. */
void recorder_write(struct recorder *recorder, const struct event *event, const void *payload, size_t length);

#endif
