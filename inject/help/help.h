/*
 * help.h - `snag help TOPIC`: parts of the manual pages, put into the program as plain text (text.awk) when it was built.
 */
#ifndef SNAG_HELP_H
#define SNAG_HELP_H

#include <stdio.h>

/* Returns the text of topic NAME; NULL if there is none.  Static storage. */
const char *help_text(const char *name);

/* Returns the name of topic I, NULL behind the last. */
const char *help_topic(size_t i);

/* Lists the topics, one a line. */
void help_list(FILE *out);

#endif
