#include "explore/accepted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore/explore.h"
#include "run/say.h"

enum { LINE_MAX_BYTES = 4096 };

static struct result *find(struct campaign_report *report, const char *id)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->results[i].item.id, id) == 0)
            return &report->results[i];
    return NULL;
}

static int take_line(const char *path, int number, char *line, struct campaign_report *report)
{
    uint32_t listed;
    const char *bad;
    char *comment = strchr(line, '#'), *rest = line;
    if (comment != NULL)
        *comment = '\0';
    char *id = strtok_r(rest, " \t\r\n", &rest);
    char *verdicts = id != NULL ? strtok_r(rest, " \t\r\n", &rest) : NULL;
    if (id == NULL)
        return 0;
    if (verdicts == NULL || strtok_r(rest, " \t\r\n", &rest) != NULL) {
        say_error("%s:%d: expected ID VERDICT[,VERDICT]... # why", path, number);
        return -1;
    }
    if (config_verdicts(verdicts, &listed, &bad) != 0) {
        say_error("%s:%d: no verdict '%.*s'", path, number, (int)strcspn(bad, ","), bad);
        return -1;
    }
    struct result *result = find(report, id);
    if (result == NULL)
        return 0; /* not tried this time: another shard, or fewer faults */
    result->accepted = listed;
    uint32_t mended = listed & report->fail_on & ~result->ruling.set;
    bool judged = result->ruling.headline > VERDICT_UNTESTED; /* what was not tried is not known to be mended */
    if (mended != 0 && judged && !result->failed)
        say_note("mended: %s is %s now; %s:%d can go", id, verdict_word(result->ruling.headline), path, number);
    return 0;
}

int accepted_read(const char *path, struct campaign_report *report)
{
    char line[LINE_MAX_BYTES];
    int number = 0, result = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        say_error("can't read the baseline %s: %s", path, strerror(errno));
        return -1;
    }
    while (result == 0 && fgets(line, sizeof line, file) != NULL)
        result = take_line(path, ++number, line, report);
    if (result == 0 && ferror(file)) {
        say_error("can't read the baseline %s: %s", path, strerror(errno));
        result = -1;
    }
    fclose(file);
    return result;
}

static int compare_ids(const void *left, const void *right)
{
    const struct result *a = *(struct result *const *)left, *b = *(struct result *const *)right;
    return strcmp(a->item.id, b->item.id);
}

static void write_line(FILE *file, const struct result *result, uint32_t fail_on)
{
    const char *comma = "";
    fprintf(file, "%s ", result->item.id);
    for (int verdict = VERDICT_COUNT - 1; verdict > VERDICT_NONE; verdict--)
        if (result->ruling.set & fail_on & (UINT32_C(1) << verdict)) {
            fprintf(file, "%s%s", comma, verdict_word((enum verdict)verdict));
            comma = ",";
        }
    fprintf(file, "\n");
}

int accepted_write(const char *path, const struct campaign_report *report)
{
    const struct result **sorted = calloc(report->count + 1, sizeof(void *));
    FILE *file = sorted != NULL ? fopen(path, "we") : NULL;
    if (file == NULL) {
        say_error("can't write the baseline %s: %s", path, strerror(errno));
        free(sorted);
        return -1;
    }
    for (size_t i = 0; i < report->count; i++)
        sorted[i] = &report->results[i];
    qsort(sorted, report->count, sizeof(void *), compare_ids);
    for (size_t i = 0; i < report->count; i++)
        if (sorted[i]->ruling.set & report->fail_on)
            write_line(file, sorted[i], report->fail_on);
    free(sorted);
    bool failed = ferror(file);
    if (fclose(file) == 0 && !failed)
        return 0;
    say_error("can't write the baseline %s: %s", path, strerror(errno));
    return -1;
}
