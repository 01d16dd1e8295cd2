/*
 * html_stack.c - the stacks that led to the calls of an exploration, as its baselines have recorded them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore/folder.h"
#include "report/escape.h"
#include "report/html.h"

enum { LINE_FRAMES = 4 }; /* of a stack on one line */

#define SITE_LINE "{\"type\":\"site\""

static void read_sites(FILE *file, json_t *stacks)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0) {
        json_t *site = strncmp(line, SITE_LINE, strlen(SITE_LINE)) == 0 ? json_loads(line, 0, NULL) : NULL;
        const char *id = json_string_value(json_object_get(site, "id"));
        json_t *frames = json_object_get(site, "frames");
        if (json_is_true(json_object_get(site, "partial")))
            json_array_append_new(frames, json_pack("{s:s}", "function", "..."));
        if (id != NULL)
            json_object_set(stacks, id, frames);
        json_decref(site);
    }
    free(line);
}

json_t *html_stacks(const struct campaign_report *report)
{
    char path[FOLDER_PATH_MAX + 64];
    json_t *stacks = json_object();
    for (size_t i = 0; i < report->dir_count && stacks != NULL; i++) {
        snprintf(path, sizeof path, "%s/cases/baseline/trace.jsonl", report->dirs[i]);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        read_sites(file, stacks);
        fclose(file);
    }
    return stacks;
}

static void write_text(const json_t *frame, const char *key, const char *before, FILE *out)
{
    const char *text = json_string_value(json_object_get(frame, key));
    if (text == NULL)
        return;
    fputs(before, out);
    escape_xml(text, out);
}

/* "function (file.c:57)", or "0x3b1f0 in nginx" where there is no name. */
static void write_frame(const json_t *frame, FILE *out)
{
    bool named = json_object_get(frame, "function") != NULL;
    write_text(frame, named ? "function" : "offset", "", out);
    write_text(frame, "module", " in ", out);
    write_text(frame, "file", ", ", out);
    if (json_is_integer(json_object_get(frame, "line")))
        fprintf(out, ":%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(frame, "line")));
    fputc('\n', out);
}

void stack_line(const json_t *stacks, uint64_t site, FILE *out)
{
    char id[17];
    snprintf(id, sizeof id, "%016jx", (uintmax_t)site);
    const json_t *frames = site != 0 ? json_object_get(stacks, id) : NULL;
    for (size_t i = 0; i < json_array_size(frames) && i < LINE_FRAMES; i++) {
        const json_t *frame = json_array_get(frames, i), *line = json_object_get(frame, "line");
        const char *name = json_string_value(json_object_get(frame, "function"));
        const char *file = json_string_value(json_object_get(frame, "file"));
        if (name == NULL)
            name = json_string_value(json_object_get(frame, "offset"));
        fprintf(out, "%s%s", i == 0 ? "    in " : " < ", name != NULL ? name : "?");
        if (file != NULL && json_is_integer(line))
            fprintf(out, " (%s:%" JSON_INTEGER_FORMAT ")", strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file,
                    json_integer_value(line));
    }
    if (json_array_size(frames) > 0)
        fputc('\n', out);
}

void html_stack(const json_t *stacks, uint64_t site, FILE *out)
{
    char id[17];
    snprintf(id, sizeof id, "%016jx", (uintmax_t)site);
    const json_t *frames = site != 0 ? json_object_get(stacks, id) : NULL;
    if (json_array_size(frames) == 0)
        return;
    fputs("<h3>Where the call is made</h3><pre>", out);
    for (size_t i = 0; i < json_array_size(frames); i++)
        write_frame(json_array_get(frames, i), out);
    fputs("</pre>\n", out);
}
