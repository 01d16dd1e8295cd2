#include "run/command.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/server.h"
#include "run/clock.h"
#include "run/session.h"
#include "sites/sites.h"

enum { WORDS_MAX = 4096 }; /* rules in one request; the plan holds far fewer */

/* What a request names. */
struct words {
    const char *at[WORDS_MAX];
    size_t count;
};

static json_t *failure(const char *text)
{
    return json_pack("{s:b, s:o}", "ok", false, "error", jsonl_text(text));
}

/* Reads the list KEY of REQUEST, which may be missing.  Returns -1 if it is not a list of strings, or too long. */
static int read_words(const json_t *request, const char *key, struct words *out)
{
    size_t i;
    json_t *word, *list = json_object_get(request, key);
    out->count = 0;
    if (list != NULL && !json_is_array(list))
        return -1;
    json_array_foreach(list, i, word)
    {
        if (!json_is_string(word) || out->count == WORDS_MAX)
            return -1;
        out->at[out->count++] = json_string_value(word);
    }
    return 0;
}

/* --- Telling ------------------------------------------------------------------------------------------------------ */

static json_t *rule_json(const struct rulebook *book, size_t index)
{
    struct rulebook_rule rule = rulebook_at(book, index);
    struct rulebook_counts counts = rulebook_counts(book, index, true);
    return json_pack("{s:I, s:o, s:o, s:I, s:I, s:I, s:I}", "rule", (json_int_t)rule.number, "text",
                     jsonl_text(rule.text), "name", rule.name != NULL ? jsonl_text(rule.name) : json_null(), "matched",
                     (json_int_t)counts.matched, "injected", (json_int_t)counts.injected, "missed",
                     (json_int_t)counts.missed, "yielded", (json_int_t)counts.yielded);
}

/* The rules in force; those that were deleted are a sum. */
static void set_rules(json_t *answer, const struct rulebook *book)
{
    json_t *rules = json_array();
    json_int_t deleted = 0, matched = 0, injected = 0;
    for (size_t i = 0; i < rulebook_count(book); i++) {
        if (!rulebook_at(book, i).deleted) {
            json_array_append_new(rules, rule_json(book, i));
            continue;
        }
        struct rulebook_counts counts = rulebook_counts(book, i, false);
        deleted++;
        matched += (json_int_t)counts.matched;
        injected += (json_int_t)counts.injected;
    }
    json_object_set_new(answer, "rules", rules);
    json_object_set_new(answer, "deleted",
                        json_pack("{s:I, s:I, s:I}", "rules", deleted, "matched", matched, "injected", injected));
}

static json_t *calls_json(const struct session *session)
{
    json_t *calls = json_array();
    for (enum call call = 0; call < CALL_COUNT; call++) {
        const struct seen_calls *seen = &session->seen[call];
        bool recorded = session->board->wanted[call] & WANT_RECORD;
        if (recorded || seen->count > 0)
            json_array_append_new(calls, json_pack("{s:s, s:b, s:I, s:I, s:I}", "call", call_info(call)->name,
                                                   "recorded", recorded, "seen", (json_int_t)seen->count, "failed",
                                                   (json_int_t)seen->failed, "injected", (json_int_t)seen->injected));
    }
    return calls;
}

static json_t *processes_json(const struct session *session)
{
    json_t *list = json_array();
    struct attached one;
    for (size_t i = 0; attach_process(session->attach, i, &one); i++)
        json_array_append_new(list, json_pack("{s:i, s:o}", "pid", (int)one.pid, "comm", jsonl_text(one.comm)));
    return list;
}

static const char *kind_of(const struct options *options)
{
    return options->standalone ? "session" : options->live ? "trace" : "run";
}

static json_t *argv_json(char *const *argv)
{
    json_t *list = json_array();
    for (; argv != NULL && *argv != NULL; argv++)
        json_array_append_new(list, jsonl_text(*argv));
    return list;
}

static json_t *info(struct session *session)
{
    uint64_t ready_ns = atomic_load(&session->board->ready_ns);
    return json_pack("{s:b, s:i, s:o, s:s, s:o, s:I, s:o, s:b}", "ok", true, "pid", (int)getpid(), "name",
                     session->options->name != NULL ? jsonl_text(session->options->name) : json_null(), "kind",
                     kind_of(session->options), "server", argv_json(session->options->server), "running_ms",
                     (json_int_t)((clock_ns() - session->start_ns) / NS_PER_MS), "ready_ms",
                     ready_ns != 0 ? json_integer((json_int_t)((ready_ns - session->start_ns) / NS_PER_MS))
                                   : json_null(),
                     "paused", atomic_load(&session->board->paused) != 0);
}

static json_t *stats(struct session *session)
{
    drain_read(session->drain, clock_ns()); /* what has come since the last tick */
    json_t *answer = info(session);
    if (answer == NULL)
        return NULL;
    set_rules(answer, session->rules);
    json_object_set_new(answer, "calls", calls_json(session));
    json_object_set_new(answer, "recorded", json_integer((json_int_t)session->calls));
    json_object_set_new(answer, "lost", json_integer((json_int_t)drain_lost(session->drain)));
    json_object_set_new(answer, "attached", json_integer((json_int_t)atomic_load(&session->board->attached)));
    json_object_set_new(answer, "processes", processes_json(session));
    return answer;
}

/* --- Changing ----------------------------------------------------------------------------------------------------- */

static json_t *numbers_json(const uint32_t *numbers, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer((json_int_t)numbers[i]));
    return list;
}

/*
 * Writes down in the trace that the plan changed, and answers.  No call that began after NOW_NS was decided by the plan
 * before it, or if it was an addition, no call that began before NOW_NS by the plan after it.
 */
static json_t *changed(struct session *session, const char *change, const uint32_t *numbers, size_t count,
                       uint64_t now_ns)
{
    session_wants(session);
    if (session->trace != NULL) {
        json_t *rules = json_array();
        for (size_t i = 0; i < count; i++) {
            struct rulebook_rule rule = {.text = ""};
            rulebook_find(session->rules, (uint16_t)numbers[i], &rule);
            json_array_append_new(
                rules, json_pack("{s:I, s:o}", "rule", (json_int_t)numbers[i], "text", jsonl_text(rule.text)));
        }
        jsonl_object(session->trace,
                     json_pack("{s:s, s:I, s:s, s:o}", "type", "plan", "t_ns", (json_int_t)(now_ns - session->start_ns),
                               "change", change, "rules", rules));
    }
    return json_pack("{s:b, s:o}", "ok", true, "numbers", numbers_json(numbers, count));
}

/* Says of a pattern that a rule was added with if it is nowhere in the processes that are there. */
static void note_missing(const struct session *session, uint32_t number, const char *key, int pattern, FILE *out)
{
    if (pattern < 0 || sites_found(session->sites, (size_t)pattern))
        return;
    fprintf(out, "snag: rule %u matches nothing yet: %s", number, key);
    sites_explain(session->sites, (size_t)pattern, out);
    fputc('\n', out);
}

static void note_all_missing(const struct session *session, const uint32_t *numbers, size_t count, FILE *out)
{
    struct rulebook_rule rule;
    if (session->sites == NULL || atomic_load(&session->board->module_count) == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!rulebook_find(session->rules, (uint16_t)numbers[i], &rule))
            continue;
        note_missing(session, numbers[i], "caller=", rule.caller, out);
        note_missing(session, numbers[i], "stack=", rule.stack, out);
    }
}

static ssize_t change_plan(struct session *session, const char *command, const struct words *words, uint64_t now_ns,
                           uint32_t *numbers, FILE *errors)
{
    struct rulebook *book = session->rules;
    if (strcmp(command, "del") == 0)
        return rulebook_delete(book, words->at, words->count, numbers, errors);
    if (strcmp(command, "reset") == 0)
        return rulebook_reset(book, words->at, words->count, now_ns, numbers, errors);
    return rulebook_add(book, words->at, words->count, now_ns, numbers, errors) == 0 ? (ssize_t)words->count : -1;
}

static json_t *change(struct session *session, const char *command, const json_t *request)
{
    struct words words;
    uint32_t numbers[WORDS_MAX];
    char *text = NULL;
    size_t size;
    uint64_t now_ns = clock_ns();
    if (read_words(request, "rules", &words) != 0)
        return failure("snag: \"rules\": expected a list of strings\n");
    FILE *errors = open_memstream(&text, &size);
    if (errors == NULL)
        return NULL;
    bool adds = strcmp(command, "add") == 0;
    ssize_t count = change_plan(session, command, &words, now_ns, numbers, errors);
    if (count > 0 && adds)
        note_all_missing(session, numbers, (size_t)count, errors);
    fclose(errors);
    json_t *answer =
        count < 0 ? failure(text) : changed(session, command, numbers, (size_t)count, adds ? now_ns : clock_ns());
    if (count > 0 && size > 0)
        json_object_set_new(answer, "notes", jsonl_text(text));
    free(text);
    return answer;
}

static json_t *pause_rules(struct session *session, bool on)
{
    atomic_store(&session->board->paused, on);
    return changed(session, on ? "pause" : "resume", NULL, 0, clock_ns());
}

static json_t *stop(struct session *session)
{
    if (!session->options->standalone)
        return failure("snag: this session has a server of its own, and ends with it: send snag a SIGTERM instead\n");
    event_base_loopexit(session->base, NULL); /* once the answer is on its way */
    return json_pack("{s:b}", "ok", true);
}

json_t *command_answer(void *context, const json_t *request)
{
    struct session *session = context;
    const char *command = json_string_value(json_object_get(request, "command"));
    if (command == NULL)
        return failure("snag: not a request: expected a \"command\"\n");
    if (strcmp(command, "info") == 0)
        return info(session);
    if (strcmp(command, "stats") == 0)
        return stats(session);
    if (strcmp(command, "add") == 0 || strcmp(command, "del") == 0 || strcmp(command, "reset") == 0)
        return change(session, command, request);
    if (strcmp(command, "pause") == 0 || strcmp(command, "resume") == 0)
        return pause_rules(session, strcmp(command, "pause") == 0);
    if (strcmp(command, "stop") == 0)
        return stop(session);
    return failure("snag: unknown command; this session is of another version of snag\n");
}

int command_open(struct session *session)
{
    session->control =
        server_open(session->base, boardfile_folder(session->file), session->options->name, command_answer, session);
    return session->control != NULL ? 0 : -1;
}
