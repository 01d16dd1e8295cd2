#include "explore/accepted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "explore/explore.h"
#include "run/say.h"

enum { LINE_MAX_BYTES = 4096 };

/* What a line of the list says; strings are parts of it, cut off there. */
struct entry {
    char *id; /* NULL: nothing but a comment */
    uint32_t verdicts;
    char *why; /* from its # on; NULL: none */
};

static struct result *find(const struct campaign_report *report, const char *id)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->results[i].item.id, id) == 0)
            return &report->results[i];
    return NULL;
}

/* Takes LINE, number NUMBER of file PATH, apart.  Returns 0, or -1, having said where and what was expected. */
static int entry_parse(const char *path, int number, char *line, struct entry *out)
{
    const char *bad;
    line[strcspn(line, "\r\n")] = '\0';
    char *rest = line, *comment = strchr(line, '#');
    *out = (struct entry){.why = comment != NULL ? strdup(comment) : NULL};
    if (comment != NULL && out->why == NULL) {
        say_error("no memory for the baseline %s", path);
        return -1;
    }
    if (comment != NULL)
        *comment = '\0';
    out->id = strtok_r(rest, " \t", &rest);
    char *verdicts = out->id != NULL ? strtok_r(rest, " \t", &rest) : NULL;
    if (out->id == NULL)
        return 0;
    if (verdicts == NULL || strtok_r(rest, " \t", &rest) != NULL)
        say_error("%s:%d: expected ID VERDICT[,VERDICT]... # why", path, number);
    else if (config_verdicts(verdicts, &out->verdicts, &bad) != 0)
        say_error("%s:%d: no verdict '%.*s'", path, number, (int)strcspn(bad, ","), bad);
    else
        return 0;
    return -1;
}

typedef int taker(void *context, const char *path, int number, const struct entry *entry);

/* Hands each line of FILE to TAKE, until one of them fails. */
static int each_line(FILE *file, const char *path, taker *take, void *context)
{
    char line[LINE_MAX_BYTES];
    struct entry entry;
    int result = 0;
    for (int number = 1; result == 0 && fgets(line, sizeof line, file) != NULL; number++) {
        result = entry_parse(path, number, line, &entry);
        if (result == 0)
            result = take(context, path, number, &entry);
        free(entry.why);
    }
    if (result == 0 && ferror(file)) {
        say_error("can't read the baseline %s: %s", path, strerror(errno));
        result = -1;
    }
    return result;
}

/* Whether it is known what RESULT is now: what was not tested may still be what it was. */
static bool is_judged(const struct result *result)
{
    return result->ruling.headline > VERDICT_UNTESTED && !result->failed;
}

static int take_accepted(void *context, const char *path, int number, const struct entry *entry)
{
    struct campaign_report *report = context;
    struct result *result = entry->id != NULL ? find(report, entry->id) : NULL;
    if (result == NULL)
        return 0; /* not tried this time: another shard, or fewer faults */
    result->accepted = entry->verdicts;
    uint32_t mended = entry->verdicts & report->fail_on & ~result->ruling.set;
    if (mended != 0 && is_judged(result))
        say_note("mended: %s is %s now; %s:%d can go", entry->id, verdict_word(result->ruling.headline), path, number);
    return 0;
}

int accepted_read(const char *path, struct campaign_report *report)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        say_error("can't read the baseline %s: %s", path, strerror(errno));
        return -1;
    }
    int result = each_line(file, path, take_accepted, report);
    fclose(file);
    return result;
}

/* --- Writing it -------------------------------------------------------------------------------------------------- */

/* A line that is to be written. */
struct line {
    char *id;
    uint32_t verdicts;
    char *above, *why; /* comments: whole lines before it, and the one behind it; NULL: none */
};

/* A list as it was, and as it becomes. */
struct list {
    const struct campaign_report *report;
    struct line *lines;
    size_t count, room;
    char *head, *pending; /* comments: at the top, up to a blank line; above the next line */
    bool failed;          /* for want of memory */
};

static char *join(char *first, const char *second)
{
    char *both = NULL;
    if (asprintf(&both, "%s%s\n", first != NULL ? first : "", second) < 0)
        both = NULL;
    free(first);
    return both;
}

static struct line *list_add(struct list *list, const char *id, uint32_t verdicts)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        struct line *more = realloc(list->lines, room * sizeof *more);
        if (more == NULL)
            return NULL;
        list->lines = more;
        list->room = room;
    }
    struct line *line = &list->lines[list->count];
    *line = (struct line){.id = strdup(id), .verdicts = verdicts};
    if (line->id == NULL)
        return NULL;
    list->count++;
    return line;
}

static int take_comment(struct list *list, const struct entry *entry)
{
    if (entry->why != NULL) {
        list->pending = join(list->pending, entry->why);
        list->failed = list->failed || list->pending == NULL;
    } else if (list->count == 0 && list->head == NULL) {
        list->head = list->pending;
        list->pending = NULL;
    }
    return list->failed ? -1 : 0;
}

static int take_old(void *context, const char *path, int number, const struct entry *entry)
{
    struct list *list = context;
    (void)path;
    (void)number;
    if (entry->id == NULL)
        return take_comment(list, entry);
    struct line *line = list_add(list, entry->id, entry->verdicts);
    if (line == NULL) {
        list->failed = true;
        return -1;
    }
    line->above = list->pending;
    list->pending = NULL;
    line->why = entry->why != NULL ? strdup(entry->why) : NULL;
    list->failed = entry->why != NULL && line->why == NULL;
    return list->failed ? -1 : 0;
}

/* What is there already, if it is a file.  Returns 0, or -1, having said why unless LIST failed. */
static int read_old(struct list *list, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        say_error("can't read the baseline %s, whose comments are to stay: %s", path, strerror(errno));
        return -1;
    }
    int result = each_line(file, path, take_old, list);
    fclose(file);
    return result;
}

/* Lines of cases that were tried are as these were; what was not tried stays, unless all was. */
static void update_old(struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct result *result = find(list->report, list->lines[i].id);
        if (result != NULL && is_judged(result))
            list->lines[i].verdicts = result->ruling.set & list->report->fail_on;
        else if (result == NULL && !list->report->partial)
            list->lines[i].verdicts = 0;
    }
}

static bool has_line(const struct list *list, size_t count, const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list->lines[i].id, id) == 0)
            return true;
    return false;
}

static int add_new(struct list *list)
{
    size_t old = list->count;
    for (size_t i = 0; i < list->report->count; i++) {
        const struct result *result = &list->report->results[i];
        uint32_t failing = result->ruling.set & list->report->fail_on;
        if (failing != 0 && !has_line(list, old, result->item.id) && list_add(list, result->item.id, failing) == NULL) {
            list->failed = true;
            return -1;
        }
    }
    return 0;
}

static int compare_lines(const void *left, const void *right)
{
    return strcmp(((const struct line *)left)->id, ((const struct line *)right)->id);
}

static void write_line(FILE *file, const struct line *line)
{
    const char *comma = "";
    fprintf(file, "%s%s ", line->above != NULL ? line->above : "", line->id);
    for (int verdict = VERDICT_COUNT - 1; verdict > VERDICT_NONE; verdict--)
        if (line->verdicts & (UINT32_C(1) << verdict)) {
            fprintf(file, "%s%s", comma, verdict_word((enum verdict)verdict));
            comma = ",";
        }
    fprintf(file, "%s%s\n", line->why != NULL ? " " : "", line->why != NULL ? line->why : "");
}

static void write_list(FILE *file, const struct list *list)
{
    if (list->head != NULL)
        fprintf(file, "%s\n", list->head);
    for (size_t i = 0; i < list->count; i++)
        if (list->lines[i].verdicts != 0)
            write_line(file, &list->lines[i]);
    if (list->pending != NULL)
        fputs(list->pending, file);
}

/* By way of another file, so that comments are not lost on a disk that is full; not for what is no file, as /dev/stdout. */
static int write_new(const struct list *list, const char *path)
{
    struct stat status;
    char *other = NULL;
    bool direct = stat(path, &status) == 0 && !S_ISREG(status.st_mode);
    if (!direct && asprintf(&other, "%s.new", path) < 0)
        return -1;
    FILE *file = fopen(direct ? path : other, "we");
    bool failed = file == NULL;
    if (file != NULL) {
        write_list(file, list);
        failed = ferror(file) != 0;
        failed = fclose(file) != 0 || failed;
    }
    if (!failed && !direct)
        failed = rename(other, path) != 0;
    int saved = errno;
    if (failed && !direct)
        unlink(other);
    free(other);
    errno = saved;
    return failed ? -1 : 0;
}

static void list_free(struct list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->lines[i].id);
        free(list->lines[i].above);
        free(list->lines[i].why);
    }
    free(list->lines);
    free(list->head);
    free(list->pending);
}

int accepted_write(const char *path, const struct campaign_report *report)
{
    struct list list = {.report = report};
    int result = read_old(&list, path);
    if (result == 0) {
        update_old(&list);
        result = add_new(&list);
    }
    if (result == 0) {
        if (list.count > 0)
            qsort(list.lines, list.count, sizeof *list.lines, compare_lines);
        result = write_new(&list, path);
        if (result != 0)
            say_error("can't write the baseline %s: %s", path, strerror(errno));
    } else if (list.failed) {
        say_error("no memory for the baseline %s", path);
    }
    list_free(&list);
    return result;
}
