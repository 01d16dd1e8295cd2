#include "sites/texts.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_SIZE = 16384 };

struct text_block {
    struct text_block *next;
    size_t used, size;
    char bytes[];
};

static struct text_block *block_with_room(struct texts *texts, size_t size)
{
    struct text_block *block = texts->first;
    if (block != NULL && block->size - block->used >= size)
        return block;
    size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
    block = malloc(sizeof *block + room);
    if (block == NULL)
        return NULL;
    *block = (struct text_block){.next = texts->first, .size = room};
    texts->first = block;
    return block;
}

const char *texts_add(struct texts *texts, const char *text, size_t length)
{
    length = strnlen(text, length);
    struct text_block *block = block_with_room(texts, length + 1);
    if (block == NULL)
        return NULL;
    char *copy = block->bytes + block->used;
    memcpy(copy, text, length);
    copy[length] = '\0';
    block->used += length + 1;
    return copy;
}

void texts_free(struct texts *texts)
{
    while (texts->first != NULL) {
        struct text_block *block = texts->first;
        texts->first = block->next;
        free(block);
    }
}
