/*
 * diff.c - `snag diff OLD NEW`: which verdicts have changed between two explorations.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore/explore.h"
#include "explore/folder.h"
#include "run/run.h"
#include "run/say.h"
#include "version.h"

static const char help_text[] =
    "usage: snag diff OLD NEW\n"
    "Compares two explorations, which are folders of snag explore, case by case.\n"
    "\n"
    "      --help, --version\n"
    "\n"
    "Exit status: 0, no verdict is graver than it was; 1, one is; 125, a folder can't be read.\n";

struct verdicts {
    struct known {
        char id[CASE_ID_MAX];
        enum verdict verdict;
    } * items;
    size_t count;
};

static int compare(const void *left, const void *right)
{
    return strcmp(((const struct known *)left)->id, ((const struct known *)right)->id);
}

static int add(struct verdicts *out, const json_t *one)
{
    const char *id = json_string_value(json_object_get(one, "id"));
    const char *word = json_string_value(json_object_get(one, "verdict"));
    if (id == NULL || strlen(id) >= CASE_ID_MAX)
        return -1;
    struct known *known = &out->items[out->count++];
    snprintf(known->id, sizeof known->id, "%s", id);
    known->verdict = word != NULL ? verdict_by_word(word, strlen(word)) : VERDICT_NONE;
    return 0;
}

static int load(const char *dir, struct verdicts *out)
{
    char path[FOLDER_PATH_MAX];
    json_error_t error;
    snprintf(path, sizeof path, "%s/summary.json", dir);
    json_t *object = json_load_file(path, 0, &error);
    const json_t *cases = json_object_get(object, "cases");
    int result = json_is_array(cases) ? 0 : -1;
    out->items = calloc(json_array_size(cases) + 1, sizeof *out->items);
    for (size_t i = 0; result == 0 && out->items != NULL && i < json_array_size(cases); i++)
        result = add(out, json_array_get(cases, i));
    if (result != 0 || out->items == NULL) {
        say_error("%s: %s", path, object == NULL ? error.text : "expected the summary of snag explore");
        result = -1;
    } else {
        qsort(out->items, out->count, sizeof *out->items, compare);
    }
    json_decref(object);
    return result;
}

static const char *word_of(const struct known *known)
{
    const char *word = known != NULL ? verdict_word(known->verdict) : NULL;
    return word != NULL ? word : known != NULL ? "failed" : "-";
}

/* Prints a line where the two are not the same.  Returns whether it is graver now. */
static bool print_change(const struct known *old, const struct known *now, const char *id)
{
    if (old != NULL && now != NULL && old->verdict == now->verdict)
        return false;
    printf("%-12s %-12s %s\n", word_of(old), word_of(now), id);
    return old != NULL && now != NULL && now->verdict > old->verdict;
}

static int print_changes(const struct verdicts *old, const struct verdicts *now)
{
    size_t i = 0, j = 0, graver = 0;
    printf("%-12s %-12s %s\n", "OLD", "NEW", "CASE");
    while (i < old->count || j < now->count) {
        int order = i == old->count ? 1 : j == now->count ? -1 : compare(&old->items[i], &now->items[j]);
        graver += print_change(order <= 0 ? &old->items[i] : NULL, order >= 0 ? &now->items[j] : NULL,
                               order <= 0 ? old->items[i].id : now->items[j].id);
        i += order <= 0;
        j += order >= 0;
    }
    if (fflush(stdout) != 0) {
        say_error("can't write the comparison: %s", strerror(errno));
        return EXIT_SNAG;
    }
    return graver > 0 ? 1 : 0;
}

const struct option diff_options[] = {
    {"help", no_argument, NULL, 0},
    {"version", no_argument, NULL, 0},
    {NULL, 0, NULL, 0},
};

static int show(const char *text)
{
    fputs(text, stdout);
    return fflush(stdout) == 0 ? 0 : EXIT_SNAG;
}

int cmd_diff(int argc, char **argv)
{
    struct verdicts old = {.items = NULL}, now = {.items = NULL};
    int status = EXIT_SNAG;
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return show(help_text);
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return show(snag_version);
    if (argc != 3 || argv[1][0] == '-' || argv[2][0] == '-') {
        say_error("expected two folders of snag explore: snag diff OLD NEW");
        return EXIT_SNAG;
    }
    if (load(argv[1], &old) == 0 && load(argv[2], &now) == 0)
        status = print_changes(&old, &now);
    free(old.items);
    free(now.items);
    return status;
}
