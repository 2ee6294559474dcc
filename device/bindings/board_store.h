// SPDX-License-Identifier: MIT
// Flash, slots and root keys of a board: what the store functions of board_context.h are made of.
#ifndef TAC_BOARD_STORE_H
#define TAC_BOARD_STORE_H

void tac_board_store_close(void); // until it is open again, all of it is TAC_ERR_STATE
int tac_board_store_open(void);   // the port is open; opens the telemetry ring, too

#endif
