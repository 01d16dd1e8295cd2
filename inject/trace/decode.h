/*
 * decode.h - what a call was given and what it gave back, as strace would write it, from its record.
 *
 * A record is not trusted: a target may have written anything there.  What is missing is written as the pointer that led to
 * it.  No I/O, no memory.
 */
#ifndef SNAG_DECODE_H
#define SNAG_DECODE_H

#include "engine/call.h"
#include "engine/event.h"
#include "trace/words.h"

struct decoded {
    struct words arguments; /* one each; with a record that holds none, the descriptor and "..." */
    struct words result;    /* what stands behind the number: one, " (flags O_RDWR)", or "" */
    bool hex;               /* the number is written in hex */
};

/* Decodes EVENT, an EVENT_CALL with PAYLOAD, into OUT. */
void decode_call(struct decoded *out, const struct event *event, const void *payload);

/* --- For the decoders, decode_*.c. */

/* A call and what is left of the bytes that its pointers led to. */
struct seen {
    const struct event *event;
    struct event_arguments given;
    const unsigned char *before, *after;
    size_t before_left, after_left; /* bytes that nobody has taken yet */
    const unsigned char *address;   /* NULL: not known */
    size_t address_length;
};

typedef void decoder(struct decoded *out, struct seen *seen);

/* Takes the next LENGTH bytes of memory as it was before or after the call; NULL if there are not so many. */
const void *seen_before(struct seen *seen, size_t length);
const void *seen_after(struct seen *seen, size_t length);

/* Adds an argument: word I as a number, as a pointer. */
void decode_int(struct decoded *out, const struct seen *seen, size_t i);
void decode_pointer(struct decoded *out, const struct seen *seen, size_t i);

/* Adds the two descriptors that the call made; where it made none, word I as a pointer. */
void decode_pair(struct decoded *out, struct seen *seen, size_t i);

/* decode_socket.c */
decoder decode_socket, decode_socketpair, decode_setsockopt, decode_getsockopt, decode_bind, decode_listen, decode_name,
    decode_accept4, decode_shutdown;
/* decode_fd.c */
decoder decode_close, decode_fcntl, decode_ioctl, decode_dup3, decode_pipe, decode_pipe2, decode_eventfd;
/* decode_uring.c */
decoder decode_io_uring_setup;
/* decode_wait.c */
decoder decode_poll, decode_ppoll, decode_select, decode_pselect, decode_epoll_create, decode_epoll_create1,
    decode_epoll_ctl, decode_epoll_wait, decode_epoll_pwait, decode_epoll_pwait2;

#endif
