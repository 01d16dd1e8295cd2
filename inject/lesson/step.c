#include "lesson/step.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lesson/cells.h"
#include "plan/names.h"
#include "run/clock.h"
#include "trace/decode.h"
#include "trace/jsonl.h"

/* --- Coming in --------------------------------------------------------------------------------------------------------- */

static void set(json_t *object, const char *key, json_t *value)
{
    if (value != NULL)
        json_object_set_new(object, key, value);
}

static void set_time(const struct steps *steps, json_t *step, uint64_t t_ns)
{
    set(step, "t_ns", json_integer(t_ns > steps->start_ns ? (json_int_t)(t_ns - steps->start_ns) : 0));
}

static json_t *arguments_text(const char *name, const struct decoded *decoded)
{
    char text[WORDS_SIZE];
    size_t at = (size_t)snprintf(text, sizeof text, "%s(", name);
    for (size_t i = 0; i < decoded->arguments.count && at < sizeof text; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? ", " : "", words_get(&decoded->arguments, i));
    if (at < sizeof text)
        snprintf(text + at, sizeof text - at, ")");
    return jsonl_text(text);
}

static void set_outcome(const struct steps *steps, json_t *step, const struct event *event)
{
    bool injected = event->flags & EVENT_INJECTED;
    set(step, "ret", json_integer(event->ret));
    set(step, "injected", json_boolean(injected));
    set(step, "asked", json_boolean(event->dur_ns != 0));
    if (event->ret < 0 && errno_name(event->err) != NULL)
        set(step, "errno", json_string(errno_name(event->err)));
    if (injected && event->rule > 0 && event->rule <= plan_rule_count(steps->plan))
        set(step, "rule", json_string(plan_rule_text(steps->plan, event->rule - 1u)));
    if (event->flags & EVENT_CONSUMED)
        set(step, "consumed", json_true());
    if (event->flags & EVENT_YIELDED)
        set(step, "yielded", json_true());
}

static void call_came(struct steps *steps, const struct event *event, const void *payload)
{
    struct decoded decoded;
    if (event->call >= CALL_COUNT)
        return;
    const char *name = call_info((enum call)event->call)->name;
    decode_call(&decoded, event, payload);
    json_t *step = json_pack("{s:s, s:s, s:b, s:b, s:i}", "what", name, "lane", "kernel", "call", 1, "record", 1, "tid",
                             event->tid);
    set_time(steps, step, event->t_ns);
    if (event->fd >= 0)
        set(step, "fd", json_integer(event->fd));
    set(step, "text", arguments_text(name, &decoded));
    set_outcome(steps, step, event);
    json_array_append_new(steps->list, step);
}

void steps_event(void *context, const struct event *event, const void *payload)
{
    struct steps *steps = context;
    if (event->kind == EVENT_CALL)
        call_came(steps, event, payload);
    else if (event->kind == EVENT_LISTENING)
        endpoint_set(&steps->endpoint, payload, event->payload);
}

/* A call that is only announced has another name than its record, so that who counts calls does not count it twice. */
#define SAID "call "

static json_t *said_name(const char *name)
{
    char said[64];
    snprintf(said, sizeof said, SAID "%s", name);
    return json_string(said);
}

static const char *call_name(const char *name)
{
    return strncmp(name, SAID, strlen(SAID)) == 0 ? name + strlen(SAID) : name;
}

static void line_came(struct steps *steps, const char *line)
{
    json_t *step = json_loads(line, 0, NULL);
    if (!json_is_object(step) || json_object_get(step, "what") == NULL) {
        steps->lost = true;
        json_decref(step);
        return;
    }
    set_time(steps, step, (uint64_t)json_integer_value(json_object_get(step, "t")));
    json_object_del(step, "t");
    if (json_object_get(step, "call"))
        json_object_set_new(step, "what", said_name(json_string_value(json_object_get(step, "what"))));
    json_array_append_new(steps->list, step);
}

void steps_told(struct steps *steps, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != '\n' && steps->part_length < sizeof steps->part - 1) {
            steps->part[steps->part_length++] = bytes[i];
            continue;
        }
        steps->part[steps->part_length] = '\0';
        steps->part_length = 0;
        line_came(steps, steps->part);
    }
}

/*
 * How many connections wait to be accepted: the kernel shows that of a listening socket where others have the bytes that
 * wait to be read.  -1: not known.
 */
static int queue_length(const struct endpoint *endpoint)
{
    char line[256];
    unsigned port, state, queue;
    int found = -1;
    FILE *file = endpoint->address.ss_family == AF_INET ? fopen("/proc/net/tcp", "re") : NULL;
    while (file && found < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, " %*u: %*8x:%4x %*8x:%*4x %2x %*8x:%8x", &port, &state, &queue) == 3 && state == TCP_LISTEN &&
            port == endpoint_port(endpoint))
            found = (int)queue;
    if (file)
        fclose(file);
    return found;
}

void steps_client(struct steps *steps, uint64_t t_ns, const char *what, unsigned client, const char *text, bool queue)
{
    json_t *step = json_pack("{s:s, s:s}", "what", what, "lane", "client");
    int length = queue ? queue_length(&steps->endpoint) : -1;
    set_time(steps, step, t_ns ? t_ns : clock_ns());
    if (client > 0)
        set(step, "client", json_integer((json_int_t)client));
    if (text != NULL)
        set(step, "text", jsonl_text(text));
    if (length >= 0)
        set(step, "queue", json_integer(length));
    json_array_append_new(steps->list, step);
}

/* --- In order ---------------------------------------------------------------------------------------------------------- */

static json_int_t number(const json_t *step, const char *key)
{
    return json_integer_value(json_object_get(step, key));
}

static const char *string(const json_t *step, const char *key)
{
    const char *value = json_string_value(json_object_get(step, key));
    return value ? value : "";
}

struct place {
    json_t *step;
    size_t order; /* of arrival: a thread's steps that have one time keep theirs */
};

static int by_time(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    json_int_t at = number(a->step, "t_ns"), bt = number(b->step, "t_ns");
    if (at != bt)
        return at < bt ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static json_t *sorted(const json_t *list)
{
    size_t count = json_array_size(list);
    struct place *places = calloc(count + 1, sizeof *places);
    json_t *out = json_array();
    for (size_t i = 0; places && i < count; i++)
        places[i] = (struct place){json_array_get(list, i), i};
    if (places)
        qsort(places, count, sizeof *places, by_time);
    for (size_t i = 0; places && i < count; i++)
        json_array_append(out, places[i].step);
    free(places);
    return out;
}

/* Returns the next step of the same thread behind I, or NULL. */
static json_t *next_of_thread(const json_t *list, size_t i)
{
    json_int_t tid = number(json_array_get(list, i), "tid");
    for (size_t j = i + 1; j < json_array_size(list); j++)
        if (number(json_array_get(list, j), "tid") == tid)
            return json_array_get(list, j);
    return NULL;
}

static void copy(json_t *to, const json_t *from, const char *const *names)
{
    for (; *names; names++)
        if (json_object_get(from, *names) != NULL && json_object_get(to, *names) == NULL)
            json_object_set(to, *names, json_object_get(from, *names));
}

static const char *const places_of_step[] = {"file", "line", "function", NULL};
static const char *const states[] = {"enabled", "refcount", "callback", "in_loop", "pause_ms", NULL};
static const char *const queues[] = {"queue", NULL};

static bool is_record_of(const json_t *record, const json_t *said)
{
    const json_t *fd = json_object_get(said, "fd");
    return json_object_get(record, "record") && number(record, "tid") == number(said, "tid") &&
           strcmp(string(record, "what"), call_name(string(said, "what"))) == 0 &&
           (fd == NULL || number(record, "fd") == json_integer_value(fd));
}

/*
 * The two clocks that stamp steps are near to each other, but not near enough for what happens within a microsecond.  What
 * comes first is known: a call comes right after it was said.  A thread's steps and a thread's records come in in order.
 */
static void time_records(json_t *list)
{
    json_t *passed = json_object(); /* by thread: the first record that may still be meant */
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *said = json_array_get(list, i);
        char tid[24];
        if (json_object_get(said, "record") || !json_object_get(said, "tid"))
            continue;
        snprintf(tid, sizeof tid, "%lld", (long long)number(said, "tid"));
        size_t j = (size_t)number(passed, tid);
        while (j < json_array_size(list) && !is_record_of(json_array_get(list, j), said))
            j++;
        if (j == json_array_size(list))
            continue;
        json_object_set_new(json_array_get(list, j), "t_ns", json_integer(number(said, "t_ns") + 1));
        json_object_set_new(passed, tid, json_integer((json_int_t)j + 1));
    }
    json_decref(passed);
}

/* What is said before a call, and the record of that call: one step. */
static void join_calls(json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *said = json_array_get(list, i), *record = next_of_thread(list, i);
        if (json_object_get(said, "record") || record == NULL || !json_object_get(record, "record") ||
            strcmp(call_name(string(said, "what")), string(record, "what")) != 0)
            continue;
        json_object_set_new(record, "lane", json_string(string(said, "lane")));
        copy(record, said, places_of_step);
        copy(record, said, states);
        json_array_remove(list, i--);
    }
}

/* A system call changes nothing of the listener; but how long it left the queue only the thread's next step tells. */
static void give_queues(json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *step = json_array_get(list, i);
        const json_t *next = next_of_thread(list, i);
        if (json_object_get(step, "record") && next && !json_object_get(next, "record"))
            copy(step, next, queues);
    }
}

/*
 * That a reference is given back is told before it is, for afterwards there may be nobody to tell.  What the thread tells
 * next shows whether it had gone by then: inside of evconnlistener_free() the descriptor is closed in between.
 */
static void give_references(json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *step = json_array_get(list, i);
        const json_t *next = next_of_thread(list, i);
        if (strcmp(string(step, "what"), "released") != 0 || next == NULL)
            continue;
        bool taken = strcmp(string(next, "what"), "referenced") == 0;
        if (json_object_get(next, "refcount") && number(next, "refcount") - taken <= number(step, "value"))
            json_object_set(step, "refcount", json_object_get(step, "value"));
    }
}

/*
 * Sockets that the server got by a call that we saw: what is done to other descriptors is not part of the lesson, but for
 * closing one of these a second time.  SOCKETS has true for one that is open, false for one that was.
 */
static bool is_ours(json_t *sockets, const json_t *step)
{
    char key[24];
    const char *what = string(step, "what");
    bool makes = strcmp(what, "socket") == 0 || strncmp(what, "accept", 6) == 0, closes = strcmp(what, "close") == 0;
    snprintf(key, sizeof key, "%lld", (long long)number(step, makes ? "ret" : "fd"));
    const json_t *known = json_object_get(sockets, key);
    bool open = json_is_true(known), again = known && closes && strcmp(string(step, "errno"), "EBADF") == 0;
    if (makes && number(step, "ret") >= 0)
        json_object_set_new(sockets, key, json_true());
    if (closes && known)
        json_object_set_new(sockets, key, json_false());
    return makes || open || again;
}

static void drop_strangers(json_t *list)
{
    json_t *sockets = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *step = json_array_get(list, i);
        if (!json_object_get(step, "record"))
            continue;
        bool ours = is_ours(sockets, step), placed = json_object_get(step, "file") != NULL;
        if (!placed && (!ours || strcmp(string(step, "what"), "fcntl") == 0))
            json_array_remove(list, i--);
    }
    json_decref(sockets);
}

static void give_sources(json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *step = json_array_get(list, i);
        char *source = cells_source(step);
        if (source && *source)
            set(step, "source", jsonl_text(source));
        free(source);
    }
}

static void number_steps(json_t *list)
{
    json_t *threads = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *step = json_array_get(list, i);
        char key[24];
        set(step, "n", json_integer((json_int_t)i + 1));
        json_object_del(step, "record");
        if (json_object_get(step, "tid") == NULL)
            continue;
        snprintf(key, sizeof key, "%lld", (long long)number(step, "tid"));
        if (json_object_get(threads, key) == NULL)
            set(threads, key, json_integer((json_int_t)json_object_size(threads) + 1));
        json_object_set(step, "thread", json_object_get(threads, key));
        json_object_del(step, "tid");
    }
    json_decref(threads);
}

/* How long ago the same call was made before, whole milliseconds. */
static void give_distances(json_t *list)
{
    json_t *before = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *step = json_array_get(list, i), *last = json_object_get(before, string(step, "what"));
        if (json_object_get(step, "ret") == NULL)
            continue;
        if (last != NULL)
            set(step, "since_ms",
                json_integer((number(step, "t_ns") - json_integer_value(last)) / (json_int_t)NS_PER_MS));
        json_object_set(before, string(step, "what"), json_object_get(step, "t_ns"));
    }
    json_decref(before);
}

json_t *steps_finish(struct steps *steps)
{
    time_records(steps->list);
    json_t *list = sorted(steps->list);
    join_calls(list);
    drop_strangers(list);
    give_queues(list);
    give_references(list);
    give_distances(list);
    give_sources(list);
    number_steps(list);
    json_decref(steps->list);
    steps->list = NULL;
    return list;
}
