/* See FreeRTOS.h. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "FreeRTOS.h"
#include "queue.h"
#include "task.h"

struct start {
    TaskFunction_t function;
    void *argument;
};

static void *run(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    start.function(start.argument);
    abort(); /* a task must not return */
}

BaseType_t xTaskCreate(TaskFunction_t function, const char *name, uint16_t stack, void *argument,
                       UBaseType_t priority, TaskHandle_t *task) {
    struct start *start = malloc(sizeof *start);
    pthread_t thread;
    (void)name, (void)stack, (void)priority, (void)task;
    assert(start != NULL);
    start->function = function;
    start->argument = argument;
    return pthread_create(&thread, NULL, run, start) == 0 ? pdPASS : pdFALSE;
}

void vTaskStartScheduler(void) {
    for (;;) pause();
}

static uint64_t ticks(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * configTICK_RATE_HZ +
           (uint64_t)t.tv_nsec * configTICK_RATE_HZ / 1000000000;
}

static uint64_t first;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void begin(void) { first = ticks(); }

TickType_t xTaskGetTickCount(void) {
    pthread_once(&once, begin);
    return (TickType_t)(configINITIAL_TICK_COUNT + (ticks() - first));
}

/* Until the counter has moved on by that many, as the kernel does it. */
void vTaskDelay(TickType_t count) {
    uint64_t until = ticks() + count;
    struct timespec millisecond = {0, 1000000};
    while (ticks() < until) nanosleep(&millisecond, NULL);
}

struct queue {
    pthread_mutex_t lock;
    UBaseType_t items, size, first, count;
    unsigned char bytes[];
};

QueueHandle_t xQueueCreate(UBaseType_t items, UBaseType_t size) {
    QueueHandle_t queue = calloc(1, sizeof *queue + items * size);
    assert(queue != NULL);
    pthread_mutex_init(&queue->lock, NULL);
    queue->items = items;
    queue->size = size;
    return queue;
}

BaseType_t xQueueSend(QueueHandle_t queue, const void *item, TickType_t wait) {
    BaseType_t done = pdFALSE;
    assert(wait == 0);
    pthread_mutex_lock(&queue->lock);
    if (queue->count < queue->items) {
        UBaseType_t at = (queue->first + queue->count) % queue->items;
        memcpy(queue->bytes + at * queue->size, item, queue->size);
        queue->count++;
        done = pdTRUE;
    }
    pthread_mutex_unlock(&queue->lock);
    return done;
}

BaseType_t xQueueReceive(QueueHandle_t queue, void *item, TickType_t wait) {
    BaseType_t done = pdFALSE;
    assert(wait == 0);
    pthread_mutex_lock(&queue->lock);
    if (queue->count > 0) {
        memcpy(item, queue->bytes + queue->first * queue->size, queue->size);
        queue->first = (queue->first + 1) % queue->items;
        queue->count--;
        done = pdTRUE;
    }
    pthread_mutex_unlock(&queue->lock);
    return done;
}
