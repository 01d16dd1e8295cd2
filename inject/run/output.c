#include "run/output.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/clock.h"

#define OUTPUT_LINE_NS (100 * NS_PER_MS) /* how long our lines wait for the server to end one of its own */

/* One pipe, from the server to a descriptor of ours. */
struct stream {
    struct output *output;
    int from, child; /* the pipe's ends; -1: closed, or no pipe */
    int to;
    struct evbuffer *held;
    struct event *readable;
    struct event *writable; /* NULL: a file or a device, which always is */
    bool broken;            /* nobody reads our output any more: the server's is thrown away */
    int error;              /* why */
    bool mid_line;          /* what was read last did not end its line, ... */
    uint64_t mid_since_ns;  /* ... and when that was; 0: our lines did not ask yet */
    struct evbuffer *lines; /* ours, which wait for the end of the server's line; NULL: none were ever given */
};

struct output {
    struct stream out, err;
    bool joined; /* one pipe for both: the stream `out` */
    char words[OUTPUT_WORDS_MAX];
    size_t words_length;
    uint64_t dropped; /* lines of ours */
    uint64_t lines;   /* the server's */
    uint64_t room;    /* bytes that may still be passed on */
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
    const char *end = memrchr(data, '\n', part);
    if (end != NULL) /* whole lines, for others write there too: a client, snag itself */
        part = (size_t)(end - (const char *)data) + 1;
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
    if (written < 0) {
        stream->broken = true;
        stream->error = errno;
    }
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

/* Adds what the server wrote, and our lines behind the first line that it ends. */
static bool hold(struct stream *stream, const char *data, size_t length)
{
    const char *end = memchr(data, '\n', length);
    bool result = true;
    stream->mid_line = data[length - 1] != '\n';
    stream->mid_since_ns = 0;
    if (end != NULL && stream->lines != NULL && evbuffer_get_length(stream->lines) > 0) {
        size_t first = (size_t)(end - data) + 1;
        result = evbuffer_add(stream->held, data, first) == 0 && evbuffer_add_buffer(stream->held, stream->lines) == 0;
        data += first;
        length -= first;
    }
    return result && evbuffer_add(stream->held, data, length) == 0;
}

static uint64_t count_lines(const char *data, size_t length)
{
    uint64_t count = 0;
    for (const char *end = data + length; (data = memchr(data, '\n', (size_t)(end - data))) != NULL; data++)
        count++;
    return count;
}

/* Of LENGTH bytes, how many may be passed on. */
static size_t within_limit(struct output *output, size_t length)
{
    size_t part = length < output->room ? length : (size_t)output->room;
    output->room -= part;
    return part;
}

/* Reads what is there.  Returns false when nothing is, or at the end, when the pipe is closed. */
static bool take_in(struct stream *stream)
{
    char data[65536];
    ssize_t length = stream->from >= 0 ? read(stream->from, data, sizeof data) : -1;
    if (length > 0) {
        remember(stream->output, data, (size_t)length);
        stream->output->lines += count_lines(data, (size_t)length);
        size_t part = within_limit(stream->output, (size_t)length);
        if (!stream->broken && part > 0 && !hold(stream, data, part)) {
            stream->broken = true;
            stream->error = ENOMEM;
        }
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
    output->room = UINT64_MAX;
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
    if (stream->lines != NULL)
        evbuffer_free(stream->lines);
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

/* Lets our lines pass if the server ends no line for too long, or at the END: then one is ended for it. */
static void settle(struct stream *stream, bool end)
{
    uint64_t now_ns = clock_ns();
    if (stream->lines == NULL || evbuffer_get_length(stream->lines) == 0)
        return;
    if (stream->mid_line && !end && stream->mid_since_ns == 0)
        stream->mid_since_ns = now_ns;
    if (stream->mid_line && !end && now_ns - stream->mid_since_ns < OUTPUT_LINE_NS)
        return;
    if ((stream->mid_line && evbuffer_add(stream->held, "\n", 1) != 0) ||
        evbuffer_add_buffer(stream->held, stream->lines) != 0) {
        stream->broken = true;
        stream->error = ENOMEM;
    }
    stream->mid_line = false;
}

static struct stream *line_stream(struct output *output)
{
    return output->joined ? &output->out : &output->err;
}

/* Where snag's stderr is not passed through here: writes LINE there, with one write(2) if that takes all of it. */
static void write_line(struct stream *stream, const char *line, size_t length)
{
    struct pollfd room = {.fd = stream->to, .events = POLLOUT};
    while (length > 0 && !stream->broken) {
        ssize_t written = write(stream->to, line, length);
        if (written >= 0) {
            line += written;
            length -= (size_t)written;
        } else if (errno == EAGAIN) {
            poll(&room, 1, -1);
        } else if (errno != EINTR) {
            stream->broken = true;
            stream->error = errno;
        }
    }
}

void output_line(struct output *output, const char *line, size_t length)
{
    struct stream *stream = line_stream(output);
    if (stream->broken)
        return;
    if (stream->held == NULL) {
        write_line(stream, line, length);
        return;
    }
    if (stream->lines == NULL)
        stream->lines = evbuffer_new();
    if (stream->lines == NULL ||
        evbuffer_get_length(stream->held) + evbuffer_get_length(stream->lines) > OUTPUT_HELD_MAX ||
        evbuffer_add(stream->lines, line, length) != 0)
        output->dropped++;
}

int output_flush(struct output *output)
{
    struct stream *stream = line_stream(output);
    if (stream->held != NULL) {
        settle(stream, false);
        if (stream->writable == NULL)
            while (pass_on(stream)) {
            }
        arm(stream);
    }
    errno = stream->error;
    return stream->broken ? -1 : 0;
}

void output_limit(struct output *output, uint64_t bytes)
{
    output->room = bytes;
}

uint64_t output_lines(const struct output *output)
{
    return output->lines;
}

uint64_t output_dropped(const struct output *output)
{
    return output->dropped;
}

static void finish_stream(struct stream *stream)
{
    if (stream->held == NULL)
        return;
    while (take_in(stream)) {
    }
    settle(stream, true);
    while (evbuffer_get_length(stream->held) > 0 && !stream->broken) {
        size_t length = evbuffer_get_contiguous_space(stream->held);
        ssize_t written = write(stream->to, evbuffer_pullup(stream->held, (ssize_t)length), length);
        if (written < 0 && errno != EINTR) {
            stream->broken = true;
            stream->error = errno;
        } else if (written > 0) {
            evbuffer_drain(stream->held, (size_t)written);
        }
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
