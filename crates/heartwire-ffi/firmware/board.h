/*
 * The board: a clock, sleep, a serial port with a modem on it, and a console.
 *
 * This is for Arm's MPS2+ with its AN386 image (a Cortex-M4), which QEMU has as mps2-an386. For
 * another board, these functions are what to write.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds since the board started; begins again at 0 after 49 days. */
uint32_t board_ticks_ms(void);

/*
 * Sleeps until an interrupt comes, at most for this long, and not at all if a byte waits in the
 * modem's buffer. May return early.
 */
void board_sleep(uint32_t at_most_ms);

/* Takes up to `len` bytes that the modem has received; returns how many. Does not wait. */
size_t modem_read(uint8_t *bytes, size_t len);

/*
 * Hands bytes to the modem; returns how many it took, which may be none: board_sleep returns when
 * it takes more. Does not wait.
 */
size_t modem_write(const uint8_t *bytes, size_t len);

/* Prints a text that ends in a zero byte, or so many bytes. Waits until it is printed. */
void console_text(const char *text);
void console_bytes(const uint8_t *bytes, size_t len);
void console_number(uint64_t number);

/* Cycles of the processor until now, modulo 2^24 and never more often than that apart. */
uint32_t board_cycles(void);

/* The bytes of stack that were ever in use since the last call of board_stack_paint. */
size_t board_stack_used(void);
void board_stack_paint(void);

/* Ends the program, where something runs the board that can do that: QEMU with semihosting. */
void board_exit(int failed);

#endif
