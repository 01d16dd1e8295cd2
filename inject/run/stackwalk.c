#include "run/stackwalk.h"

#if !defined(__x86_64__)

bool stackwalk_begin(void)
{
    return false;
}

bool stackwalk_walk(pid_t tid, enum call call, const struct mappings *mappings,
                    const struct user_regs_struct *registers, struct trail *out)
{
    (void)tid;
    (void)call;
    (void)mappings;
    (void)registers;
    (void)out;
    return false;
}

#else

#include <dlfcn.h>
#include <string.h>
#include <sys/auxv.h>

#include "engine/unwinder.h"
#include "run/program.h"
#include "run/target.h"

#define TEXT_OF(x) #x
#define NAME_OF(x) TEXT_OF(x)

/* Where libunwind finds the entries of a table that we made: no process has memory there. */
#define TABLE UINT64_C(0xffff800000000000)

enum {
    PAGE = 4096,
    GO_TEXT_AT = 24, /* in the head of Go's table: where the functions begin */
    PAGES_KNOWN = 64,
    CODE_MAX = 64 << 10, /* bytes of a function that are looked through */
    CALL_SIZE = 5,       /* bytes of an instruction */
    SEARCHED = 64,       /* words of a stack that are looked at for a return address */
};

int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *info,
                                       unw_proc_info_t *out, int need_unwind_info, void *data);

/* libunwind's functions, under their names as macros of its header turn them into symbols. */
#define FUNCTIONS(X) \
    X(create, unw_create_addr_space) \
    X(set_caching_policy, unw_set_caching_policy) \
    X(init, unw_init_remote) \
    X(step, unw_step) \
    X(get_reg, unw_get_reg) \
    X(get_save_loc, unw_get_save_loc) \
    X(get_proc_info, unw_get_proc_info) \
    X(is_signal_frame, unw_is_signal_frame) \
    X(search_table, UNW_OBJ(dwarf_search_unwind_table))

static struct {
#define X(name, symbol) __typeof__(symbol) *name;
    FUNCTIONS(X)
#undef X
} unwinder;

static void *library;
static unw_addr_space_t space;

/* The walk that is under way: one thread of snag does them all. */
static struct {
    pid_t tid;
    enum call call;
    const struct mappings *mappings;
    unw_cursor_t cursor;
    uint64_t registers[UNW_TDEP_LAST_REG + 1];
    uint64_t sp;                   /* where the stack ends */
    bool guesses;                  /* there was no table for a function */
    bool lost;                     /* what the other registers held is not known any more */
    const struct program *program; /* that TABLE is of */
    struct {
        uint64_t number; /* 0: none */
        unsigned char bytes[PAGE];
    } pages[PAGES_KNOWN];
} walk;

/* --- What libunwind asks ------------------------------------------------------------------------------------------ */

static const unsigned char *page_of(uint64_t address)
{
    uint64_t number = address / PAGE;
    unsigned char *bytes = walk.pages[number % PAGES_KNOWN].bytes;
    if (number != 0 && walk.pages[number % PAGES_KNOWN].number == number)
        return bytes;
    bool read = number != 0 && target_read(walk.tid, number * PAGE, bytes, PAGE);
    walk.pages[number % PAGES_KNOWN].number = read ? number : 0;
    return read ? bytes : NULL;
}

static bool read_word(uint64_t address, uint64_t *out)
{
    for (size_t done = 0; done < sizeof *out;) {
        size_t offset = (address + done) % PAGE, part = PAGE - offset;
        const unsigned char *page = page_of(address + done);
        if (page == NULL)
            return false;
        part = part < sizeof *out - done ? part : sizeof *out - done;
        memcpy((char *)out + done, page + offset, part);
        done += part;
    }
    return true;
}

/* As read_word(), of a table that we made: it is behind the end of what a process has. */
static bool read_entry(uint64_t address, uint64_t *out)
{
    uint64_t index = (address - TABLE) / sizeof *out;
    if (walk.program == NULL || index >= walk.program->entry_count)
        return false;
    memcpy(out, &walk.program->entries[index], sizeof *out);
    return true;
}

static int access_mem(unw_addr_space_t asked, unw_word_t address, unw_word_t *value, int write, void *data)
{
    uint64_t word;
    (void)asked;
    (void)data;
    if (write || !(address >= TABLE ? read_entry(address, &word) : read_word(address, &word)))
        return -UNW_EINVAL;
    *value = word;
    return 0;
}

static int access_reg(unw_addr_space_t asked, unw_regnum_t number, unw_word_t *value, int write, void *data)
{
    (void)asked;
    (void)data;
    bool known = !walk.lost || number == UNW_X86_64_RSP || number == UNW_X86_64_RIP;
    if (write || number < 0 || number > UNW_TDEP_LAST_REG || !known)
        return -UNW_EBADREG;
    *value = walk.registers[number];
    return 0;
}

/* The same of a program without that header: linkers leave it out of static ones. */
static bool make_table(const struct mapped *file, unw_dyn_info_t *out)
{
    struct program *program = mappings_program(walk.mappings, file);
    if (program == NULL || !program_sort(program, walk.tid, file->bias))
        return false;
    walk.program = program;
    out->u.rti.segbase = file->bias + program->frames;
    out->u.rti.table_len = program->entry_count;
    out->u.rti.table_data = TABLE;
    return true;
}

static bool find_table(const struct mapped *file, unw_dyn_info_t *out)
{
    struct table_head head;
    if (file->table == 0)
        return make_table(file, out);
    out->u.rti.segbase = file->table;
    out->u.rti.table_data = file->table + sizeof head;
    if (!target_read(walk.tid, file->table, &head, sizeof head) || !is_usual(&head))
        return false;
    out->u.rti.table_len = head.count;
    return true;
}

static int search(unw_addr_space_t asked, unw_word_t ip, unw_proc_info_t *out, int need_unwind_info, void *data)
{
    const struct mapped *file = mappings_find(walk.mappings, ip);
    unw_dyn_info_t info = {.end_ip = UINT64_MAX, .format = UNW_INFO_FORMAT_REMOTE_TABLE};
    if (file == NULL || !find_table(file, &info))
        return -UNW_ENOINFO;
    info.start_ip = file->start;
    return unwinder.search_table(asked, ip, &info, out, need_unwind_info, data);
}

static int find_proc_info(unw_addr_space_t asked, unw_word_t ip, unw_proc_info_t *out, int need_unwind_info, void *data)
{
    int result = search(asked, ip, out, need_unwind_info, data);
    walk.guesses |= result < 0;
    return result;
}

/* --- The beginning ------------------------------------------------------------------------------------------------ */

/* It stays. */
static bool load(void)
{
    if (getauxval(AT_BASE) == 0) /* snag is linked statically: nothing can be loaded into it */
        return false;
    library = dlopen("libunwind-" NAME_OF(UNW_TARGET) ".so.8", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return false;
#define X(name, symbol) \
    { \
        void *function = dlsym(library, NAME_OF(symbol)); \
        if (function == NULL) \
            return false; \
        memcpy(&unwinder.name, &function, sizeof function); \
    }
    FUNCTIONS(X)
#undef X
    return true;
}

bool stackwalk_begin(void)
{
    unw_accessors_t accessors = {
        .find_proc_info = find_proc_info,
        .put_unwind_info = put_unwind_info,
        .get_dyn_info_list_addr = get_dyn_info_list_addr,
        .access_mem = access_mem,
        .access_reg = access_reg,
        .access_fpreg = access_fpreg,
        .resume = resume,
        .get_proc_name = get_proc_name,
    };
    if (space != NULL)
        return true;
    if (!load())
        return false;
    space = unwinder.create(&accessors, 0);
    if (space != NULL)
        unwinder.set_caching_policy(space, UNW_CACHE_NONE);
    return space != NULL;
}

/* --- A walk ------------------------------------------------------------------------------------------------------- */

static bool get(unw_regnum_t number, uint64_t *out)
{
    unw_word_t value;
    if (unwinder.get_reg(&walk.cursor, number, &value) != 0)
        return false;
    *out = value;
    return true;
}

/* Where the frame pointer that this frame runs with was saved by a frame further in; 0 if it was not. */
static uint64_t saved_fp_at(void)
{
    unw_save_loc_t place;
    if (unwinder.get_save_loc(&walk.cursor, UNW_X86_64_RBP, &place) != 0 || place.type != UNW_SLT_MEMORY)
        return 0;
    return place.u.addr;
}

/* Whether WORD lies at ADDRESS, which is on the stack, outward of where it begins, and near enough for a place. */
static bool lies_at(uint64_t address, uint64_t word)
{
    uint64_t found;
    return address >= walk.sp && address - walk.sp < INT32_MAX && read_word(address, &found) && found == word;
}

/* The bytes at ADDRESS, all in one page as a rule; false: they can't be read. */
static bool read_code(uint64_t address, unsigned char *out, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const unsigned char *page = page_of(address + i);
        if (page == NULL)
            return false;
        out[i] = page[(address + i) % PAGE];
    }
    return true;
}

/*
 * Whether the instruction at CODE, of which three bytes are there, moves the stack pointer by what a register says, or cuts
 * it to a multiple: sub %reg,%rsp; mov %reg,%rsp and lea (%reg),%rsp but for %rbp, which ends a function; and $n,%rsp.
 * What only looks like one is none the worse for it.
 */
static bool moves_stack(const unsigned char *code)
{
    unsigned mode = code[2] >> 6, middle = code[2] >> 3 & 7, last = code[2] & 7;
    bool middle_is_sp = (code[0] & 0xfc) == 0x48 && middle == 4, last_is_sp = (code[0] & 0xf9) == 0x48 && last == 4;
    bool last_is_fp = !(code[0] & 1) && last == 5, middle_is_fp = !(code[0] & 4) && middle == 5;
    switch (code[1]) {
    case 0x29: /* sub */
        return last_is_sp && mode == 3;
    case 0x2b:
        return middle_is_sp && mode == 3;
    case 0x89: /* mov */
        return last_is_sp && mode == 3 && !middle_is_fp;
    case 0x8b:
        return middle_is_sp && mode == 3 && !last_is_fp;
    case 0x81:
    case 0x83: /* and */
        return last_is_sp && mode == 3 && middle == 4;
    case 0x8d: /* lea */
        return middle_is_sp && mode != 3 && last != 4 && !last_is_fp;
    default:
        return false;
    }
}

/* Whether the function that the cursor is in may have a frame of another size the next time. */
static bool is_growing(void)
{
    unw_proc_info_t info;
    unsigned char code[3];
    if (unwinder.get_proc_info(&walk.cursor, &info) != 0 || info.end_ip - info.start_ip > CODE_MAX)
        return true;
    for (uint64_t at = info.start_ip; at + sizeof code <= info.end_ip; at++) {
        if (!read_code(at, code, sizeof code) || moves_stack(code))
            return true;
    }
    return false;
}

static void add_slot(struct trail *out, uint64_t at, bool relative, uint64_t value)
{
    uint64_t sp = walk.sp;
    out->slots[out->slot_count++] = (struct slot){
        .at = (int32_t)(at - sp), .relative = relative, .value = (int64_t)(relative ? value - sp : value)};
}

/*
 * Notes what a later walk from the same place must find for this frame.  Where its frame pointer is still in a register the
 * stack does not tell it; then the code must show that its frame is always of one size.
 */
static void take_slots(uint64_t ip, uint64_t sp, struct trail *out)
{
    uint64_t fp = 0, fp_at = saved_fp_at(), ip_at = sp - sizeof ip;
    bool has_fp = get(UNW_X86_64_RBP, &fp);
    if (!lies_at(ip_at, ip)) {
        out->lasting = false;
        return;
    }
    add_slot(out, ip_at, false, ip);
    if (!has_fp || fp_at == 0)
        out->lasting = out->lasting && !is_growing();
    else if (lies_at(fp_at, fp))
        add_slot(out, fp_at, true, fp);
    else
        out->lasting = false;
}

/*
 * Notes the frame that the cursor is at.  One that a signal interrupted was not reached by a call: where it goes on is no
 * return address; one more, and it is looked up as one.
 */
static bool take_step(struct trail *out)
{
    uint64_t ip, sp;
    if (!get(UNW_REG_IP, &ip) || !get(UNW_REG_SP, &sp) || ip == 0)
        return false;
    bool called = out->count == 0 || (lies_at(sp - sizeof ip, ip) && unwinder.is_signal_frame(&walk.cursor) <= 0);
    if (!called)
        out->lasting = false;
    else if (out->count > 0)
        take_slots(ip, sp, out);
    else
        out->lasting = !is_growing();
    out->ips[out->count++] = ip + !called;
    return true;
}

/* What is no address on the part of the stack that was walked is no frame pointer: some other value in that register. */
static void drop_other_values(struct trail *out)
{
    int64_t end = 0;
    size_t kept = 0;
    for (size_t i = 0; i < out->slot_count; i++)
        if (!out->slots[i].relative && out->slots[i].at > end)
            end = out->slots[i].at;
    for (size_t i = 0; i < out->slot_count; i++)
        if (!out->slots[i].relative || (out->slots[i].value >= 0 && out->slots[i].value <= end))
            out->slots[kept++] = out->slots[i];
    out->slot_count = kept;
}

static void set_registers(const struct user_regs_struct *from)
{
    const uint64_t values[] = {
        [UNW_X86_64_RAX] = from->rax, [UNW_X86_64_RDX] = from->rdx, [UNW_X86_64_RCX] = from->rcx,
        [UNW_X86_64_RBX] = from->rbx, [UNW_X86_64_RSI] = from->rsi, [UNW_X86_64_RDI] = from->rdi,
        [UNW_X86_64_RBP] = from->rbp, [UNW_X86_64_RSP] = from->rsp, [UNW_X86_64_R8] = from->r8,
        [UNW_X86_64_R9] = from->r9,   [UNW_X86_64_R10] = from->r10, [UNW_X86_64_R11] = from->r11,
        [UNW_X86_64_R12] = from->r12, [UNW_X86_64_R13] = from->r13, [UNW_X86_64_R14] = from->r14,
        [UNW_X86_64_R15] = from->r15, [UNW_X86_64_RIP] = from->rip,
    };
    memset(walk.registers, 0, sizeof walk.registers);
    memcpy(walk.registers, values, sizeof values);
}

/* Go's table for the function at ADDRESS, whose own address goes to *OFFSET; NULL: it is not Go's. */
static const struct gotable *go_table(uint64_t address, uint64_t *offset)
{
    uint64_t text;
    const struct mapped *file = mappings_find(walk.mappings, address);
    struct program *program = file != NULL ? mappings_program(walk.mappings, file) : NULL;
    if (program == NULL || program->go.count == 0)
        return NULL;
    /* In a program that can be loaded anywhere, the file does not say it. */
    if (read_word(file->bias + program->go_at + GO_TEXT_AT, &text))
        program->go.text = text - file->bias;
    *offset = address - file->bias;
    return &program->go;
}

/* What came of a step. */
enum step { STEP_ON, STEP_END, STEP_LOST, STEP_NOT_GOS };

/* As step(), out of a function of Go's.  Frame pointers are of no matter there. */
static enum step go_step(struct trail *out)
{
    struct gofunction function;
    uint64_t *sp = &walk.registers[UNW_X86_64_RSP], *ip = &walk.registers[UNW_X86_64_RIP], offset, depth;
    const struct gotable *table = go_table(*ip - (out->count > 1), &offset);
    if (table == NULL || !gotable_find(table, offset, &function))
        return STEP_NOT_GOS;
    enum gotable_way way = gotable_way(table, &function, offset, &depth);
    if (way != GO_STEPS)
        return way == GO_ENDS ? STEP_END : STEP_LOST;
    uint64_t at = *sp + depth;
    if (at - walk.sp >= INT32_MAX || !read_word(at, ip) || *ip == 0)
        return STEP_LOST;
    *sp = at + sizeof *ip;
    add_slot(out, at, false, *ip);
    return STEP_ON;
}

/* Walks from a function of Go's on.  What is behind one in another language, by its rules, can't be known any more. */
static void walk_go(struct trail *out)
{
    enum step step = STEP_ON;
    while (step == STEP_ON && out->count < TRAIL_MAX) {
        out->ips[out->count++] = walk.registers[UNW_X86_64_RIP];
        step = go_step(out);
    }
    out->partial = step == STEP_LOST || step == STEP_NOT_GOS;
}

/* Where the instruction at ADDRESS goes to, if it is one with CODE (call, jmp) and a distance; else 0. */
static uint64_t target_of(uint64_t address, unsigned char code)
{
    unsigned char bytes[5];
    int32_t distance;
    if (!read_code(address, bytes, sizeof bytes) || bytes[0] != code)
        return 0;
    memcpy(&distance, bytes + 1, sizeof distance);
    return address + sizeof bytes + (uint64_t)(int64_t)distance;
}

/* Whether the instruction before IP calls the function at ENTRY: by itself, or by one that only jumps there. */
static bool returns_from(uint64_t ip, uint64_t entry)
{
    uint64_t target = ip > CALL_SIZE ? target_of(ip - CALL_SIZE, 0xe8) : 0;
    return target != 0 && (target == entry || target_of(target, 0xe9) == entry);
}

/*
 * Out of a C library's function around a system call that has no table, at IP with the stack pointer SP: by the one return
 * address near it that leads to who calls this function.  If there are two, one is of an earlier call, and it ends here.
 */
static enum step search_step(uint64_t ip, uint64_t sp)
{
    uint64_t entry, word, at = 0, found = 0;
    const struct mapped *file = mappings_find(walk.mappings, ip - 1);
    const struct program *program = file != NULL ? mappings_program(walk.mappings, file) : NULL;
    if (program != NULL && program_starts(program, ip - 1 - file->bias))
        return STEP_END;
    if (program == NULL || !program_wrapper(program, walk.call, ip - 1 - file->bias, &entry))
        return STEP_LOST;
    for (uint64_t i = 0; i < SEARCHED && read_word(sp + i * sizeof word, &word); i++) {
        if (!returns_from(word, file->bias + entry))
            continue;
        if (at != 0)
            return STEP_LOST;
        at = sp + i * sizeof word;
        found = word;
    }
    walk.registers[UNW_X86_64_RIP] = found;
    walk.registers[UNW_X86_64_RSP] = at + sizeof word;
    walk.lost = true;
    return at != 0 && unwinder.init(&walk.cursor, space, NULL) == 0 ? STEP_ON : STEP_LOST;
}

static enum step step(void)
{
    uint64_t ip, sp;
    walk.guesses = false;
    if (!get(UNW_REG_IP, &ip) || !get(UNW_REG_SP, &sp))
        return STEP_LOST;
    int result = unwinder.step(&walk.cursor);
    if (walk.guesses && unwinder.is_signal_frame(&walk.cursor) <= 0)
        return search_step(ip, sp);
    return result < 0 ? STEP_LOST : result > 0 ? STEP_ON : STEP_END;
}

static void walk_others(struct trail *out)
{
    enum step result = STEP_ON;
    while (result == STEP_ON && out->count < TRAIL_MAX && take_step(out))
        result = step();
    out->partial = result == STEP_LOST;
    drop_other_values(out);
}

bool stackwalk_walk(pid_t tid, enum call call, const struct mappings *mappings,
                    const struct user_regs_struct *registers, struct trail *out)
{
    uint64_t offset;
    walk.tid = tid;
    walk.call = call;
    walk.mappings = mappings;
    walk.program = NULL;
    walk.lost = false;
    for (size_t i = 0; i < PAGES_KNOWN; i++)
        walk.pages[i].number = 0;
    set_registers(registers);
    walk.sp = registers->rsp;
    out->count = out->slot_count = 0;
    out->lasting = true;
    out->partial = false;
    struct gofunction function;
    const struct gotable *go = go_table(registers->rip, &offset);
    if (go != NULL && gotable_find(go, offset, &function))
        walk_go(out);
    else if (unwinder.init(&walk.cursor, space, NULL) == 0)
        walk_others(out);
    return out->count > 0;
}

#endif
