/* The few calls of FreeRTOS that examples/freertos.c makes, over POSIX threads: a task is a thread,
   and the tick is the system's clock. Its tick is no whole number of milliseconds, and its counter
   begins three seconds before its 32 bits end. */
#ifndef FREERTOS_H
#define FREERTOS_H

#include <assert.h>
#include <stdint.h>

typedef uint32_t TickType_t;
typedef long BaseType_t;
typedef unsigned long UBaseType_t;

#define pdFALSE 0
#define pdTRUE 1
#define pdPASS 1

#define configTICK_RATE_HZ 128
#define configINITIAL_TICK_COUNT (UINT32_MAX - 3 * configTICK_RATE_HZ)
#define configUSE_16_BIT_TICKS 0
#define configMINIMAL_STACK_SIZE 128
#define configASSERT(condition) assert(condition)

#define pdMS_TO_TICKS(ms) ((TickType_t)((uint64_t)(ms) * configTICK_RATE_HZ / 1000))

#endif
