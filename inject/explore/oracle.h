/*
 * oracle.h - from the figures of a case to its verdicts.  Pure: figures in, words out; no I/O, no clock, no state.
 *
 * Each verdict has an oracle of its own, which looks at the figures of the case and at those of the control case: what the
 * server does without a fault is none of the fault's doing.  A server may earn several; the gravest is the headline.
 */
#ifndef SNAG_ORACLE_H
#define SNAG_ORACLE_H

#include <stdbool.h>

#include "explore/case.h"
#include "explore/measures.h"
#include "run/verdict.h"

enum { ORACLE_TEXT_MAX = 900 };

/* Where the line is drawn. */
struct thresholds {
    double cpu;               /* of a core, above control: spun */
    double calls_per_s;       /* failing, above control: spun */
    double lines_per_s;       /* above control: flooded */
    uint64_t least_window_ms; /* for these three */
    uint32_t leak_least;      /* descriptors, twice: leaked; and at least half of the faults */
    uint64_t grace_ms;        /* slow */
};

struct ruling {
    uint32_t set;                   /* bit VERDICT_x: the server earned x */
    enum verdict headline;          /* the gravest */
    char evidence[ORACLE_TEXT_MAX]; /* a line without a full stop */
};

/* The rates of a case, over the time that its fault lasted. */
struct rates {
    double calls_per_s; /* calls that failed by the fault */
    double cpu;         /* cores */
    double lines_per_s;
};

/* What the design says. */
extern const struct thresholds thresholds_default;

/* Judges the figures M of ITEM against those of its control case. */
void oracle_judge(const struct fault_case *item, const struct measures *m, const struct measures *control,
                  const struct thresholds *thresholds, struct ruling *out);

/*
 * Whether control case M shows a server that can be judged: it was ready, served its clients, and stayed.  If not, writes
 * why to WHY (ORACLE_TEXT_MAX bytes).
 */
bool oracle_control(const struct measures *m, char why[ORACLE_TEXT_MAX]);

/* Returns the rates of M. */
struct rates oracle_rates(const struct measures *m);

/* Whether the fault of M lasted long enough for rates to mean something. */
bool oracle_has_rates(const struct measures *m, const struct thresholds *thresholds);

/*
 * Whether descriptors leaked in round ROUND of M: LEAST of them stayed at the least, and half as many as there were faults, or
 * as there could be.
 */
bool oracle_leaks(const struct measures *m, size_t round, uint32_t least);

/* Returns how many faults the server met. */
uint64_t oracle_faults(const struct fault_case *item, const struct measures *m);

#endif
