/*
 * decode_uring.c - io_uring_setup.
 */
#include <inttypes.h>
#include <linux/io_uring.h>
#include <string.h>

#include "trace/constants.h"
#include "trace/decode.h"

/* What the caller asks for. */
static void add_asked(struct words *words, const struct io_uring_params *asked)
{
    words_add(words, "{flags=");
    words_flags(words, asked->flags, constants_uring_setup, "IORING_SETUP_???");
    words_add(words, ", sq_thread_cpu=%" PRIu32 ", sq_thread_idle=%" PRIu32, asked->sq_thread_cpu,
              asked->sq_thread_idle);
    if (asked->flags & IORING_SETUP_ATTACH_WQ)
        words_add(words, ", wq_fd=%d", (int)asked->wq_fd);
}

/* What the kernel has made of it. */
static void add_made(struct words *words, const struct io_uring_params *made)
{
    const struct io_sqring_offsets *sq = &made->sq_off;
    const struct io_cqring_offsets *cq = &made->cq_off;
    words_add(words, ", sq_entries=%" PRIu32 ", cq_entries=%" PRIu32 ", features=", made->sq_entries, made->cq_entries);
    words_flags(words, made->features, constants_uring_features, "IORING_FEAT_???");
    words_add(words,
              ", sq_off={head=%" PRIu32 ", tail=%" PRIu32 ", ring_mask=%" PRIu32 ", ring_entries=%" PRIu32
              ", flags=%" PRIu32 ", dropped=%" PRIu32 ", array=%" PRIu32 "}",
              sq->head, sq->tail, sq->ring_mask, sq->ring_entries, sq->flags, sq->dropped, sq->array);
    words_add(words,
              ", cq_off={head=%" PRIu32 ", tail=%" PRIu32 ", ring_mask=%" PRIu32 ", ring_entries=%" PRIu32
              ", overflow=%" PRIu32 ", cqes=%" PRIu32 ", flags=%" PRIu32 "}",
              cq->head, cq->tail, cq->ring_mask, cq->ring_entries, cq->overflow, cq->cqes, cq->flags);
}

void decode_io_uring_setup(struct decoded *out, struct seen *seen)
{
    struct io_uring_params parameters;
    const void *asked = seen_before(seen, sizeof parameters), *made = seen_after(seen, sizeof parameters);
    decode_int(out, seen, 0);
    if (asked == NULL) {
        decode_pointer(out, seen, 1);
        return;
    }
    words_next(&out->arguments);
    memcpy(&parameters, asked, sizeof parameters);
    add_asked(&out->arguments, &parameters);
    if (made != NULL) {
        memcpy(&parameters, made, sizeof parameters);
        add_made(&out->arguments, &parameters);
    }
    words_add(&out->arguments, "}");
}
