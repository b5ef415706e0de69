/* The task of freertos.c. Start it with
   xTaskCreate(heartwire_task, "heartwire", STACK, &settings, PRIORITY, NULL). */
#ifndef HEARTWIRE_TASK_H
#define HEARTWIRE_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "FreeRTOS.h"
#include "queue.h"

#include "heartwire.h"

/* What other tasks send: xQueueSend(task.to_server, &message, 0). */
struct message {
    uint8_t len;
    uint8_t bytes[31];
};

/* Static, because it is too large for a task's stack. All zero, but for these: */
struct heartwire_task {
    const char *host;
    uint16_t port;
    hw_protocol protocol;
    uint32_t interval_ms; /* how often to send a heartbeat; 0: never */
    uint32_t timeout_ms;  /* the silence after which the server is dead; 0: never */
    const char *name;     /* of this device, for protocol v1 */
    uint64_t seed;        /* another one on each device and at each start: noise, a serial number */
    QueueHandle_t to_server; /* of struct message */
    /* Called in the task with what the server sent. */
    void (*received)(const uint8_t *bytes, size_t len);
    /* Set by the task: the server refuses this device, and the task waits. Another task that knows
       that this is mended clears it. */
    volatile bool is_refused;

    /* The task's own. */
    int net;
    bool has_ended;    /* the sockets have: nothing more comes */
    bool cannot_write; /* they take nothing more; what has come is read still */
    bool is_dead;      /* there was a verdict */
    hw_clock clock;
    hw_client *hw;
    hw_client_memory memory;
    uint8_t rx[HW_MIN_RX];
    uint8_t tx[HW_MIN_RX + HW_MIN_TX]; /* an answer as long as what came, and heartbeats */
    uint8_t in[128];                   /* what was read, and hw_client_feed has not taken yet */
    size_t in_at, in_len;
};

void heartwire_task(void *task);

#endif
