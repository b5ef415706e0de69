/* lwIP's options on a small board: without an operating system for examples/lwip.c, and with its
   sockets for examples/net_posix.c. */
#ifndef NO_SYS
#define NO_SYS 1
#endif
#define LWIP_SOCKET !NO_SYS
#define LWIP_NETCONN !NO_SYS
#define LWIP_DNS !NO_SYS
#define LWIP_ERRNO_STDINCLUDE 1
#define LWIP_SO_LINGER 1
#define LWIP_TCP_KEEPALIVE 1
#define TCPIP_MBOX_SIZE 8
#define DEFAULT_TCP_RECVMBOX_SIZE 8
