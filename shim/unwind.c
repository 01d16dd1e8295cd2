#include "unwind.h"

#if !defined(__x86_64__)

/* Where a frame keeps what, and the way out of our own frames, is known here for x86-64: elsewhere there are no call sites. */
bool unwind_begin(void)
{
    return false;
}

bool unwind_walk(const void *frame, struct trail *out)
{
    (void)frame;
    (void)out;
    return false;
}

#else

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "engine/unwinder.h"
#include "loader.h"
#include "module.h"
#include "raw.h"

#define TEXT_OF(x) #x
#define NAME_OF(x) TEXT_OF(x)

enum {
    WAY_OUT = 24, /* frames of ours between unwind_walk() and the wrapper, at most */
    PAGE = 4096,  /* or a multiple of it, which does no harm */
    PAGES_KNOWN = 64,
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
    X(is_signal_frame, unw_is_signal_frame) \
    X(search_table, UNW_OBJ(dwarf_search_unwind_table))

static struct {
#define X(name, symbol) __typeof__(symbol) *name;
    FUNCTIONS(X)
#undef X
} unwinder;

static void *library;
static unw_addr_space_t space;

/* The walk that is under way. */
static struct {
    unw_cursor_t cursor;
    uint64_t registers[UNW_TDEP_LAST_REG + 1];
    uint64_t pages[PAGES_KNOWN]; /* that can be read */
} walk;

/*
 * Whether the word at ADDRESS can be read.  The kernel is asked with a call that does nothing else with it, and that no
 * seccomp filter forbids: a signal mask, to be set in a way that does not exist.
 */
static bool is_readable(uint64_t address)
{
    uint64_t page = address / PAGE, *known = &walk.pages[page % PAGES_KNOWN];
    if (page == 0) /* stands for none in `pages`; nothing is mapped there */
        return false;
    if (*known == page)
        return true;
    if (snag_raw(SYS_rt_sigprocmask, -1, (long)(address & ~UINT64_C(7)), 0, 8, 0, 0) == -EFAULT)
        return false;
    *known = page;
    return true;
}

static bool read_word(uint64_t address, uint64_t *out)
{
    if (!is_readable(address) || !is_readable(address + sizeof *out - 1))
        return false;
    memcpy(out, (const void *)(uintptr_t)address, sizeof *out);
    return true;
}

/*
 * Whether is_readable() can be believed.  A system that runs Linux's programs without Linux, or a filter that we were started
 * under, may refuse a mask that is set in no known way before it looks at where the mask is.
 */
static bool readability_is_told(void)
{
    static const uint64_t there;
    long away = snag_raw(SYS_mmap, 0, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (away < 0 && away > -PAGE)
        return false;
    bool told = is_readable((uintptr_t)&there) && !is_readable((uint64_t)away);
    raw2(SYS_munmap, away, PAGE);
    return told;
}

/* --- What libunwind asks. */

static int access_mem(unw_addr_space_t asked, unw_word_t address, unw_word_t *value, int write, void *data)
{
    uint64_t word;
    (void)asked;
    (void)data;
    if (write || !read_word(address, &word))
        return -UNW_EINVAL;
    *value = word;
    return 0;
}

static int access_reg(unw_addr_space_t asked, unw_regnum_t number, unw_word_t *value, int write, void *data)
{
    (void)asked;
    (void)data;
    if (write || number < 0 || number > UNW_TDEP_LAST_REG)
        return -UNW_EBADREG;
    *value = walk.registers[number];
    return 0;
}

static int find_proc_info(unw_addr_space_t asked, unw_word_t ip, unw_proc_info_t *out, int need_unwind_info, void *data)
{
    struct dl_find_object object;
    if (!module_find(ip, &object) || !object.dlfo_eh_frame)
        return -UNW_ENOINFO;
    const struct table_head *head = object.dlfo_eh_frame;
    if (!is_usual(head))
        return -UNW_ENOINFO;
    unw_dyn_info_t info = {
        .start_ip = (uintptr_t)object.dlfo_map_start,
        .end_ip = (uintptr_t)object.dlfo_map_end,
        .format = UNW_INFO_FORMAT_REMOTE_TABLE,
        .u.rti = {.segbase = (uintptr_t)head, .table_len = head->count, .table_data = (uintptr_t)(head + 1)},
    };
    return unwinder.search_table(asked, ip, &info, out, need_unwind_info, data);
}

/* --- The beginning. */

/* It stays. */
static bool load(void)
{
    library = loader_open("libunwind-" NAME_OF(UNW_TARGET) ".so.8", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return false;
#define X(name, symbol) \
    { \
        void *function = loader_find(library, NAME_OF(symbol)); \
        if (!function) \
            return false; \
        memcpy(&unwinder.name, &function, sizeof function); \
    }
    FUNCTIONS(X)
#undef X
    return true;
}

/* Whether FD is one end of a pipe as libunwind makes it, and then which pipe. */
static bool is_its_pipe(int fd, ino_t *pipe)
{
    struct stat status;
    if (raw2(SYS_fcntl, fd, F_GETFD) != FD_CLOEXEC || !(raw2(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK) ||
        raw2(SYS_fstat, fd, raw_pointer(&status)) != 0 || !S_ISFIFO(status.st_mode))
        return false;
    *pipe = status.st_ino;
    return true;
}

/* Makes the address space that stands for our own memory, and walks a first stack in it. */
static bool make_space(void)
{
    static struct trail trail;
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
    space = unwinder.create(&accessors, 0);
    if (!space)
        return false;
    unwinder.set_caching_policy(space, UNW_CACHE_NONE);
    return unwind_walk(__builtin_frame_address(0), &trail);
}

/*
 * When it is first used, libunwind opens its pipe, which nothing here needs.  It gets the lowest free numbers, which we
 * learn by opening a pipe of our own, and is closed at once: this is a constructor, and no other threads are there, as
 * a rule.
 */
bool unwind_begin(void)
{
    int next[2] = {-1, -1};
    ino_t first, second;
    if (!readability_is_told() || !load())
        return false;
    if (snag_raw(SYS_pipe2, raw_pointer(next), O_CLOEXEC, 0, 0, 0, 0) == 0) {
        raw2(SYS_close, next[0], 0);
        raw2(SYS_close, next[1], 0);
    }
    bool made = make_space();
    if (next[0] >= 0 && is_its_pipe(next[0], &first) && is_its_pipe(next[1], &second) && first == second) {
        raw2(SYS_close, next[0], 0);
        raw2(SYS_close, next[1], 0);
    }
    return made;
}

/* --- A walk. */

#define REGISTER_FP UNW_X86_64_RBP

static bool get(unw_regnum_t number, uint64_t *out)
{
    unw_word_t value;
    if (unwinder.get_reg(&walk.cursor, number, &value) != 0)
        return false;
    *out = value;
    return true;
}

/* Goes out to the caller of the function whose frame address is FRAME. */
static bool walk_out(uint64_t frame)
{
    uint64_t sp;
    for (int i = 0; i < WAY_OUT; i++) {
        if (unwinder.step(&walk.cursor) <= 0 || !get(UNW_REG_SP, &sp))
            return false;
        if (sp == frame + 2 * sizeof(uint64_t)) /* behind the saved frame pointer and the return address */
            return true;
    }
    return false;
}

/* Where the frame pointer that this frame runs with was saved by a frame further in; 0 if it was not. */
static uint64_t saved_fp_at(void)
{
    unw_save_loc_t place;
    if (unwinder.get_save_loc(&walk.cursor, REGISTER_FP, &place) != 0 || place.type != UNW_SLT_MEMORY)
        return 0;
    return place.u.addr;
}

/* Whether WORD lies at ADDRESS, which is on the stack, outward of FRAME, and near enough for a place.  */
static bool lies_at(uint64_t frame, uint64_t address, uint64_t word)
{
    uint64_t found;
    return address >= frame && address - frame < INT32_MAX && read_word(address, &found) && found == word;
}

/*
 * Notes the frame that the cursor is at.  One that a signal interrupted was not reached by a call: its place on the stack
 * says nothing, and where it goes on is no return address; one more, and it is looked up as one.  (libunwind 1.6 says
 * "signal frame" of the interrupted frame, other versions of the handler's, in libc, for which one more does no harm.)
 */
static bool take_step(uint64_t frame, struct trail *out)
{
    struct step *step = &out->steps[out->count];
    uint64_t ip, sp, fp;
    if (!get(UNW_REG_IP, &ip) || !get(UNW_REG_SP, &sp) || !get(REGISTER_FP, &fp) || ip == 0)
        return false;
    uint64_t ip_at = sp - sizeof ip, fp_at = saved_fp_at();
    bool called = lies_at(frame, ip_at, ip) && unwinder.is_signal_frame(&walk.cursor) <= 0;
    bool in_place = called && lies_at(frame, fp_at, fp);
    out->lasting = out->lasting && in_place;
    step->ip = ip + !called;
    step->ip_at = in_place ? (int32_t)(ip_at - frame) : 0;
    step->fp_at = in_place ? (int32_t)(fp_at - frame) : 0;
    step->fp = (int64_t)(fp - frame);
    out->count++;
    return true;
}

/* What is no address on the part of the stack that was walked is no frame pointer: some other value in that register. */
static void drop_other_values(struct trail *out)
{
    for (size_t i = 0; i < out->count; i++) {
        struct step *step = &out->steps[i];
        if (step->fp < 0 || step->fp > out->steps[out->count - 1].ip_at)
            step->fp_at = FP_UNKNOWN;
    }
}

bool unwind_walk(const void *from, struct trail *out)
{
    uint64_t frame = (uintptr_t)from;
    /* In this function, for it is from here that the way out begins. */
    __asm__ volatile("movq %%rbx, %c1(%0)\n\t"
                     "movq %%rbp, %c2(%0)\n\t"
                     "movq %%r12, %c3(%0)\n\t"
                     "movq %%r13, %c4(%0)\n\t"
                     "movq %%r14, %c5(%0)\n\t"
                     "movq %%r15, %c6(%0)\n\t"
                     "movq %%rsp, %c7(%0)\n\t"
                     "leaq 1f(%%rip), %%rax\n"
                     "1:\n\t"
                     "movq %%rax, %c8(%0)"
                     :
                     : "d"(walk.registers), "i"(8 * UNW_X86_64_RBX), "i"(8 * UNW_X86_64_RBP), "i"(8 * UNW_X86_64_R12),
                       "i"(8 * UNW_X86_64_R13), "i"(8 * UNW_X86_64_R14), "i"(8 * UNW_X86_64_R15),
                       "i"(8 * UNW_X86_64_RSP), "i"(8 * UNW_X86_64_RIP)
                     : "rax", "memory");
    memset(walk.pages, 0, sizeof walk.pages);
    out->count = 0;
    out->lasting = true;
    if (unwinder.init(&walk.cursor, space, NULL) != 0 || !walk_out(frame))
        return false;
    while (out->count < TRAIL_MAX && take_step(frame, out))
        if (unwinder.step(&walk.cursor) <= 0)
            break;
    drop_other_values(out);
    return out->count > 0;
}

#endif
