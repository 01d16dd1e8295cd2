/*
 * board_fuzz.c - a board that is not what snag made: damaged before the shim attaches to it, and after.
 *
 * The input is lines.  Those of a plan make the board, and then
 *
 *     @AREA OFFSET VALUE [BYTES]   overwrites 8 bytes (1 to 8) with the number: h, the header; r, rules; t, tallies;
 *                                  s, strings; m, modules; k, stacks; g, ranges; o, ordinals of sites; q, rings.
 *                                  OFFSET may be the name of a field, in the first of the area, whose size BYTES is then
 *     +AREA OFFSET VALUE [BYTES]   the same after the shim attached, where shims write too: what snag alone writes is
 *                                  looked at when a shim attaches, and then trusted
 *     ~RULE                        is in the plan that takes the first one's place, again and again, during decisions
 *     =SIZE                        the file ends there;  =rings N: behind the Nth ring, and says so
 *     !BYTES                       a record, of kind, call and flags as the first three bytes say, with the others as payload
 *
 * A board that board_fault() lets pass is attached to: rules decide about each call, with call sites, records are written,
 * and snag reads them, names their sites and shows them.  Memory behind the board and behind its end can't be read.
 */
#include "fuzz.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/board.h"
#include "engine/decide.h"
#include "plan/plan.h"
#include "shim/record.h"
#include "sites/sites.h"
#include "trace/drain.h"
#include "trace/jsonl.h"
#include "trace/strace.h"

enum { LINES_MAX = 64, PAGE = 4096, LISTENER = 5, NOW_NS = 2000000000, CHANGES_MAX = 64 };

/* What a line may name. */
#define FIELD(area, type, field) \
    { \
        area, #field, offsetof(struct type, field), sizeof((struct type *)NULL)->field \
    }
static const struct field {
    char area;
    const char *name;
    size_t offset, size;
} fields[] = {
    FIELD('h', board, magic),
    FIELD('h', board, format),
    FIELD('h', board, header_size),
    FIELD('h', board, size),
    FIELD('h', board, ring_count),
    FIELD('h', board, rules_at),
    FIELD('h', board, rings_at),
    FIELD('h', board, sites),
    FIELD('h', board, lease_at),
    FIELD('h', board, module_count),
    FIELD('h', board, rings_ready),
    FIELD('h', board, pattern_count),
    FIELD('h', board, range_count),
    FIELD('h', board, range_generation),
    FIELD('h', board, plan_stamp),
    FIELD('h', board, plan_next),
    FIELD('h', board, rule_counts[0]),
    FIELD('r', rule, calls[0]),
    FIELD('r', rule, actions),
    FIELD('r', rule, filters),
    FIELD('r', rule, scope),
    FIELD('r', rule, tally),
    FIELD('r', rule, serial),
    FIELD('r', rule, slot),
    FIELD('r', rule, path),
    FIELD('r', rule, comm),
    FIELD('r', rule, label),
    FIELD('r', rule, caller_pattern),
    FIELD('r', rule, stack_pattern),
    FIELD('t', tally, matched),
    FIELD('t', tally, injected),
    FIELD('m', module, state),
    FIELD('m', module, resolved),
    FIELD('m', module, build_id_size),
    FIELD('m', module, path[0]),
    FIELD('k', stack, id),
    FIELD('k', stack, state),
    FIELD('k', stack, count),
    FIELD('k', stack, frames[0]),
    FIELD('k', stack, marked),
    FIELD('g', range, from),
    FIELD('g', range, to),
    FIELD('g', range, module),
    FIELD('g', range, pattern),
    FIELD('q', ring, owner),
    FIELD('q', ring, head),
    FIELD('q', ring, tail),
    FIELD('q', ring, slots[0]),
};

/* What the shim has of its own: session.c, without the process and the file. */
struct board *snag_board;
static struct process process;
struct process *snag_process = &process;
__thread struct thread snag_thread;
bool snag_sees_pids = true;

void session_begin_process(void)
{
    process.pid = 1;
    process.epoch = 1;
}

void session_begin_thread(void)
{
    memset(&snag_thread, 0, sizeof snag_thread);
    snag_thread.tid = 1;
    snag_thread.epoch = process.epoch;
}

static struct rule_set set, next_set; /* the plan of the board, and that of the lines with ~ */
static unsigned changes;              /* of the plan, so far */
static struct stack *here;            /* the call site of all calls; NULL: not known */

/* The lines of an input, each terminated. */
static char *lines[LINES_MAX];
static size_t line_count;

static void split(char *text, size_t size)
{
    char *end = text + size;
    line_count = 0;
    while (text < end && line_count < LINES_MAX) {
        char *newline = memchr(text, '\n', (size_t)(end - text));
        lines[line_count++] = text;
        if (newline == NULL)
            break;
        *newline = '\0';
        text = newline + 1;
    }
}

/* Without the guard page that follows it. */
static unsigned char *board_memory(void)
{
    static unsigned char *memory;
    size_t size = (board_size() + PAGE - 1) / PAGE * PAGE;
    if (memory == NULL) {
        memory = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        FUZZ_MUST(memory != MAP_FAILED && mprotect(memory + size, PAGE, PROT_NONE) == 0);
    }
    FUZZ_MUST(mprotect(memory, size, PROT_READ | PROT_WRITE) == 0 && madvise(memory, size, MADV_DONTNEED) == 0);
    return memory;
}

/* Where AREA begins and ends on a board as it is made. */
static bool area_bounds(char area, uint64_t *from, uint64_t *to)
{
    static struct board whole;
    if (whole.size == 0)
        memcpy(&whole, snag_board, sizeof whole);
    const uint64_t starts[] = {0,
                               whole.rules_at,
                               whole.tallies_at,
                               whole.strings_at,
                               whole.modules_at,
                               whole.stacks_at,
                               whole.ranges_at,
                               whole.site_ordinals_at,
                               whole.rings_at,
                               whole.size};
    static const char areas[] = "hrtsmkgoq";
    const char *found = strchr(areas, area);
    if (area == '\0' || found == NULL)
        return false;
    *from = starts[found - areas];
    *to = starts[found - areas + 1];
    return true;
}

/* What a line that overwrites says. */
struct damage {
    char area;
    uint64_t offset, value;
    size_t bytes;
};

/* Reads where TEXT, a number or the name of a field, is in the area. */
static bool read_offset(struct damage *damage, const char *text)
{
    char *end;
    damage->offset = strtoull(text, &end, 0);
    if (*end == '\0')
        return true;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].area == damage->area && strcmp(fields[i].name, text) == 0) {
            damage->offset = fields[i].offset;
            damage->bytes = fields[i].size < damage->bytes ? fields[i].size : damage->bytes;
            return true;
        }
    return false;
}

static bool read_damage(const char *line, struct damage *out)
{
    char offset[32], value[32];
    unsigned bytes = sizeof out->value;
    int read = sscanf(line + 1, "%c %31s %31s %u", &out->area, offset, value, &bytes);
    out->bytes = bytes;
    if (read < 3 || bytes > sizeof out->value || !read_offset(out, offset))
        return false;
    out->value = strtoull(value, NULL, 0);
    return true;
}

/* Whether shims write there: all but rules, strings, and that part of the header that is snag's. */
static bool is_shared(const struct damage *damage)
{
    if (damage->area != 'h')
        return damage->area != 'r' && damage->area != 's';
    return damage->offset == offsetof(struct board, ring_count) ||
           (damage->offset >= offsetof(struct board, ready_ns) &&
            damage->offset + damage->bytes <= offsetof(struct board, plan_stamp));
}

static void overwrite(unsigned char *memory, char mark)
{
    for (size_t i = 0; i < line_count; i++) {
        struct damage damage;
        uint64_t from, to;
        if (lines[i][0] != mark || !read_damage(lines[i], &damage) || !area_bounds(damage.area, &from, &to) ||
            (mark == '+' && !is_shared(&damage)))
            continue;
        if (damage.offset <= to - from && to - from - damage.offset >= damage.bytes)
            memcpy(memory + from + damage.offset, &damage.value, damage.bytes);
    }
}

/* Compiles the lines that are rules, or those that begin with MARK, if that is not 0; a line that is no rule is none. */
static void compile(char mark, struct rule_set *out)
{
    struct plan *plan = plan_new();
    FUZZ_MUST(plan != NULL);
    for (size_t i = 0; i < line_count; i++)
        if (mark == '\0' && strchr("@+~=!", lines[i][0]) == NULL)
            plan_add(plan, lines[i], fuzz_sink());
        else if (mark != '\0' && lines[i][0] == mark)
            plan_add(plan, lines[i] + 1, fuzz_sink());
    FUZZ_MUST(plan_compile(plan, false, out) == 0);
    plan_free(plan);
    out->sites = true;
}

/* Puts the other plan in force, with tallies that no rule of the last few plans has. */
static void change_plan(void)
{
    if (next_set.count == 0 || changes == CHANGES_MAX)
        return;
    changes++;
    for (uint32_t i = 0; i < next_set.count; i++) {
        struct rule *rule = &next_set.rules[i];
        rule->number = rule->serial = changes * RULE_MAX + i;
        rule->slot = i;
        rule->tally = RULE_MAX + (changes % PLANS) * RULE_MAX + i;
        rule->caller_pattern = rule->stack_pattern = 0;
        rule->filters &= ~(uint32_t)(IF_CALLER | IF_STACK);
    }
    FUZZ_MUST(board_publish(snag_board, &next_set) == 0);
}

static void make_board(unsigned char *memory)
{
    compile('\0', &set);
    compile('~', &next_set);
    changes = 0;
    snag_board = board_make(memory, board_size(), &set, 1);
    FUZZ_MUST(snag_board != NULL);
    snag_board->lease_at = offsetof(struct board, lease_mutex);
    snag_board->lease_mutex[0] = 1;
    atomic_store(&snag_board->ready_ns, 1);
    atomic_store(&snag_board->rings_ready, 2);
}

/* Where the file ends, as the lines say. */
static size_t file_size(void)
{
    size_t size = board_size();
    for (size_t i = 0; i < line_count; i++) {
        unsigned rings;
        if (sscanf(lines[i], "=rings %u", &rings) == 1 && rings <= BOARD_RINGS) {
            snag_board->ring_count = rings;
            snag_board->size = size = snag_board->rings_at + rings * sizeof(struct ring);
        } else if (lines[i][0] == '=' && strtoull(lines[i] + 1, NULL, 0) < size) {
            size = (size_t)strtoull(lines[i] + 1, NULL, 0);
        }
    }
    return size;
}

/* How long the file is, and nothing can be read where it has ended. */
static size_t cut(unsigned char *memory)
{
    size_t all = (board_size() + PAGE - 1) / PAGE * PAGE, size = file_size(), pages = (size + PAGE - 1) / PAGE * PAGE;
    if (pages < all)
        FUZZ_MUST(mprotect(memory + pages, all - pages, PROT_NONE) == 0);
    return size;
}

static _Atomic uint64_t *scene_counter(const struct scene *scene, uint32_t slot, enum rule_scope scope)
{
    static _Atomic uint64_t descriptors[RULE_MAX];
    (void)scene;
    FUZZ_MUST(slot < RULE_MAX);
    switch (scope) {
    case PER_PROCESS:
        return &process.ordinals[slot];
    case PER_THREAD:
        return &session_thread()->ordinals[slot];
    case PER_FD:
        return &descriptors[slot];
    case PER_SITE:
        return here ? board_site_ordinal(snag_board, slot, (uint32_t)(here - board_stack(snag_board, 0))) : NULL;
    case PER_TREE:
        break;
    }
    return NULL;
}

static void scene_address(const struct scene *scene, struct scene_address *out)
{
    *out = (struct scene_address){.family = scene->call % 2 ? 1 : 2, .port = 80, .path = "/run/server.sock"};
}

static bool scene_pending(const struct scene *scene)
{
    change_plan();
    return scene->call % 2;
}

static void scene_name(const struct scene *scene, char out[16])
{
    (void)scene;
    change_plan();
    memcpy(out, "worker-process1", 16);
}

static uint64_t scene_now(const struct scene *scene)
{
    (void)scene;
    return NOW_NS;
}

static bool scene_room(const struct scene *scene, uint32_t slot, uint32_t serial, int32_t error, bool firing)
{
    (void)serial;
    (void)error;
    FUZZ_MUST(slot < RULE_MAX);
    return firing && scene->call % 2;
}

static struct stack *scene_site(const struct scene *scene)
{
    (void)scene;
    return here;
}

static const struct scene_ops ops = {scene_counter, scene_address, scene_pending, scene_name,
                                     scene_name,    scene_now,     scene_room,    scene_site};

static struct stack *put_site(enum call call)
{
    const char *const path = "/usr/sbin/server";
    uint16_t module = module_put(snag_board, path, "0123456789abcdef", 16, 1);
    const struct stack_frame parts[] = {{module_key(path), 0x1234}, {0, 0}};
    const uint64_t frames[] = {(uint64_t)module << 48 | 0x1234, (uint64_t)MODULE_NONE << 48};
    uint32_t index = stack_put(snag_board, stack_id(call, parts, 2), call, frames, 2);
    FUZZ_MUST(index == STACK_NONE || index < STACK_MAX);
    return index == STACK_NONE ? NULL : board_stack(snag_board, index);
}

static void decide_call(enum call call)
{
    struct scene scene = {.ops = &ops, .call = call, .fd = LISTENER, .has_address = true, .struck = call % 3 == 0};
    struct decision decision;
    here = put_site(call);
    scene.fallback = &session_thread()->fallback;
    if (!decide_concerns(snag_board, call, LISTENER))
        return;
    bool acts = decide(snag_board, &scene, &decision);
    FUZZ_MUST(!acts || (decision.rule == &decision.copy && decision.rule->tally < TALLY_MAX));
    if (acts && call % 5 == 0)
        decide_missed(snag_board, &decision);
    decide_note(scene.fallback, call, LISTENER, acts ? decision.rule->error : 0, acts ? &decision : NULL);
}

static void record(const char *line)
{
    size_t length = strlen(line);
    uint64_t position;
    if (length < 3)
        return;
    struct event *event = record_begin((enum event_kind)(line[0] & 7), line + 3, length - 3, &position);
    if (event == NULL)
        return;
    event->call = (uint16_t)((unsigned char)line[1] % (CALL_COUNT + 2));
    event->flags = (uint16_t)((unsigned char)line[2] & 0x3f);
    event->ret = line[2] & 0x40 ? -1 : LISTENER;
    event->err = (uint16_t)(line[2] & 0x40 ? 24 : 0);
    event->t_ns = 1000;
    event->rule = 1;
    event->site = here ? atomic_load(&here->id) : 0;
    record_end(event, position);
}

/* What reads the records. */
struct view {
    struct jsonl *trace;
    struct sites *sites;
};

static void show(void *context, const struct event *event, const void *payload)
{
    static char line[STRACE_LINE_MAX];
    struct view *view = context;
    jsonl_event(view->trace, event, payload, event->rule);
    if (event->kind != EVENT_CALL)
        return;
    if (event->site != 0)
        sites_count(view->sites, event, event->rule);
    struct site *site = sites_find(view->sites, event->site);
    if (site != NULL)
        strace_stack(site, fuzz_sink());
    size_t length = strace_line(line, event, payload, ACT_FAIL, true);
    FUZZ_MUST(length < sizeof line && strlen(line) == length);
}

static bool is_gone(void *context, uint32_t pid, uint32_t tid)
{
    (void)context;
    return (pid ^ tid) % 2;
}

static void read_records(void)
{
    struct site *const *sorted;
    const char *pattern;
    struct view view = {jsonl_open("/dev/null", 1), sites_new(snag_board, &set, NULL, NULL)};
    const struct drain_ops drain_ops = {.ordered = show, .gone = is_gone, .context = &view};
    struct drain *drain = drain_new(snag_board, &drain_ops);
    FUZZ_MUST(view.trace != NULL && view.sites != NULL && drain != NULL);
    jsonl_sites(view.trace, view.sites);
    for (uint64_t turn = 1; turn <= 3; turn++) {
        drain_read(drain, turn * NOW_NS);
        drain_sweep(drain, turn * NOW_NS);
        sites_serve(view.sites, &pattern);
    }
    drain_finish(drain);
    drain_free(drain);
    sites_sort(view.sites, &sorted);
    FUZZ_MUST(jsonl_close(view.trace) == 0);
    sites_free(view.sites);
}

static void attach(unsigned char *memory)
{
    memset(&process, 0, sizeof process);
    snag_thread.epoch = 0;
    for (enum call call = 0; call < CALL_COUNT; call++)
        decide_call(call);
    if (changes > 0) /* who attaches now finds it as sound as the first one did */
        FUZZ_MUST(board_fault(memory, board_size()) == NULL);
    overwrite(memory, '+');
    for (enum call call = 0; call < CALL_COUNT; call++)
        decide_call(call);
    for (size_t i = 0; i < line_count; i++)
        if (lines[i][0] == '!')
            record(lines[i] + 1);
    read_records();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *memory = board_memory();
    char *text = strndup((const char *)data, size);
    FUZZ_MUST(text != NULL);
    split(text, strlen(text));
    make_board(memory);
    FUZZ_MUST(board_fault(memory, board_size()) == NULL);
    overwrite(memory, '@');
    if (board_fault(memory, cut(memory)) == NULL)
        attach(memory);
    free(text);
    return 0;
}
