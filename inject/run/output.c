#include "run/output.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* One pipe, from the server to a descriptor of ours. */
struct stream {
    struct output *output;
    int from, child; /* the pipe's ends; -1: closed, or no pipe */
    int to;
    struct evbuffer *held;
    struct event *readable;
    struct event *writable; /* NULL: a file or a device, which always is */
    bool broken;            /* nobody reads our output any more: the server's is thrown away */
};

struct output {
    struct stream out, err;
    bool joined; /* one pipe for both: the stream `out` */
    char words[OUTPUT_WORDS_MAX];
    size_t words_length;
};

static void remember(struct output *output, const char *data, size_t length)
{
    if (length > OUTPUT_WORDS_MAX) {
        data += length - OUTPUT_WORDS_MAX;
        length = OUTPUT_WORDS_MAX;
    }
    size_t keep = output->words_length;
    if (keep > OUTPUT_WORDS_MAX - length)
        keep = OUTPUT_WORDS_MAX - length;
    memmove(output->words, output->words + output->words_length - keep, keep);
    memcpy(output->words + keep, data, length);
    output->words_length = keep + length;
}

/*
 * Writes at most PIPE_BUF bytes: that much a pipe takes without blocking when poll calls it writable.  The descriptor is
 * shared with other processes, so it can't be made non-blocking.
 */
static ssize_t write_some(struct stream *stream, const void *data, size_t length)
{
    size_t part = length < PIPE_BUF ? length : PIPE_BUF;
    ssize_t written = send(stream->to, data, part, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0 && errno == ENOTSOCK)
        written = write(stream->to, data, part);
    return written;
}

/* Writes one part on.  Returns false if nothing more can be written now. */
static bool pass_on(struct stream *stream)
{
    size_t length = evbuffer_get_contiguous_space(stream->held);
    if (length == 0)
        return false;
    ssize_t written = write_some(stream, evbuffer_pullup(stream->held, (ssize_t)length), length);
    if (written < 0 && (errno == EINTR || errno == EAGAIN))
        return false;
    if (written < 0)
        stream->broken = true;
    evbuffer_drain(stream->held, stream->broken ? evbuffer_get_length(stream->held) : (size_t)written);
    return true;
}

static void arm(struct stream *stream)
{
    size_t held = evbuffer_get_length(stream->held);
    if (stream->writable != NULL && held > 0)
        event_add(stream->writable, NULL);
    if (stream->from >= 0 && held < OUTPUT_HELD_MAX)
        event_add(stream->readable, NULL);
    else if (stream->readable != NULL)
        event_del(stream->readable);
}

/* Reads what is there.  Returns false when nothing is, or at the end, when the pipe is closed. */
static bool take_in(struct stream *stream)
{
    char data[65536];
    ssize_t length = stream->from >= 0 ? read(stream->from, data, sizeof data) : -1;
    if (length > 0) {
        remember(stream->output, data, (size_t)length);
        if (!stream->broken && evbuffer_add(stream->held, data, (size_t)length) != 0)
            stream->broken = true;
        return true;
    }
    if (length == 0) {
        event_del(stream->readable);
        close(stream->from);
        stream->from = -1;
    }
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    struct stream *stream = context;
    (void)fd;
    (void)what;
    take_in(stream);
    if (stream->writable == NULL)
        while (pass_on(stream)) {
        }
    arm(stream);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    struct stream *stream = context;
    (void)fd;
    (void)what;
    pass_on(stream);
    arm(stream);
}

static int open_stream(struct stream *stream, struct event_base *base, struct output *output, int to)
{
    int ends[2];
    struct stat status;
    stream->output = output;
    stream->to = to;
    if (isatty(to) || fstat(to, &status) != 0)
        return 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    stream->from = ends[0];
    stream->child = ends[1];
    stream->held = evbuffer_new();
    stream->readable = event_new(base, stream->from, EV_READ | EV_PERSIST, on_readable, stream);
    /* Files, /dev/null and their like can't be waited for, and never block. */
    if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode)) {
        stream->writable = event_new(base, to, EV_WRITE, on_writable, stream);
        if (stream->writable == NULL || event_add(stream->writable, NULL) != 0)
            return -1;
    }
    if (stream->held == NULL || stream->readable == NULL || fcntl(stream->from, F_SETFL, O_NONBLOCK) != 0)
        return -1;
    return 0;
}

static bool same_file(int a, int b)
{
    struct stat left, right;
    return fstat(a, &left) == 0 && fstat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

struct output *output_new(struct event_base *base)
{
    struct output *output = calloc(1, sizeof *output);
    if (output == NULL)
        return NULL;
    output->out.from = output->out.child = output->err.from = output->err.child = -1;
    output->joined = same_file(STDOUT_FILENO, STDERR_FILENO);
    if (open_stream(&output->out, base, output, STDOUT_FILENO) != 0 ||
        (!output->joined && open_stream(&output->err, base, output, STDERR_FILENO) != 0)) {
        int saved = errno;
        output_free(output);
        errno = saved;
        return NULL;
    }
    return output;
}

static void close_stream(struct stream *stream)
{
    if (stream->readable != NULL)
        event_free(stream->readable);
    if (stream->writable != NULL)
        event_free(stream->writable);
    if (stream->held != NULL)
        evbuffer_free(stream->held);
    if (stream->from >= 0)
        close(stream->from);
    if (stream->child >= 0)
        close(stream->child);
}

void output_free(struct output *output)
{
    if (output == NULL)
        return;
    close_stream(&output->out);
    close_stream(&output->err);
    free(output);
}

int output_out(const struct output *output)
{
    return output->out.child;
}

int output_err(const struct output *output)
{
    return output->joined ? output->out.child : output->err.child;
}

bool output_is_captured(const struct output *output)
{
    return output->out.held != NULL && (output->joined || output->err.held != NULL);
}

static void start_stream(struct stream *stream)
{
    if (stream->child < 0)
        return;
    close(stream->child);
    stream->child = -1;
    arm(stream);
}

void output_started(struct output *output)
{
    start_stream(&output->out);
    start_stream(&output->err);
}

static void finish_stream(struct stream *stream)
{
    if (stream->held == NULL)
        return;
    while (take_in(stream)) {
    }
    while (evbuffer_get_length(stream->held) > 0 && !stream->broken) {
        size_t length = evbuffer_get_contiguous_space(stream->held);
        ssize_t written = write(stream->to, evbuffer_pullup(stream->held, (ssize_t)length), length);
        if (written < 0 && errno != EINTR)
            stream->broken = true;
        else if (written > 0)
            evbuffer_drain(stream->held, (size_t)written);
    }
}

void output_finish(struct output *output)
{
    finish_stream(&output->out);
    finish_stream(&output->err);
}

void output_last_words(struct output *output, char out[OUTPUT_WORDS_MAX + 1])
{
    while (take_in(&output->out) || take_in(&output->err)) {
    }
    size_t end = output->words_length;
    while (end > 0 && output->words[end - 1] == '\n')
        end--;
    size_t start = end;
    for (int lines = 0; start > 0; start--)
        if (output->words[start - 1] == '\n' && ++lines == OUTPUT_WORDS_LINES)
            break;
    memcpy(out, output->words + start, end - start);
    out[end - start] = '\0';
    for (size_t i = 0; i < end - start; i++)
        if (out[i] == '\0')
            out[i] = '?';
}
