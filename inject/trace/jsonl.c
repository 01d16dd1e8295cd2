#include "trace/jsonl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/call.h"
#include "plan/names.h"
#include "sites/sites.h"
#include "trace/address.h"
#include "trace/decode.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

enum { BUFFER_SIZE = 1 << 17 }; /* a system call for each 700 calls or so */

struct jsonl {
    FILE *file;
    uint64_t start_ns;
    uint64_t seq;
    struct sites *sites; /* NULL: calls have none */
    int error;           /* errno of the first failure; 0: none */
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
    setvbuf(trace->file, NULL, _IOFBF, BUFFER_SIZE);
    return trace;
}

void jsonl_sites(struct jsonl *trace, struct sites *sites)
{
    trace->sites = sites;
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

/*
 * The members of a call are written one by one, and not made a tree first: that took 1.5 us a call, and a recording may have
 * a million a second.  KEY is with all its punctuation: `,"fd":`.  What fails is seen at the end of the line.
 */
static void put(struct jsonl *trace, const char *text)
{
    fputs_unlocked(text, trace->file);
}

static void put_number(struct jsonl *trace, const char *key, int64_t value)
{
    char digits[24], *at = digits + sizeof digits - 1;
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    *at = '\0';
    do
        *--at = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (value < 0)
        *--at = '-';
    put(trace, key);
    put(trace, at);
}

/* NAME is one of ours, with nothing in it to escape. */
static void put_name(struct jsonl *trace, const char *key, const char *name)
{
    put(trace, key);
    put(trace, "\"");
    put(trace, name);
    put(trace, "\"");
}

/* VALUE is given back; without it (no memory) the member is left out. */
static void put_json(struct jsonl *trace, const char *key, json_t *value)
{
    if (value == NULL)
        return;
    put(trace, key);
    json_dumpf(value, trace->file, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
}

/* TEXT may have anything in it.  Addresses hardly ever have what must be escaped. */
static void put_text(struct jsonl *trace, const char *key, const char *text)
{
    const char *p = text;
    while (*p >= ' ' && *p <= '~' && *p != '"' && *p != '\\')
        p++;
    if (*p == '\0')
        put_name(trace, key, text);
    else
        put_json(trace, key, jsonl_text(text));
}

/* accept, accept4 and getpeername tell who is at the other end. */
static bool names_peer(const struct event *event)
{
    return event->call == CALL_accept || event->call == CALL_accept4 || event->call == CALL_getpeername;
}

/* What is known of the socket. */
static void put_socket(struct jsonl *trace, const struct event *event, const void *payload)
{
    char text[ADDRESS_TEXT_MAX];
    size_t length;
    const void *address = event_address(event, payload, &length);
    address_text(address, length, text);
    if (text[0] != '\0')
        put_text(trace, names_peer(event) ? ",\"peer\":" : ",\"local\":", text);
    if (event->call == CALL_listen)
        put_number(trace, ",\"backlog\":", (int32_t)event->arg);
    else if ((names_peer(event) && length > 0) || event->call == CALL_getsockname)
        put_number(trace, ",\"addrlen\":", event->arg);
}

/* As strace would write them, a string each. */
static void put_arguments(struct jsonl *trace, const struct event *event, const void *payload)
{
    struct decoded decoded;
    if (!(event->flags & EVENT_ARGUMENTS))
        return;
    decode_call(&decoded, event, payload);
    json_t *list = json_array();
    for (size_t i = 0; i < decoded.arguments.count; i++)
        json_array_append_new(list, jsonl_text(words_get(&decoded.arguments, i)));
    put_json(trace, ",\"args\":", list);
}

static void put_rule(struct jsonl *trace, const struct event *event, uint32_t rule)
{
    put(trace, event->flags & EVENT_INJECTED ? ",\"injected\":true" : ",\"injected\":false");
    if (rule != 0) {
        put_number(trace, ",\"rule\":", rule);
        put_number(trace, ",\"nth\":", event->nth);
    }
    if (event->flags & EVENT_MISSED)
        put(trace, ",\"missed\":true");
    if (event->flags & EVENT_YIELDED)
        put(trace, ",\"yielded\":true");
    if (event->flags & EVENT_CONSUMED)
        put(trace, ",\"consumed\":true");
}

static void put_result(struct jsonl *trace, const struct event *event)
{
    const char *name = errno_name(event->err);
    if (event->flags & EVENT_UNOBSERVED) {
        put(trace, ",\"ret\":null,\"outcome\":\"unobserved\"");
        return;
    }
    put_number(trace, ",\"ret\":", event->ret);
    if (event->ret >= 0 || event->err == 0)
        return;
    if (name != NULL)
        put_name(trace, ",\"errno\":", name);
    else
        put_number(trace, ",\"errno\":", event->err);
}

/* A failure to add is a lack of memory, which jsonl_object() reports when the dump fails too; one member is no loss. */
static void set(json_t *object, const char *key, json_t *value)
{
    if (value != NULL)
        json_object_set_new(object, key, value);
}

/* The function, and the line, of PLACE, as far as they are known. */
static void set_place(json_t *object, const struct place *place)
{
    if (place->function != NULL)
        set(object, "function", jsonl_text(place->function));
    if (place->file != NULL)
        set(object, "file", jsonl_text(place->file));
    if (place->line != 0)
        set(object, "line", json_integer(place->line));
}

static json_t *frame_json(const struct site_frame *frame)
{
    char offset[24];
    snprintf(offset, sizeof offset, "0x%" PRIx64, frame->offset);
    json_t *object = json_pack("{s:o, s:o, s:s}", "module", jsonl_text(frame->module), "path", jsonl_text(frame->path),
                               "offset", offset);
    set_place(object, &frame->places[0]);
    if (frame->place_count < 2)
        return object;
    json_t *outer = json_array();
    for (size_t i = 1; i < frame->place_count; i++) {
        json_t *place = json_object();
        set_place(place, &frame->places[i]);
        json_array_append_new(outer, place);
    }
    set(object, "inlined_into", outer);
    return object;
}

/* The line of site ID, before that of its first call. */
static void write_site(struct jsonl *trace, uint64_t id)
{
    char text[SITE_ID_MAX];
    struct site *site = sites_find(trace->sites, id);
    if (site == NULL || site->written)
        return;
    json_t *frames = json_array();
    site->written = true;
    for (size_t i = 0; i < site->frame_count; i++)
        json_array_append_new(frames, frame_json(&site->frames[i]));
    json_t *line = json_pack("{s:s, s:s, s:o, s:o}", "type", "site", "id", site_id_text(id, text), "function",
                             jsonl_text(site->function), "frames", frames);
    if (site->partial)
        json_object_set_new(line, "partial", json_true());
    jsonl_object(trace, line);
}

/* A call whose stack could not be walked has null. */
static void put_site(struct jsonl *trace, uint64_t id)
{
    char text[SITE_ID_MAX];
    if (id != 0)
        put_name(trace, ",\"site\":", site_id_text(id, text));
    else
        put(trace, ",\"site\":null");
}

static void write_call(struct jsonl *trace, const struct event *event, const void *payload, uint32_t rule)
{
    if (event->call >= CALL_COUNT || trace->error != 0)
        return;
    if (trace->sites != NULL)
        write_site(trace, event->site);
    errno = 0;
    put_number(trace, "{\"type\":\"call\",\"seq\":", (int64_t)++trace->seq);
    put_number(trace, ",\"t_ns\":", event->t_ns > trace->start_ns ? (int64_t)(event->t_ns - trace->start_ns) : 0);
    put_number(trace, ",\"dur_ns\":", (int64_t)event->dur_ns);
    put_number(trace, ",\"pid\":", event->pid);
    put_number(trace, ",\"tid\":", event->tid);
    put_name(trace, ",\"call\":", call_info((enum call)event->call)->name);
    if (event->fd >= 0)
        put_number(trace, ",\"fd\":", event->fd);
    put_result(trace, event);
    put_rule(trace, event, rule);
    if (trace->sites != NULL)
        put_site(trace, event->site);
    put_socket(trace, event, payload);
    put_arguments(trace, event, payload);
    put(trace, "}\n");
    if (ferror_unlocked(trace->file))
        note_error(trace);
}

void jsonl_event(struct jsonl *trace, const struct event *event, const void *payload, uint32_t rule)
{
    if (event->kind == EVENT_PROCESS)
        write_process(trace, event, payload);
    else if (event->kind == EVENT_CALL)
        write_call(trace, event, payload, rule);
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
