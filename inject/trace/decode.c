#include "trace/decode.h"

#include <inttypes.h>
#include <string.h>

/* A call without a row shows its descriptor alone; tests/unit/trace_test.c sees that each has one. */
static decoder *const decoders[CALL_COUNT] = {
    [CALL_socket] = decode_socket,
    [CALL_socketpair] = decode_socketpair,
    [CALL_setsockopt] = decode_setsockopt,
    [CALL_getsockopt] = decode_getsockopt,
    [CALL_bind] = decode_bind,
    [CALL_listen] = decode_listen,
    [CALL_accept] = decode_name,
    [CALL_accept4] = decode_accept4,
    [CALL_getsockname] = decode_name,
    [CALL_getpeername] = decode_name,
    [CALL_shutdown] = decode_shutdown,
    [CALL_fcntl] = decode_fcntl,
    [CALL_ioctl] = decode_ioctl,
    [CALL_close] = decode_close,
    [CALL_dup] = decode_close,
    [CALL_dup2] = decode_listen,
    [CALL_dup3] = decode_dup3,
    [CALL_pipe] = decode_pipe,
    [CALL_pipe2] = decode_pipe2,
    [CALL_eventfd] = decode_eventfd,
    [CALL_poll] = decode_poll,
    [CALL_ppoll] = decode_ppoll,
    [CALL_select] = decode_select,
    [CALL_pselect] = decode_pselect,
    [CALL_epoll_create] = decode_epoll_create,
    [CALL_epoll_create1] = decode_epoll_create1,
    [CALL_epoll_ctl] = decode_epoll_ctl,
    [CALL_epoll_wait] = decode_epoll_wait,
    [CALL_epoll_pwait] = decode_epoll_pwait,
    [CALL_epoll_pwait2] = decode_epoll_pwait2,
    [CALL_io_uring_setup] = decode_io_uring_setup,
};

static const void *take(const unsigned char **from, size_t *left, size_t length)
{
    const unsigned char *taken = *from;
    if (length > *left)
        return NULL;
    *from += length;
    *left -= length;
    return taken;
}

const void *seen_before(struct seen *seen, size_t length)
{
    return take(&seen->before, &seen->before_left, length);
}

const void *seen_after(struct seen *seen, size_t length)
{
    return take(&seen->after, &seen->after_left, length);
}

void decode_int(struct decoded *out, const struct seen *seen, size_t i)
{
    words_next(&out->arguments);
    words_add(&out->arguments, "%" PRId64, seen->given.words[i]);
}

void decode_pointer(struct decoded *out, const struct seen *seen, size_t i)
{
    words_next(&out->arguments);
    words_pointer(&out->arguments, seen->given.words[i]);
}

void decode_pair(struct decoded *out, struct seen *seen, size_t i)
{
    int pair[2];
    const void *bytes = seen->event->ret == 0 ? seen_after(seen, sizeof pair) : NULL;
    if (bytes == NULL) {
        decode_pointer(out, seen, i);
        return;
    }
    memcpy(pair, bytes, sizeof pair);
    words_next(&out->arguments);
    words_add(&out->arguments, "[%d, %d]", pair[0], pair[1]);
}

/* Takes the record apart.  Returns false if it holds no arguments, or says of itself what can't be. */
static bool look(struct seen *seen, const struct event *event, const void *payload)
{
    const unsigned char *bytes = payload;
    size_t length = event->payload;
    *seen = (struct seen){.event = event};
    if (!(event->flags & EVENT_ARGUMENTS) || length < sizeof seen->given)
        return false;
    memcpy(&seen->given, bytes, sizeof seen->given);
    length -= sizeof seen->given;
    if ((size_t)seen->given.before + seen->given.after > length)
        return false;
    seen->before = bytes + sizeof seen->given;
    seen->after = seen->before + seen->given.before;
    seen->before_left = seen->given.before;
    seen->after_left = seen->given.after;
    seen->address_length = length - seen->before_left - seen->after_left;
    seen->address = seen->address_length > 0 ? seen->after + seen->after_left : NULL;
    return true;
}

void decode_call(struct decoded *out, const struct event *event, const void *payload)
{
    struct seen seen;
    words_clear(&out->arguments);
    words_clear(&out->result);
    words_next(&out->result);
    out->hex = false;
    if (event->call < CALL_COUNT && decoders[event->call] != NULL && look(&seen, event, payload)) {
        decoders[event->call](out, &seen);
        return;
    }
    if (event->fd >= 0) {
        words_next(&out->arguments);
        words_add(&out->arguments, "%d", event->fd);
    }
    words_next(&out->arguments);
    words_add(&out->arguments, "...");
}
