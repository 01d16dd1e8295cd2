/*
 * callsites.h - what the calls of a trace come to, call site by call site: lines "site", and the member "site" of calls.
 *
 * A site's line may come before its calls or after them, and may be missing; memory grows with the sites.
 */
#ifndef SNAG_CALLSITES_H
#define SNAG_CALLSITES_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "sites/sites.h"

struct callsite {
    char id[SITE_ID_MAX];
    char call[24];   /* "": no call came from there */
    json_t *line;    /* its line "site"; NULL: there was none */
    char *name;      /* "ngx_event_accept~2"; its id, if the trace does not say; by callsites_finish() */
    unsigned number; /* among those of one call in one function */
    uint64_t count, failed, injected;
};

struct callsites {
    void *tree; /* of struct callsite by id */
    struct callsite **list;
    size_t count, room;
    uint64_t unwalked; /* calls whose stack could not be walked */
};

/* Takes note of a line "site", of a line "call".  Returns -1 with errno ENOMEM. */
int callsites_site(struct callsites *sites, json_t *line);
int callsites_call(struct callsites *sites, const json_t *line);

/* The trace has ended: sorts the sites by call and function, and names them.  Returns -1 with errno ENOMEM. */
int callsites_finish(struct callsites *sites);

/* Returns the site with ID, NULL if no call came from there. */
const struct callsite *callsites_find(const struct callsites *sites, const char *id);

/* Returns the innermost frame of SITE that has a name, or the innermost of all; NULL if the trace does not say. */
const json_t *callsite_frame(const struct callsite *site);

/* Frees what SITES holds; SITES itself is the caller's. */
void callsites_clear(struct callsites *sites);

#endif
