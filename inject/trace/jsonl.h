/*
 * jsonl.h - writes a trace: JSON Lines, one object a line; the first is the session, the last the summary.
 *
 * Bytes that are no UTF-8 (a path may hold any) are written as U+FFFD.  The first error that writing meets is kept, nothing
 * is written after it, and jsonl_close() reports it.
 */
#ifndef SNAG_JSONL_H
#define SNAG_JSONL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/event.h"

struct jsonl;

/* Creates or empties the file PATH.  START_NS is the session's (CLOCK_MONOTONIC): times count from it.  NULL with errno. */
struct jsonl *jsonl_open(const char *path, uint64_t start_ns);

struct sites;

/* From here on calls tell their sites, of SITES, which must outlive TRACE; a site gets a line of its own before its first. */
void jsonl_sites(struct jsonl *trace, struct sites *sites);

/* Writes OBJECT as a line, and gives it back. NULL counts as an error (no memory). */
void jsonl_object(struct jsonl *trace, json_t *object);

/*
 * Writes a record of the shim, if it is one that a trace shows; calls get the next `seq`.  RULE is the number of the rule that
 * acted, 0 for none.
 */
void jsonl_event(struct jsonl *trace, const struct event *event, const void *payload, uint32_t rule);

/* Writes out what is buffered.  Returns 0, or -1 with errno: the first error of all. */
int jsonl_flush(struct jsonl *trace);

/* Closes the file.  Returns as jsonl_flush().  NULL is fine, and 0. */
int jsonl_close(struct jsonl *trace);

/* Returns TEXT as a JSON string, and an address (LENGTH bytes of a socket address) as text; NULL without memory. */
json_t *jsonl_text(const char *text);
json_t *jsonl_address(const void *address, size_t length);

#endif
