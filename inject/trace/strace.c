#include "trace/strace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/rule.h"
#include "plan/names.h"

enum { RESULT_COLUMN = 39 }; /* where the "=" is, if what comes before it is short enough */

struct line {
    char *bytes;
    size_t length;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *format, ...)
{
    size_t room = STRACE_LINE_MAX - 1 - line->length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line->bytes + line->length, room, format, arguments);
    va_end(arguments);
    if (length > 0)
        line->length += (size_t)length < room ? (size_t)length : room - 1;
}

static void add_result(struct line *line, const struct event *event, const struct decoded *decoded)
{
    if (event->flags & EVENT_UNOBSERVED) {
        add(line, "= ?");
        return;
    }
    if (event->ret >= 0 || event->err == 0) {
        add(line, decoded->hex ? "= %#x" : "= %d", (unsigned)event->ret);
        return;
    }
    const char *name = errno_name(event->err);
    if (name != NULL)
        add(line, "= -1 %s (%s)", name, strerror(event->err));
    else
        add(line, "= -1 ERRNO_%d (Unknown error %d)", event->err, event->err);
}

static void add_marks(struct line *line, const struct event *event, unsigned actions)
{
    if (event->flags & EVENT_MISSED)
        add(line, " (MISSED)");
    if (event->flags & EVENT_YIELDED)
        add(line, " (YIELDED)");
    if (!(event->flags & EVENT_INJECTED))
        return;
    bool result = actions & (ACT_FAIL | ACT_RETURN | ACT_FDMIN);
    bool arguments = actions & (ACT_SOCKLEN | ACT_FAMILY | ACT_BACKLOG);
    bool delayed = actions & (ACT_DELAY_ENTER | ACT_DELAY_EXIT);
    if (arguments)
        add(line, result ? " (INJECTED: args, retval)" : " (INJECTED: args)");
    else if (result || !delayed)
        add(line, " (INJECTED)");
    if (delayed)
        add(line, " (DELAYED)");
}

size_t strace_line(char out[STRACE_LINE_MAX], const struct event *event, const void *payload, unsigned actions,
                   bool prefix)
{
    struct line line = {.bytes = out};
    struct decoded decoded;
    decode_call(&decoded, event, payload);
    if (prefix)
        add(&line, "[pid %5d] ", event->tid);
    add(&line, "%s(", event->call < CALL_COUNT ? call_info((enum call)event->call)->name : "?");
    for (size_t i = 0; i < decoded.arguments.count; i++)
        add(&line, "%s%s", i > 0 ? ", " : "", words_get(&decoded.arguments, i));
    add(&line, ")");
    add(&line, "%*s", line.length < RESULT_COLUMN ? (int)(RESULT_COLUMN - line.length) + 1 : 1, "");
    add_result(&line, event, &decoded);
    add(&line, "%s", words_get(&decoded.result, 0));
    add_marks(&line, event, actions);
    out[line.length++] = '\n';
    out[line.length] = '\0';
    return line.length;
}

static void print_place(const struct site_frame *frame, const struct place *place, FILE *out)
{
    fprintf(out, " > %s(", frame->path);
    if (place->function != NULL && place->inlined)
        fprintf(out, "%s", place->function);
    else if (place->function != NULL)
        fprintf(out, "%s+0x%" PRIx64, place->function, place->into);
    fprintf(out, ") [0x%" PRIx64 "]", frame->offset);
    if (place->file != NULL)
        fprintf(out, " %s:%u", place->file, place->line);
    fprintf(out, "%s\n", place->inlined ? " (inlined)" : "");
}

void strace_stack(const struct site *site, FILE *out)
{
    for (size_t i = 0; i < site->frame_count; i++)
        for (size_t j = 0; j < site->frames[i].place_count; j++)
            print_place(&site->frames[i], &site->frames[i].places[j], out);
    if (site->partial)
        fputs(" > ... (who called that is not known)\n", out);
}
