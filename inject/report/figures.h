/*
 * figures.h - what the calls of a trace come to, call by call and rule by rule.
 *
 * Durations are kept as counts of ranges that are 3% wide, so the median is that near to the truth, and memory does not
 * grow with the calls.
 */
#ifndef SNAG_FIGURES_H
#define SNAG_FIGURES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FIGURES_CALLS = 256,  /* different names of calls; more are left out, and no trace of ours has them */
    FIGURES_ERRORS = 64,  /* different errnos of a call; likewise */
    FIGURES_RULES = 4096, /* rules; likewise */
    FIGURES_PARTS = 32,   /* ranges of an octave of durations */
    FIGURES_RANGES = 64 * FIGURES_PARTS,
};

struct figure_error {
    char name[24];
    uint64_t count, injected;
};

struct figure {
    char call[24];
    uint64_t count, failed, injected;
    uint64_t timed, total_ns, max_ns; /* of the calls that were really made */
    struct figure_error errors[FIGURES_ERRORS];
    size_t error_count;
    uint64_t ranges[FIGURES_RANGES];
};

struct figure_rule {
    uint64_t injected, missed;
};

struct figures {
    struct figure *calls[FIGURES_CALLS];
    size_t call_count;
    struct figure_rule rules[FIGURES_RULES]; /* by number, minus 1 */
    uint64_t count, injected, last_ns;       /* of all calls */
};

/* Counts a line "call".  Returns -1 with errno ENOMEM. */
int figures_call(struct figures *figures, const json_t *line);

/* Returns the median of the durations of FIGURE, ns; 0 if none is known. */
uint64_t figure_median(const struct figure *figure);

/* Sorts calls and their errors by count, the most frequent first. */
void figures_sort(struct figures *figures);

/* Frees what FIGURES holds; FIGURES itself is the caller's. */
void figures_clear(struct figures *figures);

#endif
