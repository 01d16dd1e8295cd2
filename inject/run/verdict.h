/*
 * verdict.h - one word for what the server did under its faults, with the evidence.  Pure: facts in, words out.
 */
#ifndef SNAG_VERDICT_H
#define SNAG_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In order of gravity.  `snag run` gives those that a single client can see; `snag explore` gives all (explore/oracle.h). */
enum verdict {
    VERDICT_NONE,     /* nobody asked the server anything, or meant to */
    VERDICT_UNTESTED, /* no fault was consumed */
    VERDICT_SERVED,
    VERDICT_DECLINED,
    VERDICT_SLOW,
    VERDICT_SHED,
    VERDICT_FLOODED,
    VERDICT_DROPPED,
    VERDICT_RESPAWNED,
    VERDICT_LEAKED,
    VERDICT_SPUN,
    VERDICT_EXITED,
    VERDICT_UNSTOPPABLE,
    VERDICT_DEAF,
    VERDICT_CRASHED,
    VERDICT_COUNT,
};

enum { VERDICT_TEXT_MAX = 512 };

/* What was seen.  Times are 0 where nothing of the kind happened. */
struct facts {
    bool asked;        /* there was a client or a probe, and the server was ready for it */
    bool before_ready; /* there was to be one, and the server ended before it was ready */
    bool interrupted;  /* by a signal to snag: nothing is judged */
    uint64_t injected; /* faults, by all rules */

    bool command;   /* the client was a command; else a probe */
    bool client_ok; /* it exited with 0, or was answered */
    bool client_timed_out;
    int client_status;  /* a command's, as of waitpid(2) */
    unsigned attempts;  /* connections that probes made until then */
    bool accept_unseen; /* answered, and no accept of it was recorded */
    int http_status;
    uint64_t served_ms; /* from ready to the answer */

    bool recovery_tried; /* the faults were switched off and a probe was made */
    bool recovered;
    uint64_t recovered_ms; /* from the end of the faults */
    uint64_t patience_ms;

    bool server_ended; /* and snag had not asked it to */
    int server_status; /* as of waitpid(2) */
    int stopped_badly; /* the signal that ended it after snag asked it to end; 0: none but snag's own */
};

/* Returns the verdict on FACTS and writes its evidence, a line without a full stop, to EVIDENCE. */
enum verdict verdict_judge(const struct facts *facts, char evidence[VERDICT_TEXT_MAX]);

/* Returns the word: "served".  NULL for VERDICT_NONE. */
const char *verdict_word(enum verdict verdict);

/* Returns the verdict of that word (LENGTH bytes at TEXT), VERDICT_NONE if there is none. */
enum verdict verdict_by_word(const char *text, size_t length);

#endif
