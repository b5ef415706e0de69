/* A device around the task of examples/freertos.c: a second task, that of a button, sends "press 1"
   to "press 3", though not on raw bytes. What the server sends is printed. Settings come from the
   environment. SIGUSR1 lets a device that was refused try again. */
#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "FreeRTOS.h"
#include "queue.h"
#include "task.h"

#include "heartwire_task.h"

static struct heartwire_task client;

static const char *setting(const char *name) {
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set\n", name);
        exit(2);
    }
    return value;
}

static uint32_t number(const char *name) { return (uint32_t)strtoul(setting(name), NULL, 10); }

static void received(const uint8_t *bytes, size_t len) {
    printf("data %.*s\n", (int)len, (const char *)bytes);
}

static void on_signal(int signal) {
    (void)signal;
    client.is_refused = false;
}

static void button(void *argument) {
    int presses = 0;
    (void)argument;
    for (;;) {
        vTaskDelay(pdMS_TO_TICKS(100));
        if (presses < 3) {
            struct message message;
            message.len = (uint8_t)snprintf((char *)message.bytes, sizeof message.bytes, "press %d",
                                            presses + 1);
            if (xQueueSend(client.to_server, &message, 0) == pdTRUE) presses++;
        }
    }
}

int main(void) {
    static const char *protocols[] = {"v1", "v0", "raw"};
    struct sigaction mended = {.sa_handler = on_signal};
    int i;
    sigaction(SIGUSR1, &mended, NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    client.host = setting("HOST");
    client.port = (uint16_t)number("PORT");
    for (i = 0; i < 3; i++) {
        if (strcmp(setting("PROTOCOL"), protocols[i]) == 0) client.protocol = (hw_protocol)i;
    }
    client.interval_ms = number("INTERVAL");
    client.timeout_ms = number("TIMEOUT");
    client.name = "freertos";
    client.seed = (uint64_t)getpid();
    client.received = received;
    client.to_server = xQueueCreate(2, sizeof(struct message));
    if (client.protocol != HW_PROTOCOL_RAW) { /* the tutorial's client only answers */
        xTaskCreate(button, "button", configMINIMAL_STACK_SIZE, NULL, 1, NULL);
    }
    xTaskCreate(heartwire_task, "heartwire", configMINIMAL_STACK_SIZE, &client, 2, NULL);
    vTaskStartScheduler();
    return 2;
}
