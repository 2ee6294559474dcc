// SPDX-License-Identifier: MIT
// What a board gives to the portable C above it. One implementation per board or host system:
// device/port/posix.c (host, unix), boards/qemu-m4/port.c. Facts come from the generated
// tac_board.h.
#ifndef TAC_PORT_H
#define TAC_PORT_H

#include <stddef.h>
#include <stdint.h>

#define TAC_NO_TEMPERATURE INT32_MIN

// Opens what must be opened before anything else here is called; may be called again, with which
// the clock of a board begins at 0. flash_path
// and link_fd are for host systems (NULL = flash in RAM only, -1 = no link) and ignored by boards.
// 0, TAC_ERR_FLASH or TAC_ERR_STATE (the flash file is in use by another process).
int tac_port_open(const char *flash_path, int link_fd);
uint64_t tac_port_now_us(void); // monotonic, never wraps in practice
// Sleeps until then, or until link bytes arrive or the interpreter wants control; may return early.
void tac_port_wait_until(uint64_t at_us);
int tac_port_interrupted(
    void); // nonzero once when the interpreter wants control (Ctrl-C, a signal)
// link: 0 is the console, 1 the second link of boards that have TAC_BOARD_LINKS == 2.
size_t tac_port_link_read(unsigned link, uint8_t *buf, size_t size); // never blocks
// Blocks at most a bounded time, then drops.
void tac_port_link_write(unsigned link, const uint8_t *buf, size_t size);
const uint8_t *tac_port_flash(void);       // TAC_BOARD_FLASH_BYTES, readable in place
int tac_port_flash_erase(uint32_t offset); // one sector to 0xFF; 0 or TAC_ERR_FLASH
// Programs bytes that are 0xFF. offset and size are multiples of TAC_BOARD_WRITE_BYTES.
int tac_port_flash_program(uint32_t offset, const void *data, size_t size);
enum tac_reset_cause {
    TAC_RESET_UNKNOWN = 0,
    TAC_RESET_POWER_ON = 1,
    TAC_RESET_SOFTWARE = 2,
    TAC_RESET_WATCHDOG = 3,
    TAC_RESET_FAULT = 4, // of the processor, or an exception that nobody caught
};
unsigned tac_port_reset_cause(void);
// Resets by watchdog or fault in a row up to this boot, at most 255. A reset that was asked for, a
// power-on and tac_port_crashes_over() end the row.
unsigned tac_port_crashes(void);
void tac_port_crashes_over(void);
_Noreturn void tac_port_reset(void); // boards: system reset; host systems: exit code 64
_Noreturn void tac_port_fault(void); // the same with TAC_RESET_FAULT; host systems: exit code 65
// Starts the watchdog, or feeds it: without another call within timeout_us of work the board resets
// with TAC_RESET_WATCHDOG (host systems: exit code 66). Time asleep does not count, since sleep
// always ends. 0 stops it. timeout_us up to 100 s.
void tac_port_watchdog(uint32_t timeout_us);
// Total, static (.data+.bss), heap and stack bytes of the running image; 0 where the notion has no
// meaning.
void tac_port_memory(uint32_t *total, uint32_t *statics, uint32_t *heap, uint32_t *stack);
// The most that was ever written since power-on or reset, bytes: of the heap up to the highest
// byte, of the stack down to the lowest; 0 where it is not measured. Cost: what was never written.
void tac_port_memory_peaks(uint32_t *heap, uint32_t *stack);
// A number that differs from boot to boot, over resets and power cycles; any 32 bits.
uint32_t tac_port_boot_seed(void);
// The hottest sensor in 1/1000 degrees Celsius, or TAC_NO_TEMPERATURE.
int32_t tac_port_temperature_mc(void);

#endif
