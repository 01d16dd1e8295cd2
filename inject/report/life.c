#include "report/life.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lives {
    void *open;      /* tree of struct life by pid and fd */
    void *processes; /* tree of struct life_process by pid */
    struct life_process *first, **last;
};

/* A line "call", taken apart. */
struct made {
    const json_t *line;
    const char *call;
    char error[24]; /* "": none */
    pid_t pid;
    int fd;
    json_int_t ret;
    bool injected;
    uint64_t t_ns; /* when it was made, or an accept, which may have waited for its client, was over */
};

/* --- Trees ------------------------------------------------------------------------------------------------------- */

static int compare_lives(const void *left, const void *right)
{
    const struct life *a = left, *b = right;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    return a->fd < b->fd ? -1 : a->fd > b->fd;
}

static int compare_processes(const void *left, const void *right)
{
    const struct life_process *a = left, *b = right;
    return a->pid < b->pid ? -1 : a->pid > b->pid;
}

/* A node of a tree starts with the pointer to what it stands for. */
static void *node_value(void *node)
{
    return node != NULL ? *(void **)node : NULL;
}

static struct life *find(struct lives *lives, pid_t pid, int fd)
{
    struct life key = {.pid = pid, .fd = fd};
    return node_value(tfind(&key, &lives->open, compare_lives));
}

static struct life_process *find_process(struct lives *lives, pid_t pid)
{
    struct life_process key = {.pid = pid};
    return node_value(tfind(&key, &lives->processes, compare_processes));
}

struct lives *lives_new(void)
{
    struct lives *lives = calloc(1, sizeof *lives);
    if (lives != NULL)
        lives->last = &lives->first;
    return lives;
}

static void life_free(struct life *life)
{
    free(life->steps);
    free(life);
}

static void keep_node(void *value)
{
    (void)value;
}

static void free_node(void *value)
{
    life_free(value);
}

void lives_free(struct lives *lives)
{
    if (lives == NULL)
        return;
    tdestroy(lives->open, free_node);
    tdestroy(lives->processes, keep_node);
    while (lives->first != NULL) {
        struct life_process *process = lives->first;
        lives->first = process->next;
        while (process->lives != NULL) {
            struct life *life = process->lives;
            process->lives = life->next;
            life_free(life);
        }
        free(process);
    }
    free(lives);
}

/* Returns the process, made if it is new. */
static struct life_process *get_process(struct lives *lives, pid_t pid)
{
    struct life_process *process = find_process(lives, pid);
    if (process != NULL)
        return process;
    process = calloc(1, sizeof *process);
    if (process == NULL)
        return NULL;
    process->pid = pid;
    process->lives_end = &process->lives;
    if (tsearch(process, &lives->processes, compare_processes) == NULL) {
        free(process);
        errno = ENOMEM;
        return NULL;
    }
    *lives->last = process;
    lives->last = &process->next;
    return process;
}

int lives_process(struct lives *lives, const json_t *line)
{
    struct life_process *process = get_process(lives, (pid_t)json_integer_value(json_object_get(line, "pid")));
    if (process == NULL)
        return -1;
    process->ppid = (pid_t)json_integer_value(json_object_get(line, "ppid"));
    snprintf(process->comm, sizeof process->comm, "%s", json_string_value(json_object_get(line, "comm")));
    snprintf(process->exe, sizeof process->exe, "%s", json_string_value(json_object_get(line, "exe")));
    return 0;
}

/* --- A life ------------------------------------------------------------------------------------------------------ */

/*
 * Who listens counts the connections that are open, and a listener of a parent is the same socket: it must outlive them
 * all.  So what was bound is kept to the end, and moves from the tree to its process's list when it ends.
 */
static void retire(struct lives *lives, struct life *life, uint64_t end_ns, bool reused)
{
    struct life_process *process = find_process(lives, life->pid);
    life->ended = true;
    life->reused = reused;
    life->end_ns = end_ns;
    tdelete(life, &lives->open, compare_lives);
    if (life->listener != NULL) {
        life->listener->closed++;
        life->listener->lived_ns += end_ns > life->begin_ns ? end_ns - life->begin_ns : 0;
    } else if (life->bound && process != NULL) {
        *process->lives_end = life;
        process->lives_end = &life->next;
        return;
    } else if (process != NULL && life->origin == LIFE_SOCKET) {
        process->plain++;
    }
    life_free(life);
}

static struct life *begin(struct lives *lives, pid_t pid, int fd, enum life_origin origin, uint64_t t_ns)
{
    struct life *old = find(lives, pid, fd);
    if (old != NULL)
        retire(lives, old, t_ns, true);
    struct life *life = calloc(1, sizeof *life);
    if (life == NULL || get_process(lives, pid) == NULL) {
        free(life);
        return NULL;
    }
    life->pid = pid;
    life->fd = fd;
    life->origin = origin;
    life->begin_ns = t_ns;
    if (tsearch(life, &lives->open, compare_lives) == NULL) {
        free(life);
        errno = ENOMEM;
        return NULL;
    }
    return life;
}

static const char *argument(const struct made *made, size_t i)
{
    const char *text = json_string_value(json_array_get(json_object_get(made->line, "args"), i));
    return text != NULL ? text : "";
}

static void join(char out[LIFE_DETAIL], const char *first, const char *second)
{
    snprintf(out, LIFE_DETAIL, "%s%s%s", first, second[0] != '\0' ? " " : "", second);
}

/* What of a call's arguments makes it another step, or is worth to be shown with it. */
static void detail_of(const struct made *made, char out[LIFE_DETAIL])
{
    const json_t *backlog = json_object_get(made->line, "backlog");
    const char *local = json_string_value(json_object_get(made->line, "local"));
    out[0] = '\0';
    if (strcmp(made->call, "bind") == 0 || strcmp(made->call, "getsockname") == 0)
        snprintf(out, LIFE_DETAIL, "%s", local != NULL ? local : "");
    else if (backlog != NULL)
        snprintf(out, LIFE_DETAIL, "backlog %" JSON_INTEGER_FORMAT, json_integer_value(backlog));
    else if (strcmp(made->call, "socket") == 0)
        join(out, argument(made, 0), argument(made, 1));
    else if (strcmp(made->call, "setsockopt") == 0 || strcmp(made->call, "getsockopt") == 0)
        join(out, argument(made, 2), argument(made, 3));
    else if (strcmp(made->call, "fcntl") == 0 || strcmp(made->call, "ioctl") == 0)
        join(out, argument(made, 1), argument(made, 2));
    else if (strcmp(made->call, "epoll_ctl") == 0 || strcmp(made->call, "shutdown") == 0)
        snprintf(out, LIFE_DETAIL, "%s", argument(made, 1));
}

static struct life_step *get_step(struct life *life, const struct made *made)
{
    char detail[LIFE_DETAIL];
    detail_of(made, detail);
    for (size_t i = 0; i < life->step_count; i++) {
        struct life_step *step = &life->steps[i];
        if (strcmp(step->call, made->call) == 0 && strcmp(step->error, made->error) == 0 &&
            strcmp(step->detail, detail) == 0)
            return step;
    }
    if (life->step_count == LIFE_STEPS)
        return NULL;
    if (life->steps == NULL)
        life->steps = calloc(LIFE_STEPS, sizeof *life->steps);
    if (life->steps == NULL)
        return NULL;
    struct life_step *step = &life->steps[life->step_count++];
    bool full = life->step_count == LIFE_STEPS;
    snprintf(step->call, sizeof step->call, "%s", full ? "others" : made->call);
    snprintf(step->error, sizeof step->error, "%s", full ? "" : made->error);
    memcpy(step->detail, full ? "" : detail, full ? 1 : sizeof detail);
    step->first_ns = made->t_ns;
    return step;
}

static void note_site(struct life_step *step, const struct made *made)
{
    const char *site = json_string_value(json_object_get(made->line, "site"));
    if (step->count == 1)
        snprintf(step->site, sizeof step->site, "%s", site != NULL ? site : "");
    else if (site == NULL || strcmp(step->site, site) != 0)
        step->site[0] = '\0';
}

static int add_step(struct life *life, const struct made *made)
{
    struct life_step *step = get_step(life, made);
    if (step == NULL && life->step_count < LIFE_STEPS)
        return -1;
    if (step == NULL)
        step = &life->steps[LIFE_STEPS - 1];
    step->count++;
    step->injected += made->injected;
    step->last_ns = made->t_ns;
    note_site(step, made);
    return 0;
}

/* --- Calls ------------------------------------------------------------------------------------------------------- */

static bool is(const struct made *made, const char *call)
{
    return strcmp(made->call, call) == 0;
}

static bool is_accept(const struct made *made)
{
    return is(made, "accept") || is(made, "accept4");
}

/* A call that only a socket can be named by; of close, fcntl, ioctl, dup and epoll_ctl nothing follows. */
static bool names_socket(const struct made *made)
{
    return (is_accept(made) || is(made, "bind") || is(made, "listen") || is(made, "setsockopt") ||
            is(made, "getsockopt") || is(made, "getsockname") || is(made, "getpeername") || is(made, "shutdown")) &&
           strcmp(made->error, "EBADF") != 0 && strcmp(made->error, "ENOTSOCK") != 0;
}

/* The socket that the call names: one that is known, or one that was there before the trace shows it. */
static struct life *named(struct lives *lives, const struct made *made)
{
    struct life *life = find(lives, made->pid, made->fd);
    if (life != NULL || made->fd < 0 || !names_socket(made))
        return life;
    const struct life_process *process = find_process(lives, made->pid);
    const struct life *parents = find(lives, process->ppid, made->fd);
    life = begin(lives, made->pid, made->fd, LIFE_INHERITED, made->t_ns);
    if (life != NULL && parents != NULL)
        memcpy(life->address, parents->address, sizeof life->address);
    return life;
}

static int socket_made(struct lives *lives, const struct made *made)
{
    if (made->ret < 0)
        return 0;
    struct life *life = begin(lives, made->pid, (int)made->ret, LIFE_SOCKET, made->t_ns);
    return life != NULL ? add_step(life, made) : -1;
}

static int connection_made(struct lives *lives, struct life *listener, const struct made *made)
{
    struct life *life = begin(lives, made->pid, (int)made->ret, LIFE_ACCEPTED, made->t_ns);
    if (life == NULL)
        return -1;
    life->listener = listener;
    listener->accepted++;
    return 0;
}

static int copy_made(struct lives *lives, const struct made *made)
{
    struct life *life = begin(lives, made->pid, (int)made->ret, LIFE_COPIED, made->t_ns);
    if (life != NULL)
        life->bound = true;
    return life != NULL ? add_step(life, made) : -1;
}

/* Whether the call ended the descriptor: Linux frees it in every case but EBADF. */
static bool closes(const struct made *made)
{
    return is(made, "close") && strcmp(made->error, "EBADF") != 0;
}

/* dup2 and dup3 end what had the number that they give away. */
static bool replaces(const struct made *made)
{
    return (is(made, "dup2") || is(made, "dup3")) && made->ret >= 0 && made->ret != made->fd;
}

static int end_replaced(struct lives *lives, const struct made *made)
{
    struct life *life = find(lives, made->pid, (int)made->ret);
    if (life == NULL)
        return 0;
    if (life->listener == NULL && add_step(life, made) != 0)
        return -1;
    retire(lives, life, made->t_ns, false);
    return 0;
}

static bool copies(const struct made *made)
{
    bool by_fcntl = is(made, "fcntl") && strncmp(argument(made, 1), "F_DUPFD", 7) == 0;
    return (by_fcntl || is(made, "dup") || replaces(made)) && made->ret >= 0 && made->ret != made->fd;
}

/* A call that returned is of the socket that it names; a listener that returns itself is no connection. */
static int note_call(struct lives *lives, struct life *life, const struct made *made)
{
    if (is(made, "bind") || is(made, "listen") || is_accept(made))
        life->bound = true;
    const char *local = json_string_value(json_object_get(made->line, "local"));
    if (local != NULL && made->ret >= 0 && (is(made, "bind") || is(made, "getsockname")))
        snprintf(life->address, sizeof life->address, "%s", local);
    if (life->listener == NULL && add_step(life, made) != 0)
        return -1;
    if (is_accept(made) && made->ret >= 0 && made->ret != made->fd && life->listener == NULL)
        return connection_made(lives, life, made);
    if (copies(made) && life->listener == NULL && life->bound)
        return copy_made(lives, made);
    if (closes(made))
        retire(lives, life, made->t_ns, false);
    return 0;
}

int lives_call(struct lives *lives, const json_t *line)
{
    const json_t *fd = json_object_get(line, "fd"), *error = json_object_get(line, "errno");
    const json_t *ret = json_object_get(line, "ret");
    struct made made = {
        .line = line,
        .call = json_string_value(json_object_get(line, "call")),
        .pid = (pid_t)json_integer_value(json_object_get(line, "pid")),
        .fd = fd != NULL ? (int)json_integer_value(fd) : -1,
        .ret = json_is_integer(ret) ? json_integer_value(ret) : -1, /* null: nobody knows */
        .injected = json_is_true(json_object_get(line, "injected")),
        .t_ns = (uint64_t)json_integer_value(json_object_get(line, "t_ns")),
    };
    if (is_accept(&made))
        made.t_ns += (uint64_t)json_integer_value(json_object_get(line, "dur_ns"));
    if (json_is_string(error))
        snprintf(made.error, sizeof made.error, "%s", json_string_value(error));
    else if (error != NULL)
        snprintf(made.error, sizeof made.error, "%" JSON_INTEGER_FORMAT, json_integer_value(error));
    if (get_process(lives, made.pid) == NULL)
        return -1;
    if (is(&made, "socket"))
        return socket_made(lives, &made);
    if (replaces(&made) && end_replaced(lives, &made) != 0)
        return -1;
    struct life *life = named(lives, &made);
    return life != NULL ? note_call(lives, life, &made) : 0;
}

static int compare_begins(const void *left, const void *right)
{
    const struct life *a = *(struct life *const *)left, *b = *(struct life *const *)right;
    if (a->begin_ns != b->begin_ns)
        return a->begin_ns < b->begin_ns ? -1 : 1;
    return a->fd < b->fd ? -1 : a->fd > b->fd;
}

/* Puts the process's lives into the order of their beginnings; without memory for that, they stay as they ended. */
static void sort_lives(struct life_process *process)
{
    size_t count = 0, i = 0;
    for (struct life *life = process->lives; life != NULL; life = life->next)
        count++;
    struct life **list = count > 1 ? malloc(count * sizeof(void *)) : NULL;
    if (list == NULL)
        return;
    for (struct life *life = process->lives; life != NULL; life = life->next)
        list[i++] = life;
    qsort(list, count, sizeof(void *), compare_begins);
    process->lives_end = &process->lives;
    for (i = 0; i < count; i++) {
        *process->lives_end = list[i];
        process->lives_end = &list[i]->next;
    }
    *process->lives_end = NULL;
    free(list);
}

static struct lives *finishing; /* twalk() hands nothing on */

static void count_open(const void *node, VISIT visit, int depth)
{
    const struct life *life = *(const struct life *const *)node;
    (void)depth;
    if ((visit != postorder && visit != leaf) || life->bound || life->listener != NULL || life->origin != LIFE_SOCKET)
        return;
    struct life_process *process = find_process(finishing, life->pid);
    process->plain++;
    process->plain_open++;
}

/* Moves what was bound and is still open to its process: the tree is taken apart from its root. */
void lives_finish(struct lives *lives)
{
    finishing = lives;
    twalk(lives->open, count_open);
    while (lives->open != NULL) {
        struct life *life = node_value(lives->open);
        struct life_process *process = find_process(lives, life->pid);
        tdelete(life, &lives->open, compare_lives);
        if (life->bound && life->listener == NULL && process != NULL) {
            *process->lives_end = life;
            process->lives_end = &life->next;
        } else {
            life_free(life);
        }
    }
    for (struct life_process *process = lives->first; process != NULL; process = process->next)
        sort_lives(process);
}

const struct life_process *lives_first(const struct lives *lives)
{
    return lives->first;
}
