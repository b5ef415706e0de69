/* net.h on lwIP's sockets. Debian's liblwip has them under names of their own only, and takes the
   system's types and constants. */
#define close lwip_close
#define connect lwip_connect
#define fcntl lwip_fcntl
#define getsockopt lwip_getsockopt
#define poll lwip_poll
#define recv lwip_recv
#define send lwip_send
#define setsockopt lwip_setsockopt
#define socket lwip_socket

#include "net_posix.c"
