/*
 * decode_socket.c - socket, socketpair, setsockopt, getsockopt, bind, listen, accept, accept4, getsockname, getpeername,
 * shutdown.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "trace/constants.h"
#include "trace/decode.h"

static void decode_family_and_type(struct decoded *out, const struct seen *seen)
{
    struct words *words = &out->arguments;
    int64_t family = seen->given.words[0], type = seen->given.words[1];
    int64_t flags = type & (SOCK_CLOEXEC | SOCK_NONBLOCK);
    words_next(words);
    words_constant(words, family, constants_family, "AF_???");
    words_next(words);
    words_constant(words, type & ~flags, constants_type, "SOCK_???");
    if (flags != 0) {
        words_add(words, "|");
        words_flags(words, (uint64_t)flags, constants_socket_flags, "SOCK_???");
    }
}

void decode_socket(struct decoded *out, struct seen *seen)
{
    int64_t family = seen->given.words[0];
    decode_family_and_type(out, seen);
    if (family != AF_INET && family != AF_INET6) {
        decode_int(out, seen, 2);
        return;
    }
    words_next(&out->arguments);
    words_constant(&out->arguments, seen->given.words[2], constants_protocol, "IPPROTO_???");
}

void decode_socketpair(struct decoded *out, struct seen *seen)
{
    decode_family_and_type(out, seen);
    decode_int(out, seen, 2);
    decode_pair(out, seen, 3);
}

static void add_inet(struct words *words, const struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    words_add(words, "{sa_family=AF_INET, sin_port=htons(%u), sin_addr=inet_addr(\"%s\")}", ntohs(address->sin_port),
              host);
}

static void add_inet6(struct words *words, const struct sockaddr_in6 *address)
{
    char host[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof host);
    words_add(words,
              "{sa_family=AF_INET6, sin6_port=htons(%u), sin6_flowinfo=htonl(%u), "
              "inet_pton(AF_INET6, \"%s\", &sin6_addr), sin6_scope_id=%u}",
              ntohs(address->sin6_port), ntohl(address->sin6_flowinfo), host, address->sin6_scope_id);
}

static void add_unix(struct words *words, const struct sockaddr_un *address, size_t length)
{
    const char *path = address->sun_path;
    size_t room = length - offsetof(struct sockaddr_un, sun_path);
    words_add(words, "{sa_family=AF_UNIX");
    if (room > 0 && path[0] == '\0') {
        words_add(words, ", sun_path=@");
        words_quoted(words, path + 1, room - 1);
    } else if (room > 0) {
        words_add(words, ", sun_path=");
        words_quoted(words, path, strnlen(path, room));
    }
    words_add(words, "}");
}

static void add_other(struct words *words, const struct sockaddr_storage *address, size_t length)
{
    words_add(words, "{sa_family=");
    words_constant(words, address->ss_family, constants_family, "AF_???");
    if (length > sizeof address->ss_family) {
        words_add(words, ", sa_data=");
        words_quoted(words, (const char *)address + sizeof address->ss_family, length - sizeof address->ss_family);
    }
    words_add(words, "}");
}

/* Adds the call's address; without one, pointer I. */
static void decode_address(struct decoded *out, const struct seen *seen, size_t i)
{
    struct sockaddr_storage address = {0};
    size_t length = seen->address_length < sizeof address ? seen->address_length : sizeof address;
    if (seen->given.words[i] == 0 || seen->address == NULL || length < sizeof address.ss_family) {
        decode_pointer(out, seen, i);
        return;
    }
    memcpy(&address, seen->address, length);
    words_next(&out->arguments);
    if (address.ss_family == AF_INET && length >= sizeof(struct sockaddr_in))
        add_inet(&out->arguments, (const struct sockaddr_in *)&address);
    else if (address.ss_family == AF_INET6 && length >= sizeof(struct sockaddr_in6))
        add_inet6(&out->arguments, (const struct sockaddr_in6 *)&address);
    else if (address.ss_family == AF_UNIX && length <= sizeof(struct sockaddr_un))
        add_unix(&out->arguments, (const struct sockaddr_un *)&address, length);
    else
        add_other(&out->arguments, &address, length);
}

/* The options of LEVEL; NULL: it is none of ours. */
static const struct constant *options_of(int64_t level)
{
    switch (level) {
    case SOL_SOCKET:
        return constants_so;
    case IPPROTO_IP:
        return constants_ip;
    case IPPROTO_IPV6:
        return constants_ipv6;
    case IPPROTO_TCP:
        return constants_tcp;
    default:
        return NULL;
    }
}

static const char *unknown_option(int64_t level)
{
    return level == SOL_SOCKET     ? "SO_???"
           : level == IPPROTO_IP   ? "IP_???"
           : level == IPPROTO_IPV6 ? "IPV6_???"
                                   : "TCP_???";
}

/* Adds the LENGTH bytes of an option's value at VALUE, of which KNOWN are there. */
static void add_value(struct words *words, bool socket_level, int64_t name, const void *value, size_t known,
                      size_t length)
{
    int32_t number;
    struct linger linger;
    struct timeval time;
    struct ucred peer;
    if (socket_level && name == SO_LINGER && known >= sizeof linger) {
        memcpy(&linger, value, sizeof linger);
        words_add(words, "{l_onoff=%d, l_linger=%d}", linger.l_onoff, linger.l_linger);
    } else if (socket_level && (name == SO_RCVTIMEO || name == SO_SNDTIMEO) && known >= sizeof time) {
        memcpy(&time, value, sizeof time);
        words_add(words, "{tv_sec=%jd, tv_usec=%jd}", (intmax_t)time.tv_sec, (intmax_t)time.tv_usec);
    } else if (socket_level && name == SO_PEERCRED && known >= sizeof peer) {
        memcpy(&peer, value, sizeof peer);
        words_add(words, "{pid=%d, uid=%u, gid=%u}", peer.pid, peer.uid, peer.gid);
    } else if (length == sizeof number && known == length && !(socket_level && name == SO_BINDTODEVICE)) {
        memcpy(&number, value, sizeof number);
        words_add(words, "[%d]", number);
    } else {
        words_quoted(words, value, known);
        words_add(words, "%s", known < length ? "..." : "");
    }
}

/* The descriptor, the level, and the name of the option. */
static void decode_option(struct decoded *out, const struct seen *seen)
{
    int64_t level = seen->given.words[1];
    decode_int(out, seen, 0);
    words_next(&out->arguments);
    words_constant(&out->arguments, level, constants_level, "SOL_??");
    words_next(&out->arguments);
    if (options_of(level) != NULL)
        words_constant(&out->arguments, seen->given.words[2], options_of(level), unknown_option(level));
    else
        words_add(&out->arguments, "%" PRId64, seen->given.words[2]);
}

void decode_setsockopt(struct decoded *out, struct seen *seen)
{
    struct words *words = &out->arguments;
    int64_t level = seen->given.words[1], name = seen->given.words[2];
    size_t known = seen->before_left;
    const void *value = seen_before(seen, known);
    decode_option(out, seen);
    if (known > 0) {
        words_next(words);
        add_value(words, level == SOL_SOCKET, name, value, known, (size_t)(uint32_t)seen->given.words[4]);
    } else {
        decode_pointer(out, seen, 3);
    }
    decode_int(out, seen, 4);
}

/* Word I is where a length is: the caller's, and with CHANGED what it became. */
static void decode_length(struct decoded *out, const struct seen *seen, size_t i, bool changed)
{
    if (seen->given.words[i] == 0 || seen->before_left == 0) {
        decode_pointer(out, seen, i);
        return;
    }
    words_next(&out->arguments);
    words_add(&out->arguments, "[%" PRId32, (int32_t)seen->given.length);
    if (changed && seen->given.length != seen->event->arg)
        words_add(&out->arguments, " => %" PRIu32, seen->event->arg);
    words_add(&out->arguments, "]");
}

void decode_getsockopt(struct decoded *out, struct seen *seen)
{
    int64_t level = seen->given.words[1], name = seen->given.words[2];
    uint32_t room = seen->given.length, told = seen->event->arg;
    size_t known = seen->after_left;
    const void *value = seen_after(seen, known);
    decode_option(out, seen);
    if (known > 0) {
        words_next(&out->arguments);
        add_value(&out->arguments, level == SOL_SOCKET, name, value, known, told < room ? told : room);
    } else {
        decode_pointer(out, seen, 3);
    }
    decode_length(out, seen, 4, seen->event->ret >= 0);
}

void decode_bind(struct decoded *out, struct seen *seen)
{
    decode_int(out, seen, 0);
    decode_address(out, seen, 1);
    decode_int(out, seen, 2);
}

void decode_listen(struct decoded *out, struct seen *seen)
{
    decode_int(out, seen, 0);
    decode_int(out, seen, 1);
}

void decode_shutdown(struct decoded *out, struct seen *seen)
{
    decode_int(out, seen, 0);
    words_next(&out->arguments);
    words_constant(&out->arguments, seen->given.words[1], constants_shutdown, "SHUT_???");
}

/* accept, getsockname, getpeername. */
void decode_name(struct decoded *out, struct seen *seen)
{
    decode_int(out, seen, 0);
    decode_address(out, seen, 1);
    decode_length(out, seen, 2, seen->event->ret >= 0 && seen->given.words[1] != 0);
}

void decode_accept4(struct decoded *out, struct seen *seen)
{
    decode_name(out, seen);
    words_next(&out->arguments);
    words_flags(&out->arguments, (uint64_t)seen->given.words[3], constants_socket_flags, "SOCK_???");
}
