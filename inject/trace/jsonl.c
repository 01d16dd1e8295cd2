#include "trace/jsonl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/call.h"
#include "plan/names.h"
#include "trace/address.h"
#include "trace/decode.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

struct jsonl {
    FILE *file;
    uint64_t start_ns;
    uint64_t seq;
    int error; /* errno of the first failure; 0: none */
};

struct jsonl *jsonl_open(const char *path, uint64_t start_ns)
{
    struct jsonl *trace = calloc(1, sizeof *trace);
    if (trace == NULL)
        return NULL;
    trace->start_ns = start_ns;
    trace->file = fopen(path, "we");
    if (trace->file == NULL) {
        int saved = errno;
        free(trace);
        errno = saved;
        return NULL;
    }
    return trace;
}

static void note_error(struct jsonl *trace)
{
    if (trace->error == 0)
        trace->error = errno != 0 ? errno : EIO;
}

void jsonl_object(struct jsonl *trace, json_t *object)
{
    errno = 0;
    if (object == NULL) {
        errno = ENOMEM;
        note_error(trace);
        return;
    }
    if (trace->error == 0 && (json_dumpf(object, trace->file, JSON_COMPACT) != 0 || putc('\n', trace->file) == EOF))
        note_error(trace);
    json_decref(object);
}

/* The length of the UTF-8 character at TEXT; 0: it is none (jansson refuses what this lets pass by mistake). */
static size_t character_length(const unsigned char *text)
{
    size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : text[0] >= 0xc2 ? 2 : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

json_t *jsonl_text(const char *text)
{
    json_t *string = json_string(text);
    if (string != NULL)
        return string;
    char *clean = calloc(strlen(text) + 1, sizeof REPLACEMENT);
    if (clean == NULL)
        return NULL;
    char *to = clean;
    while (*text != '\0') {
        char one[5] = "";
        size_t length = character_length((const unsigned char *)text);
        memcpy(one, text, length);
        json_t *valid = length ? json_string(one) : NULL;
        to = stpcpy(to, valid != NULL ? one : REPLACEMENT);
        text += valid != NULL ? length : 1;
        json_decref(valid);
    }
    string = json_string(clean);
    free(clean);
    return string;
}

json_t *jsonl_address(const void *address, size_t length)
{
    char text[ADDRESS_TEXT_MAX];
    address_text(address, length, text);
    return text[0] != '\0' ? jsonl_text(text) : NULL;
}

static void write_process(struct jsonl *trace, const struct event *event, const void *payload)
{
    struct event_process process;
    if (event->payload < sizeof process)
        return;
    memcpy(&process, payload, sizeof process);
    process.comm[sizeof process.comm - 1] = process.exe[sizeof process.exe - 1] = '\0';
    jsonl_object(trace, json_pack("{s:s, s:i, s:i, s:o, s:o}", "type", "process", "pid", event->pid, "ppid",
                                  process.ppid, "exe", jsonl_text(process.exe), "comm", jsonl_text(process.comm)));
}

/* A failure to add is a lack of memory, which jsonl_object() reports when the dump fails too; one member is no loss. */
static void set(json_t *object, const char *key, json_t *value)
{
    if (value != NULL)
        json_object_set_new(object, key, value);
}

/* accept, accept4 and getpeername tell who is at the other end. */
static bool names_peer(const struct event *event)
{
    return event->call == CALL_accept || event->call == CALL_accept4 || event->call == CALL_getpeername;
}

/* What is known of the socket. */
static void set_socket(json_t *call, const struct event *event, const void *payload)
{
    size_t length;
    const void *address = event_address(event, payload, &length);
    if (length > 0)
        set(call, names_peer(event) ? "peer" : "local", jsonl_address(address, length));
    if (event->call == CALL_listen)
        set(call, "backlog", json_integer((int32_t)event->arg));
    else if ((names_peer(event) && length > 0) || event->call == CALL_getsockname)
        set(call, "addrlen", json_integer(event->arg));
}

/* As strace would write them, a string each. */
static void set_arguments(json_t *call, const struct event *event, const void *payload)
{
    struct decoded decoded;
    if (!(event->flags & EVENT_ARGUMENTS))
        return;
    decode_call(&decoded, event, payload);
    json_t *list = json_array();
    for (size_t i = 0; i < decoded.arguments.count; i++)
        json_array_append_new(list, jsonl_text(words_get(&decoded.arguments, i)));
    set(call, "args", list);
}

static void set_rule(json_t *call, const struct event *event)
{
    bool injected = event->flags & EVENT_INJECTED;
    set(call, "injected", json_boolean(injected));
    if (event->rule != 0) {
        set(call, "rule", json_integer(event->rule));
        set(call, "nth", json_integer(event->nth));
    }
    if (event->flags & EVENT_MISSED)
        set(call, "missed", json_true());
    if (event->flags & EVENT_YIELDED)
        set(call, "yielded", json_true());
    if (event->flags & EVENT_CONSUMED)
        set(call, "consumed", json_true());
}

static void write_call(struct jsonl *trace, const struct event *event, const void *payload)
{
    uint64_t t_ns = event->t_ns > trace->start_ns ? event->t_ns - trace->start_ns : 0;
    if (event->call >= CALL_COUNT)
        return;
    json_t *call = json_pack("{s:s, s:I, s:I, s:I, s:i, s:i, s:s}", "type", "call", "seq", (json_int_t)++trace->seq,
                             "t_ns", (json_int_t)t_ns, "dur_ns", (json_int_t)event->dur_ns, "pid", event->pid, "tid",
                             event->tid, "call", call_info((enum call)event->call)->name);
    if (call == NULL) {
        jsonl_object(trace, NULL);
        return;
    }
    if (event->fd >= 0)
        set(call, "fd", json_integer(event->fd));
    set(call, "ret", json_integer(event->ret));
    if (event->ret < 0 && event->err != 0) {
        const char *name = errno_name(event->err);
        set(call, "errno", name != NULL ? json_string(name) : json_integer(event->err));
    }
    set_rule(call, event);
    set_socket(call, event, payload);
    set_arguments(call, event, payload);
    jsonl_object(trace, call);
}

void jsonl_event(struct jsonl *trace, const struct event *event, const void *payload)
{
    if (event->kind == EVENT_PROCESS)
        write_process(trace, event, payload);
    else if (event->kind == EVENT_CALL)
        write_call(trace, event, payload);
}

int jsonl_flush(struct jsonl *trace)
{
    errno = 0;
    if (trace->error == 0 && fflush(trace->file) != 0)
        note_error(trace);
    errno = trace->error;
    return trace->error == 0 ? 0 : -1;
}

int jsonl_close(struct jsonl *trace)
{
    if (trace == NULL)
        return 0;
    errno = 0;
    if (fclose(trace->file) != 0)
        note_error(trace);
    int error = trace->error;
    free(trace);
    errno = error;
    return error == 0 ? 0 : -1;
}
