/* A TCP connection in five functions, over whatever sockets a device has: lwIP's, FreeRTOS+TCP, a
   modem's. net_posix.c has them on BSD sockets. A task uses its own connection only. */
#ifndef NET_H
#define NET_H

#include <stddef.h>
#include <stdint.h>

/* Returned where there is no connection, or no longer one. */
#define NET_ENDED (-1)

/* What net_wait waits for. */
#define NET_READ 1
#define NET_SEND 2

/* Connects, and waits for that at most timeout_ms. Returns a handle, or NET_ENDED. Small writes
   leave at once (TCP_NODELAY). */
int net_connect(const char *host, uint16_t port, uint32_t timeout_ms);

/* Sends as many of these bytes as there is room for, and does not wait. Returns how many those are,
   which can be 0, or NET_ENDED. */
int net_send(int net, const void *bytes, size_t len);

/* Reads at most len bytes that have come, and does not wait. Returns how many those are, which is 0
   if nothing has come, or NET_ENDED after the last. */
int net_recv(int net, void *bytes, size_t len);

/* Waits until there is something to read (NET_READ) or room to send (NET_SEND), or for either; or
   the connection has ended; or timeout_ms have passed. It may return early. */
void net_wait(int net, int what, uint32_t timeout_ms);

/* Closes the connection, and does not wait. What was sent before still goes out; with reset it does
   not, and the other end learns at once that nothing more will come. */
void net_close(int net, int reset);

#endif
