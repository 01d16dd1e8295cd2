/* evhttp: a web server that knows libevent's headers alone.  Prints its port; ends after its first answer. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <sys/socket.h>

static void answer(struct evhttp_request *request, void *base)
{
    struct timeval soon = {.tv_usec = 100000};
    struct evbuffer *text = evbuffer_new();
    evbuffer_add_printf(text, "answered\n");
    evhttp_send_reply(request, 200, "OK", text);
    evbuffer_free(text);
    event_base_loopexit(base, &soon);
}

int main(void)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    struct sockaddr_in in;
    socklen_t length = sizeof in;
    if (bound == NULL || getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&in, &length) != 0)
        return 1;
    evhttp_set_gencb(http, answer, base);
    printf("%u\n", ntohs(in.sin_port));
    fflush(stdout);
    event_base_dispatch(base);
    evhttp_free(http);
    event_base_free(base);
    return 0;
}
