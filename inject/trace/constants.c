/* Each name once: NAME(AF_INET) is the row {AF_INET, "AF_INET"}. */
#include "trace/constants.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define NAME(name) \
    { \
        (int64_t)(unsigned)(name), #name \
    }
#define END \
    { \
        0, NULL \
    }

/* glibc's is 0 where files are large anyway; the kernel's still shows in F_GETFL. */
#undef O_LARGEFILE
#define O_LARGEFILE 0100000

const struct constant constants_family[] = {
    NAME(AF_UNSPEC),    NAME(AF_UNIX),      NAME(AF_INET), NAME(AF_INET6),   NAME(AF_NETLINK),
    NAME(AF_PACKET),    NAME(AF_BLUETOOTH), NAME(AF_ALG),  NAME(AF_VSOCK),   NAME(AF_XDP),
    NAME(AF_KEY),       NAME(AF_CAN),       NAME(AF_TIPC), NAME(AF_QIPCRTR), NAME(AF_SMC),
    NAME(AF_RDS),       NAME(AF_NFC),       NAME(AF_KCM),  NAME(AF_AX25),    NAME(AF_IPX),
    NAME(AF_APPLETALK), NAME(AF_X25),       END,
};

const struct constant constants_type[] = {
    NAME(SOCK_STREAM),    NAME(SOCK_DGRAM), NAME(SOCK_RAW),    NAME(SOCK_RDM),
    NAME(SOCK_SEQPACKET), NAME(SOCK_DCCP),  NAME(SOCK_PACKET), END,
};

const struct constant constants_socket_flags[] = {
    NAME(SOCK_CLOEXEC),
    NAME(SOCK_NONBLOCK),
    END,
};

const struct constant constants_protocol[] = {
    NAME(IPPROTO_IP),
    NAME(IPPROTO_ICMP),
    NAME(IPPROTO_IGMP),
    NAME(IPPROTO_TCP),
    NAME(IPPROTO_UDP),
    NAME(IPPROTO_DCCP),
    NAME(IPPROTO_IPV6),
    NAME(IPPROTO_ICMPV6),
    NAME(IPPROTO_SCTP),
    NAME(IPPROTO_UDPLITE),
    NAME(IPPROTO_RAW),
    NAME(IPPROTO_MPTCP),
    END,
};

const struct constant constants_level[] = {
    NAME(SOL_IP),     NAME(SOL_SOCKET), NAME(SOL_TCP),    NAME(SOL_UDP),     NAME(SOL_IPV6),
    NAME(SOL_ICMPV6), NAME(SOL_RAW),    NAME(SOL_PACKET), NAME(SOL_NETLINK), END,
};

const struct constant constants_so[] = {
    NAME(SO_DEBUG),
    NAME(SO_REUSEADDR),
    NAME(SO_TYPE),
    NAME(SO_ERROR),
    NAME(SO_DONTROUTE),
    NAME(SO_BROADCAST),
    NAME(SO_SNDBUF),
    NAME(SO_RCVBUF),
    NAME(SO_KEEPALIVE),
    NAME(SO_OOBINLINE),
    NAME(SO_NO_CHECK),
    NAME(SO_PRIORITY),
    NAME(SO_LINGER),
    NAME(SO_BSDCOMPAT),
    NAME(SO_REUSEPORT),
    NAME(SO_PASSCRED),
    NAME(SO_PEERCRED),
    NAME(SO_RCVLOWAT),
    NAME(SO_SNDLOWAT),
    NAME(SO_RCVTIMEO),
    NAME(SO_SNDTIMEO),
    NAME(SO_BINDTODEVICE),
    NAME(SO_ATTACH_FILTER),
    NAME(SO_DETACH_FILTER),
    NAME(SO_PEERNAME),
    NAME(SO_TIMESTAMP),
    NAME(SO_ACCEPTCONN),
    NAME(SO_PEERSEC),
    NAME(SO_SNDBUFFORCE),
    NAME(SO_RCVBUFFORCE),
    NAME(SO_PASSSEC),
    NAME(SO_TIMESTAMPNS),
    NAME(SO_MARK),
    NAME(SO_TIMESTAMPING),
    NAME(SO_PROTOCOL),
    NAME(SO_DOMAIN),
    NAME(SO_RXQ_OVFL),
    NAME(SO_PEEK_OFF),
    NAME(SO_NOFCS),
    NAME(SO_LOCK_FILTER),
    NAME(SO_SELECT_ERR_QUEUE),
    NAME(SO_BUSY_POLL),
    NAME(SO_MAX_PACING_RATE),
    NAME(SO_BPF_EXTENSIONS),
    NAME(SO_INCOMING_CPU),
    NAME(SO_ATTACH_BPF),
    NAME(SO_ATTACH_REUSEPORT_CBPF),
    NAME(SO_ATTACH_REUSEPORT_EBPF),
    NAME(SO_CNX_ADVICE),
    NAME(SO_MEMINFO),
    NAME(SO_INCOMING_NAPI_ID),
    NAME(SO_COOKIE),
    NAME(SO_PEERGROUPS),
    NAME(SO_ZEROCOPY),
    NAME(SO_TXTIME),
    NAME(SO_BINDTOIFINDEX),
    END,
};

const struct constant constants_ip[] = {
    NAME(IP_TOS),
    NAME(IP_TTL),
    NAME(IP_HDRINCL),
    NAME(IP_OPTIONS),
    NAME(IP_ROUTER_ALERT),
    NAME(IP_RECVOPTS),
    NAME(IP_RETOPTS),
    NAME(IP_PKTINFO),
    NAME(IP_MTU_DISCOVER),
    NAME(IP_RECVERR),
    NAME(IP_RECVTTL),
    NAME(IP_RECVTOS),
    NAME(IP_MTU),
    NAME(IP_FREEBIND),
    NAME(IP_TRANSPARENT),
    NAME(IP_ORIGDSTADDR),
    NAME(IP_MINTTL),
    NAME(IP_BIND_ADDRESS_NO_PORT),
    NAME(IP_MULTICAST_IF),
    NAME(IP_MULTICAST_TTL),
    NAME(IP_MULTICAST_LOOP),
    NAME(IP_ADD_MEMBERSHIP),
    NAME(IP_DROP_MEMBERSHIP),
    END,
};

const struct constant constants_ipv6[] = {
    NAME(IPV6_UNICAST_HOPS),   NAME(IPV6_MULTICAST_IF),
    NAME(IPV6_MULTICAST_HOPS), NAME(IPV6_MULTICAST_LOOP),
    NAME(IPV6_MTU_DISCOVER),   NAME(IPV6_MTU),
    NAME(IPV6_RECVERR),        NAME(IPV6_V6ONLY),
    NAME(IPV6_RECVPKTINFO),    NAME(IPV6_PKTINFO),
    NAME(IPV6_TCLASS),         NAME(IPV6_TRANSPARENT),
    NAME(IPV6_FREEBIND),       END,
};

const struct constant constants_tcp[] = {
    NAME(TCP_NODELAY),
    NAME(TCP_MAXSEG),
    NAME(TCP_CORK),
    NAME(TCP_KEEPIDLE),
    NAME(TCP_KEEPINTVL),
    NAME(TCP_KEEPCNT),
    NAME(TCP_SYNCNT),
    NAME(TCP_LINGER2),
    NAME(TCP_DEFER_ACCEPT),
    NAME(TCP_WINDOW_CLAMP),
    NAME(TCP_INFO),
    NAME(TCP_QUICKACK),
    NAME(TCP_CONGESTION),
    NAME(TCP_MD5SIG),
    NAME(TCP_THIN_LINEAR_TIMEOUTS),
    NAME(TCP_THIN_DUPACK),
    NAME(TCP_USER_TIMEOUT),
    NAME(TCP_REPAIR),
    NAME(TCP_FASTOPEN),
    NAME(TCP_TIMESTAMP),
    NAME(TCP_NOTSENT_LOWAT),
    NAME(TCP_SAVE_SYN),
    NAME(TCP_SAVED_SYN),
    NAME(TCP_FASTOPEN_CONNECT),
    NAME(TCP_ULP),
    NAME(TCP_ZEROCOPY_RECEIVE),
    NAME(TCP_INQ),
    END,
};

const struct constant constants_fcntl[] = {
    NAME(F_DUPFD),         NAME(F_GETFD),
    NAME(F_SETFD),         NAME(F_GETFL),
    NAME(F_SETFL),         NAME(F_GETLK),
    NAME(F_SETLK),         NAME(F_SETLKW),
    NAME(F_SETOWN),        NAME(F_GETOWN),
    NAME(F_SETSIG),        NAME(F_GETSIG),
    NAME(F_SETOWN_EX),     NAME(F_GETOWN_EX),
    NAME(F_OFD_GETLK),     NAME(F_OFD_SETLK),
    NAME(F_OFD_SETLKW),    NAME(F_SETLEASE),
    NAME(F_GETLEASE),      NAME(F_NOTIFY),
    NAME(F_DUPFD_CLOEXEC), NAME(F_SETPIPE_SZ),
    NAME(F_GETPIPE_SZ),    NAME(F_ADD_SEALS),
    NAME(F_GET_SEALS),     END,
};

const struct constant constants_access[] = {
    NAME(O_RDONLY),
    NAME(O_WRONLY),
    NAME(O_RDWR),
    END,
};

const struct constant constants_open[] = {
    NAME(O_CREAT),   NAME(O_EXCL),    NAME(O_NOCTTY), NAME(O_TRUNC),   NAME(O_APPEND),    NAME(O_NONBLOCK),
    NAME(O_SYNC),    NAME(O_DSYNC),   NAME(O_ASYNC),  NAME(O_DIRECT),  NAME(O_LARGEFILE), NAME(O_NOFOLLOW),
    NAME(O_NOATIME), NAME(O_CLOEXEC), NAME(O_PATH),   NAME(O_TMPFILE), NAME(O_DIRECTORY), END,
};

const struct constant constants_lock[] = {
    NAME(F_RDLCK),
    NAME(F_WRLCK),
    NAME(F_UNLCK),
    END,
};

const struct constant constants_whence[] = {
    NAME(SEEK_SET),
    NAME(SEEK_CUR),
    NAME(SEEK_END),
    END,
};

const struct constant constants_poll[] = {
    NAME(POLLIN),     NAME(POLLPRI), NAME(POLLOUT), NAME(POLLRDNORM), NAME(POLLRDBAND), NAME(POLLWRNORM),
    NAME(POLLWRBAND), NAME(POLLERR), NAME(POLLHUP), NAME(POLLNVAL),   NAME(POLLMSG),    NAME(POLLREMOVE),
    NAME(POLLRDHUP),  END,
};

const struct constant constants_epoll[] = {
    NAME(EPOLLIN),     NAME(EPOLLPRI),     NAME(EPOLLOUT),    NAME(EPOLLRDNORM),
    NAME(EPOLLRDBAND), NAME(EPOLLWRNORM),  NAME(EPOLLWRBAND), NAME(EPOLLMSG),
    NAME(EPOLLERR),    NAME(EPOLLHUP),     NAME(EPOLLRDHUP),  NAME(EPOLLEXCLUSIVE),
    NAME(EPOLLWAKEUP), NAME(EPOLLONESHOT), NAME(EPOLLET),     END,
};

const struct constant constants_epoll_op[] = {
    NAME(EPOLL_CTL_ADD),
    NAME(EPOLL_CTL_DEL),
    NAME(EPOLL_CTL_MOD),
    END,
};

const struct constant constants_epoll_flags[] = {
    NAME(EPOLL_CLOEXEC),
    END,
};

const struct constant constants_fd_flags[] = {
    NAME(FD_CLOEXEC),
    END,
};

const struct constant constants_shutdown[] = {
    NAME(SHUT_RD),
    NAME(SHUT_WR),
    NAME(SHUT_RDWR),
    END,
};

const struct constant constants_eventfd[] = {
    NAME(EFD_SEMAPHORE),
    NAME(EFD_CLOEXEC),
    NAME(EFD_NONBLOCK),
    END,
};

/* Of files, terminals and sockets.  Where a number has several names, the one that strace shows. */
const struct constant constants_ioctl[] = {
    NAME(FIOCLEX),     NAME(FIONCLEX),       NAME(FIONBIO),        NAME(FIOASYNC),         NAME(FIONREAD),
    NAME(FIOQSIZE),    NAME(FIOSETOWN),      NAME(FIOGETOWN),      NAME(TCGETS),           NAME(TCSETS),
    NAME(TCSETSW),     NAME(TCSETSF),        NAME(TCSBRK),         NAME(TCXONC),           NAME(TCFLSH),
    NAME(TIOCEXCL),    NAME(TIOCNXCL),       NAME(TIOCSCTTY),      NAME(TIOCGPGRP),        NAME(TIOCSPGRP),
    NAME(TIOCOUTQ),    NAME(TIOCGWINSZ),     NAME(TIOCSWINSZ),     NAME(TIOCGPTN),         NAME(TIOCSPTLCK),
    NAME(TIOCNOTTY),   NAME(TIOCSETD),       NAME(TIOCGETD),       NAME(TIOCGSID),         NAME(SIOCSPGRP),
    NAME(SIOCGPGRP),   NAME(SIOCATMARK),     NAME(SIOCGSTAMP_OLD), NAME(SIOCGSTAMPNS_OLD), NAME(SIOCOUTQNSD),
    NAME(SIOCGIFNAME), NAME(SIOCGIFCONF),    NAME(SIOCGIFFLAGS),   NAME(SIOCSIFFLAGS),     NAME(SIOCGIFADDR),
    NAME(SIOCSIFADDR), NAME(SIOCGIFDSTADDR), NAME(SIOCGIFBRDADDR), NAME(SIOCGIFNETMASK),   NAME(SIOCGIFMETRIC),
    NAME(SIOCGIFMTU),  NAME(SIOCSIFMTU),     NAME(SIOCGIFHWADDR),  NAME(SIOCGIFINDEX),     NAME(SIOCGIFTXQLEN),
    NAME(SIOCETHTOOL), NAME(SIOCGARP),       NAME(SIOCADDRT),      NAME(SIOCDELRT),        END,
};

const struct constant constants_ioctl_direction[] = {
    NAME(_IOC_READ),
    NAME(_IOC_WRITE),
    END,
};

/* By number, for the headers of older systems lack the newer ones. */
const struct constant constants_uring_setup[] = {
    {1 << 0, "IORING_SETUP_IOPOLL"},         {1 << 1, "IORING_SETUP_SQPOLL"},
    {1 << 2, "IORING_SETUP_SQ_AFF"},         {1 << 3, "IORING_SETUP_CQSIZE"},
    {1 << 4, "IORING_SETUP_CLAMP"},          {1 << 5, "IORING_SETUP_ATTACH_WQ"},
    {1 << 6, "IORING_SETUP_R_DISABLED"},     {1 << 7, "IORING_SETUP_SUBMIT_ALL"},
    {1 << 8, "IORING_SETUP_COOP_TASKRUN"},   {1 << 9, "IORING_SETUP_TASKRUN_FLAG"},
    {1 << 10, "IORING_SETUP_SQE128"},        {1 << 11, "IORING_SETUP_CQE32"},
    {1 << 12, "IORING_SETUP_SINGLE_ISSUER"}, {1 << 13, "IORING_SETUP_DEFER_TASKRUN"},
    {1 << 14, "IORING_SETUP_NO_MMAP"},       {1 << 15, "IORING_SETUP_REGISTERED_FD_ONLY"},
    {1 << 16, "IORING_SETUP_NO_SQARRAY"},    END,
};

const struct constant constants_uring_features[] = {
    {1 << 0, "IORING_FEAT_SINGLE_MMAP"},     {1 << 1, "IORING_FEAT_NODROP"},
    {1 << 2, "IORING_FEAT_SUBMIT_STABLE"},   {1 << 3, "IORING_FEAT_RW_CUR_POS"},
    {1 << 4, "IORING_FEAT_CUR_PERSONALITY"}, {1 << 5, "IORING_FEAT_FAST_POLL"},
    {1 << 6, "IORING_FEAT_POLL_32BITS"},     {1 << 7, "IORING_FEAT_SQPOLL_NONFIXED"},
    {1 << 8, "IORING_FEAT_EXT_ARG"},         {1 << 9, "IORING_FEAT_NATIVE_WORKERS"},
    {1 << 10, "IORING_FEAT_RSRC_TAGS"},      {1 << 11, "IORING_FEAT_CQE_SKIP"},
    {1 << 12, "IORING_FEAT_LINKED_FILE"},    END,
};
