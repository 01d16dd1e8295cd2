#include "report/callsites.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_ids(const void *left, const void *right)
{
    const struct callsite *a = left, *b = right;
    return strcmp(a->id, b->id);
}

const struct callsite *callsites_find(const struct callsites *sites, const char *id)
{
    struct callsite key;
    snprintf(key.id, sizeof key.id, "%s", id);
    struct callsite *const *node = tfind(&key, &sites->tree, compare_ids);
    return node != NULL ? *node : NULL;
}

/* Returns the site with ID, made if it is new; NULL with errno ENOMEM. */
static struct callsite *get(struct callsites *sites, const char *id)
{
    struct callsite *site = (struct callsite *)(uintptr_t)callsites_find(sites, id);
    if (site != NULL)
        return site;
    if (sites->count == sites->room) {
        size_t room = sites->room > 0 ? 2 * sites->room : 64;
        struct callsite **more = realloc(sites->list, room * sizeof(void *));
        if (more == NULL)
            return NULL;
        sites->list = more;
        sites->room = room;
    }
    site = calloc(1, sizeof *site);
    if (site == NULL)
        return NULL;
    snprintf(site->id, sizeof site->id, "%s", id);
    site->number = 1;
    if (tsearch(site, &sites->tree, compare_ids) == NULL) {
        free(site);
        errno = ENOMEM;
        return NULL;
    }
    return sites->list[sites->count++] = site;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

int callsites_site(struct callsites *sites, json_t *line)
{
    struct callsite *site = get(sites, text_of(line, "id"));
    if (site == NULL)
        return -1;
    json_decref(site->line);
    site->line = json_incref(line);
    return 0;
}

int callsites_call(struct callsites *sites, const json_t *line)
{
    const json_t *id = json_object_get(line, "site");
    sites->unwalked += json_is_null(id);
    if (!json_is_string(id))
        return 0;
    struct callsite *site = get(sites, json_string_value(id));
    if (site == NULL)
        return -1;
    snprintf(site->call, sizeof site->call, "%s", text_of(line, "call"));
    site->count++;
    site->failed += json_object_get(line, "errno") != NULL;
    site->injected += json_is_true(json_object_get(line, "injected"));
    return 0;
}

const json_t *callsite_frame(const struct callsite *site)
{
    size_t i;
    json_t *frame;
    const json_t *frames = json_object_get(site->line, "frames");
    json_array_foreach(frames, i, frame)
    {
        if (json_object_get(frame, "function") != NULL)
            return frame;
    }
    return json_array_get(frames, 0);
}

static const char *function_of(const struct callsite *site)
{
    return site->line != NULL ? text_of(site->line, "function") : site->id;
}

static uint64_t offset_of(const json_t *frame)
{
    return strtoull(text_of(frame, "offset"), NULL, 16);
}

/* As sites.c numbers them. */
static int compare_stacks(const struct callsite *a, const struct callsite *b)
{
    const json_t *left = json_object_get(a->line, "frames"), *right = json_object_get(b->line, "frames");
    for (size_t i = 0; i < json_array_size(left) && i < json_array_size(right); i++) {
        const json_t *x = json_array_get(left, i), *y = json_array_get(right, i);
        int order = strcmp(text_of(x, "module"), text_of(y, "module"));
        if (order != 0)
            return order;
        if (offset_of(x) != offset_of(y))
            return offset_of(x) < offset_of(y) ? -1 : 1;
    }
    if (json_array_size(left) != json_array_size(right))
        return json_array_size(left) < json_array_size(right) ? -1 : 1;
    return strcmp(a->id, b->id);
}

static int compare_sites(const void *left, const void *right)
{
    const struct callsite *a = *(struct callsite *const *)left, *b = *(struct callsite *const *)right;
    int order = strcmp(a->call, b->call);
    if (order == 0)
        order = strcmp(function_of(a), function_of(b));
    return order != 0 ? order : compare_stacks(a, b);
}

int callsites_finish(struct callsites *sites)
{
    if (sites->count > 0)
        qsort(sites->list, sites->count, sizeof(void *), compare_sites);
    for (size_t i = 0; i < sites->count; i++) {
        struct callsite *site = sites->list[i];
        const struct callsite *before = i > 0 ? sites->list[i - 1] : NULL;
        char number[16] = "";
        if (before != NULL && strcmp(before->call, site->call) == 0 &&
            strcmp(function_of(before), function_of(site)) == 0)
            site->number = before->number + 1;
        if (site->number > 1)
            snprintf(number, sizeof number, "~%u", site->number);
        if (asprintf(&site->name, "%s%s", function_of(site), number) < 0) {
            site->name = NULL;
            return -1;
        }
    }
    return 0;
}

static void keep_node(void *node)
{
    (void)node;
}

void callsites_clear(struct callsites *sites)
{
    tdestroy(sites->tree, keep_node);
    for (size_t i = 0; i < sites->count; i++) {
        json_decref(sites->list[i]->line);
        free(sites->list[i]->name);
        free(sites->list[i]);
    }
    free(sites->list);
    *sites = (struct callsites){.list = NULL};
}
