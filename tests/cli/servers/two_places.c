/*
 * two_places [PLUGIN]: accepts at two places by turns, and says to each client which one it was.  With PLUGIN, a library
 * that is loaded when the second turn begins, it accepts there too, and unloads it after each time.
 */
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int accept_function(int fd);

static volatile int last;

/* Something is left to do after the call, which would be a jump otherwise, and leave no frame. */
__attribute__((noinline)) static int accept_first(int fd)
{
    last = accept(fd, NULL, NULL);
    return last;
}

static int accept_second(int fd)
{
    return accept(fd, NULL, NULL);
}

static void answer(int client, const char *place)
{
    if (client < 0) {
        fprintf(stderr, "two_places: %s: ", place);
        perror("accept");
        return;
    }
    if (write(client, place, strlen(place)) < 0 || write(client, "\n", 1) < 0)
        perror("write");
    close(client);
}

static void accept_in_plugin(int fd, const char *path)
{
    accept_function *function = NULL;
    void *plugin = dlopen(path, RTLD_NOW);
    void *symbol = plugin != NULL ? dlsym(plugin, "plugin_accept") : NULL;
    if (symbol == NULL) {
        fprintf(stderr, "two_places: %s\n", dlerror());
        exit(1);
    }
    memcpy(&function, &symbol, sizeof function);
    answer(function(fd), "plugin");
    dlclose(plugin);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 16) != 0)
        return 1;
    for (;;) {
        answer(accept_first(fd), "first");
        answer(accept_second(fd), "second");
        if (argc > 1)
            accept_in_plugin(fd, argv[1]);
    }
}
