/* lwIP's network interface, made of a tap device. */
#ifndef TAP_H
#define TAP_H

#include "lwip/netif.h"

/* A setting of the environment. Without it the program ends. */
const char *setting(const char *name);
void fail(const char *what);

/* Adds the interface, as the address DEVICE, with SERVER on the same network. Returns the tap
   device, for poll. */
int tap_start(netif_input_fn input);

/* Hands to lwIP what has come. */
void tap_receive(void);

#endif
