/*
 * thrower - a C++ program whose exceptions and whose unwinder must not notice the shim: a signal handler throws out of an
 * accept that waits, many times, from several depths; then it says who throws.
 */
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>
#include <unwind.h>

namespace {

int listener;

struct Count {
    static int alive;
    Count() { ++alive; }
    ~Count() { --alive; }
};
int Count::alive;

void interrupt(int)
{
    throw std::runtime_error("interrupted");
}

__attribute__((noinline)) int wait_at(int depth)
{
    Count guard;
    int ret = depth > 0 ? wait_at(depth - 1) : accept(listener, nullptr, nullptr);
    asm volatile("" ::: "memory");
    return ret;
}

/* Is the first thread inside the system call accept? */
bool waits_in_accept()
{
    char path[64];
    long number = -1;
    std::snprintf(path, sizeof path, "/proc/self/task/%d/syscall", static_cast<int>(getpid()));
    FILE *file = std::fopen(path, "re");
    if (!file) {
        std::perror(path);
        std::exit(1);
    }
    int fields = std::fscanf(file, "%ld", &number); /* none while it runs */
    std::fclose(file);
    return fields == 1 && number == SYS_accept;
}

/* The alarm comes while accept waits, neither before nor after: nothing ever connects. */
int interrupted(int depth)
{
    std::atomic<bool> over{false};
    pthread_t waiter = pthread_self();
    int caught = 0;
    std::thread alarm([&] {
        while (!over && !waits_in_accept())
            std::this_thread::yield();
        if (!over)
            pthread_kill(waiter, SIGALRM);
    });
    try {
        wait_at(depth);
    } catch (const std::runtime_error &error) {
        caught = std::string(error.what()) == "interrupted";
    }
    over = true;
    alarm.join();
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr); /* the handler did not return */
    return caught;
}

_Unwind_Reason_Code count_frame(_Unwind_Context *, void *data)
{
    ++*static_cast<int *>(data);
    return _URC_NO_REASON;
}

const char *file_of(const char *function)
{
    Dl_info info;
    if (!dladdr(dlsym(RTLD_DEFAULT, function), &info))
        return "nowhere";
    const char *slash = std::strrchr(info.dli_fname, '/');
    return slash ? slash + 1 : info.dli_fname;
}

} // namespace

int main()
{
    struct sigaction action = {};
    int caught = 0, frames = 0;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listen(listener, 1) != 0)
        return 1;
    action.sa_handler = interrupt;
    sigaction(SIGALRM, &action, nullptr);
    for (int i = 0; i < 20; i++)
        caught += interrupted(i % 5);
    _Unwind_Backtrace(count_frame, &frames);
    std::printf("caught %d, alive %d, frames %s, by %s\n", caught, Count::alive, frames > 1 ? "seen" : "lost",
                file_of("_Unwind_RaiseException"));
    return 0;
}
