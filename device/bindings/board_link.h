// SPDX-License-Identifier: MIT
// The ports of a board that carry SMP: the console, and on boards with two links one for COBS
// frames. What tac_board_link_*() of board_context.h are made of; one message at a time.
#ifndef TAC_BOARD_LINK_H
#define TAC_BOARD_LINK_H

#include <stddef.h>
#include <stdint.h>

void tac_board_link_open(void);                // forgets everything; the port is open
uint32_t tac_board_link_ram(void);             // bytes of all buffers
int tac_board_link_send_frame(uint32_t bytes); // to the link of tac_board_link_stream()

#endif
