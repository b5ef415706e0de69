/* What lwip.c needs of a board, besides lwIP with its sys_now(). */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#include "heartwire.h"
#include "lwip/ip_addr.h"

/* From the flash of the board, say. */
struct settings {
    ip_addr_t server;
    u16_t port;
    hw_protocol protocol;
    uint32_t interval_ms;  /* how often to send a heartbeat; 0: never */
    uint32_t timeout_ms;   /* the silence after which the server is dead; 0: never */
    uint32_t keepalive_ms; /* within how long TCP's keepalive finds a dead machine; 0: never */
    const char *name;      /* of this device, for protocol v1 */
    uint64_t seed; /* another one on each device and at each start: noise, a serial number */
};

/* Starts lwIP (lwip_init) and its network interface. LWIP_RAND needs a seed before, another one at
   each start: lwIP draws its first local port from it, and a server may still have a connection of
   this device on the same one. */
const struct settings *board_start(void);

/* Hands to lwIP all frames that the network interface has received until now. */
void board_receive(void);

/* 1 if the application can take what came; 0 while it is busy, with its flash, say. */
int board_takes_data(void);

/* Sleeps until there is an interrupt, and for at most this long. */
void board_sleep(uint32_t ms);

#endif
