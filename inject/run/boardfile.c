#include "run/boardfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/frame.h"
#include "engine/ticks.h"
#include "run/clock.h"
#include "run/proc.h"
#include "run/say.h"

#define FOLDER_PREFIX "snag."
#define NOT_OWNED "not-owned" /* an empty file of that name: what attaches is not ours to kill */

enum { FIRST_RINGS = 8 };

struct boardfile {
    struct board *board;
    size_t size;
    int folder_fd; /* locked while we live */
    int fd;
    bool owned;
    char folder[BOARD_PATH_MAX];
    char path[BOARD_PATH_MAX];
};

static const struct boardfile empty = {.folder_fd = -1, .fd = -1, .owned = true};

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((struct board *)NULL)->lease_mutex),
               "the board has room for the lease");

/* Where boards go, best first; NULL for an entry that this machine has not, or that comes later. */
static const char *board_place(size_t index)
{
    const char *folder;
    switch (index) {
    case 0:
        return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : NULL;
    case 1:
        folder = getenv("TMPDIR");
        return folder != NULL && folder[0] == '/' && strcmp(folder, "/tmp") != 0 && strcmp(folder, "/dev/shm") != 0
                   ? folder
                   : NULL;
    default:
        return "/tmp";
    }
}

enum { BOARD_PLACES = 3 };

/* A robust mutex, because the kernel marks it when its owner ends, SIGKILL included. */
static int take_lease(struct board *board)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t *mutex = (pthread_mutex_t *)(void *)board->lease_mutex;
    int error = pthread_mutexattr_init(&attributes);
    if (error != 0)
        return error;
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    error = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    if (error == 0)
        error = pthread_mutex_lock(mutex);
    board->lease_at = offsetof(struct board, lease_mutex) + offsetof(pthread_mutex_t, __data.__lock);
    return error;
}

/* The name of the file, which nobody can guess who may not list the folder. */
static int name_file(struct boardfile *file)
{
    uint64_t name;
    if (getrandom(&name, sizeof name, 0) != (ssize_t)sizeof name)
        return -1;
    int length = snprintf(file->path, sizeof file->path, "%s/%016" PRIx64, file->folder, name);
    if (length < 0 || (size_t)length >= sizeof file->path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

/* umask must not get in the way: targets that change their user need the modes as they are meant. */
static int make_folder(struct boardfile *file, const char *place)
{
    int length = snprintf(file->folder, sizeof file->folder, "%s/" FOLDER_PREFIX "%d.XXXXXX", place, (int)getpid());
    if (length < 0 || (size_t)length >= sizeof file->folder) {
        file->folder[0] = '\0';
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdtemp(file->folder) == NULL) {
        file->folder[0] = '\0';
        return -1;
    }
    file->folder_fd = open(file->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->folder_fd < 0 || flock(file->folder_fd, LOCK_EX) != 0)
        return -1;
    return fchmod(file->folder_fd, 0711);
}

/* Makes the memory sure that the board of SET has but for the rings: a target must not get a SIGBUS for want of it. */
static int reserve(const struct boardfile *file, const struct rule_set *set)
{
    size_t rings_at = file->size - BOARD_RINGS * sizeof(struct ring);
    int error = posix_fallocate(file->fd, 0, (off_t)(set->sites ? rings_at : board_sites_at()));
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

/* Says for whoever cleans up after us that what attaches is not snag's. */
static int disown(struct boardfile *file)
{
    int fd = openat(file->folder_fd, NOT_OWNED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    file->owned = false;
    return close(fd);
}

static int make_file(struct boardfile *file, const struct rule_set *set)
{
    if (name_file(file) != 0)
        return -1;
    file->fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        file->path[0] = '\0';
        return -1;
    }
    file->size = board_size();
    if (fchmod(file->fd, 0666) != 0 || ftruncate(file->fd, (off_t)file->size) != 0 || reserve(file, set) != 0)
        return -1;
    void *memory = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
    if (memory == MAP_FAILED)
        return -1;
    file->board = memory;
    return 0;
}

/* Whether the kernel itself keeps time by the counter of ticks.h: then it is steady, and equal on all cores. */
static bool ticks_are_steady(void)
{
    char name[32] = "";
    FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
    if (file == NULL)
        return false;
    if (fgets(name, sizeof name, file) != NULL)
        name[strcspn(name, "\n")] = '\0';
    fclose(file);
    return name[0] != '\0' && strcmp(name, TICKS_CLOCKSOURCE) == 0;
}

static void set_clock(struct board *board)
{
    board->counts_ticks = ticks_are_steady();
    ticks_and_ns(&board->origin_ticks, &board->origin_ns);
}

static int fill_board(struct boardfile *file, const struct rule_set *set, uint64_t start_ns, const char *shim)
{
    struct board *board = file->board;
    if (strlen(shim) >= sizeof board->shim_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    /* board_make() writes to the shared ring: its memory has to be there before. */
    if (boardfile_grow(file, 0) != 0 || board_make(board, file->size, set, start_ns) == NULL ||
        boardfile_grow(file, FIRST_RINGS) != 0)
        return -1;
    set_clock(board);
    board->session_pid = (int32_t)getpid();
    if (readlink("/proc/self/ns/pid", board->pid_namespace, sizeof board->pid_namespace - 1) < 0)
        return -1;
    memcpy(board->board_path, file->path, strlen(file->path) + 1);
    memcpy(board->shim_path, shim, strlen(shim) + 1);
    int error = take_lease(board);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return 0;
}

/* Takes down what there is of FILE, which can be made anew then.  Keeps errno. */
static void unmake(struct boardfile *file)
{
    int saved = errno;
    if (file->board != NULL && file->board->lease_at != 0)
        pthread_mutex_unlock((pthread_mutex_t *)(void *)file->board->lease_mutex);
    if (file->path[0] != '\0')
        unlink(file->path);
    if (!file->owned)
        unlinkat(file->folder_fd, NOT_OWNED, 0);
    if (file->folder[0] != '\0')
        rmdir(file->folder);
    if (file->board != NULL)
        munmap(file->board, file->size);
    if (file->fd >= 0)
        close(file->fd);
    if (file->folder_fd >= 0)
        close(file->folder_fd);
    *file = empty;
    errno = saved;
}

static int make_in(struct boardfile *file, const char *place, const struct rule_set *set, uint64_t start_ns,
                   const char *shim, bool owned)
{
    *file = empty;
    if (make_folder(file, place) == 0 && (owned || disown(file) == 0) && make_file(file, set) == 0 &&
        fill_board(file, set, start_ns, shim) == 0)
        return 0;
    unmake(file);
    return -1;
}

struct boardfile *boardfile_new(const struct rule_set *set, uint64_t start_ns, const char *shim, bool owned)
{
    int errors[BOARD_PLACES] = {0};
    struct boardfile *file = malloc(sizeof *file);
    if (file == NULL) {
        say_error("no memory for the board");
        return NULL;
    }
    for (size_t i = 0; i < BOARD_PLACES; i++) {
        const char *place = board_place(i);
        if (place == NULL)
            continue;
        if (make_in(file, place, set, start_ns, shim, owned) == 0)
            return file;
        errors[i] = errno;
    }
    for (size_t i = 0; i < BOARD_PLACES; i++)
        if (errors[i] != 0)
            say_error("can't make the board in %s: %s", board_place(i), strerror(errors[i]));
    free(file);
    return NULL;
}

void boardfile_free(struct boardfile *file)
{
    if (file != NULL)
        unmake(file);
    free(file);
}

bool boardfile_is_live(const char *path)
{
    struct stat status;
    bool live = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        size_t size = (size_t)status.st_size;
        void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        live = memory != MAP_FAILED && board_fault(memory, size) == NULL && board_alive(memory);
        if (memory != MAP_FAILED)
            munmap(memory, size);
    }
    close(fd);
    return live;
}

struct board *boardfile_board(struct boardfile *file)
{
    return file->board;
}

const char *boardfile_path(const struct boardfile *file)
{
    return file->path;
}

int boardfile_folder(const struct boardfile *file)
{
    return file->folder_fd;
}

int boardfile_grow(struct boardfile *file, uint32_t more)
{
    struct board *board = file->board;
    uint32_t ready = atomic_load(&board->rings_ready);
    uint32_t wanted = more > BOARD_RINGS - ready ? BOARD_RINGS : ready + more;
    uint32_t sure = wanted > 0 ? wanted : 1;
    off_t rings_at = (off_t)(file->size - BOARD_RINGS * sizeof(struct ring));
    int error = posix_fallocate(file->fd, rings_at, (off_t)(sure * sizeof(struct ring)));
    if (error != 0) {
        errno = error;
        return -1;
    }
    atomic_store(&board->rings_ready, wanted);
    return 0;
}

/*
 * Kills what has a file of FOLDER mapped, or was started with its name: it runs under a session that is over, and nobody else
 * will stop it.
 */
static void kill_leftovers(const char *folder)
{
    char variable[PATH_MAX + 16];
    struct proc *list;
    snprintf(variable, sizeof variable, "SNAG_BOARD=%s", folder);
    ssize_t count = proc_list_all(&list);
    for (ssize_t i = 0; i < count; i++)
        if (list[i].pid != getpid() && list[i].state != 'Z' &&
            (proc_maps(list[i].pid, folder) == 1 || proc_has_variable(list[i].pid, variable)) &&
            proc_signal(&list[i], SIGKILL) == 0)
            say_note("killed %s (pid %d), left over from a session that was killed", list[i].comm, (int)list[i].pid);
    if (count >= 0)
        free(list);
}

static void remove_control(int folder)
{
    unlinkat(folder, FRAME_FOLDER "/" FRAME_SOCKET, 0);
    unlinkat(folder, FRAME_FOLDER "/" FRAME_NAME, 0);
    unlinkat(folder, FRAME_FOLDER, AT_REMOVEDIR);
}

static void remove_folder(int parent, const char *name, int folder)
{
    int copy = dup(folder);
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry;
    if (list == NULL) {
        if (copy >= 0)
            close(copy);
        return;
    }
    remove_control(folder);
    while ((entry = readdir(list)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(folder, entry->d_name, 0);
    closedir(list);
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* A folder between its making and its lock looks dead: that its maker's pid lives tells. */
static bool maker_lives(const char *name)
{
    int pid = 0;
    return sscanf(name, FOLDER_PREFIX "%d.", &pid) == 1 && pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

/* Returns whether it was a dead session's. */
static bool clean_folder(int parent, const char *place, const char *name)
{
    struct stat status;
    char path[PATH_MAX];
    bool cleaned = false;
    int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return false;
    if (fstat(folder, &status) == 0 && status.st_uid == geteuid()) {
        bool dead = flock(folder, LOCK_EX | LOCK_NB) == 0;
        /* Locked by us now; only a maker that has not locked yet could be alive, and for a moment only. */
        if (dead && !(maker_lives(name) && status.st_mode & S_IRWXU && !(status.st_mode & S_IXOTH))) {
            snprintf(path, sizeof path, "%s/%s/", place, name);
            if (faccessat(folder, NOT_OWNED, F_OK, 0) != 0)
                kill_leftovers(path);
            remove_folder(parent, name, folder);
            cleaned = true;
        }
    }
    close(folder);
    return cleaned;
}

/* Calls SEE for each folder in the places where boards go whose name is that of a session's. */
static void each_folder(void (*see)(void *context, int parent, const char *place, const char *name), void *context)
{
    for (size_t i = 0; i < BOARD_PLACES; i++) {
        const char *place = board_place(i);
        DIR *list = place != NULL ? opendir(place) : NULL;
        struct dirent *entry;
        if (list == NULL)
            continue;
        while ((entry = readdir(list)) != NULL)
            if (strncmp(entry->d_name, FOLDER_PREFIX, strlen(FOLDER_PREFIX)) == 0)
                see(context, dirfd(list), place, entry->d_name);
        closedir(list);
    }
}

static void clean_one(void *context, int parent, const char *place, const char *name)
{
    *(size_t *)context += clean_folder(parent, place, name);
}

size_t boardfile_clean(void)
{
    size_t count = 0;
    each_folder(clean_one, &count);
    return count;
}

struct visit {
    void (*see)(void *context, pid_t pid, uid_t owner, int folder);
    void *context;
};

/* Its maker holds a lock on the folder as long as it lives. */
static void visit_one(void *context, int parent, const char *place, const char *name)
{
    const struct visit *visit = context;
    struct stat status;
    int pid = 0, folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    (void)place;
    if (folder < 0)
        return;
    if (sscanf(name, FOLDER_PREFIX "%d.", &pid) == 1 && fstat(folder, &status) == 0 &&
        (status.st_uid == geteuid() || geteuid() == 0) && flock(folder, LOCK_SH | LOCK_NB) != 0)
        visit->see(visit->context, pid, status.st_uid, folder);
    close(folder);
}

void boardfile_each(void (*see)(void *context, pid_t pid, uid_t owner, int folder), void *context)
{
    struct visit visit = {see, context};
    each_folder(visit_one, &visit);
}
