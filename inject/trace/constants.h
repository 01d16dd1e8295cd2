/* constants.h - the names of the numbers that calls are given, in the order in which strace lists flags. */
#ifndef SNAG_CONSTANTS_H
#define SNAG_CONSTANTS_H

#include "trace/words.h"

extern const struct constant constants_family[];       /* AF_ */
extern const struct constant constants_type[];         /* SOCK_, the types alone */
extern const struct constant constants_socket_flags[]; /* SOCK_CLOEXEC, SOCK_NONBLOCK */
extern const struct constant constants_protocol[];     /* IPPROTO_ */
extern const struct constant constants_level[];        /* SOL_ */
extern const struct constant constants_so[], constants_ip[], constants_ipv6[], constants_tcp[]; /* options by level */
extern const struct constant constants_fcntl[];                                                 /* F_, the commands */
extern const struct constant constants_access[];          /* O_RDONLY, O_WRONLY, O_RDWR */
extern const struct constant constants_open[];            /* the other O_ */
extern const struct constant constants_lock[];            /* F_RDLCK */
extern const struct constant constants_whence[];          /* SEEK_SET */
extern const struct constant constants_poll[];            /* POLLIN */
extern const struct constant constants_epoll[];           /* EPOLLIN */
extern const struct constant constants_epoll_op[];        /* EPOLL_CTL_ADD */
extern const struct constant constants_epoll_flags[];     /* EPOLL_CLOEXEC */
extern const struct constant constants_fd_flags[];        /* FD_CLOEXEC */
extern const struct constant constants_shutdown[];        /* SHUT_RD */
extern const struct constant constants_eventfd[];         /* EFD_CLOEXEC */
extern const struct constant constants_ioctl[];           /* requests: FIONBIO, TCGETS, SIOCATMARK */
extern const struct constant constants_ioctl_direction[]; /* _IOC_READ, _IOC_WRITE */
extern const struct constant constants_uring_setup[];     /* IORING_SETUP_ */
extern const struct constant constants_uring_features[];  /* IORING_FEAT_ */

#endif
