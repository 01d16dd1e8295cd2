/*
 * found.h - the living sessions of this user (root: of everybody) that have a control socket, and how one is asked something.
 */
#ifndef SNAG_FOUND_H
#define SNAG_FOUND_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

enum {
    SESSION_NAME_MAX = 64, /* bytes of --name */
    FOUND_WHY_MAX = 128,
    FOUND_PATIENCE_MS = 10000, /* for a session to answer */
};

struct found {
    pid_t pid; /* of its snag */
    uid_t owner;
    int folder;                      /* open; found_close() */
    char name[SESSION_NAME_MAX + 1]; /* "": it has none */
};

/* Lists them into *OUT, to be given back with found_free().  Returns how many, or -1 with errno ENOMEM. */
ssize_t found_list(struct found **out);
void found_free(struct found *list, ssize_t count);

/* Finds the session that is called NAME, or whose snag is process NAME.  Returns false if there is none. */
bool found_session(const char *name, struct found *out);
void found_close(struct found *found);

/*
 * Sends REQUEST, which stays the caller's, to the session, and waits for its answer: an object, to be given back.  NULL, with
 * the reason in words in WHY, if none came.
 */
json_t *found_ask(const struct found *found, const json_t *request, char why[FOUND_WHY_MAX]);

/* Returns why NAME can't be the name of a session, in words; NULL if it can. */
const char *found_name_fault(const char *name);

#endif
