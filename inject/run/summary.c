#include "run/summary.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plan/names.h"
#include "run/say.h"
#include "run/where.h"
#include "trace/jsonl.h"

static void say_ready(const struct summary *summary)
{
    if (summary->ready)
        say_note("ready: %s, pid %d, after %" PRIu64 " ms", summary->address[0] ? summary->address : "listening",
                 (int)summary->ready_pid, summary->ready_ms);
}

/* Where RULE was injected, to be freed; NULL without memory. */
static char *where_text(const struct summary *summary, const struct rulebook_rule *rule)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (out == NULL)
        return NULL;
    where_print_rule(summary, rule, out);
    return fclose(out) == 0 ? text : NULL;
}

static void say_rule(const struct summary *summary, size_t i)
{
    const struct rulebook_rule rule = rulebook_at(summary->rules, i);
    const struct rulebook_counts tally = rulebook_counts(summary->rules, i, false);
    char counts[160];
    if (tally.matched == 0)
        snprintf(counts, sizeof counts, "%snever matched%s", say_paint(PAINT_WARN), say_plain());
    else if (!rulebook_fired(&tally))
        snprintf(counts, sizeof counts, "matched %" PRIu64 " time%s, %snever fired%s", tally.matched,
                 tally.matched == 1 ? "" : "s", say_paint(PAINT_WARN), say_plain());
    else
        snprintf(counts, sizeof counts, "matched %" PRIu64 ", injected %" PRIu64, tally.matched, tally.injected);
    char more[80] = "";
    if (tally.missed > 0)
        snprintf(more, sizeof more, ", missed %" PRIu64, tally.missed);
    if (tally.yielded > 0)
        snprintf(more + strlen(more), sizeof more - strlen(more), ", yielded %" PRIu64, tally.yielded);
    char *where = where_text(summary, &rule);
    say_note("rule %" PRIu32 "%s, %s: %s%s%s", rule.number, rule.deleted ? " (deleted)" : "",
             rule.name != NULL ? rule.name : rule.text, counts, more, where != NULL ? where : "");
    free(where);
    where_say_missing(summary, &rule);
}

static void say_unreached(const struct unreached *unreached)
{
    char times[32] = "";
    if (unreached->count > 1)
        snprintf(times, sizeof times, ", %zu times", unreached->count);
    say_note("%sunreached%s: %s (pid %d%s%s%s): %s", say_paint(PAINT_BAD), say_plain(), unreached->exe,
             (int)unreached->pid, times, unreached->listens[0] ? ", listens on " : "", unreached->listens,
             unreached->why);
}

static void say_verdict(const struct summary *summary)
{
    const char *word = verdict_word(summary->verdict);
    enum say_paint paint = summary->verdict == VERDICT_SERVED     ? PAINT_GOOD
                           : summary->verdict == VERDICT_UNTESTED ? PAINT_WARN
                                                                  : PAINT_BAD;
    if (word != NULL)
        say_note("verdict: %s%s%s: %s", say_paint(paint), word, say_plain(), summary->evidence);
}

void summary_say(const struct summary *summary)
{
    say_ready(summary);
    for (size_t i = 0; i < rulebook_count(summary->rules); i++)
        say_rule(summary, i);
    if (summary->lost > 0)
        say_note("at least %" PRIu64 " events lost", summary->lost);
    where_say_lost(summary);
    if (summary->stacks)
        where_say_sites(summary);
    for (size_t i = 0; i < summary->unreached_count; i++)
        say_unreached(&summary->unreached[i]);
    say_verdict(summary);
}

static json_t *rules_json(const struct summary *summary)
{
    json_t *rules = json_array();
    for (size_t i = 0; i < rulebook_count(summary->rules); i++) {
        const struct rulebook_rule rule = rulebook_at(summary->rules, i);
        const struct rulebook_counts counts = rulebook_counts(summary->rules, i, false);
        json_t *object =
            json_pack("{s:I, s:o, s:o, s:I, s:I, s:I, s:I}", "rule", (json_int_t)rule.number, "text",
                      jsonl_text(rule.text), "name", rule.name != NULL ? jsonl_text(rule.name) : json_null(), "matched",
                      (json_int_t)counts.matched, "injected", (json_int_t)counts.injected, "missed",
                      (json_int_t)counts.missed, "yielded", (json_int_t)counts.yielded);
        if (rule.deleted)
            json_object_set_new(object, "deleted", json_true());
        if (summary->sites != NULL)
            json_object_set_new(object, "sites", where_rule_json(summary, &rule));
        json_array_append_new(rules, object);
    }
    return rules;
}

static json_t *unreached_json(const struct summary *summary)
{
    json_t *list = json_array();
    for (size_t i = 0; i < summary->unreached_count; i++) {
        const struct unreached *one = &summary->unreached[i];
        json_array_append_new(list,
                              json_pack("{s:i, s:o, s:I, s:o, s:o}", "pid", (int)one->pid, "exe", jsonl_text(one->exe),
                                        "count", (json_int_t)one->count, "why", jsonl_text(one->why), "listens",
                                        one->listens[0] ? jsonl_text(one->listens) : json_null()));
    }
    return list;
}

static json_t *unseen_json(const struct summary *summary)
{
    json_t *list = json_array();
    for (size_t i = 0; i < summary->unseen_count; i++) {
        const struct unseen_program *one = &summary->unseen[i];
        if (one->ring || one->accepted)
            json_array_append_new(list, json_pack("{s:i, s:o, s:b, s:o}", "pid", (int)one->pid, "comm",
                                                  jsonl_text(one->comm), "io_uring", one->ring, "accepted",
                                                  one->accepted ? jsonl_text(one->address) : json_null()));
    }
    return list;
}

static json_t *milliseconds(bool known, uint64_t ms)
{
    return known ? json_integer((json_int_t)ms) : json_null();
}

static json_t *exit_json(bool known, int status)
{
    return known && WIFEXITED(status) ? json_integer(WEXITSTATUS(status)) : json_null();
}

static json_t *signal_json(bool known, int status)
{
    char name[SIGNAL_NAME_MAX];
    return known && WIFSIGNALED(status) ? json_string(signal_name(WTERMSIG(status), name)) : json_null();
}

static json_t *evidence_json(const struct summary *summary)
{
    const struct facts *facts = summary->facts;
    bool command = facts->command && facts->asked && !facts->interrupted;
    return json_pack("{s:s, s:I, s:I, s:b, s:o, s:o, s:o, s:o, s:o}", "text", summary->evidence, "injected",
                     (json_int_t)facts->injected, "clients", (json_int_t)(facts->command ? 1 : facts->attempts),
                     "answered", facts->client_ok, "served_ms", milliseconds(facts->client_ok, facts->served_ms),
                     "recovered_ms", milliseconds(facts->recovered, facts->recovered_ms), "http",
                     facts->http_status ? json_integer(facts->http_status) : json_null(), "client_exit",
                     exit_json(command, facts->client_status), "client_signal",
                     signal_json(command, facts->client_status));
}

json_t *summary_json(const struct summary *summary)
{
    const char *word = verdict_word(summary->verdict);
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type", "summary", "calls",
        (json_int_t)summary->calls, "injected", (json_int_t)summary->facts->injected, "lost", (json_int_t)summary->lost,
        "exit", exit_json(summary->ended, summary->status), "signal", signal_json(summary->ended, summary->status),
        "rules", rules_json(summary), "verdict", word != NULL ? json_string(word) : json_null(), "evidence",
        word != NULL ? evidence_json(summary) : json_null(), "unreached", unreached_json(summary), "unseen",
        unseen_json(summary), "ready_ms", milliseconds(summary->ready, summary->ready_ms));
    if (summary->sites != NULL && object != NULL) {
        json_object_set_new(object, "sites", where_sites_json(summary));
        json_object_set_new(object, "unwalked", json_integer((json_int_t)atomic_load(&summary->board->unwalked)));
        json_object_set_new(object, "unresolved", json_integer((json_int_t)atomic_load(&summary->board->unresolved)));
    }
    return object;
}

static int dump(json_t *object, FILE *file)
{
    errno = 0;
    int result = json_dumpf(object, file, JSON_INDENT(2)) == 0 && putc('\n', file) != EOF ? 0 : -1;
    if (fclose(file) != 0 || result != 0) {
        if (errno == 0)
            errno = EIO;
        return -1;
    }
    return 0;
}

/* Whether PATH is there and is something that a new file must not replace. */
static bool is_special(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && !S_ISREG(status.st_mode);
}

/* Opens a new file beside PATH; its name goes to TEMPORARY, to be freed. */
static FILE *open_beside(const char *path, char **temporary)
{
    if (asprintf(temporary, "%s.XXXXXX", path) < 0) {
        *temporary = NULL;
        return NULL;
    }
    int fd = mkostemp(*temporary, O_CLOEXEC);
    mode_t mask = umask(0);
    umask(mask);
    FILE *file = fd >= 0 && fchmod(fd, 0666 & ~mask) == 0 ? fdopen(fd, "w") : NULL;
    if (file != NULL)
        return file;
    int saved = errno;
    if (fd >= 0) {
        close(fd);
        unlink(*temporary);
    }
    free(*temporary);
    *temporary = NULL;
    errno = saved;
    return NULL;
}

int summary_check(const char *path)
{
    char *temporary;
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    if (is_special(path))
        return access(path, W_OK);
    FILE *file = open_beside(path, &temporary);
    if (file == NULL)
        return -1;
    fclose(file);
    unlink(temporary);
    free(temporary);
    return 0;
}

int summary_write(const char *path, json_t *object)
{
    char *temporary = NULL;
    if (object == NULL) {
        errno = ENOMEM;
        return -1;
    }
    if (is_special(path)) {
        FILE *file = fopen(path, "we");
        return file != NULL ? dump(object, file) : -1;
    }
    FILE *file = open_beside(path, &temporary);
    if (file == NULL)
        return -1;
    int result = dump(object, file);
    if (result == 0)
        result = rename(temporary, path);
    if (result != 0) {
        int saved = errno;
        unlink(temporary);
        errno = saved;
    }
    free(temporary);
    return result;
}
