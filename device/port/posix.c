// SPDX-License-Identifier: MIT
// Host systems: CPython's extension and the MicroPython unix port. Flash is a file mapped shared,
// so that what was programmed is there after SIGKILL; the link is a file descriptor (a PTY); a
// reset is exit code 64 to 66, on which the supervisor starts the process again.
#define _GNU_SOURCE // ppoll()
#include "port/port.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tac_board.h"
#include "tac_error.h"

#ifndef TAC_THERMAL_FOLDER // tests name another
#define TAC_THERMAL_FOLDER "/sys/class/thermal"
#endif

enum {
    EXIT_RESET = 64,
    EXIT_FAULT = 65,
    EXIT_WATCHDOG = 66,
    WRITE_PATIENCE_MS = 20, // longest wait for a reader that does not read; then bytes are dropped
    TIMER_SLACK_NS = 1000,  // the kernel's default of 50 us would be seen as start latency
    HANG_UP_NAP_NS = 20000000,
    THERMAL_ZONES = 16, // of Linux that are looked at
};

static struct {
    uint8_t *flash;
    int flash_fd; // holds the lock
    int link_fd;
    int interrupted;
    int stuck;           // the reader does not read: drop at once until there is room again
    uint64_t started_us; // machine clock when the board was opened first: its power-on
    uint8_t crashes;
} port = {.flash_fd = -1, .link_fd = -1};

// Fills what the file lacks with 0xFF: an erased flash.
static int extend_erased(int fd, off_t from) {
    uint8_t erased[4096];
    memset(erased, 0xff, sizeof erased);
    while (from < TAC_BOARD_FLASH_BYTES) {
        const off_t left = TAC_BOARD_FLASH_BYTES - from;
        const size_t size = left < (off_t)sizeof erased ? (size_t)left : sizeof erased;
        const ssize_t written = pwrite(fd, erased, size, from);
        if (written <= 0) {
            return TAC_ERR_FLASH;
        }
        from += written;
    }
    return TAC_OK;
}

static int open_flash_file(const char *path, int *fd_out) {
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return TAC_ERR_FLASH;
    }
    struct stat facts;
    int rc = flock(fd, LOCK_EX | LOCK_NB) != 0 ? TAC_ERR_STATE : TAC_OK;
    if (rc == TAC_OK) {
        rc = fstat(fd, &facts) != 0 ? TAC_ERR_FLASH : extend_erased(fd, facts.st_size);
    }
    if (rc != TAC_OK) {
        close(fd);
        return rc;
    }
    *fd_out = fd;
    return TAC_OK;
}

static uint64_t machine_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

// One byte that a reset keeps and a power-on does not: a file in memory that the supervisor holds.
static int retained_fd(void) {
    const char *number = getenv("TACTUS_RETAINED_FD");
    return number != NULL ? atoi(number) : -1;
}

static void keep_crashes(void) {
    const ssize_t written = pwrite(retained_fd(), &port.crashes, 1, 0);
    (void)written; // without a supervisor there is no reset either
}

static void count_crashes(void) {
    const unsigned cause = tac_port_reset_cause();
    uint8_t before = 0;
    if (cause == TAC_RESET_WATCHDOG || cause == TAC_RESET_FAULT) {
        const ssize_t got = pread(retained_fd(), &before, 1, 0);
        port.crashes = (uint8_t)(got == 1 && before < UINT8_MAX ? before + 1 : before);
    }
    keep_crashes();
}

int tac_port_open(const char *flash_path, int link_fd) {
    int fd = -1;
    if (port.flash_fd >= 0) {
        flock(port.flash_fd, LOCK_UN); // closing is not enough: the old mapping keeps the file open
        close(port.flash_fd);
        port.flash_fd = -1;
    }
    if (flash_path != NULL) {
        const int rc = open_flash_file(flash_path, &fd);
        if (rc != TAC_OK) {
            return rc;
        }
    }
    const int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    uint8_t *flash = mmap(NULL, TAC_BOARD_FLASH_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (flash == MAP_FAILED) {
        if (fd >= 0) {
            close(fd);
        }
        return TAC_ERR_FLASH;
    }
    if (fd < 0) {
        memset(flash, 0xff, TAC_BOARD_FLASH_BYTES);
    }
    // A mapping of an earlier call stays: Python may still hold memoryviews of it.
    port.flash = flash;
    port.flash_fd = fd;
    port.link_fd = link_fd;
    port.stuck = 0;
    if (port.started_us == 0) {
        port.started_us = machine_us();
        count_crashes();
    }
    if (link_fd >= 0) {
        fcntl(link_fd, F_SETFL, fcntl(link_fd, F_GETFL) | O_NONBLOCK);
    }
    prctl(PR_SET_TIMERSLACK, (unsigned long)TIMER_SLACK_NS);
    return TAC_OK;
}

uint64_t tac_port_now_us(void) {
    return machine_us() - port.started_us;
}

void tac_port_wait_until(uint64_t at_us) {
    const uint64_t now = tac_port_now_us();
    if (now >= at_us) {
        return;
    }
    const uint64_t left = at_us - now;
    const struct timespec span = {(time_t)(left / 1000000u), (long)(left % 1000000u) * 1000};
    struct pollfd link = {.fd = port.link_fd, .events = POLLIN}; // a negative fd is ignored
    int rc = ppoll(&link, 1, &span, NULL);
    if (rc > 0 && (link.revents & POLLIN) == 0) {
        // Nobody holds the other end: poll() would return at once for ever.
        const struct timespec nap = {0, left * 1000u < HANG_UP_NAP_NS ? (long)left * 1000
                                                                      : HANG_UP_NAP_NS};
        rc = nanosleep(&nap, NULL);
    }
    if (rc < 0) { // a signal: the interpreter wants to see it
        port.interrupted = 1;
    }
}

int tac_port_interrupted(void) {
    const int interrupted = port.interrupted;
    port.interrupted = 0;
    return interrupted;
}

size_t tac_port_link_read(unsigned link, uint8_t *buf, size_t size) {
    (void)link; // there is one
    if (port.link_fd < 0) {
        return 0;
    }
    const ssize_t got = read(port.link_fd, buf, size);
    return got > 0 ? (size_t)got : 0;
}

void tac_port_link_write(unsigned link, const uint8_t *buf, size_t size) {
    (void)link;
    if (port.link_fd < 0) {
        return;
    }
    const uint64_t give_up = tac_port_now_us() + (port.stuck ? 0u : WRITE_PATIENCE_MS * 1000u);
    while (size > 0) {
        const ssize_t written = write(port.link_fd, buf, size);
        if (written > 0) {
            buf += written;
            size -= (size_t)written;
            port.stuck = 0;
            continue;
        }
        if (written < 0 && errno != EAGAIN && errno != EINTR) {
            return;
        }
        if (tac_port_now_us() >= give_up) {
            port.stuck = 1;
            return;
        }
        struct pollfd room = {.fd = port.link_fd, .events = POLLOUT};
        poll(&room, 1, WRITE_PATIENCE_MS);
    }
}

const uint8_t *tac_port_flash(void) {
    return port.flash;
}

int tac_port_flash_erase(uint32_t offset) {
    if (port.flash == NULL || offset % TAC_BOARD_SECTOR_BYTES != 0 ||
        offset >= TAC_BOARD_FLASH_BYTES) {
        return TAC_ERR_FLASH;
    }
    memset(port.flash + offset, 0xff, TAC_BOARD_SECTOR_BYTES);
    return TAC_OK;
}

int tac_port_flash_program(uint32_t offset, const void *data, size_t size) {
    if (port.flash == NULL || offset % TAC_BOARD_WRITE_BYTES != 0 ||
        size % TAC_BOARD_WRITE_BYTES != 0 || offset > TAC_BOARD_FLASH_BYTES ||
        size > TAC_BOARD_FLASH_BYTES - offset) {
        return TAC_ERR_FLASH;
    }
    for (size_t i = 0; i < size; i++) {
        if (port.flash[offset + i] != 0xff) {
            return TAC_ERR_FLASH;
        }
    }
    memcpy(port.flash + offset, data, size);
    return TAC_OK;
}

unsigned tac_port_reset_cause(void) {
    // The supervisor knows: it saw how the process before this one ended.
    const char *cause = getenv("TACTUS_RESET_CAUSE");
    return cause != NULL && cause[0] >= '1' && cause[0] <= '4' ? (unsigned)(cause[0] - '0') : 0;
}

unsigned tac_port_crashes(void) {
    return port.crashes;
}

void tac_port_crashes_over(void) {
    port.crashes = 0;
    keep_crashes();
}

_Noreturn void tac_port_reset(void) {
    fflush(NULL);
    _exit(EXIT_RESET);
}

_Noreturn void tac_port_fault(void) {
    fflush(NULL);
    _exit(EXIT_FAULT);
}

static void watchdog_bites(int signal_number) {
    (void)signal_number;
    static const char text[] = "watchdog\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written; // nobody may read it
    _exit(EXIT_WATCHDOG);
}

// The kernel's timer of this process's own processor time: it runs while a kernel spins, and
// neither while the loop sleeps nor while a busy computer runs something else.
void tac_port_watchdog(uint32_t timeout_us) {
    if (timeout_us > 0) {
        const struct sigaction action = {.sa_handler = watchdog_bites};
        sigaction(SIGPROF, &action, NULL);
    }
    const struct itimerval left = {
        .it_value = {(time_t)(timeout_us / 1000000u), (suseconds_t)(timeout_us % 1000000u)}};
    setitimer(ITIMER_PROF, &left, NULL);
}

void tac_port_memory(uint32_t *total, uint32_t *statics, uint32_t *heap, uint32_t *stack) {
    *total = *statics = *heap = *stack = 0;
}

void tac_port_memory_peaks(uint32_t *heap, uint32_t *stack) {
    *heap = *stack = 0;
}

uint32_t tac_port_boot_seed(void) {
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        seed = (uint32_t)machine_us() ^ (uint32_t)getpid(); // right after the computer's own boot
    }
    return seed;
}

int32_t tac_port_temperature_mc(void) {
    int32_t hottest = TAC_NO_TEMPERATURE;
    for (unsigned zone = 0; zone < THERMAL_ZONES; zone++) {
        char path[256], text[16];
        snprintf(path, sizeof path, TAC_THERMAL_FOLDER "/thermal_zone%u/temp", zone);
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            break; // they are numbered in a row
        }
        const ssize_t size = read(fd, text, sizeof text - 1);
        close(fd);
        if (size <= 0) {
            continue; // a sensor that is switched off
        }
        text[size] = '\0';
        const long value = strtol(text, NULL, 10);
        if (value > hottest && value <= INT32_MAX) {
            hottest = (int32_t)value;
        }
    }
    return hottest;
}
