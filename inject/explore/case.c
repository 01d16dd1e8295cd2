#include "explore/case.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const words[MODE_COUNT] = {
    [MODE_ONCE] = "once", [MODE_BURST] = "burst",     [MODE_HELD] = "held",
    [MODE_NTH] = "nth",   [MODE_EXHAUST] = "exhaust", [MODE_CONTROL] = "control",
};

const char *mode_word(enum mode mode)
{
    return words[mode];
}

enum mode mode_by_word(const char *text, size_t length)
{
    for (enum mode mode = 0; mode < MODE_COUNT; mode++)
        if (strlen(words[mode]) == length && memcmp(words[mode], text, length) == 0)
            return mode;
    return MODE_COUNT;
}

bool error_is_pressure(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS || error == ENOSPC;
}

bool call_accepts(enum call call)
{
    return call == CALL_accept || call == CALL_accept4;
}

bool case_consumes(const struct fault_case *item)
{
    if (item->error == 0 || item->call >= CALL_COUNT)
        return false;
    const struct call_errno *row = call_errno(item->call, item->error);
    return row != NULL && row->effect == CONSUMES;
}

static void add(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void add(char *out, size_t size, const char *format, ...)
{
    size_t length = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out + length, size - length, format, arguments);
    va_end(arguments);
}

/*
 * A blocking accept that is to get a client first, and then the fault, may be ended by a signal before that: times= does not
 * count it then, and when= does.
 */
static void add_count(struct fault_case *item, bool pending)
{
    bool waits = !pending && call_accepts(item->call) && (item->error == 0 || case_consumes(item));
    if (item->mode == MODE_ONCE)
        add(item->rule, sizeof item->rule, waits ? ":times=1" : ":when=1");
    else if (item->mode == MODE_BURST)
        add(item->rule, sizeof item->rule, waits ? ":times=%d" : ":when=1..%d", CASE_BURST);
    else if (item->mode == MODE_NTH)
        add(item->rule, sizeof item->rule, ":when=%" PRIu32, item->nth);
}

static void make_rule(struct fault_case *item, bool pending)
{
    item->rule[0] = '\0';
    if (item->mode == MODE_CONTROL || item->mode == MODE_EXHAUST)
        return;
    add(item->rule, sizeof item->rule, "%s:%s%s", call_info(item->call)->name, item->error != 0 ? "error=" : "",
        item->fault);
    add_count(item, pending);
    if (item->site != 0)
        add(item->rule, sizeof item->rule, ":site=%016" PRIx64, item->site);
    if (item->filter[0] != '\0')
        add(item->rule, sizeof item->rule, ":%s", item->filter);
    if (pending && call_accepts(item->call))
        add(item->rule, sizeof item->rule, ":pending");
}

/* A folder's name, and a word that a shell leaves alone. */
static void add_clean(char *out, size_t size, const char *text)
{
    size_t length = strlen(out);
    for (; *text != '\0' && length + 1 < size; text++) {
        bool fine = isalnum((unsigned char)*text) || strchr("._-@~+:", *text) != NULL;
        out[length++] = fine ? *text : '_';
    }
    out[length] = '\0';
}

static void make_id(struct fault_case *item, const char *listener)
{
    char fault[CASE_FAULT_MAX];
    size_t length = 0;
    for (const char *from = item->fault; *from != '\0'; from++)
        if (*from != '=')
            fault[length++] = (char)tolower((unsigned char)*from);
    fault[length] = '\0';
    item->id[0] = '\0';
    if (item->mode == MODE_CONTROL)
        add(item->id, sizeof item->id, "control");
    else
        add(item->id, sizeof item->id, "%s-%s-%s", call_info(item->call)->name, fault, words[item->mode]);
    if (item->mode == MODE_NTH)
        add(item->id, sizeof item->id, "%" PRIu32, item->nth);
    if (item->site_name[0] != '\0') {
        add(item->id, sizeof item->id, "@");
        add_clean(item->id, sizeof item->id, item->site_name);
    }
    if (listener[0] != '\0') {
        add(item->id, sizeof item->id, "+");
        add_clean(item->id, sizeof item->id, listener);
    }
}

void case_complete(struct fault_case *item, bool pending, const char *listener)
{
    make_rule(item, pending);
    make_id(item, listener);
}
