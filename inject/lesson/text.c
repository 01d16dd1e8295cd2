#include "lesson/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lesson/embed.h"
#include "run/say.h"

enum key_kind { KEY_ONCE, KEY_LIST, KEY_CHECKED, KEY_CHECK };

static const struct key {
    const char *name;
    enum key_kind kind;
    bool english; /* only there */
} keys[] = {
    {"title", KEY_ONCE, false},   {"question", KEY_ONCE, false}, {"remember", KEY_ONCE, false},
    {"trap", KEY_ONCE, false},    {"task", KEY_ONCE, false},     {"ask", KEY_ONCE, false},
    {"about", KEY_LIST, false},   {"claim", KEY_CHECKED, false}, {"choice", KEY_CHECKED, false},
    {"grade", KEY_CHECKED, true}, {"check", KEY_CHECK, false},   {"rule", KEY_LIST, true},
    {"do", KEY_LIST, true},       {"function", KEY_LIST, true},  {"manual", KEY_LIST, true},
};

enum { KEYS = sizeof keys / sizeof keys[0] };

struct parser {
    const char *where;
    int line;
    char *error;
    size_t size;
    json_t *out;
    json_t *checked; /* what a check belongs to */
};

static int fail(const struct parser *p, const char *why, const char *word)
{
    snprintf(p->error, p->size, "%s:%d: %s%s%s", p->where, p->line, why, word ? ": " : "", word ? word : "");
    return -1;
}

static const struct key *key_named(const char *name)
{
    for (size_t i = 0; i < KEYS; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static json_t *list_of(json_t *object, const char *name)
{
    json_t *list = json_object_get(object, name);
    if (list == NULL && json_object_set_new(object, name, json_array()) == 0)
        list = json_object_get(object, name);
    return list;
}

/* "2 The client is answered": the points, and then the text. */
static json_t *checked_new(const struct key *key, const char *value)
{
    char *text = NULL;
    long points = strcmp(key->name, "grade") == 0 ? strtol(value, &text, 10) : 0;
    if (text == value)
        return NULL;
    if (text)
        value = text + strspn(text, " ");
    return json_pack("{s:s, s:[], s:i}", "text", value, "checks", "points", (int)points);
}

static int add(struct parser *p, const char *name, const char *value)
{
    const struct key *key = key_named(name);
    if (key == NULL)
        return fail(p, "no such key", name);
    if (key->kind == KEY_CHECK) {
        if (p->checked == NULL)
            return fail(p, "a check must follow a claim, a choice or a grade", NULL);
        json_array_append_new(json_object_get(p->checked, "checks"), json_string(value));
        return 0;
    }
    p->checked = NULL;
    if (key->kind == KEY_ONCE && json_object_get(p->out, name) != NULL)
        return fail(p, "given twice", name);
    json_t *item = key->kind == KEY_CHECKED ? checked_new(key, value) : json_string(value);
    if (item == NULL)
        return fail(p, key->kind == KEY_CHECKED ? "expected POINTS and a text" : "no UTF-8", name);
    if (key->kind == KEY_ONCE)
        return json_object_set_new(p->out, name, item);
    if (key->kind == KEY_CHECKED)
        p->checked = item;
    return json_array_append_new(list_of(p->out, name), item);
}

/* Between Chinese characters goes no blank. */
static void join(char *value, const char *more)
{
    size_t length = strlen(value);
    if (length > 0 && !((unsigned char)value[length - 1] >= 0x80 && (unsigned char)more[0] >= 0x80))
        value[length++] = ' ';
    strcpy(value + length, more);
}

/* One "key: value" with the lines that go on with it; KEY and VALUE are cut out of LINE. */
static int add_line(struct parser *p, char *line)
{
    char *value = strstr(line, ":");
    if (value == NULL || value == line)
        return fail(p, "expected \"key: value\"", line);
    *value++ = '\0';
    value += strspn(value, " ");
    return *value == '\0' ? fail(p, "no value for", line) : add(p, line, value);
}

static char *clean(char *line)
{
    size_t length = strlen(line);
    while (length > 0 && isspace((unsigned char)line[length - 1]))
        line[--length] = '\0';
    return line;
}

static int parse_lines(struct parser *p, char *text, char *whole)
{
    int number = 0;
    whole[0] = '\0';
    for (char *line = text, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        clean(line);
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (isspace((unsigned char)line[0]) && whole[0] != '\0' &&
            strncmp(line + strspn(line, " \t"), "check:", 6) != 0) {
            join(whole, line + strspn(line, " \t"));
            continue;
        }
        if (whole[0] != '\0' && add_line(p, whole) != 0)
            return -1;
        p->line = number;
        strcpy(whole, line + strspn(line, " \t"));
    }
    return whole[0] != '\0' ? add_line(p, whole) : 0;
}

json_t *text_parse(const char *text, const char *where, char *error, size_t size)
{
    struct parser p = {.where = where, .error = error, .size = size, .out = json_object()};
    char *copy = strdup(text), *whole = malloc(2 * strlen(text) + 2);
    int result = -1;
    snprintf(error, size, "no memory");
    if (copy != NULL && whole != NULL && p.out != NULL)
        result = parse_lines(&p, copy, whole);
    free(copy);
    free(whole);
    if (result == 0)
        return p.out;
    json_decref(p.out);
    return NULL;
}

/* A lesson says all that a reader is to find in it. */
static const char *lacks(const json_t *lesson)
{
    static const char *const needed[] = {"title", "question", "about", "claim", "ask", "choice", "remember", "trap"};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (json_object_get(lesson, needed[i]) == NULL)
            return needed[i];
    return NULL;
}

static json_t *parse_file(const struct embedded *file)
{
    char error[256], where[128];
    snprintf(where, sizeof where, "%s/%s.lesson", file->language, file->name);
    json_t *lesson = text_parse(file->bytes, where, error, sizeof error);
    const char *missing = lesson ? lacks(lesson) : NULL;
    if (missing)
        snprintf(error, sizeof error, "%s: has no \"%s\"", where, missing);
    for (size_t i = 0; lesson && !missing && i < KEYS && strcmp(file->language, "en") != 0; i++)
        if (keys[i].english && json_object_get(lesson, keys[i].name)) {
            missing = keys[i].name;
            snprintf(error, sizeof error, "%s: \"%s\" belongs into the English file", where, missing);
        }
    if (lesson != NULL && missing == NULL) {
        json_object_set_new(lesson, "name", json_string(file->name));
        json_object_set_new(lesson, "language", json_string(file->language));
        return lesson;
    }
    say_error("%s", error);
    json_decref(lesson);
    errno = EINVAL;
    return NULL;
}

json_t *text_lesson(const char *name, const char *language)
{
    const struct embedded *english = embed_find(EMBED_LESSON, "en", name);
    const struct embedded *other = embed_find(EMBED_TRANSLATED, language, name);
    if (english == NULL) {
        errno = ENOENT;
        return NULL;
    }
    json_t *lesson = parse_file(english), *translated = lesson && other ? parse_file(other) : NULL;
    if (translated)
        json_object_update(lesson, translated);
    if (other && translated == NULL) {
        json_decref(lesson);
        lesson = NULL;
    }
    json_decref(translated);
    return lesson;
}

/* Words have keys of their own. */
json_t *text_words(const char *language)
{
    const struct embedded *file = embed_find(EMBED_WORDS, language, "words");
    char *copy = strdup(file ? file->bytes : ""), *save = NULL;
    json_t *words = json_object();
    for (char *line = copy ? strtok_r(copy, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
        char *value = strstr(line, ": ");
        if (line[0] == '#' || value == NULL)
            continue;
        *value = '\0';
        json_object_set_new(words, line, json_string(value + 2));
    }
    free(copy);
    return words;
}

const char *text_word(const json_t *words, const char *key)
{
    const char *value = json_string_value(json_object_get(words, key));
    return value ? value : key;
}
