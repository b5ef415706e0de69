#include "board.h"

typedef volatile uint32_t reg;
#define REG(address) (*(reg *)(uintptr_t)(address))

/* The processor's own timer, and its interrupt controller. */
#define SYSTICK_CONTROL REG(0xE000E010u)
#define SYSTICK_RELOAD REG(0xE000E014u)
#define SYSTICK_VALUE REG(0xE000E018u)
#define SYSTICK_RUN 5u       /* by the processor's clock */
#define SYSTICK_INTERRUPT 2u
#define SYSTICK_MAX 0x00FFFFFFu
#define NVIC_ENABLE REG(0xE000E100u)
#define CYCLES_PER_MS 25000u

/* The FPGA's counter, after a divider. */
#define COUNTER REG(0x40028018u)
#define COUNTER_DIVIDER REG(0x4002801Cu)

/* Arm's simple UARTs: one byte of buffer for each direction. */
struct uart {
    reg data, state, control, interrupts, divider;
};
#define MODEM ((struct uart *)(uintptr_t)0x40004000u)
#define CONSOLE ((struct uart *)(uintptr_t)0x40005000u)
#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define CONTROL_TX 1u
#define CONTROL_RX 2u
#define CONTROL_TX_INTERRUPT 4u
#define CONTROL_RX_INTERRUPT 8u
#define INTERRUPT_TX 1u
#define INTERRUPT_RX 2u
#define MODEM_RX_LINE 0u
#define MODEM_TX_LINE 1u
#define BAUD_115200 217u

/*
 * What the modem has received. Only the interrupt moves `head`, and only the main program `tail`:
 * the interrupt queues bytes, and nothing else. While the buffer is full, its interrupt is off and
 * the byte stays in the UART, so the line's flow control holds the rest back.
 */
#define RING_LEN 64u /* a power of two */
static struct {
    uint8_t bytes[RING_LEN];
    volatile uint32_t head, tail;
} ring;

static void mask(void) { __asm__ volatile("cpsid i" ::: "memory"); }
static void unmask(void) { __asm__ volatile("cpsie i" ::: "memory"); }

static void modem_received(void)
{
    while (MODEM->state & STATE_RX_FULL) {
        if (ring.head - ring.tail == RING_LEN) {
            MODEM->control &= ~CONTROL_RX_INTERRUPT;
            break;
        }
        ring.bytes[ring.head % RING_LEN] = (uint8_t)MODEM->data;
        ring.head++;
    }
    MODEM->interrupts = INTERRUPT_RX;
}

/* It has ended a sleep, and that is all it is for. */
static void modem_sent(void) { MODEM->interrupts = INTERRUPT_TX; }
static void slept(void) { SYSTICK_CONTROL = 0; }

__attribute__((noreturn)) void board_start(void);
static void fault(void)
{
    console_text("{\"event\":\"fault\"}\n");
    board_exit(1);
    for (;;) {
    }
}

extern uint32_t board_data_load[], board_data_start[], board_data_end[];
extern uint32_t board_bss_start[], board_bss_end[];
extern uint32_t board_stack_low[], board_stack_top[];
int main(void);

typedef void handler(void);
extern const struct vectors {
    void *stack;
    handler *exceptions[15];
    handler *lines[32];
} board_vectors;
__attribute__((section(".vectors"), used)) const struct vectors board_vectors = {
    board_stack_top,
    {board_start, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, slept},
    {[MODEM_RX_LINE] = modem_received, [MODEM_TX_LINE] = modem_sent},
};

__attribute__((noreturn)) void board_start(void)
{
    const uint32_t *from = board_data_load;
    uint32_t *to;

    for (to = board_data_start; to < board_data_end;)
        *to++ = *from++;
    for (to = board_bss_start; to < board_bss_end;)
        *to++ = 0;

    COUNTER_DIVIDER = CYCLES_PER_MS - 1;
    COUNTER = 0;
    MODEM->divider = BAUD_115200;
    MODEM->control = CONTROL_TX | CONTROL_RX | CONTROL_TX_INTERRUPT | CONTROL_RX_INTERRUPT;
    CONSOLE->divider = BAUD_115200;
    CONSOLE->control = CONTROL_TX;
    NVIC_ENABLE = 1u << MODEM_RX_LINE | 1u << MODEM_TX_LINE;

    main();
    board_exit(0);
    for (;;) {
    }
}

uint32_t board_ticks_ms(void) { return COUNTER; }

void board_sleep(uint32_t at_most_ms)
{
    const uint32_t longest_ms = SYSTICK_MAX / CYCLES_PER_MS;

    if (at_most_ms == 0)
        return;
    if (at_most_ms > longest_ms)
        at_most_ms = longest_ms;
    /* With interrupts masked one can still end the sleep, but none can come just before it. */
    mask();
    if (ring.head == ring.tail) {
        SYSTICK_RELOAD = at_most_ms * CYCLES_PER_MS;
        SYSTICK_VALUE = 0;
        SYSTICK_CONTROL = SYSTICK_RUN | SYSTICK_INTERRUPT;
        __asm__ volatile("dsb\n wfi" ::: "memory");
    }
    unmask();
    SYSTICK_CONTROL = 0;
}

size_t modem_read(uint8_t *bytes, size_t len)
{
    size_t taken = 0;

    while (taken < len && ring.tail != ring.head) {
        bytes[taken++] = ring.bytes[ring.tail % RING_LEN];
        ring.tail++;
    }
    if (taken > 0) {
        mask();
        MODEM->control |= CONTROL_RX_INTERRUPT;
        /* A byte that came while that was off has made no interrupt. */
        modem_received();
        unmask();
    }
    return taken;
}

size_t modem_write(const uint8_t *bytes, size_t len)
{
    size_t taken = 0;

    while (taken < len && !(MODEM->state & STATE_TX_FULL))
        MODEM->data = bytes[taken++];
    return taken;
}

void console_bytes(const uint8_t *bytes, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        while (CONSOLE->state & STATE_TX_FULL) {
        }
        CONSOLE->data = bytes[i];
    }
}

void console_text(const char *text)
{
    for (; *text != 0; text++)
        console_bytes((const uint8_t *)text, 1);
}

void console_number(uint64_t number)
{
    uint8_t digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    console_bytes(digits + at, sizeof digits - at);
}

uint32_t board_cycles(void)
{
    if (SYSTICK_CONTROL == 0) {
        SYSTICK_RELOAD = SYSTICK_MAX;
        SYSTICK_VALUE = 0;
        SYSTICK_CONTROL = SYSTICK_RUN;
    }
    return SYSTICK_MAX - SYSTICK_VALUE;
}

#define PAINT 0xC5C5C5C5u

static uint32_t *stack_pointer(void)
{
    uint32_t *sp;

    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

void board_stack_paint(void)
{
    uint32_t *word = board_stack_low, *end = stack_pointer();

    while (word < end)
        *word++ = PAINT;
}

size_t board_stack_used(void)
{
    const uint32_t *word = board_stack_low;

    while (word < board_stack_top && *word == PAINT)
        word++;
    return (size_t)(board_stack_top - word) * sizeof *word;
}

void board_exit(int failed)
{
    /* SYS_EXIT: stopped by the program, or by an error. Without a debugger it is a fault. */
    register uint32_t operation __asm__("r0") = 0x18;
    register uint32_t reason __asm__("r1") = failed ? 0x20023 : 0x20026;

    __asm__ volatile("bkpt 0xAB" : : "r"(operation), "r"(reason) : "memory");
}
