#include "explore/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plan/names.h"
#include "run/say.h"
#include "run/summary.h"
#include "trace/jsonl.h"

enum { FORMAT = 1 };

/* --- Figures ----------------------------------------------------------------------------------------------------- */

enum kind { KIND_BOOL, KIND_I32, KIND_U32, KIND_U64, KIND_TEXT };

/* Every figure by name: what is written is what is read. */
static const struct field {
    const char *name;
    enum kind kind;
    size_t offset, size;
} fields[] = {
#define FIELD(kind, member) \
    { \
#member, kind, offsetof(struct measures, member), sizeof((struct measures *)0)->member \
    }
    FIELD(KIND_BOOL, ready),
    FIELD(KIND_BOOL, never_ready),
    FIELD(KIND_U64, ready_ns),
    FIELD(KIND_TEXT, address),
    FIELD(KIND_BOOL, blocking),
    FIELD(KIND_BOOL, armed),
    FIELD(KIND_U64, armed_ms),
    FIELD(KIND_U64, released_ms),
    FIELD(KIND_U64, matched),
    FIELD(KIND_U64, injected),
    FIELD(KIND_U64, missed),
    FIELD(KIND_U64, yielded),
    FIELD(KIND_U64, real),
    FIELD(KIND_U64, lost),
    FIELD(KIND_U64, window_ns),
    FIELD(KIND_U64, cpu_ns),
    FIELD(KIND_U64, log_lines),
    FIELD(KIND_U64, log_bytes),
    FIELD(KIND_TEXT, log_last),
    FIELD(KIND_U32, window_clients),
    FIELD(KIND_TEXT, note),
    FIELD(KIND_TEXT, limit_error),
    FIELD(KIND_U32, clients),
    FIELD(KIND_U32, served_under),
    FIELD(KIND_U32, served_after),
    FIELD(KIND_U32, refused),
    FIELD(KIND_U32, closed_under_pressure),
    FIELD(KIND_U32, closed_without),
    FIELD(KIND_U32, consumed),
    FIELD(KIND_BOOL, waited),
    FIELD(KIND_U64, alone_ms),
    FIELD(KIND_BOOL, alone_served),
    FIELD(KIND_BOOL, newcomer_served),
    FIELD(KIND_U64, recovered_ms),
    FIELD(KIND_BOOL, recovered),
    FIELD(KIND_BOOL, woken),
    FIELD(KIND_U32, left_waiting),
    FIELD(KIND_U32, left_accepted),
    FIELD(KIND_BOOL, is_short),
    FIELD(KIND_U64, patience_ms),
    FIELD(KIND_U32, descriptors),
    FIELD(KIND_U32, rounds),
    FIELD(KIND_BOOL, ended),
    FIELD(KIND_BOOL, ended_before_ready),
    FIELD(KIND_I32, end_status),
    FIELD(KIND_BOOL, stop_ignored),
    FIELD(KIND_I32, stopped_badly),
    FIELD(KIND_U32, starters_ended),
    FIELD(KIND_U32, starters_met),
    FIELD(KIND_U32, workers_ended),
    FIELD(KIND_U32, workers_new),
    FIELD(KIND_I32, worker_status),
    FIELD(KIND_BOOL, crowded),
    FIELD(KIND_TEXT, sanitizer),
    FIELD(KIND_TEXT, words),
    FIELD(KIND_TEXT, crash),
    FIELD(KIND_TEXT, error),
    FIELD(KIND_I32, status),
#undef FIELD
};

enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

static json_t *field_json(const struct field *field, const void *from)
{
    switch (field->kind) {
    case KIND_BOOL:
        return json_boolean(*(const bool *)from);
    case KIND_I32:
        return json_integer(*(const int32_t *)from);
    case KIND_U32:
        return json_integer(*(const uint32_t *)from);
    case KIND_U64:
        return json_integer((json_int_t) * (const uint64_t *)from);
    case KIND_TEXT:
        return jsonl_text(from);
    }
    return NULL;
}

static json_t *pair_json(json_int_t first, json_int_t second)
{
    return json_pack("[I, I]", first, second);
}

static json_t *samples_json(const struct measures *m)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < m->sample_count && i < MEASURES_SAMPLES; i++) {
        const struct sample *sample = &m->samples[i];
        json_array_append_new(list, json_pack("[I, I, I, I, I]", (json_int_t)sample->ms, (json_int_t)sample->cpu_us,
                                              (json_int_t)sample->failed, (json_int_t)sample->accepted,
                                              (json_int_t)sample->waiting));
    }
    return list;
}

json_t *figures_json(const struct measures *m)
{
    json_t *object = json_object();
    for (size_t i = 0; i < FIELD_COUNT; i++)
        json_object_set_new(object, fields[i].name, field_json(&fields[i], (const char *)m + fields[i].offset));
    json_object_set_new(object, "growth", pair_json(m->growth[0], m->growth[1]));
    json_object_set_new(object, "round_injected",
                        pair_json((json_int_t)m->round_injected[0], (json_int_t)m->round_injected[1]));
    json_object_set_new(object, "room", pair_json((json_int_t)m->room[0], (json_int_t)m->room[1]));
    json_object_set_new(object, "samples", samples_json(m));
    return object;
}

static int read_field(const struct field *field, const json_t *value, void *to)
{
    json_int_t number = json_integer_value(value);
    switch (field->kind) {
    case KIND_BOOL:
        *(bool *)to = json_is_true(value);
        return json_is_boolean(value) ? 0 : -1;
    case KIND_I32:
        *(int32_t *)to = (int32_t)number;
        return json_is_integer(value) ? 0 : -1;
    case KIND_U32:
        *(uint32_t *)to = (uint32_t)number;
        return json_is_integer(value) && number >= 0 ? 0 : -1;
    case KIND_U64:
        *(uint64_t *)to = (uint64_t)number;
        return json_is_integer(value) && number >= 0 ? 0 : -1;
    case KIND_TEXT:
        if (!json_is_string(value))
            return -1;
        snprintf(to, field->size, "%s", json_string_value(value));
        return 0;
    }
    return -1;
}

static uint64_t item_of(const json_t *list, size_t i)
{
    json_int_t number = json_integer_value(json_array_get(list, i));
    return number > 0 ? (uint64_t)number : 0;
}

static void read_samples(const json_t *list, struct measures *out)
{
    for (size_t i = 0; i < json_array_size(list) && i < MEASURES_SAMPLES; i++) {
        const json_t *sample = json_array_get(list, i);
        out->samples[out->sample_count++] = (struct sample){.ms = (uint32_t)item_of(sample, 0),
                                                            .cpu_us = item_of(sample, 1),
                                                            .failed = item_of(sample, 2),
                                                            .accepted = (uint32_t)item_of(sample, 3),
                                                            .waiting = (uint32_t)item_of(sample, 4)};
    }
}

int figures_read(const json_t *object, struct measures *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (read_field(&fields[i], json_object_get(object, fields[i].name), (char *)out + fields[i].offset) != 0)
            return -1;
    for (size_t i = 0; i < 2; i++) {
        out->growth[i] = (int32_t)json_integer_value(json_array_get(json_object_get(object, "growth"), i));
        out->round_injected[i] = item_of(json_object_get(object, "round_injected"), i);
        out->room[i] = item_of(json_object_get(object, "room"), i);
    }
    read_samples(json_object_get(object, "samples"), out);
    out->done = true;
    return 0;
}

/* --- Results ----------------------------------------------------------------------------------------------------- */

static json_t *set_json(uint32_t set)
{
    json_t *list = json_array();
    for (int verdict = VERDICT_COUNT - 1; verdict > VERDICT_NONE; verdict--) /* the gravest first */
        if (set >> verdict & 1)
            json_array_append_new(list, json_string(verdict_word((enum verdict)verdict)));
    return list;
}

static json_t *signal_json(const struct measures *m)
{
    char name[SIGNAL_NAME_MAX];
    int status = m->ended ? m->end_status : m->worker_status != -1 ? m->worker_status : 0;
    if (m->stopped_badly != 0)
        return json_string(signal_name(m->stopped_badly, name));
    return WIFSIGNALED(status) ? json_string(signal_name(WTERMSIG(status), name)) : json_null();
}

/* A fault that was over in a moment has no rates. */
static json_t *rate_json(const struct measures *m, double rate)
{
    return oracle_has_rates(m, &thresholds_default) ? json_real(rate) : json_null();
}

/* The lines behind the first one, which is the signal's name. */
static json_t *stack_json(const struct measures *m)
{
    json_t *list = json_array();
    for (const char *line = strchr(m->crash, '\n'); line != NULL; line = strchr(line, '\n')) {
        char text[MEASURES_CRASH];
        line++;
        snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
        json_array_append_new(list, jsonl_text(text));
    }
    return list;
}

static json_t *evidence_json(const struct result *result, const struct measures *m)
{
    struct rates rates = oracle_rates(m);
    bool exited = m->ended && WIFEXITED(m->end_status);
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o}", "injected",
                     (json_int_t)oracle_faults(&result->item, m), "calls_per_s", rate_json(m, rates.calls_per_s), "cpu",
                     rate_json(m, rates.cpu), "log_lines_per_s", rate_json(m, rates.lines_per_s), "recovered_ms",
                     m->recovered ? json_integer((json_int_t)m->recovered_ms) : json_null(), "fd_delta",
                     (int)m->growth[0], "exit", exited ? json_integer(WEXITSTATUS(m->end_status)) : json_null(),
                     "signal", signal_json(m), "stack", stack_json(m), "text", jsonl_text(result->ruling.evidence));
}

static json_t *site_json(uint64_t site)
{
    char text[17];
    snprintf(text, sizeof text, "%016jx", (uintmax_t)site);
    return site != 0 ? json_string(text) : json_null();
}

static json_t *item_json(const struct fault_case *item)
{
    json_t *object = json_pack("{s:s, s:o, s:s, s:s, s:o}", "id", item->id, "call",
                               item->call < CALL_COUNT ? json_string(call_info(item->call)->name) : json_null(),
                               "fault", item->fault, "mode", mode_word(item->mode), "site", site_json(item->site));
    if (object == NULL)
        return NULL;
    json_object_set_new(object, "nth", item->nth != 0 ? json_integer(item->nth) : json_null());
    json_object_set_new(object, "function", jsonl_text(item->site_name));
    json_object_set_new(object, "listener", jsonl_text(item->address));
    json_object_set_new(object, "rule", jsonl_text(item->rule));
    return object;
}

json_t *result_json(const struct result *result, const struct measures *m)
{
    json_t *object = item_json(&result->item), *seen = json_array();
    enum verdict headline = result->ruling.headline;
    for (unsigned i = 0; i < result->runs && i < 3; i++)
        json_array_append_new(seen, json_string(verdict_word(result->seen[i])));
    json_object_set_new(object, "verdict", result->failed ? json_null() : json_string(verdict_word(headline)));
    json_object_set_new(object, "verdicts", result->failed ? json_array() : set_json(result->ruling.set));
    json_object_set_new(object, "flaky", json_boolean(result->flaky));
    json_object_set_new(object, "seen", seen);
    json_object_set_new(object, "took_ms", json_integer((json_int_t)result->took_ms));
    json_object_set_new(object, "evidence", evidence_json(result, m));
    return object;
}

static bool copy_text(const json_t *object, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL || strlen(text) >= size)
        return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

int item_read(const json_t *object, struct fault_case *out)
{
    const char *call = json_string_value(json_object_get(object, "call"));
    const char *mode = json_string_value(json_object_get(object, "mode"));
    const char *site = json_string_value(json_object_get(object, "site"));
    *out = (struct fault_case){.call = CALL_NONE};
    if (!copy_text(object, "id", out->id, sizeof out->id) ||
        !copy_text(object, "fault", out->fault, sizeof out->fault) ||
        !copy_text(object, "function", out->site_name, sizeof out->site_name) ||
        !copy_text(object, "listener", out->address, sizeof out->address) ||
        !copy_text(object, "rule", out->rule, sizeof out->rule) || mode == NULL)
        return -1;
    out->mode = mode_by_word(mode, strlen(mode));
    out->call = call != NULL ? call_by_name(call, strlen(call)) : CALL_NONE;
    out->error = errno_by_name(out->fault, strlen(out->fault));
    out->nth = (uint32_t)json_integer_value(json_object_get(object, "nth"));
    out->site = site != NULL ? strtoull(site, NULL, 16) : 0;
    bool named = out->call != CALL_NONE || out->mode == MODE_CONTROL;
    return out->mode < MODE_COUNT && named && out->id[0] != '\0' && strchr(out->id, '/') == NULL ? 0 : -1;
}

static int read_verdicts(const json_t *object, struct result *out)
{
    const json_t *list = json_object_get(object, "verdicts"), *seen = json_object_get(object, "seen");
    const char *word = json_string_value(json_object_get(object, "verdict"));
    out->failed = json_is_null(json_object_get(object, "verdict"));
    out->flaky = json_is_true(json_object_get(object, "flaky"));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        enum verdict verdict = one != NULL ? verdict_by_word(one, strlen(one)) : VERDICT_NONE;
        if (verdict == VERDICT_NONE)
            return -1;
        out->ruling.set |= UINT32_C(1) << verdict;
    }
    for (size_t i = 0; i < json_array_size(seen) && i < 3; i++) {
        const char *one = json_string_value(json_array_get(seen, i));
        out->seen[out->runs++] = one != NULL ? verdict_by_word(one, strlen(one)) : VERDICT_NONE;
    }
    out->ruling.headline = word != NULL ? verdict_by_word(word, strlen(word)) : VERDICT_NONE;
    return out->failed || out->ruling.headline != VERDICT_NONE ? 0 : -1;
}

int result_read(const json_t *object, struct result *out)
{
    const json_t *evidence = json_object_get(object, "evidence");
    memset(out, 0, sizeof *out);
    if (item_read(object, &out->item) != 0 || read_verdicts(object, out) != 0 ||
        !copy_text(evidence, "text", out->ruling.evidence, sizeof out->ruling.evidence))
        return -1;
    out->took_ms = (uint64_t)json_integer_value(json_object_get(object, "took_ms"));
    return 0;
}

/* --- Files ------------------------------------------------------------------------------------------------------- */

static bool is_empty(const char *dir)
{
    struct dirent *entry;
    int count = 0;
    DIR *folder = opendir(dir);
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (folder != NULL)
        closedir(folder);
    return folder != NULL && count == 0;
}

int folder_make(const char *dir, bool resume)
{
    char path[FOLDER_PATH_MAX];
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        say_error("can't make the folder %s: %s", dir, strerror(errno));
        return -1;
    }
    if (errno == EEXIST && !resume && !is_empty(dir)) {
        struct stat status;
        bool folder = stat(dir, &status) == 0 && S_ISDIR(status.st_mode);
        say_error(folder ? "%s is there already, and not empty; give another folder with -o, or go on with --resume"
                         : "%s is there already, and no folder",
                  dir);
        return -1;
    }
    snprintf(path, sizeof path, "%s/cases", dir);
    if ((mkdir(path, 0777) != 0 && errno != EEXIST) || access(path, W_OK | X_OK) != 0) {
        say_error("can't write to the folder %s: %s", dir, strerror(errno));
        return -1;
    }
    return 0;
}

int folder_case(const char *dir, const char *id, char out[FOLDER_PATH_MAX])
{
    int length = snprintf(out, FOLDER_PATH_MAX, "%s/cases/%s", dir, id);
    if (length < 0 || length >= FOLDER_PATH_MAX - 64) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return mkdir(out, 0777) == 0 || errno == EEXIST ? 0 : -1;
}

static json_t *words_json(char *const *words)
{
    json_t *list = json_array();
    for (; *words != NULL; words++)
        json_array_append_new(list, jsonl_text(*words));
    return list;
}

static json_t *ask_json(const struct options *options)
{
    static const char *const names[] = {[ASK_NOTHING] = "connect",   [ASK_CLIENT] = "client", [ASK_CONNECT] = "connect",
                                        [ASK_EXCHANGE] = "exchange", [ASK_HTTP] = "http",     [ASK_HTTPS] = "https"};
    json_t *ask = json_pack("{s:s}", "kind", names[options->ask]);
    if (options->client != NULL)
        json_object_set_new(ask, "command", jsonl_text(options->client));
    if (options->http_path != NULL)
        json_object_set_new(ask, "path", jsonl_text(options->http_path));
    return ask;
}

/* The options that `snag replay` reads again, in the words in which they were given. */
static json_t *arguments_json(const struct config *config)
{
    json_t *list = json_array();
    for (char **word = config->arguments + 1; *word != NULL && strcmp(*word, "--") != 0; word++)
        json_array_append_new(list, jsonl_text(*word));
    return list;
}

static json_t *limits_json(const struct config *config)
{
    const struct trial_limits *limits = &config->limits;
    const struct thresholds *lines = &config->thresholds;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:I}", "start_ns", (json_int_t)limits->start_ns,
                     "hold_ns", (json_int_t)limits->hold_ns, "burst_ns", (json_int_t)limits->burst_ns, "grace_ns",
                     (json_int_t)limits->grace_ns, "patience_ns", (json_int_t)limits->patience_ns, "cpu", lines->cpu,
                     "calls_per_s", lines->calls_per_s, "lines_per_s", lines->lines_per_s, "leak_least",
                     (json_int_t)lines->leak_least);
}

static bool read_limits(const json_t *object, struct config *out)
{
    json_int_t start, hold, burst, grace, patience, leak;
    if (json_unpack((json_t *)object, "{s:I, s:I, s:I, s:I, s:I, s:F, s:F, s:F, s:I}", "start_ns", &start, "hold_ns",
                    &hold, "burst_ns", &burst, "grace_ns", &grace, "patience_ns", &patience, "cpu",
                    &out->thresholds.cpu, "calls_per_s", &out->thresholds.calls_per_s, "lines_per_s",
                    &out->thresholds.lines_per_s, "leak_least", &leak) != 0)
        return false;
    out->limits.start_ns = (uint64_t)start;
    out->limits.hold_ns = (uint64_t)hold;
    out->limits.burst_ns = (uint64_t)burst;
    out->limits.grace_ns = (uint64_t)grace;
    out->limits.patience_ns = (uint64_t)patience;
    out->thresholds.leak_least = (uint32_t)leak;
    out->thresholds.grace_ms = out->limits.grace_ns / 1000000;
    return start >= 0 && hold > 0 && burst > 0 && grace > 0 && patience > 0;
}

int folder_read_case(const json_t *object, struct config *config, struct fault_case *item, struct measures *control)
{
    config->isolated = json_is_true(json_object_get(object, "isolated"));
    if (item_read(object, item) != 0 || !read_limits(json_object_get(object, "limits"), config) ||
        figures_read(json_object_get(object, "control"), control) != 0)
        return -1;
    return 0;
}

static int write_case(const char *path, const struct config *config, const struct result *result,
                      const struct measures *control)
{
    char name[FOLDER_PATH_MAX + 32], cwd[FOLDER_PATH_MAX];
    json_t *object = item_json(&result->item);
    json_object_set_new(object, "format", json_integer(FORMAT));
    json_object_set_new(object, "server", words_json(config->run.server));
    json_object_set_new(object, "cwd", getcwd(cwd, sizeof cwd) != NULL ? jsonl_text(cwd) : json_null());
    json_object_set_new(object, "client", ask_json(&config->run));
    json_object_set_new(object, "options", arguments_json(config));
    json_object_set_new(object, "plan", json_pack("[s]", result->item.rule));
    json_object_set_new(object, "seed", json_integer((json_int_t)config->seed));
    json_object_set_new(object, "limits", limits_json(config));
    json_object_set_new(object, "isolated", json_boolean(config->isolated));
    json_object_set_new(object, "control", figures_json(control));
    snprintf(name, sizeof name, "%s/case.json", path);
    int written = summary_write(name, object);
    int saved = errno;
    json_decref(object);
    errno = saved;
    return written;
}

int folder_write(const char *dir, const struct config *config, const struct result *result, const struct measures *m,
                 const struct measures *control)
{
    char path[FOLDER_PATH_MAX], name[FOLDER_PATH_MAX + 32];
    if (folder_case(dir, result->item.id, path) != 0 || write_case(path, config, result, control) != 0)
        return -1;
    json_t *object = result_json(result, m);
    json_object_set_new(object, "format", json_integer(FORMAT));
    json_object_set_new(object, "figures", figures_json(m));
    snprintf(name, sizeof name, "%s/verdict.json", path);
    int written = summary_write(name, object);
    int saved = errno;
    json_decref(object);
    errno = saved;
    return written;
}

static const char *const case_files[] = {"trace.jsonl", "output"};

void folder_adopt(const char *path, const char *suffix)
{
    char from[FOLDER_PATH_MAX + 32], to[FOLDER_PATH_MAX + 32];
    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/%s%s", path, case_files[i], suffix);
        snprintf(to, sizeof to, "%s/%s", path, case_files[i]);
        rename(from, to);
    }
}

void folder_discard(const char *path, const char *suffix)
{
    char name[FOLDER_PATH_MAX + 32];
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/%s%s", path, case_files[i], suffix);
        unlink(name);
    }
}

/* --- And back ---------------------------------------------------------------------------------------------------- */

static json_t *load(const char *path, const char *file)
{
    char name[FOLDER_PATH_MAX + 32];
    json_error_t error;
    snprintf(name, sizeof name, "%s/%s", path, file);
    json_t *object = json_load_file(name, 0, &error);
    if (object == NULL) {
        say_error("%s: %s", name, error.line >= 0 ? error.text : strerror(errno));
        return NULL;
    }
    if (json_integer_value(json_object_get(object, "format")) == FORMAT)
        return object;
    say_error("%s: expected a file of snag explore, format %d", name, FORMAT);
    json_decref(object);
    return NULL;
}

json_t *folder_case_json(const char *path)
{
    return load(path, "case.json");
}

json_t *folder_verdict_json(const char *path)
{
    return load(path, "verdict.json");
}

int folder_read(const char *path, struct result *out, struct measures *m)
{
    json_t *object = folder_verdict_json(path);
    if (object == NULL)
        return -1;
    int result = result_read(object, out) == 0 && figures_read(json_object_get(object, "figures"), m) == 0 ? 0 : -1;
    if (result != 0)
        say_error("%s/verdict.json: a member is missing, or of another kind than snag explore writes", path);
    json_decref(object);
    return result;
}
