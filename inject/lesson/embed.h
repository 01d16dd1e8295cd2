/*
 * embed.h - the lessons' texts, the sources that they show, and the parts of the pages: files that were put into this
 * program when it was built (files.def), so that it shows the source that it runs, wherever it is installed.
 */
#ifndef SNAG_EMBED_H
#define SNAG_EMBED_H

#include <stddef.h>

enum embed_kind { EMBED_LESSON, EMBED_TRANSLATED, EMBED_WORDS, EMBED_SOURCE, EMBED_PAGE };

struct embedded {
    enum embed_kind kind;
    const char *language; /* of texts, else "" */
    const char *name;     /* of the lesson; of other files the path below the project's folder */
    const char *bytes;    /* terminated */
};

/* Returns file I in the order of files.def, NULL behind the last. */
const struct embedded *embed_at(size_t i);

/* Returns the file of KIND with that NAME and, unless it is NULL, LANGUAGE; NULL if there is none. */
const struct embedded *embed_find(enum embed_kind kind, const char *language, const char *name);

#endif
