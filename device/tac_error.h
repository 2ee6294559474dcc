// SPDX-License-Identifier: MIT
// Error codes shared by every C part of a board, by the link and by the host.
//
// Every function that can fail returns int: 0 for success (or a count where its header says so),
// a negative code from this list otherwise. The numbers are stable: they travel in SMP replies,
// in the slot journal (as positive reasons) and in `status`. protocol/errors.py holds the same
// table with the sentence a person reads; a test compares the two.
#ifndef TAC_ERROR_H
#define TAC_ERROR_H

enum {
    TAC_OK = 0,
    // General
    TAC_ERR_ARGUMENT = -1,  // an argument is outside its documented range
    TAC_ERR_SPACE = -2,     // does not fit where it should go
    TAC_ERR_STATE = -3,     // not allowed in the present state
    TAC_ERR_FLASH = -4,     // flash refused: misaligned, un-erased cell, or a failure of the device
    TAC_ERR_CORRUPT = -5,   // stored data fails its checksum
    TAC_ERR_NOT_FOUND = -6, // no such slot, task, record or name
    // Plan image (engine/plan.h)
    TAC_ERR_PLAN_MAGIC = -16,   // not a plan image
    TAC_ERR_PLAN_VERSION = -17, // a plan format this engine does not read
    TAC_ERR_PLAN_SIZE = -18,    // header and image sizes disagree, or something is misaligned
    TAC_ERR_PLAN_KERNEL = -19,  // an operator or weight layout this engine was built without
    TAC_ERR_PLAN_BOUNDS = -20,  // an offset or a size leaves the image
    TAC_ERR_PLAN_ARENA = -21,   // an offset or a size leaves the arena, or the arena is too small
    TAC_ERR_PLAN_PARAM = -22,   // a multiplier, shift, clamp or dimension is out of range
    // Package (protocol/manifest.py, tactus/package.py)
    TAC_ERR_PKG_FORMAT = -32,     // not a package, or its manifest breaks the schema
    TAC_ERR_PKG_SIGNATURE = -33,  // the signature does not verify
    TAC_ERR_PKG_KEY = -34,        // signed by a key this board does not trust
    TAC_ERR_PKG_DIGEST = -35,     // a payload does not match its digest
    TAC_ERR_PKG_TARGET = -36,     // made for another class of board
    TAC_ERR_PKG_CAPABILITY = -37, // needs an ISA feature or a kernel set this board lacks
    TAC_ERR_PKG_COUNTER = -38,    // security counter older than the board's
    TAC_ERR_PKG_RAM = -39,        // needs more RAM than the board gives
    TAC_ERR_PKG_SCHEDULE = -40,   // the admission test refuses the task set
    TAC_ERR_PKG_SELFTEST = -41,   // a self-test vector gave another answer
    TAC_ERR_PKG_TRIAL = -42,      // reset during its trial, before it was confirmed
    TAC_ERR_PKG_KEYSET = -43,     // key set without enough good signatures of the board's root keys
    TAC_ERR_PKG_KEYSET_OLD = -44, // key set older than the board's
    TAC_ERR_PKG_REVOKED = -45,    // signed by a key that its key set revokes
    TAC_ERR_PKG_EXPIRED = -46,    // key set past its end
    TAC_ERR_PKG_BASE = -47,       // the package that a patch changes is not here
    // Trial (tactus/trial.py): why a package on trial was given up
    TAC_ERR_TRIAL_MISSES = -64,   // more deadlines missed than its manifest allows
    TAC_ERR_TRIAL_START = -65,    // a job began later than its manifest allows
    TAC_ERR_TRIAL_OVERRUN = -66,  // more jobs over budget than its manifest allows
    TAC_ERR_TRIAL_LINK = -67,     // the link was left without an answer for too long
    TAC_ERR_TRIAL_WATCHDOG = -68, // the watchdog reset the board
    TAC_ERR_TRIAL_FAULT = -69,    // a fault of the processor, or an exception nobody caught
    // Boot (tactus/boot.py): what runs is not what was confirmed last
    TAC_ERR_BOOT_STOPPED = -80, // crashes in a row: the confirmed package is loaded and not started
    TAC_ERR_BOOT_BACK = -81,    // crashes in a row: the package that was confirmed before runs
};

#endif
