/* texts.h - strings that live together and go together. */
#ifndef SNAG_TEXTS_H
#define SNAG_TEXTS_H

#include <stddef.h>

/* All zeros is an empty one. */
struct texts {
    struct text_block *first;
};

/* Returns a copy of at most LENGTH bytes of TEXT, terminated, that lives until texts_free(); NULL with errno ENOMEM. */
const char *texts_add(struct texts *texts, const char *text, size_t length);

/* Frees them all.  TEXTS is empty then. */
void texts_free(struct texts *texts);

#endif
