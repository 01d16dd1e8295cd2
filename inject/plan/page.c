#include "plan/page.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int page_begin(struct page *page)
{
    *page = (struct page){.text = NULL};
    page->out = open_memstream(&page->text, &page->size);
    if (page->out)
        return 0;
    fprintf(stderr, "snag: out of memory\n");
    return -1;
}

/* Writes SIZE bytes to stdout, all of them. */
static int page_write(const char *text, size_t size)
{
    if (fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0)
        return 0;
    fprintf(stderr, "snag: standard output: %s\n", strerror(errno));
    return STATUS_FAILED;
}

int page_end(struct page *page)
{
    bool bad = ferror(page->out) != 0;
    bad |= fclose(page->out) != 0;
    if (bad)
        fprintf(stderr, "snag: out of memory\n");
    int status = bad ? STATUS_FAILED : page_write(page->text, page->size);
    free(page->text);
    return status;
}

int page_print(const char *text)
{
    return page_write(text, strlen(text));
}

/* Returns how many columns LENGTH bytes of TEXT take: its UTF-8 characters. */
static size_t columns(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

void page_wrap(FILE *out, const char *text, size_t column)
{
    size_t at = column;
    while (*text) {
        size_t length = strcspn(text, " "), width = columns(text, length);
        if (at > column && at + 1 + width > PAGE_WIDTH) {
            fprintf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            fputc(' ', out);
            at++;
        }
        fwrite(text, 1, length, out);
        at += width;
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}
