// SPDX-License-Identifier: MIT
// QEMU TCG plugin (API version 1): how often each block of guest code ran, section by section.
//
// -plugin file=count_blocks.so,out=FILE,mark=ADDRESS,mark=ADDRESS...
// Running the code at a mark begins a section. The file holds, for each section, a line
// "section <address of its mark>" and lines "<address> <instructions> <runs> <left by a jump>",
// the address in hex. QEMU charges -icount for whole blocks too, so the sums equal its clock.
// The few declarations of qemu-plugin.h that are needed stand here: Debian ships no such header.
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { NO_REGISTERS = 0 };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t,
                                           void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int,
                                          void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
EXPORT int qemu_plugin_version = 1;

typedef struct block { // never freed: QEMU may keep a translation to the end
    struct block *next;
    uint64_t start, end, instructions, runs, jumps;
    bool is_mark;
} block_t;

enum { MARKS_MAX = 16 };
static uint64_t marks[MARKS_MAX];
static size_t mark_count;
static block_t *blocks, *last;
static FILE *out;

static void write_section(void) {
    for (block_t *block = blocks; block; block = block->next) {
        if (block->runs) {
            fprintf(out, "%" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", block->start,
                    block->instructions, block->runs, block->jumps);
            block->runs = block->jumps = 0;
        }
    }
}

static void executed(unsigned cpu, void *data) {
    (void)cpu;
    block_t *block = data;
    if (last && last->end != block->start) {
        last->jumps++;
    }
    if (block->is_mark) {
        write_section();
        fprintf(out, "section %" PRIx64 "\n", block->start);
    }
    block->runs++;
    last = block;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    const size_t count = qemu_plugin_tb_n_insns(tb);
    block_t *block = calloc(1, sizeof *block);
    if (!block) {
        abort();
    }
    const struct qemu_plugin_insn *final = qemu_plugin_tb_get_insn(tb, count - 1);
    block->start = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    block->end = qemu_plugin_insn_vaddr(final) + qemu_plugin_insn_size(final);
    block->instructions = count;
    for (size_t i = 0; i < mark_count; i++) {
        block->is_mark |= marks[i] == block->start;
    }
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, NO_REGISTERS, block);
}

static void finish(qemu_plugin_id_t id, void *data) {
    (void)id, (void)data;
    write_section();
    fclose(out);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                               char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            out = fopen(argv[i] + 4, "w");
        } else if (strncmp(argv[i], "mark=", 5) == 0 && mark_count < MARKS_MAX) {
            marks[mark_count++] = strtoull(argv[i] + 5, NULL, 0);
        }
    }
    if (!out) {
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
