#include "lesson/cells.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lesson/embed.h"
#include "lesson/text.h"

static const char *const lanes[LANES] = {"lane.kernel", "lane.shim", "lane.round", "lane.callback"};

const char *cells_lane(enum lane lane)
{
    return lanes[lane];
}

static const char *string(const json_t *step, const char *key)
{
    const char *value = json_string_value(json_object_get(step, key));
    return value ? value : "";
}

static char *format(const char *text, ...) __attribute__((format(printf, 1, 2)));

static char *format(const char *text, ...)
{
    char *out;
    va_list arguments;
    va_start(arguments, text);
    if (vasprintf(&out, text, arguments) < 0)
        out = NULL;
    va_end(arguments);
    return out;
}

static void put_value(FILE *out, const json_t *value)
{
    if (json_is_string(value))
        fputs(json_string_value(value), out);
    else if (json_is_integer(value))
        fprintf(out, "%lld", (long long)json_integer_value(value));
    else
        fputs("?", out);
}

/* TEMPLATE with each {key} replaced by the step's value. */
static char *expand(const char *template, const json_t *step)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return NULL;
    for (const char *at = template, *end; *at; at = end + 1) {
        end = *at == '{' ? strchr(at, '}') : NULL;
        if (end == NULL) {
            fputc(*at, out);
            end = at;
            continue;
        }
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)(end - at - 1), at + 1);
        put_value(out, json_object_get(step, key));
    }
    return fclose(out) == 0 ? text : NULL;
}

/* What the words call this step; a step that they don't know is called by its name. */
static char *named(const json_t *step, const json_t *words)
{
    char key[80];
    snprintf(key, sizeof key, "step.%s", string(step, "what"));
    const char *template = text_word(words, key);
    return strcmp(template, key) == 0 ? strdup(string(step, "what")) : expand(template, step);
}

/* --- Calls ------------------------------------------------------------------------------------------------------------- */

/* An address in the arguments takes more room than it is worth in a lane. */
static char *shortened(const char *text)
{
    char *out = malloc(strlen(text) + 4), *to = out;
    if (out == NULL)
        return NULL;
    for (const char *at = text; *at; at++) {
        const char *end = *at == '{' && strncmp(at, "{sa_family", 10) == 0 ? strchr(at, '}') : NULL;
        if (end)
            to = stpcpy(to, "{...}");
        else
            *to++ = *at;
        at = end ? end : at;
    }
    *to = '\0';
    return out;
}

static char *kernel_text(const json_t *step, const json_t *words)
{
    if (!json_is_true(json_object_get(step, "asked")))
        return strdup(text_word(words, "kernel.not_asked"));
    char *call = shortened(string(step, "text"));
    long long ret = (long long)json_integer_value(json_object_get(step, "ret"));
    char *text = ret < 0 ? format("%s = -1 %s", call ? call : "", string(step, "errno"))
                         : format("%s = %lld", call ? call : "", ret);
    free(call);
    return text;
}

static char *shim_text(const json_t *step, const json_t *words)
{
    bool injected = json_is_true(json_object_get(step, "injected"));
    const char *key = injected ? "shim.injected" : json_object_get(step, "yielded") ? "shim.yielded" : "shim.passed";
    return expand(text_word(words, key), step);
}

/* The lane of who made the call. */
static char *caller_text(const json_t *step, const json_t *words)
{
    return expand(text_word(words, "caller"), step);
}

/* --- Lanes --------------------------------------------------------------------------------------------------------------- */

static bool is_lane(const json_t *step, const char *name)
{
    return strcmp(string(step, "lane"), name) == 0;
}

char *cells_text(const json_t *step, enum lane lane, const json_t *words)
{
    bool call = json_object_get(step, "ret") != NULL;
    bool mine = (lane == LANE_ROUND && is_lane(step, "round")) || (lane == LANE_CALLBACK && is_lane(step, "callback"));
    if (call && lane == LANE_KERNEL)
        return kernel_text(step, words);
    if (call && lane == LANE_SHIM)
        return shim_text(step, words);
    if (!mine)
        return strdup("");
    char *text = call ? caller_text(step, words) : named(step, words);
    if (json_integer_value(json_object_get(step, "thread")) < 2 || text == NULL)
        return text;
    char *with_thread = format("[%s %lld] %s", text_word(words, "thread"),
                               (long long)json_integer_value(json_object_get(step, "thread")), text);
    free(text);
    return with_thread;
}

char *cells_outside(const json_t *step, const json_t *words)
{
    return is_lane(step, "client") ? named(step, words) : strdup("");
}

/* --- State --------------------------------------------------------------------------------------------------------------- */

static void put_state(FILE *out, const json_t *step, const json_t *words, const char *key)
{
    char name[64];
    const json_t *value = json_object_get(step, key);
    long long number = (long long)json_integer_value(value);
    if (value == NULL || (strcmp(key, "queue") == 0 && number < 0))
        return;
    snprintf(name, sizeof name, "state.%s.%s", key, number ? "yes" : "no");
    char *text = expand(text_word(words, name), step);
    fprintf(out, "%s%s", ftell(out) > 0 ? text_word(words, "state.comma") : "", text ? text : "");
    free(text);
}

char *cells_state(const json_t *step, const json_t *words)
{
    static const char *const keys[] = {"enabled", "in_loop", "callback", "refcount", "pause_ms", "queue"};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put_state(out, step, words, keys[i]);
    return fclose(out) == 0 ? text : NULL;
}

char *cells_source(const json_t *step)
{
    const struct embedded *file = embed_find(EMBED_SOURCE, NULL, string(step, "file"));
    json_int_t line = json_integer_value(json_object_get(step, "line"));
    if (file == NULL || line < 1)
        return strdup("");
    const char *at = file->bytes;
    for (json_int_t i = 1; i < line && at != NULL; i++)
        if ((at = strchr(at, '\n')) != NULL)
            at++;
    if (at == NULL)
        return strdup("");
    at += strspn(at, " ");
    return strndup(at, strcspn(at, "\n"));
}
