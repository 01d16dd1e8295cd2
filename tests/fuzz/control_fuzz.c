/*
 * control_fuzz.c - what comes over the control socket of a session, and what a session answers to `snag ctl`.
 *
 * Each line of the input is what a client sends on a connection of its own; one that begins with a blank follows on the
 * connection of the line before.  The session has a board, on which the rules that come are put in force.  Then all of the
 * input is what another session answers.
 */
#include "fuzz.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/found.h"
#include "control/frame.h"
#include "control/server.h"
#include "run/command.h"
#include "run/session.h"

enum { TURNS_MAX = 100000, LINES_MAX = 256 };

static struct options options = {.standalone = true, .live = true};
static struct session session = {.options = &options};
static struct server *server;

/* Folders for two sockets: of the session, and of one that answers anything. */
static char folder_path[256];
static int folder = -1, liars_folder = -1;
static int liars_listener = -1;

/* --- Sockets, once for all inputs --------------------------------------------------------------------------------- */

static int open_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_MUST(fd >= 0);
    return fd;
}

static struct sockaddr_un socket_in(int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" FRAME_FOLDER "/" FRAME_SOCKET, fd);
    return address;
}

static void open_liar(void)
{
    char path[sizeof folder_path + 8];
    snprintf(path, sizeof path, "%s/liar", folder_path);
    FUZZ_MUST(mkdir(path, 0700) == 0);
    liars_folder = open_folder(path);
    struct sockaddr_un address = socket_in(liars_folder);
    liars_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_MUST(mkdirat(liars_folder, FRAME_FOLDER, 0700) == 0);
    FUZZ_MUST(bind(liars_listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(liars_listener, 1) == 0);
}

static void remove_folders(void)
{
    server_close(server);
    unlinkat(liars_folder, FRAME_FOLDER "/" FRAME_SOCKET, 0);
    unlinkat(liars_folder, FRAME_FOLDER, AT_REMOVEDIR);
    unlinkat(folder, "liar", AT_REMOVEDIR);
    rmdir(folder_path);
}

static void open_sockets(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder_path, sizeof folder_path, "%s/fuzz-control.XXXXXX", parent != NULL ? parent : "/tmp");
    FUZZ_MUST(mkdtemp(folder_path) != NULL && atexit(remove_folders) == 0);
    folder = open_folder(folder_path);
    open_liar();
    session.base = event_base_new();
    FUZZ_MUST(session.base != NULL && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    server = server_open(session.base, folder, "fuzzed", command_answer, &session);
    FUZZ_MUST(server != NULL);
}

/* --- A session ---------------------------------------------------------------------------------------------------- */

static void *board_memory(void)
{
    static void *memory;
    if (memory == NULL)
        memory = mmap(NULL, board_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FUZZ_MUST(memory != MAP_FAILED && madvise(memory, board_size(), MADV_DONTNEED) == 0);
    return memory;
}

static bool is_gone(void *context, uint32_t pid, uint32_t tid)
{
    (void)context;
    (void)pid;
    (void)tid;
    return false;
}

static const char *no_sites(void *context)
{
    (void)context;
    return "this session has no call sites";
}

static void begin_session(void)
{
    static struct rule_set set;
    const struct rulebook_session sites = {.why_not = no_sites};
    const struct drain_ops ops = {.gone = is_gone};
    options.plan = plan_new();
    FUZZ_MUST(options.plan != NULL);
    plan_add(options.plan, "accept4:error=EMFILE:when=1..3:name=first", fuzz_sink());
    plan_add(options.plan, "listen:error=EADDRINUSE:per=process", fuzz_sink());
    session.rules = rulebook_new(options.plan, false);
    FUZZ_MUST(session.rules != NULL);
    rulebook_begin(session.rules, &set);
    session.board = board_make(board_memory(), board_size(), &set, 1);
    FUZZ_MUST(session.board != NULL);
    rulebook_set_board(session.rules, session.board, &sites);
    session.drain = drain_new(session.board, &ops);
    session.attach = attach_new("/dev/null");
    session.trace = jsonl_open("/dev/null", 1);
    FUZZ_MUST(session.drain != NULL && session.attach != NULL && session.trace != NULL);
}

static void end_session(void)
{
    /* Who attaches now finds a sound board. */
    FUZZ_MUST(board_fault(session.board, board_size()) == NULL);
    FUZZ_MUST(rulebook_count(session.rules) >= 2);
    FUZZ_MUST(jsonl_close(session.trace) == 0);
    attach_free(session.attach);
    drain_free(session.drain);
    rulebook_free(session.rules);
    plan_free(options.plan);
}

/* --- Its clients -------------------------------------------------------------------------------------------------- */

static int connect_client(void)
{
    struct sockaddr_un address = socket_in(folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FUZZ_MUST(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* Sends what fits into the socket: a client that is turned away need not have been read. */
static void send_part(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        size -= (size_t)sent;
    }
}

/* An answer is one object in one line, which says whether it is a refusal, and then why. */
static void check_answer(const char *text, size_t length)
{
    if (length == 0)
        return;
    json_t *answer = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    const json_t *ok = json_object_get(answer, "ok");
    const char *error = json_string_value(json_object_get(answer, "error"));
    FUZZ_MUST(json_is_boolean(ok) && memchr(text, '\n', length) == text + length - 1);
    FUZZ_MUST(json_is_true(ok) == (error == NULL));
    FUZZ_MUST(error == NULL || (strlen(error) > 1 && error[strlen(error) - 1] == '\n'));
    json_decref(answer);
}

/* Lets the session serve FD until it ends the connection. */
static void serve(int fd)
{
    static char text[FRAME_ANSWER_MAX];
    size_t length = 0;
    ssize_t got = -1;
    shutdown(fd, SHUT_WR);
    for (unsigned turn = 0; got != 0; turn++) {
        FUZZ_MUST(turn < TURNS_MAX && event_base_loop(session.base, EVLOOP_NONBLOCK) >= 0);
        got = recv(fd, text + length, sizeof text - length, 0);
        if (got < 0 && errno == ECONNRESET)
            break; /* it had not read all, but it has answered */
        FUZZ_MUST(got >= 0 || errno == EAGAIN);
        length += got > 0 ? (size_t)got : 0;
        FUZZ_MUST(length < sizeof text);
    }
    close(fd);
    check_answer(text, length);
}

static void send_lines(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    int fd = -1;
    for (unsigned i = 0; data < end && i < LINES_MAX; i++) {
        const uint8_t *newline = memchr(data, '\n', (size_t)(end - data));
        const uint8_t *next = newline != NULL ? newline + 1 : end;
        if (fd >= 0 && *data != ' ') {
            serve(fd);
            fd = -1;
        }
        if (fd < 0)
            fd = connect_client();
        send_part(fd, data, (size_t)(next - data));
        data = next;
    }
    if (fd >= 0)
        serve(fd);
}

/* --- A session that answers anything ------------------------------------------------------------------------------ */

struct answer {
    const uint8_t *data;
    size_t size;
};

static void *answer_anything(void *context)
{
    const struct answer *answer = context;
    char request[256];
    int fd = accept4(liars_listener, NULL, NULL, SOCK_CLOEXEC);
    FUZZ_MUST(fd >= 0 && recv(fd, request, sizeof request, 0) > 0);
    send_part(fd, answer->data, answer->size);
    close(fd);
    return NULL;
}

static void ask(const uint8_t *data, size_t size)
{
    char why[FOUND_WHY_MAX] = "";
    pthread_t thread;
    const struct found found = {.pid = 1, .folder = liars_folder};
    struct answer wrong = {data, size};
    json_t *request = json_pack("{s:s}", "command", "stats");
    FUZZ_MUST(request != NULL && pthread_create(&thread, NULL, answer_anything, &wrong) == 0);
    json_t *answer = found_ask(&found, request, why);
    FUZZ_MUST(answer != NULL ? json_is_object(answer) : why[0] != '\0');
    pthread_join(thread, NULL);
    json_decref(answer);
    json_decref(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (server == NULL)
        open_sockets();
    begin_session();
    send_lines(data, size);
    end_session();
    ask(data, size);
    return 0;
}
