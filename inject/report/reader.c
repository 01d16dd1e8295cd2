#include "report/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/say.h"

/* What a member may be. */
enum kind {
    NUMBER = 1 << 0,
    NATURAL = 1 << 1, /* a number of 0 or more */
    TEXT = 1 << 2,
    TRUTH = 1 << 3,
    LIST = 1 << 4,
    NOTHING = 1 << 5, /* null */
    ABSENT = 1 << 6,  /* it may be missing */
};

struct field {
    const char *name;
    unsigned kinds;
};

static const struct field session_fields[] = {{"format", NATURAL}, {"argv", LIST},    {"plan", LIST}, {"seed", NUMBER},
                                              {"backend", TEXT},   {"started", TEXT}, {"snag", TEXT}, {NULL, 0}};
static const struct field process_fields[] = {
    {"pid", NATURAL}, {"ppid", NATURAL}, {"exe", TEXT}, {"comm", TEXT}, {NULL, 0}};
static const struct field call_fields[] = {{"seq", NATURAL},
                                           {"t_ns", NATURAL},
                                           {"dur_ns", NATURAL},
                                           {"pid", NATURAL},
                                           {"tid", NATURAL},
                                           {"call", TEXT},
                                           {"fd", NUMBER | ABSENT},
                                           {"ret", NUMBER | NOTHING},
                                           {"errno", TEXT | NATURAL | ABSENT},
                                           {"injected", TRUTH},
                                           {"rule", NATURAL | ABSENT},
                                           {"missed", TRUTH | ABSENT},
                                           {"local", TEXT | ABSENT},
                                           {"backlog", NUMBER | ABSENT},
                                           {"args", LIST | ABSENT},
                                           {"site", TEXT | NOTHING | ABSENT},
                                           {NULL, 0}};
static const struct field site_fields[] = {{"id", TEXT}, {"function", TEXT}, {"frames", LIST}, {NULL, 0}};
static const struct field frame_fields[] = {
    {"module", TEXT},        {"offset", TEXT},           {"function", TEXT | ABSENT},
    {"file", TEXT | ABSENT}, {"line", NATURAL | ABSENT}, {NULL, 0}};
static const struct field plan_fields[] = {{"t_ns", NATURAL}, {"change", TEXT}, {"rules", LIST}, {NULL, 0}};
static const struct field plan_rule_fields[] = {{"rule", NATURAL}, {"text", TEXT}, {NULL, 0}};
static const struct field summary_fields[] = {
    {"calls", NATURAL},         {"injected", NATURAL},      {"lost", NATURAL},           {"rules", LIST},
    {"exit", NUMBER | NOTHING}, {"signal", TEXT | NOTHING}, {"verdict", TEXT | NOTHING}, {NULL, 0}};
static const struct field rule_fields[] = {
    {"rule", NATURAL}, {"text", TEXT}, {"matched", NATURAL}, {"injected", NATURAL}, {"missed", NATURAL | ABSENT},
    {NULL, 0}};

struct reader {
    FILE *file;
    const char *path;
    char *line;
    size_t length;
    uint64_t number; /* of the line */
    uint64_t errors, cut;
    bool begun, ended; /* the session was read; the summary was */
};

struct reader *reader_open(const char *path)
{
    struct reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return NULL;
    reader->path = path;
    reader->line = malloc(READER_LINE_MAX);
    reader->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (reader->line == NULL || reader->file == NULL) {
        int saved = errno;
        reader_close(reader);
        errno = saved;
        return NULL;
    }
    return reader;
}

void reader_close(struct reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->file != NULL && reader->file != stdin)
        fclose(reader->file);
    free(reader->line);
    free(reader);
}

uint64_t reader_errors(const struct reader *reader)
{
    return reader->errors;
}

uint64_t reader_cut(const struct reader *reader)
{
    return reader->cut;
}

/* Says what is wrong with the line, or counts it.  Returns false. */
static bool wrong(struct reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(struct reader *reader, const char *format, ...)
{
    char text[512];
    va_list arguments;
    if (reader->errors++ >= READER_ERRORS_MAX)
        return false;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    say_error("%s:%" PRIu64 ": %s", reader->path, reader->number, text);
    return false;
}

static bool is_kind(const json_t *value, unsigned kinds)
{
    switch (json_typeof(value)) {
    case JSON_INTEGER:
        return (kinds & NUMBER) || ((kinds & NATURAL) && json_integer_value(value) >= 0);
    case JSON_STRING:
        return kinds & TEXT;
    case JSON_TRUE:
    case JSON_FALSE:
        return kinds & TRUTH;
    case JSON_ARRAY:
        return kinds & LIST;
    case JSON_NULL:
        return kinds & NOTHING;
    case JSON_REAL:
    case JSON_OBJECT:
        break;
    }
    return false;
}

static const char *kinds_in_words(unsigned kinds, char out[80])
{
    static const struct {
        unsigned kind;
        const char *word;
    } words[] = {{NUMBER, "a whole number"}, {NATURAL, "a whole number of 0 or more"},
                 {TEXT, "a string"},         {TRUTH, "true or false"},
                 {LIST, "a list"},           {NOTHING, "null"}};
    size_t length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof words[0] && length < 80; i++)
        if (kinds & words[i].kind)
            length += (size_t)snprintf(out + length, 80 - length, "%s%s", length > 0 ? " or " : "", words[i].word);
    return out;
}

static bool check_fields(struct reader *reader, const json_t *object, const struct field *fields)
{
    char words[80];
    for (; fields->name != NULL; fields++) {
        const json_t *value = json_object_get(object, fields->name);
        if (value == NULL && (fields->kinds & ABSENT))
            continue;
        if (value == NULL)
            return wrong(reader, "\"%s\" is missing: expected %s", fields->name, kinds_in_words(fields->kinds, words));
        if (!is_kind(value, fields->kinds))
            return wrong(reader, "\"%s\": expected %s", fields->name, kinds_in_words(fields->kinds, words));
    }
    return true;
}

static bool check_texts(struct reader *reader, const json_t *object, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(object, name), i, item)
    {
        if (!json_is_string(item))
            return wrong(reader, "\"%s\": expected a list of strings", name);
    }
    return true;
}

static bool check_session(struct reader *reader, const json_t *object)
{
    json_int_t format = json_integer_value(json_object_get(object, "format"));
    if (!check_fields(reader, object, session_fields))
        return false;
    if (format != READER_FORMAT)
        return wrong(reader, "\"format\": expected %d, and this trace has %" JSON_INTEGER_FORMAT, READER_FORMAT,
                     format);
    reader->begun = true;
    return check_texts(reader, object, "argv") && check_texts(reader, object, "plan");
}

static bool check_objects(struct reader *reader, const json_t *object, const char *name, const struct field *fields)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(object, name), i, item)
    {
        if (!json_is_object(item))
            return wrong(reader, "\"%s\": expected a list of objects", name);
        if (!check_fields(reader, item, fields))
            return false;
    }
    return true;
}

static bool check_summary(struct reader *reader, const json_t *object)
{
    if (!check_fields(reader, object, summary_fields) || !check_objects(reader, object, "rules", rule_fields))
        return false;
    reader->ended = true;
    return true;
}

/* Types that this version does not know are let pass: a later one may write more. */
static bool check_line(struct reader *reader, const json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    if (!json_is_object(object) || type == NULL)
        return wrong(reader, "expected an object with a \"type\", such as session, call or summary");
    bool session = strcmp(type, "session") == 0;
    if (session && reader->number != 1)
        return wrong(reader, "a second session: expected one trace in a file");
    if (!session && reader->number == 1)
        return wrong(reader, "expected a trace, whose first line is {\"type\":\"session\",...}");
    if (reader->ended)
        return wrong(reader, "expected nothing after the summary");
    if (session)
        return check_session(reader, object);
    if (strcmp(type, "process") == 0)
        return check_fields(reader, object, process_fields);
    if (strcmp(type, "call") == 0)
        return check_fields(reader, object, call_fields) && check_texts(reader, object, "args");
    if (strcmp(type, "site") == 0)
        return check_fields(reader, object, site_fields) && check_objects(reader, object, "frames", frame_fields);
    if (strcmp(type, "plan") == 0)
        return check_fields(reader, object, plan_fields) && check_objects(reader, object, "rules", plan_rule_fields);
    if (strcmp(type, "summary") == 0)
        return check_summary(reader, object);
    return true;
}

/* Reads a line.  Returns 1; 0 at the end; -1 if it is too long: what follows may have no end. */
static int read_line(struct reader *reader)
{
    int byte;
    reader->length = 0;
    reader->number++;
    while ((byte = getc_unlocked(reader->file)) != EOF && byte != '\n') {
        if (reader->length == READER_LINE_MAX)
            return -1;
        reader->line[reader->length++] = (char)byte;
    }
    if (byte == EOF && reader->length > 0)
        reader->cut = reader->number;
    return byte != EOF || reader->length > 0;
}

/* The line as JSON; NULL, having said why, if it is none. */
static json_t *parse_line(struct reader *reader)
{
    json_error_t error;
    json_t *object = json_loadb(reader->line, reader->length, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL && reader->cut != reader->number)
        wrong(reader, "column %d: expected a JSON object: %s", error.column, error.text);
    if (object != NULL && reader->cut == reader->number)
        reader->cut = 0; /* only the newline is missing */
    return object;
}

static void check_end(struct reader *reader)
{
    if (ferror(reader->file))
        wrong(reader, "can't read on: %s", strerror(errno));
    else if (reader->number == 1)
        wrong(reader, "expected a trace, and the file is empty");
    if (reader->errors > READER_ERRORS_MAX)
        say_error("%s: %" PRIu64 " more bad lines", reader->path, reader->errors - READER_ERRORS_MAX);
}

json_t *reader_next(struct reader *reader)
{
    int result;
    while ((result = read_line(reader)) != 0) {
        if (result < 0) {
            wrong(reader, "expected a line of a trace, and this is longer than %d bytes", READER_LINE_MAX);
            return NULL;
        }
        json_t *object = parse_line(reader);
        if (object != NULL && check_line(reader, object))
            return object;
        json_decref(object);
        if (!reader->begun && reader->errors > 0)
            return NULL; /* the first line says what the others are */
    }
    check_end(reader);
    return NULL;
}
