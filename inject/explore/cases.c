#include "explore/cases.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/names.h"

enum { FD_HIGH = 1024 }; /* what fdmin= moves a descriptor to: the first that an fd_set can't hold */

/* Of the errnos of the accept calls, what happens to servers in the field: --quick. */
static const int quick_accept[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, ECONNABORTED, EPROTO, EINTR, EAGAIN};

/* ... and of those of the start. */
static const int quick_start[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, ENOSPC, EADDRINUSE};

static const enum call start_calls[] = {CALL_socket, CALL_setsockopt,   CALL_bind,          CALL_listen,
                                        CALL_fcntl,  CALL_epoll_create, CALL_epoll_create1, CALL_epoll_ctl};

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* --- What is wanted ---------------------------------------------------------------------------------------------- */

static bool is_listed(const struct word_list *list, const char *word)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcasecmp(list->words[i], word) == 0)
            return true;
    return list->count == 0;
}

static bool is_in(const int *list, size_t count, int number)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == number)
            return true;
    return false;
}

static bool wants_mode(const struct config *config, enum mode mode)
{
    return config->modes == 0 || (config->modes >> mode & 1);
}

static bool wants_error(const struct config *config, const struct call_errno *row)
{
    if (config->faults.count > 0)
        return is_listed(&config->faults, row->name);
    if (config->all)
        return true;
    return call_accepts(row->call) ? is_in(quick_accept, LENGTH(quick_accept), row->number)
                                   : is_in(quick_start, LENGTH(quick_start), row->number);
}

/* --sites takes names of calls, of functions, and both as a case's id has them. */
static bool wants_site(const struct config *config, const struct fault_case *item)
{
    char both[CASE_SITE_MAX + 32];
    const char *call = call_info(item->call)->name;
    snprintf(both, sizeof both, "%s@%s", call, item->site_name);
    for (size_t i = 0; i < config->sites.count; i++) {
        const char *glob = config->sites.words[i];
        if (fnmatch(glob, call, 0) == 0 || fnmatch(glob, item->site_name, 0) == 0 || fnmatch(glob, both, 0) == 0)
            return true;
    }
    return config->sites.count == 0;
}

bool cases_wants_listener(const struct config *config, const struct measures *base, size_t i)
{
    return config->listen == NULL || strcmp(config->listen, base->listeners[i]) == 0 ||
           strcmp(config->listen, base->bound[i]) == 0;
}

/* --- The list ---------------------------------------------------------------------------------------------------- */

int cases_add(struct case_list *list, const struct fault_case *item)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 256;
        struct fault_case *more = realloc(list->items, room * sizeof *more);
        if (more == NULL)
            return -1;
        list->items = more;
        list->room = room;
    }
    list->items[list->count++] = *item;
    return 0;
}

void cases_free(struct case_list *list)
{
    free(list->items);
    *list = (struct case_list){.items = NULL};
}

/* What is known while a list is made. */
struct making {
    struct case_list *list;
    const struct config *config;
    const struct measures *base;
    size_t tested; /* listeners */
    const struct site_seen *seen;
    bool failed;
};

static const char *port_of(const char *address)
{
    const char *colon = strrchr(address, ':');
    return address[0] == '/' || address[0] == '@' || colon == NULL ? NULL : colon + 1;
}

/* Whether no other listener has the port of number I. */
static bool is_port_unique(const struct measures *base, size_t i)
{
    for (size_t other = 0; other < base->listener_count; other++) {
        const char *a = port_of(base->bound[i]), *b = port_of(base->bound[other]);
        if (other != i && a != NULL && b != NULL && strcmp(a, b) == 0)
            return false;
    }
    return true;
}

static const char *family_of(const char *address)
{
    return port_of(address) == NULL ? "unix" : address[0] == '[' ? "ipv6" : "ipv4";
}

/*
 * Tells listener I apart from the others, for a plan and for a person: for a plan by its port or address, for a person by
 * what stays the same when it gets another port.
 */
static void set_listener(struct fault_case *item, const struct measures *base, size_t i, char label[ADDRESS_TEXT_MAX])
{
    const char *port = port_of(base->bound[i]);
    bool alone = base->listener_count <= 1;
    snprintf(item->address, sizeof item->address, "%s", base->listener_count > 0 ? base->listeners[i] : "");
    item->filter[0] = label[0] = '\0';
    if (alone)
        return;
    if (port == NULL)
        snprintf(item->filter, sizeof item->filter, "path=\"%s\"", base->bound[i]);
    else if (is_port_unique(base, i))
        snprintf(item->filter, sizeof item->filter, "port=%s", port);
    else
        snprintf(item->filter, sizeof item->filter, "local=\"%s\"", base->bound[i]);
    size_t nth = 1;
    for (size_t other = 0; other < i; other++)
        nth += strcmp(family_of(base->bound[other]), family_of(base->bound[i])) == 0;
    snprintf(label, ADDRESS_TEXT_MAX, nth == 1 ? "%s" : "%s~%zu", family_of(base->bound[i]), nth);
}

static void propose(struct making *making, struct fault_case *item, size_t listener)
{
    char label[ADDRESS_TEXT_MAX] = "";
    if (item->mode != MODE_EXHAUST) {
        item->site = making->seen->site;
        snprintf(item->site_name, sizeof item->site_name, "%s", making->seen->name);
    }
    if (call_accepts(item->call))
        set_listener(item, making->base, listener, label);
    else
        snprintf(item->address, sizeof item->address, "%s", making->base->listeners[0]);
    case_complete(item, !making->base->blocking, label);
    if (wants_site(making->config, item) && cases_add(making->list, item) != 0)
        making->failed = true;
}

static bool can(const struct config *config, const struct call_errno *row, enum mode mode)
{
    static const enum call_mode needs[] = {[MODE_ONCE] = ONCE, [MODE_BURST] = BURST, [MODE_HELD] = HELD};
    return config->impossible || row->modes >= needs[mode];
}

static void accept_errors(struct making *making, size_t listener)
{
    const struct call_info *info = call_info(making->seen->call);
    for (size_t i = 0; i < call_errno_count(making->seen->call); i++) {
        const struct call_errno *row = &info->errnos[i];
        for (enum mode mode = MODE_ONCE; mode <= MODE_HELD; mode++) {
            struct fault_case item = {.call = row->call, .error = row->number, .mode = mode};
            snprintf(item.fault, sizeof item.fault, "%s", row->name);
            if (wants_error(making->config, row) && wants_mode(making->config, mode) && can(making->config, row, mode))
                propose(making, &item, listener);
        }
    }
}

/* What the kernel, or a client, can make of an address and a descriptor. */
static void accept_tamperings(struct making *making, size_t listener)
{
    const char *address = making->base->listener_count > 0 ? making->base->bound[listener] : "";
    bool tcp = port_of(address) != NULL;
    char high[16];
    snprintf(high, sizeof high, "fdmin=%d", FD_HIGH);
    const char *const tamperings[] = {"socklen=0", "socklen=2", "socklen=255", tcp ? "family=unix" : "family=inet",
                                      high};
    for (size_t i = 0; i < LENGTH(tamperings); i++) {
        bool listed = making->config->faults.count > 0 && is_listed(&making->config->faults, tamperings[i]);
        bool quick = making->config->faults.count == 0 && (making->config->all || i == 0);
        for (enum mode mode = MODE_ONCE; mode <= MODE_HELD && (listed || quick); mode++) {
            struct fault_case item = {.call = making->seen->call, .mode = mode};
            snprintf(item.fault, sizeof item.fault, "%s", tamperings[i]);
            if (wants_mode(making->config, mode) && (making->config->all || listed || mode != MODE_HELD))
                propose(making, &item, listener);
        }
    }
}

static void accept_cases(struct making *making)
{
    const struct site_seen *seen = making->seen;
    if (!cases_wants_listener(making->config, making->base, seen->listener))
        return;
    accept_errors(making, seen->listener);
    accept_tamperings(making, seen->listener);
}

/* A call for a unix path only. */
static bool is_of_a_path(int error)
{
    static const int errors[] = {ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EROFS, ENOSPC};
    return is_in(errors, LENGTH(errors), error);
}

/* Whether the NTH call that was seen there is one that the kernel could answer so. */
static bool could_fail(const struct making *making, const struct call_errno *row, uint32_t nth)
{
    static const int of_locks[] = {EAGAIN, EACCES, EDEADLK, EFAULT, EINTR, ENOLCK};
    const struct site_seen *seen = making->seen;
    bool known = nth <= 64, makes = known && (seen->makes >> (nth - 1) & 1),
         locks = known && (seen->locks >> (nth - 1) & 1);
    if (making->config->impossible)
        return true;
    switch (row->call) {
    case CALL_fcntl:
        return row->number == EMFILE ? makes : !is_in(of_locks, LENGTH(of_locks), row->number) || locks;
    case CALL_epoll_ctl:
        if (row->number == ENOENT)
            return !makes;
        return makes || (row->number != ENOMEM && row->number != ENOSPC && row->number != EEXIST &&
                         row->number != ELOOP && row->number != EPERM);
    case CALL_bind:
        return !is_of_a_path(row->number) || port_of(making->base->address) == NULL;
    case CALL_setsockopt: /* a multicast group that is joined twice: no server's listener does that */
        return row->number != EADDRINUSE || making->config->faults.count > 0;
    default:
        return true;
    }
}

static void start_cases(struct making *making)
{
    const struct call_info *info = call_info(making->seen->call);
    for (size_t i = 0; i < call_errno_count(making->seen->call); i++)
        for (uint32_t nth = 1; nth <= making->seen->count && wants_mode(making->config, MODE_NTH); nth++) {
            const struct call_errno *row = &info->errnos[i];
            struct fault_case item = {.call = row->call, .error = row->number, .mode = MODE_NTH, .nth = nth};
            snprintf(item.fault, sizeof item.fault, "%s", row->name);
            if (wants_error(making->config, row) && could_fail(making, row, nth))
                propose(making, &item, 0);
        }
}

/* Once a listener: the limit is the process's, whichever call meets it. */
static void exhaust_case(struct making *making)
{
    struct fault_case item = {.call = making->seen->call, .error = EMFILE, .mode = MODE_EXHAUST, .fault = "EMFILE"};
    for (size_t i = 0; i < making->list->count; i++)
        if (making->list->items[i].mode == MODE_EXHAUST &&
            strcmp(making->list->items[i].address, making->base->listeners[making->seen->listener]) == 0)
            return;
    if (wants_mode(making->config, MODE_EXHAUST) && is_listed(&making->config->faults, "EMFILE") &&
        cases_wants_listener(making->config, making->base, making->seen->listener))
        propose(making, &item, making->seen->listener);
}

static bool is_start_call(enum call call)
{
    for (size_t i = 0; i < LENGTH(start_calls); i++)
        if (start_calls[i] == call)
            return true;
    return false;
}

/* Calls whose stack could not be walked have cases of their own only where no other call of the kind has a site. */
static bool is_without_site(const struct measures *base, const struct site_seen *seen)
{
    if (seen->site != 0)
        return false;
    for (uint32_t i = 0; i < base->site_count; i++)
        if (base->sites[i].call == seen->call && base->sites[i].site != 0)
            return true;
    return false;
}

int cases_make(struct case_list *list, const struct config *config, const struct measures *base)
{
    struct making making = {.list = list, .config = config, .base = base};
    for (uint32_t i = 0; i < base->site_count; i++) {
        making.seen = &base->sites[i];
        if (call_accepts(making.seen->call) && !is_without_site(base, making.seen))
            accept_cases(&making);
    }
    for (uint32_t i = 0; i < base->site_count; i++) {
        making.seen = &base->sites[i];
        if (call_accepts(making.seen->call))
            exhaust_case(&making);
    }
    for (uint32_t i = 0; i < base->site_count; i++) {
        making.seen = &base->sites[i];
        if (is_start_call(making.seen->call) && !is_without_site(base, making.seen))
            start_cases(&making);
    }
    if (making.failed)
        errno = ENOMEM;
    return making.failed ? -1 : 0;
}

void cases_control(struct fault_case *out, const struct measures *base, size_t i)
{
    char label[ADDRESS_TEXT_MAX] = "";
    *out = (struct fault_case){.call = CALL_NONE, .mode = MODE_CONTROL};
    if (base->listener_count > 0)
        set_listener(out, base, i, label);
    case_complete(out, false, label);
}

size_t cases_listener(const struct fault_case *item, const struct measures *base)
{
    for (size_t i = 0; i < base->listener_count; i++)
        if (strcmp(item->address, base->listeners[i]) == 0)
            return i;
    return 0;
}
