/*
 * sites.h - the call sites of a session: found on the board by id, named, counted.
 *
 *     demangle.c, texts.c   a function's names, as linkers and as people write them
 *     symbols.c, lines.c    what a module's file says of its code: functions, and with DWARF files and lines
 *     modules.c             the modules of a board as such files
 *     pattern.c, resolve.c  caller= and stack=: which code they mean, told to the shim as ranges
 *     sites.c               all of it together, for a session
 *
 * To name a site may take milliseconds, so that is not done where calls are counted but by sites_serve(), or when somebody
 * asks for it; after that it costs a look into a table.  One thread only.
 */
#ifndef SNAG_SITES_H
#define SNAG_SITES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/board.h"
#include "sites/demangle.h"
#include "sites/symbols.h"

enum {
    SITE_RULE_MAX = 128,                  /* of a rule for a site */
    SITE_ID_MAX = 17,                     /* bytes of an id as text: 16 hex digits */
    SITE_NAME_MAX = NAME_MAX_BYTES + 300, /* of a site's name: a function's and a number, or offset@module */
};

/* A frame of a stack: a return address, in the file that it is in. */
struct site_frame {
    const char *path, *module; /* the file, and its base name; "?" if it is in none */
    uint64_t offset;
    const struct place *places; /* the innermost first; the function that is not inlined knows how far into it */
    size_t place_count;         /* at least one */
};

/* How often the rule with a number, as the user counts them from 1, was injected at a site. */
struct site_hit {
    uint32_t rule;
    uint64_t injected;
};

struct site {
    uint64_t id;
    enum call call;
    struct site_frame *frames; /* innermost first; there may be none */
    size_t frame_count;
    bool partial;         /* there are frames outward of these, which are not known */
    const char *function; /* that the site is called by: of its innermost frame with a name, or offset@module */
    unsigned number;      /* 1, 2, ... among the sites of one call in one function; by sites_sort() */
    uint64_t calls, failed, injected;
    struct site_hit *hits; /* by rule, in the order in which they hit */
    size_t hit_count;
    bool named, written; /* written: for who writes a trace, it has been */
};

struct sites;

/*
 * Returns the call sites of BOARD under the rules of SET, of which nothing is kept but its patterns.  While a site is being
 * named, BREATHE is called between the steps (NULL: it is not), so that the rings can be read.  NULL with errno ENOMEM.
 */
struct sites *sites_new(struct board *board, const struct rule_set *set, void (*breathe)(void *context), void *context);

/* Frees SITES, and all that came from it.  NULL is fine. */
void sites_free(struct sites *sites);

/*
 * Looks into modules that are new, for patterns: processes wait for that.  Then names sites that have none, for some
 * milliseconds.  Returns 0, or -1 with errno ENOSPC and the pattern's text in *PATTERN, if a board can't hold where it is found.
 */
int sites_serve(struct sites *sites, const char **pattern);

/* Returns the site with ID, named; NULL if the board has none, or there is no memory.  Lives with SITES. */
struct site *sites_find(struct sites *sites, uint64_t id);

/* Counts EVENT, an EVENT_CALL that has a site.  Names nothing.  RULE is its rule's number, from 1; 0 for none. */
void sites_count(struct sites *sites, const struct event *event, uint32_t rule);

/* Numbers the sites that were found, and returns them by call and function in *LIST, which lives with SITES. */
size_t sites_sort(struct sites *sites, struct site *const **list);

/* Writes ID as text to OUT, and returns it. */
const char *site_id_text(uint64_t id, char out[SITE_ID_MAX]);

/* Writes what SITE, numbered, is called to OUT, and returns it: "ngx_event_accept", "ngx_event_accept~2". */
const char *site_name(const struct site *site, char out[SITE_NAME_MAX]);

/*
 * Writes a rule for the call site ID of CALL alone to OUT, and returns it: "accept4:error=EMFILE:site=9f3ac1d2a0b1c2d3".  The
 * errno is one that lasts, if the call can fail with such a one.
 */
const char *site_rule(enum call call, const char *id, char out[SITE_RULE_MAX]);

/*
 * Returns the number of the pattern TEXT, which is made known if it is a new one: when this returns, each process decides by
 * it that has told of its modules.  -1 with errno: E2BIG, there are PATTERN_MAX; ENOSPC, as sites_serve(); ENOMEM.
 */
int sites_pattern(struct sites *sites, const char *text);

/* Returns whether the pattern PATTERN was found in some module, */
bool sites_found(const struct sites *sites, size_t pattern);

/* and prints it, and why it was not, to OUT: a line without its end. */
void sites_explain(struct sites *sites, size_t pattern, FILE *out);

#endif
