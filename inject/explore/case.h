/*
 * case.h - one case of an exploration: a fault, where it strikes, and for how long.
 *
 * Plain data: it is made by the plan of an exploration (cases.c) or read from a case folder (folder.c), and goes to the
 * process that tries it as it is.
 */
#ifndef SNAG_CASE_H
#define SNAG_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/call.h"
#include "trace/address.h"

enum {
    CASE_ID_MAX = 200,   /* bytes, terminator included: a folder of that name can be made anywhere */
    CASE_RULE_MAX = 512, /* likewise, of the rule's text */
    CASE_FAULT_MAX = 32,
    CASE_SITE_MAX = 96,
    CASE_FILTER_MAX = 160,
    CASE_BURST = 50, /* faults in a row */
};

/* How long the fault lasts. */
enum mode {
    MODE_ONCE,    /* one call */
    MODE_BURST,   /* CASE_BURST calls, or a second */
    MODE_HELD,    /* until it is released, with a client waiting */
    MODE_NTH,     /* the nth call of the session, mostly while the server starts */
    MODE_EXHAUST, /* no injection: the server's descriptors run out in earnest, and are given back */
    MODE_CONTROL, /* no fault at all: what the others are compared with */
    MODE_COUNT,
};

struct fault_case {
    char id[CASE_ID_MAX];
    enum call call;             /* CALL_NONE: control */
    char fault[CASE_FAULT_MAX]; /* "EMFILE", "socklen=0"; "" for control */
    int error;                  /* the errno, 0 for a tampering */
    enum mode mode;
    uint32_t nth;                   /* MODE_NTH: from 1 */
    uint32_t burst;                 /* MODE_BURST: calls, where the rule has fewer than CASE_BURST; 0: CASE_BURST */
    uint64_t site;                  /* of the call; 0: any */
    char site_name[CASE_SITE_MAX];  /* as reports call it */
    char address[ADDRESS_TEXT_MAX]; /* the listener that clients go to; "": the only one */
    char filter[CASE_FILTER_MAX];   /* the part of the rule that says which listener; "": the only one */
    bool is_short;                  /* the server closes connections at once: control has shown it */
    char rule[CASE_RULE_MAX];       /* what makes the fault, as a plan has it; "" where nothing is injected */
};

/* Returns the word: "once".  Static storage. */
const char *mode_word(enum mode mode);

/* Returns the mode of that word, MODE_COUNT if there is none.  TEXT is LENGTH bytes. */
enum mode mode_by_word(const char *text, size_t length);

/* Whether FAULT is a lack of something that comes back: descriptors, memory. */
bool error_is_pressure(int error);

/* Whether the call of ITEM takes the waiting client along when it fails so (enum call_effect's CONSUMES). */
bool case_consumes(const struct fault_case *item);

/* Whether CALL is accept or accept4. */
bool call_accepts(enum call call);

/*
 * Writes the rule and the id of ITEM, whose other members are set.  PENDING: the fault is kept for a call that finds a
 * client waiting, which a blocking listener can't wait for.  LISTENER ("": none) tells one of several listeners apart.
 */
void case_complete(struct fault_case *item, bool pending, const char *listener);

#endif
