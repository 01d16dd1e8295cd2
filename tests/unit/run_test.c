/* The pure parts of run/: reach on made-up programs, verdicts, addresses, escapes, environments, attachment. */
#include "harness.h"

#include <arpa/inet.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "run/attach.h"
#include "run/boardfile.h"
#include "run/clock.h"
#include "run/endpoint.h"
#include "run/escape.h"
#include "run/reach.h"
#include "run/ready.h"
#include "run/spawn.h"
#include "run/summary.h"
#include "run/tree.h"
#include "run/unseen.h"
#include "run/verdict.h"
#include "trace/jsonl.h"

#if defined __x86_64__
#define OWN_MACHINE EM_X86_64
#elif defined __aarch64__
#define OWN_MACHINE EM_AARCH64
#else
#define OWN_MACHINE EM_NONE
#endif

/* --- reach ------------------------------------------------------------------------------------------------------- */

/* A made-up program: what a test wants of it. */
struct program {
    unsigned char class;
    uint16_t machine;
    const char *loader; /* NULL: static */
    bool go;
    uint16_t phnum; /* 0: as many as there are */
    uint64_t phoff; /* 0: where they are */
};

static void write_program(const struct program *program, char path[64])
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segments[2];
        Elf64_Nhdr note;
        char name[4];
        char loader[64];
    } file = {.note = {.n_namesz = 4}};
    memcpy(file.header.e_ident, ELFMAG, SELFMAG);
    file.header.e_ident[EI_CLASS] = program->class;
    file.header.e_machine = program->machine;
    file.header.e_phentsize = sizeof file.segments[0];
    file.header.e_phnum = program->phnum ? program->phnum : 2;
    file.header.e_phoff = program->phoff ? program->phoff : offsetof(__typeof__(file), segments);
    file.segments[0].p_type = PT_NOTE;
    file.segments[0].p_offset = offsetof(__typeof__(file), note);
    file.segments[0].p_filesz = sizeof file.note + sizeof file.name;
    memcpy(file.name, program->go ? "Go\0\0" : "GNU\0", 4);
    if (program->loader != NULL) {
        file.segments[1].p_type = PT_INTERP;
        file.segments[1].p_offset = offsetof(__typeof__(file), loader);
        file.segments[1].p_filesz = strlen(program->loader) + 1;
        memcpy(file.loader, program->loader, strlen(program->loader) + 1);
    }
    strcpy(path, "/tmp/snag-reach.XXXXXX");
    int fd = mkstemp(path);
    assert_int_not_equal(fd, -1);
    assert_int_equal(write(fd, &file, sizeof file), (int)sizeof file);
    close(fd);
}

static void check_program(struct program program, const char *wanted)
{
    char path[64];
    write_program(&program, path);
    const char *fault = reach_file(path);
    unlink(path);
    if (wanted == NULL)
        assert_null(fault);
    else {
        assert_non_null(fault);
        assert_non_null(strstr(fault, wanted));
    }
}

static void reach_tells_programs_apart(void **state)
{
    (void)state;
    const char *glibc = "/lib64/ld-linux-x86-64.so.2";
    check_program((struct program){ELFCLASS64, OWN_MACHINE, glibc, false, 0, 0}, NULL);
    check_program((struct program){ELFCLASS64, OWN_MACHINE, "/opt/x/ld-linux-aarch64.so.1", false, 0, 0}, NULL);
    check_program((struct program){ELFCLASS64, OWN_MACHINE, NULL, false, 0, 0}, "statically");
    check_program((struct program){ELFCLASS64, OWN_MACHINE, "/lib/ld-musl-x86_64.so.1", false, 0, 0}, NULL);
    check_program((struct program){ELFCLASS64, OWN_MACHINE, "/system/bin/linker64", false, 0, 0}, "another libc");
    check_program((struct program){ELFCLASS64, OWN_MACHINE, glibc, true, 0, 0}, "Go");
    check_program((struct program){ELFCLASS64, OWN_MACHINE, NULL, true, 0, 0}, "Go");
    check_program((struct program){ELFCLASS64, EM_S390, glibc, false, 0, 0}, "another machine");
    check_program((struct program){ELFCLASS32, EM_386, "/lib/ld-linux.so.2", false, 0, 0}, "32-bit");
}

/* Headers that point anywhere must be survived. */
static void reach_survives_broken_programs(void **state)
{
    (void)state;
    char path[64];
    const struct program broken[] = {
        {ELFCLASS64, OWN_MACHINE, NULL, false, 0xffff, 0},
        {ELFCLASS64, OWN_MACHINE, NULL, false, 2, UINT64_MAX - 10},
        {ELFCLASS64, OWN_MACHINE, NULL, false, 2, 1u << 30},
        {77, OWN_MACHINE, NULL, false, 0, 0},
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        write_program(&broken[i], path);
        reach_file(path);
        assert_false(reach_needs(path, "libasan.so"));
        for (off_t size = 120; size > 0; size -= 7) {
            assert_int_equal(truncate(path, size), 0);
            reach_file(path);
            assert_false(reach_needs(path, "libasan.so"));
        }
        unlink(path);
    }
    assert_null(reach_file("/none"));
    assert_null(reach_file("/tmp"));
}

static void reach_sees_libraries(void **state)
{
    (void)state;
    assert_true(reach_needs("/proc/self/exe", "libc.so."));
    assert_true(reach_needs("/proc/self/exe", "libcmocka"));
    assert_false(reach_needs("/proc/self/exe", "libasan.so"));
    assert_false(reach_needs("/proc/self/exe", "ibc.so."));
    assert_false(reach_needs("/none", "libc.so."));
    assert_false(reach_needs("/tmp", "libc.so."));
}

static void reach_refuses_commands_by_name(void **state)
{
    (void)state;
    struct reach reach;
    reach_command("/usr/bin/sudo", &reach);
    assert_int_equal(reach.status, 125);
    reach_command("sudoku-that-is-not-there", &reach);
    assert_int_equal(reach.status, 127);
    reach_command("", &reach);
    assert_int_equal(reach.status, 127);
    reach_command("sh", &reach);
    assert_int_equal(reach.status, 0);
    assert_string_equal(reach.why, "");
    assert_int_equal(reach.path[0], '/');
}

/* --- verdict ----------------------------------------------------------------------------------------------------- */

static void check_verdict(struct facts facts, enum verdict verdict, const char *text)
{
    char evidence[VERDICT_TEXT_MAX];
    assert_int_equal(verdict_judge(&facts, evidence), verdict);
    if (strcmp(evidence, text) != 0)
        fail_msg("'%s', not '%s'", evidence, text);
}

static void verdicts(void **state)
{
    (void)state;
    const struct facts ok = {.asked = true, .injected = 50, .client_ok = true, .attempts = 1, .served_ms = 52};
    const struct facts failed = {.asked = true,
                                 .injected = 1,
                                 .command = true,
                                 .client_status = 1 << 8,
                                 .recovery_tried = true,
                                 .patience_ms = 10000};
    struct facts facts = ok;
    check_verdict(facts, VERDICT_SERVED, "1 of 1 clients answered, 52 ms after ready; 50 faults injected");
    facts.injected = 0;
    check_verdict(facts, VERDICT_UNTESTED, "no fault was injected; 1 of 1 clients answered, 52 ms after ready");
    facts.interrupted = true;
    check_verdict(facts, VERDICT_NONE, "");
    facts = (struct facts){.injected = 1};
    check_verdict(facts, VERDICT_NONE, "");
    facts = ok;
    facts.accept_unseen = true;
    check_verdict(facts, VERDICT_SERVED,
                  "1 of 1 clients answered, 52 ms after ready (its accept was not seen); 50 faults injected");
    facts = ok;
    facts.stopped_badly = SIGSEGV;
    check_verdict(facts, VERDICT_CRASHED, "ended by SIGSEGV when it was asked to stop; 50 faults injected");
    facts = failed;
    check_verdict(facts, VERDICT_DEAF,
                  "client failed during the fault (exit status 1), and none in 10000 ms after the "
                  "faults ended; 1 fault injected");
    facts.recovered = true;
    facts.recovered_ms = 7;
    check_verdict(facts, VERDICT_SERVED,
                  "client failed during the fault (exit status 1); served again after 7 ms; 1 fault injected");
    facts.server_ended = true;
    facts.server_status = SIGABRT;
    check_verdict(facts, VERDICT_CRASHED, "ended by SIGABRT; 1 fault injected");
    facts.server_status = 0;
    check_verdict(facts, VERDICT_EXITED, "exit status 0 while it was to serve; 1 fault injected");
    facts = (struct facts){.before_ready = true, .injected = 1, .server_ended = true, .server_status = 1 << 8};
    check_verdict(facts, VERDICT_EXITED, "exit status 1 before it was ready; 1 fault injected");
    facts.server_status = SIGSEGV;
    check_verdict(facts, VERDICT_CRASHED, "ended by SIGSEGV before it was ready; 1 fault injected");
    facts.injected = 0;
    check_verdict(facts, VERDICT_UNTESTED, "no fault was injected; ended by SIGSEGV before it was ready");
}

/* --- the server's exit status ------------------------------------------------------------------------------------ */

/* The processes that lead a daemon into the background may end after the daemon itself, on a machine that is busy. */
static void status_is_the_daemons_in_any_order(void **state)
{
    (void)state;
    struct tree tree = {.first = 100};
    tree_reaped(&tree, 100, 0, false);
    assert_int_equal(tree_status(&tree), 0);
    tree_reaped(&tree, 102, SIGABRT, false);
    tree_reaped(&tree, 101, 0, true);
    assert_int_equal(tree_status(&tree), SIGABRT);
    tree = (struct tree){.first = 100};
    tree_reaped(&tree, 101, 0, true);
    tree_reaped(&tree, 102, 3 << 8, true);
    tree_reaped(&tree, 100, 0, false);
    assert_int_equal(tree_status(&tree), 3 << 8);
    tree = (struct tree){.first = 100};
    tree_reaped(&tree, 100, 4 << 8, false);
    tree_reaped(&tree, 101, 3 << 8, false);
    assert_int_equal(tree_status(&tree), 4 << 8);
}

/* As a program of tests has them, which starts daemons of others and ends them. */
static void status_is_no_helpers(void **state)
{
    (void)state;
    struct tree tree = {.first = 100};
    tree_reaped(&tree, 101, 1 << 8, false);
    tree_reaped(&tree, 100, 0, false);
    assert_int_equal(tree_status(&tree), 0);
}

/* --- the board's file -------------------------------------------------------------------------------------------- */

/* Calls of posix_fallocate() that find the file system full. */
static int full;

int __real_posix_fallocate(int fd, off_t offset, off_t length);
int __wrap_posix_fallocate(int fd, off_t offset, off_t length);

int __wrap_posix_fallocate(int fd, off_t offset, off_t length)
{
    return full-- > 0 ? ENOSPC : __real_posix_fallocate(fd, offset, length);
}

/* How many folders of boards of ours PLACE holds. */
static size_t count_boards(const char *place)
{
    char pattern[PATH_MAX];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/snag.%d.*", place, (int)getpid());
    size_t count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

static void board_goes_where_there_is_room(void **state)
{
    (void)state;
    static const struct rule_set set = {.strings_size = 1};
    char place[] = "/tmp/snag-place.XXXXXX";
    assert_non_null(mkdtemp(place));
    assert_int_equal(setenv("TMPDIR", place, 1), 0);
    full = access("/dev/shm", W_OK | X_OK) == 0; /* as board_place() asks */
    struct boardfile *file = boardfile_new(&set, 1, "/none/libsnag.so", true);
    assert_non_null(file);
    assert_memory_equal(boardfile_path(file), place, strlen(place));
    assert_int_equal(count_boards("/dev/shm"), 0);
    assert_true(boardfile_is_live(boardfile_path(file)));
    char *copy = strdup(boardfile_path(file));
    boardfile_free(file);
    assert_false(boardfile_is_live(copy));
    free(copy);
    full = 1000;
    assert_null(boardfile_new(&set, 1, "/none/libsnag.so", true));
    full = 0;
    assert_int_equal(count_boards("/dev/shm") + count_boards(place) + count_boards("/tmp"), 0);
    assert_int_equal(rmdir(place), 0);
}

/* --- the summary ------------------------------------------------------------------------------------------------- */

/* What is counted of lost events is never too much, and may be too little. */
static void summary_says_what_was_lost(void **state)
{
    (void)state;
    char text[256] = "";
    struct facts facts = {.asked = false};
    struct plan *plan = plan_new();
    struct rulebook *book = rulebook_new(plan, false);
    assert_non_null(book);
    struct summary summary = {.rules = book, .facts = &facts, .evidence = "", .lost = 3};
    int ends[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    summary_say(&summary);
    dup2(saved, STDERR_FILENO);
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    close(saved);
    rulebook_free(book);
    plan_free(plan);
    assert_string_equal(text, "snag: at least 3 events lost\n");
}

/* --- addresses --------------------------------------------------------------------------------------------------- */

static void check_address(const void *address, size_t length, const char *text)
{
    struct endpoint endpoint;
    char out[ADDRESS_TEXT_MAX];
    assert_true(endpoint_set(&endpoint, address, length));
    assert_string_equal(endpoint_text(&endpoint, out), text);
    endpoint_aim(&endpoint, getpid());
}

static void addresses(void **state)
{
    (void)state;
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 inet6 = {.sin6_family = AF_INET6, .sin6_port = htons(81)};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct endpoint endpoint;
    char out[ADDRESS_TEXT_MAX];
    check_address(&inet, sizeof inet, "0.0.0.0:80");
    endpoint_set(&endpoint, &inet, sizeof inet);
    endpoint_aim(&endpoint, getpid());
    assert_string_equal(endpoint_text(&endpoint, out), "127.0.0.1:80");
    check_address(&inet6, sizeof inet6, "[::]:81");
    endpoint_set(&endpoint, &inet6, sizeof inet6);
    endpoint_aim(&endpoint, getpid());
    assert_string_equal(endpoint_text(&endpoint, out), "[::1]:81");
    memset(path.sun_path, 'x', sizeof path.sun_path); /* a path that fills it has no terminator */
    assert_true(endpoint_set(&endpoint, &path, sizeof path));
    assert_int_equal(strlen(endpoint_text(&endpoint, out)), sizeof path.sun_path);
    path.sun_path[0] = '\0';
    check_address(&path, offsetof(struct sockaddr_un, sun_path) + 4, "@xxx");
    assert_false(endpoint_set(&endpoint, &path, offsetof(struct sockaddr_un, sun_path))); /* no name */
    assert_false(endpoint_set(&endpoint, &inet, sizeof inet - 1));
    assert_false(endpoint_set(&endpoint, &inet, 1));
    inet.sin_family = AF_PACKET;
    assert_false(endpoint_set(&endpoint, &inet, sizeof inet));
}

static void note_listening(struct ready *ready, enum event_kind kind, uint64_t t_ns, const void *address, size_t length)
{
    struct event event = {.kind = (uint8_t)kind, .t_ns = t_ns, .pid = getpid(), .payload = (uint16_t)length};
    ready_event(ready, &event, address);
}

/* The first TCP socket that listened, whatever was waited on, and in whatever order the records come. */
static void ready_chooses_the_address(void **state)
{
    (void)state;
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
    struct ready ready = {0};
    struct endpoint endpoint;
    char out[ADDRESS_TEXT_MAX];
    assert_false(ready_endpoint(&ready, &endpoint));
    note_listening(&ready, EVENT_READY, 50, &path, sizeof path);
    assert_true(ready.seen);
    assert_true(ready_endpoint(&ready, &endpoint));
    assert_string_equal(endpoint_text(&endpoint, out), "/run/x");
    inet.sin_port = htons(2);
    note_listening(&ready, EVENT_LISTENING, 20, &inet, sizeof inet);
    inet.sin_port = htons(1);
    note_listening(&ready, EVENT_LISTENING, 10, &inet, sizeof inet);
    inet.sin_port = htons(3);
    note_listening(&ready, EVENT_LISTENING, 30, &inet, sizeof inet);
    note_listening(&ready, EVENT_LISTENING, 1, &path, sizeof path);
    assert_true(ready_endpoint(&ready, &endpoint));
    assert_string_equal(endpoint_text(&endpoint, out), "127.0.0.1:1");
}

/* --- small things ------------------------------------------------------------------------------------------------ */

static void escapes(void **state)
{
    (void)state;
    char good[] = "a\\r\\n\\t\\0\\\\\\\"\\x4a\\xFf.", bad[] = "ab\\q", cut[] = "a\\", hex[] = "\\x4g";
    size_t length;
    assert_null(escape_decode(good, &length));
    assert_int_equal(length, 10);
    assert_memory_equal(good, "a\r\n\t\0\\\"J\xff.", 10);
    assert_ptr_equal(escape_decode(bad, &length), bad + 2);
    assert_ptr_equal(escape_decode(cut, &length), cut + 1);
    assert_ptr_equal(escape_decode(hex, &length), hex);
}

static void environment_is_replaced(void **state)
{
    (void)state;
    char a[] = "A=1", ab[] = "AB=2", b[] = "B=3", new_a[] = "A=9", new_c[] = "C=4";
    char *base[] = {a, ab, b, NULL}, *sets[] = {new_a, NULL, new_c};
    char **env = spawn_environment(base, sets, 3);
    assert_non_null(env);
    assert_string_equal(env[0], "AB=2");
    assert_string_equal(env[1], "B=3");
    assert_string_equal(env[2], "A=9");
    assert_string_equal(env[3], "C=4");
    assert_null(env[4]);
    free(env);
}

static void check_json(const char *text, const char *wanted)
{
    json_t *string = jsonl_text(text);
    assert_non_null(string);
    assert_string_equal(json_string_value(string), wanted);
    json_decref(string);
}

static void json_takes_any_bytes(void **state)
{
    (void)state;
    check_json("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
    check_json("a\xff"
               "b\xc3",
               "a\xef\xbf\xbd"
               "b\xef\xbf\xbd");
    check_json("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* half a surrogate pair */
    check_json("\xf5\x80\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

/* --- attachment -------------------------------------------------------------------------------------------------- */

static void note(struct attach *attach, enum event_kind kind, pid_t pid, uint64_t t_ns)
{
    struct event_process process = {.forked = 0};
    struct event event = {.kind = (uint8_t)kind, .pid = pid, .t_ns = t_ns};
    if (kind == EVENT_PROCESS)
        event.payload = sizeof process;
    else
        event.payload = sizeof "/none/prog";
    attach_event(attach, &event, kind == EVENT_PROCESS ? (const void *)&process : "/none/prog");
}

static void execs_need_an_answer(void **state)
{
    (void)state;
    size_t count;
    struct attach *attach = attach_new("/none/board");
    assert_non_null(attach);
    attach_started(attach, 100, "/none/first", 5);
    note(attach, EVENT_PROCESS, 100, 10);
    note(attach, EVENT_PROCESS, 101, 30); /* read before the exec that it answers */
    note(attach, EVENT_EXEC, 101, 20);
    note(attach, EVENT_EXEC, 102, 20);
    note(attach, EVENT_EXEC_FAILED, 102, 25);
    note(attach, EVENT_PROCESS, 103, 10);
    note(attach, EVENT_EXEC, 103, 20);
    note(attach, EVENT_EXEC, 104, 20);
    attach_unreached(attach, &count);
    assert_int_equal(count, 0);
    attach_finish(attach);
    const struct unreached *unreached = attach_unreached(attach, &count);
    assert_int_equal(count, 1);              /* of one program, ... */
    assert_int_equal(unreached[0].count, 2); /* ... processes 103 and 104 */
    assert_string_equal(unreached[0].exe, "/none/prog");
    assert_int_equal(attach_reached(attach), 3);
    attach_free(attach);
}

/* A program that was found out before the record of its exec is read is the same one still. */
static void a_program_is_counted_once(void **state)
{
    (void)state;
    size_t count;
    uint64_t now_ns = clock_ns();
    struct proc self = {.pid = getpid()};
    struct attach *attach = attach_new("/none/board");
    assert_non_null(attach);
    attach_look(attach, &self, 1, now_ns);
    attach_look(attach, &self, 1, now_ns + 2 * NS_PER_S);
    const struct unreached *unreached = attach_unreached(attach, &count);
    assert_int_equal(count, 1);
    assert_int_equal(unreached[0].count, 1);
    note(attach, EVENT_EXEC, getpid(), now_ns);
    attach_finish(attach);
    unreached = attach_unreached(attach, &count);
    assert_int_equal(count, 1);
    assert_int_equal(unreached[0].count, 1);
    note(attach, EVENT_EXEC, getpid(), clock_ns() + 1);
    attach_finish(attach);
    attach_unreached(attach, &count);
    assert_int_equal(count, 2);
    attach_free(attach);
}

/* The record of an exec that was announced, and not made yet, when the maps were those of the program before. */
static void maps_are_those_of_the_program_before(void **state)
{
    (void)state;
    size_t count;
    char board[PATH_MAX] = "";
    struct proc self = {.pid = getpid()};
    assert_true(readlink("/proc/self/exe", board, sizeof board - 1) > 0); /* some file that is in the maps */
    struct attach *attach = attach_new(board);
    assert_non_null(attach);
    uint64_t announced_ns = clock_ns();
    attach_look(attach, &self, 1, announced_ns + 1);
    note(attach, EVENT_EXEC, getpid(), announced_ns);
    attach_finish(attach);
    attach_unreached(attach, &count);
    assert_int_equal(count, 1);
    attach_free(attach);
}

/* --- what is done past the shim: this process is the server -------------------------------------------------------- */

/* Binds and listens at ADDRESS, connects, accepts; FDS gets the three descriptors. */
static void connect_to_myself(struct sockaddr *address, socklen_t length, int fds[3])
{
    fds[0] = socket(address->sa_family, SOCK_STREAM, 0);
    fds[1] = socket(address->sa_family, SOCK_STREAM, 0);
    assert_int_equal(bind(fds[0], address, length), 0);
    assert_int_equal(listen(fds[0], 4), 0);
    assert_int_equal(getsockname(fds[0], address, &length), 0);
    assert_int_equal(connect(fds[1], address, length), 0);
    fds[2] = accept(fds[0], NULL, NULL);
    assert_true(fds[2] >= 0);
}

static void close_all(const int fds[3])
{
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

static void connections_that_were_accepted(void **state)
{
    (void)state;
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 inet6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    char address[UNSEEN_ADDRESS_MAX], want[UNSEEN_ADDRESS_MAX];
    struct proc self;
    int fds[3];
    assert_int_equal(proc_read(getpid(), &self), 0);
    assert_int_equal(proc_accepted(&self, 1, address, sizeof address), 0);
    connect_to_myself((struct sockaddr *)&inet, sizeof inet, fds);
    assert_int_equal(proc_accepted(&self, 1, address, sizeof address), self.pid);
    snprintf(want, sizeof want, "127.0.0.1:%u", ntohs(inet.sin_port));
    assert_string_equal(address, want);
    close(fds[2]); /* the client is still there, and so is the listener */
    assert_int_equal(proc_accepted(&self, 1, address, sizeof address), 0);
    close(fds[0]);
    close(fds[1]);
    connect_to_myself((struct sockaddr *)&inet6, sizeof inet6, fds);
    assert_int_equal(proc_accepted(&self, 1, address, sizeof address), self.pid);
    snprintf(want, sizeof want, "[::1]:%u", ntohs(inet6.sin6_port));
    assert_string_equal(address, want);
    close_all(fds);
    snprintf(path.sun_path + 1, sizeof path.sun_path - 1, "snag-test-%d", (int)getpid());
    connect_to_myself((struct sockaddr *)&path,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path.sun_path + 1)), fds);
    assert_int_equal(proc_accepted(&self, 1, address, sizeof address), self.pid);
    assert_string_equal(address + 1, path.sun_path + 1);
    close_all(fds);
}

/* Nobody is accused after one look, for the record may be on its way, nor at all once an accept was seen. */
static void accepts_are_judged_twice(void **state)
{
    (void)state;
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct proc self;
    int fds[3];
    size_t count;
    assert_int_equal(proc_read(getpid(), &self), 0);
    connect_to_myself((struct sockaddr *)&inet, sizeof inet, fds);
    for (int seen = 0; seen < 2; seen++) {
        struct unseen *unseen = unseen_new(false);
        assert_non_null(unseen);
        unseen_look(unseen, &self, 1, false, true);
        unseen_judge(unseen, true);
        unseen_programs(unseen, &count);
        assert_int_equal(count, 0);
        unseen_look(unseen, &self, 1, true, false);
        unseen_judge(unseen, false);
        assert_false(unseen_programs(unseen, &count)->accepted);
        if (seen)
            unseen_accept(unseen);
        unseen_look(unseen, &self, 1, true, false);
        unseen_judge(unseen, true);
        assert_int_equal(unseen_programs(unseen, &count)->accepted, !seen);
        assert_int_equal(count, 1);
        unseen_free(unseen);
    }
    close_all(fds);
}

/* All sockets of the system are not read at each look for ever. */
static void idle_servers_are_looked_at_rarely(void **state)
{
    (void)state;
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct proc self;
    int fds[3];
    size_t count, found = 0;
    struct unseen *unseen = unseen_new(false);
    assert_non_null(unseen);
    assert_int_equal(proc_read(getpid(), &self), 0);
    for (int i = 0; i < 64; i++)
        unseen_look(unseen, &self, 1, true, false);
    connect_to_myself((struct sockaddr *)&inet, sizeof inet, fds);
    for (int i = 0; i < 63; i++) {
        unseen_look(unseen, &self, 1, true, false);
        unseen_programs(unseen, &found);
        assert_int_equal(found, 0);
    }
    unseen_look(unseen, &self, 1, true, false);
    unseen_look(unseen, &self, 1, true, false); /* what was suspected is looked at again at once */
    unseen_judge(unseen, false);
    assert_true(unseen_programs(unseen, &count)->accepted);
    unseen_free(unseen);
    close_all(fds);
}

static void rings_are_told_apart_by_who_saw_them(void **state)
{
    (void)state;
    struct unseen *unseen = unseen_new(false);
    const struct unseen_program *programs;
    size_t count;
    assert_non_null(unseen);
    assert_false(unseen_has_ring(unseen));
    unseen_ring(unseen, 7, "one");
    unseen_ring(unseen, 8, "one");
    unseen_ring(unseen, 7, "renamed");
    unseen_judge(unseen, false);
    assert_true(unseen_has_ring(unseen));
    programs = unseen_programs(unseen, &count);
    assert_int_equal(count, 1);
    assert_true(programs[0].ring && programs[0].by_syscall && !programs[0].accepted);
    unseen_free(unseen);
}

TEST_MAIN(TEST(reach_tells_programs_apart), TEST(reach_survives_broken_programs), TEST(reach_refuses_commands_by_name),
          TEST(reach_sees_libraries), TEST(verdicts), TEST(status_is_the_daemons_in_any_order),
          TEST(status_is_no_helpers), TEST(board_goes_where_there_is_room), TEST(summary_says_what_was_lost),
          TEST(addresses), TEST(ready_chooses_the_address), TEST(escapes), TEST(environment_is_replaced),
          TEST(json_takes_any_bytes), TEST(execs_need_an_answer), TEST(a_program_is_counted_once),
          TEST(maps_are_those_of_the_program_before), TEST(connections_that_were_accepted),
          TEST(accepts_are_judged_twice), TEST(idle_servers_are_looked_at_rarely),
          TEST(rings_are_told_apart_by_who_saw_them))
