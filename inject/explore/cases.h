/*
 * cases.h - from what a baseline saw to the list of cases.
 */
#ifndef SNAG_CASES_H
#define SNAG_CASES_H

#include <stddef.h>

#include "explore/explore.h"
#include "explore/measures.h"

struct case_list {
    struct fault_case *items;
    size_t count, room;
};

/*
 * Fills LIST with the cases that CONFIG wants for a server whose baseline is BASE, in the order in which they are tried.
 * Returns 0, or -1 with errno ENOMEM.
 */
int cases_make(struct case_list *list, const struct config *config, const struct measures *base);

/* Adds a copy of ITEM.  Returns 0, or -1 with errno ENOMEM. */
int cases_add(struct case_list *list, const struct fault_case *item);

void cases_free(struct case_list *list);

/* Makes OUT the control case of listener I of BASE. */
void cases_control(struct fault_case *out, const struct measures *base, size_t i);

/* Returns the index of the listener that ITEM is for. */
size_t cases_listener(const struct fault_case *item, const struct measures *base);

/* Whether listener I of BASE is one that CONFIG wants to be tested. */
bool cases_wants_listener(const struct config *config, const struct measures *base, size_t i);

#endif
