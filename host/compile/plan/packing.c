// SPDX-License-Identifier: MIT
// Packs buffers of fixed lifetimes (rectangles of fixed abscissa) under a capacity, or proves that
// none fits: the part of the planner that is too slow in Python. Host only; packing.py calls it.
//
// The plan grows upwards from a skyline, one height a section of time. Where a run of sections is
// lower than both its neighbours, the bytes right above its first (or last) section belong to a
// buffer that begins (ends) right there and fits between the walls, or to nobody: a branch for each
// such buffer, and one that lifts the section if its load leaves room. As in MiniMalloc (Moffitt,
// ASPLOS 2023) no section may exceed capacity = height + what is still to come + room; here lifts
// are the only waste, so that bound holds by construction. The search branches where the choice is
// smallest, jumps back over decisions that have no part in a failure (Prosser 1993), remembers
// failures by the set of placed buffers, refutes steps of the skyline whose height no subset of the
// buffers that begin or end there can fill, and restarts (Luby 1993) with other tie-breaks.
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PACK_FOUND = 1, PACK_NONE = 0, PACK_UNKNOWN = -1, PACK_MEMORY = -2 };
enum { MEMO_BITS = 17, SUBSET_MAX = 12, RUN_NODES = 3000, LIFTS_MAX = 30000, LIFT = -1 };
#define WALL INT64_MAX

typedef struct frame {
    int32_t count, next; // branches, the next to try
    int32_t section;     // the edge section of the valley
    int64_t height, lift;
    uint64_t key;
} frame_t;

typedef struct search {
    int32_t n, sections, words, degree; // words of a conflict set, most branches of a node
    const int32_t *begin, *end;
    const int64_t *size;
    int32_t *starts, *start_at, *ends, *end_at; // buffers by first and last boundary
    uint64_t *alive;                            // [sections][words]
    int64_t *height, *room;                     // of each section
    int64_t *lifted;
    int64_t *below_start, *below_end; // least size below a buffer that begins (ends) at a boundary
    int32_t *left;                    // unplaced buffers of each section
    bool *placed;
    bool lowest; // always fill the lowest valley, long lives first
    bool coarse; // lifts go up to a wall at once: quick where there is room, proves nothing
    uint64_t *now, *failure; // everything decided; why the last node failed
    uint64_t *memo_key, *memo, *key_of;
    frame_t *frames;
    uint64_t *conflicts; // [depth][words]
    int32_t *branches;   // [depth][degree]
    int32_t depth, depth_max;
    int64_t *offsets;
    int64_t nodes;
    uint64_t random;
} search_t;

static uint64_t mix(uint64_t x) { // splitmix64
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint32_t draw(search_t *s) {
    s->random = mix(s->random);
    return (uint32_t)(s->random >> 32);
}

static void set_bit(uint64_t *set, int32_t bit) {
    set[bit / 64] |= 1ull << (bit % 64);
}

static void clear_bit(uint64_t *set, int32_t bit) {
    set[bit / 64] &= ~(1ull << (bit % 64));
}

static bool has_bit(const uint64_t *set, int32_t bit) {
    return set[bit / 64] >> (bit % 64) & 1;
}

// Adds to `set` what fixed the height of a section.
static void blame(const search_t *s, uint64_t *set, int32_t section) {
    if (section < 0 || section >= s->sections) {
        return;
    }
    const uint64_t *alive = s->alive + (size_t)section * (size_t)s->words;
    for (int32_t w = 0; w < s->words; w++) {
        set[w] |= alive[w] & s->now[w];
    }
}

static int64_t top(const search_t *s, int32_t section) {
    return section < 0 || section >= s->sections || !s->left[section] ? WALL : s->height[section];
}

static uint64_t lift_key(int32_t section, int64_t lifted) {
    return lifted ? mix((uint64_t)section << 40 ^ (uint64_t)lifted) : 0;
}

static void place(search_t *s, int32_t i, int64_t at) {
    s->offsets[i] = at;
    s->placed[i] = true;
    set_bit(s->now, i);
    for (int32_t t = s->begin[i]; t < s->end[i]; t++) {
        s->height[t] += s->size[i];
        s->left[t]--;
    }
}

static void unplace(search_t *s, int32_t i) {
    s->placed[i] = false;
    clear_bit(s->now, i);
    for (int32_t t = s->begin[i]; t < s->end[i]; t++) {
        s->height[t] -= s->size[i];
        s->left[t]++;
    }
}

static void lift(search_t *s, int32_t section, int64_t by) {
    s->height[section] += by;
    s->room[section] -= by;
    s->lifted[section] += by;
    if (s->lifted[section]) {
        set_bit(s->now, s->n + section);
    } else {
        clear_bit(s->now, s->n + section);
    }
}

// Whether the step at boundary p can be filled: buffers across p start above both sides, so below
// them the sums of some that begin at p and of some that end there differ by the step.
static bool step_fills(const search_t *s, int32_t p) {
    if (p <= 0 || p >= s->sections || s->height[p - 1] == s->height[p]) {
        return true;
    }
    const uint64_t *before = s->alive + (size_t)(p - 1) * (size_t)s->words;
    const uint64_t *after = before + s->words;
    bool crossing = false;
    for (int32_t w = 0; w < s->words && !crossing; w++) {
        uint64_t both = before[w] & after[w] & ~s->now[w];
        if (w == s->n / 64) {
            both &= (1ull << (s->n % 64)) - 1;
        } else if (w > s->n / 64) {
            both = 0;
        }
        crossing = both != 0;
    }
    if (!crossing) {
        return true;
    }
    int64_t part[SUBSET_MAX], sum = 0;
    int32_t parts = 0;
    for (int32_t k = s->start_at[p]; k < s->start_at[p + 1]; k++) {
        if (!s->placed[s->starts[k]]) {
            if (parts == SUBSET_MAX) {
                return true;
            }
            part[parts++] = s->size[s->starts[k]];
        }
    }
    for (int32_t k = s->end_at[p]; k < s->end_at[p + 1]; k++) {
        if (!s->placed[s->ends[k]]) {
            if (parts == SUBSET_MAX) {
                return true;
            }
            part[parts++] = -s->size[s->ends[k]];
        }
    }
    const int64_t step = s->height[p - 1] - s->height[p];
    const int64_t low = step - s->room[p], high = step + s->room[p - 1];
    for (uint32_t k = 0;; k++) { // Gray code: one part comes or goes
        if (low <= sum && sum <= high) {
            return true;
        }
        uint32_t flip = (uint32_t)__builtin_ctz(k + 1);
        if (flip >= (uint32_t)parts) {
            return false;
        }
        bool in = ((k ^ (k >> 1)) >> flip) & 1;
        sum += in ? -part[flip] : part[flip];
    }
}

typedef struct valley {
    int32_t first, end; // sections
    bool at_end;        // branch at its last section
    int32_t choices;
} valley_t;

// The least by which the edge section of a valley must rise when no buffer starts at its height:
// what crosses a wall lies above it, and what fits between them rests on another buffer, of which
// the smallest that can lie below one at this edge counts.
static int64_t least_lift(const search_t *s, const valley_t *v, int32_t fitting) {
    const int64_t before = top(s, v->first - 1), after = top(s, v->end);
    const int64_t wall = before < after ? before : after, height = s->height[v->first];
    const int64_t below = v->at_end ? s->below_end[v->end] : s->below_start[v->first];
    const int64_t by = wall == WALL ? WALL : wall - height;
    return fitting > 0 && below < by && !s->coarse ? below : by;
}

// How many unplaced buffers stand flush at one edge of a valley; writes them if `out`.
static int32_t flush(const search_t *s, const valley_t *v, int32_t *out) {
    const int32_t *list = v->at_end ? s->ends : s->starts;
    const int32_t *at = v->at_end ? s->end_at + v->end : s->start_at + v->first;
    int32_t count = 0;
    for (int32_t k = at[0]; k < at[1]; k++) {
        int32_t i = list[k];
        if (!s->placed[i] && s->begin[i] >= v->first && s->end[i] <= v->end) {
            if (out) {
                out[count] = i;
            }
            count++;
        }
    }
    return count;
}

// The edge with the least choice, of all valleys or of the lowest one.
static valley_t narrowest(search_t *s) {
    valley_t best = {.choices = INT32_MAX};
    int64_t lowest = WALL;
    int64_t before = WALL;
    for (int32_t first = 0, end; first < s->sections && (s->lowest || best.choices > 0);
         first = end) {
        const int64_t here = top(s, first);
        for (end = first + 1; end < s->sections && top(s, end) == here; end++) {
        }
        if (s->lowest && here < before && here < top(s, end) && here < lowest) {
            lowest = here;
            best.choices = INT32_MAX;
        }
        if (here < before && here < top(s, end) && (!s->lowest || here == lowest)) {
            for (int32_t side = 0; side < 2; side++) {
                valley_t v = {first, end, side == 1, 0};
                v.choices = flush(s, &v, NULL) + (s->room[side ? end - 1 : first] > 0);
                if (v.choices < best.choices || (v.choices == best.choices && draw(s) % 4 == 0)) {
                    best = v;
                }
            }
        }
        before = here;
    }
    return best;
}

// Buffers that reach a wall's height or fill the valley come first: exact fits are rarely chance.
static void sort_branches(search_t *s, const valley_t *v, int32_t *branch, int32_t count) {
    uint32_t score[64];
    if (count > 64) {
        return;
    }
    const int64_t height = s->height[v->first];
    for (int32_t k = 0; k < count; k++) {
        int32_t i = branch[k];
        const int64_t reached = height + s->size[i];
        const bool left = s->begin[i] == v->first, right = s->end[i] == v->end;
        uint32_t fits = (left && v->first > 0 && reached == s->height[v->first - 1] ? 2u : 0u) +
                        (right && v->end < s->sections && reached == s->height[v->end] ? 2u : 0u) +
                        (left && right ? 1u : 0u);
        uint32_t own = fits << 28 | draw(s) >> 4;
        if (s->lowest) { // with some chance
            const uint32_t span = (uint32_t)(s->end[i] - s->begin[i]);
            own = fits << 28 | (span * 64 + span * (draw(s) % 64)) % (1u << 28);
        }
        int32_t at = k;
        for (; at > 0 && score[at - 1] < own; at--) {
            score[at] = score[at - 1];
            branch[at] = branch[at - 1];
        }
        score[at] = own;
        branch[at] = i;
    }
}

static uint64_t *memo_of(search_t *s, uint64_t key) {
    uint64_t slot = key & ((1u << MEMO_BITS) - 1);
    return s->memo_key[slot] == key ? s->memo + slot * (uint64_t)s->words : NULL;
}

static void remember(search_t *s, uint64_t key) {
    uint64_t slot = key & ((1u << MEMO_BITS) - 1);
    s->memo_key[slot] = key;
    memcpy(s->memo + slot * (uint64_t)s->words, s->failure, (size_t)s->words * sizeof(uint64_t));
}

// Opens a node. Returns false, with the reason in s->failure, when it has no branch.
static bool open_node(search_t *s, uint64_t key) {
    const uint64_t *known = memo_of(s, key);
    if (known) {
        memcpy(s->failure, known, (size_t)s->words * sizeof *known);
        return false;
    }
    const valley_t v = narrowest(s);
    frame_t *f = &s->frames[s->depth];
    uint64_t *conflict = s->conflicts + (size_t)s->depth * (size_t)s->words;
    int32_t *branch = s->branches + (size_t)s->depth * (size_t)s->degree;
    f->section = v.at_end ? v.end - 1 : v.first;
    f->height = s->height[f->section];
    f->key = key;
    f->next = 0;
    f->count = flush(s, &v, branch);
    if (f->count > 1) {
        sort_branches(s, &v, branch, f->count);
    }
    memset(conflict, 0, (size_t)s->words * sizeof *conflict);
    blame(s, conflict, v.first - 1);
    blame(s, conflict, f->section);
    blame(s, conflict, v.end);
    if (s->room[f->section] > 0) {
        f->lift = least_lift(s, &v, f->count);
        if (f->lift <= s->room[f->section]) {
            branch[f->count++] = LIFT;
        }
        for (int32_t t = v.first; t < v.end; t++) { // what else could lie below
            blame(s, conflict, t);
        }
    }
    if (f->count == 0) {
        memcpy(s->failure, conflict, (size_t)s->words * sizeof *conflict);
        remember(s, key);
        return false;
    }
    s->depth++;
    return true;
}

static int32_t decision(const search_t *s, const frame_t *f) {
    size_t depth = (size_t)(f - s->frames);
    return s->branches[depth * (size_t)s->degree + (size_t)f->next - 1];
}

static void undo(search_t *s, const frame_t *f) {
    int32_t i = decision(s, f);
    if (i == LIFT) {
        lift(s, f->section, -f->lift);
    } else {
        unplace(s, i);
    }
}

// Takes the next branch of the top node. Returns false when the skyline refutes it.
static bool advance(search_t *s, uint64_t *key) {
    frame_t *f = &s->frames[s->depth - 1];
    f->next++;
    int32_t i = decision(s, f), first = f->section, end = f->section + 1;
    if (i == LIFT) {
        *key = f->key ^ lift_key(first, s->lifted[first]);
        lift(s, first, f->lift);
        *key ^= lift_key(first, s->lifted[first]);
    } else {
        first = s->begin[i], end = s->end[i];
        place(s, i, f->height);
        *key = f->key ^ s->key_of[i];
    }
    const int32_t edge[2] = {first, end};
    for (int32_t k = 0; k < 2; k++) {
        if (!step_fills(s, edge[k])) {
            memset(s->failure, 0, (size_t)s->words * sizeof *s->failure);
            blame(s, s->failure, edge[k] - 1);
            blame(s, s->failure, edge[k]);
            return false;
        }
    }
    return true;
}

// After a failure: back to the last decision that had a part in it. False when there is none.
static bool jump_back(search_t *s) {
    while (s->depth > 0) {
        frame_t *f = &s->frames[s->depth - 1];
        uint64_t *conflict = s->conflicts + (size_t)(s->depth - 1) * (size_t)s->words;
        int32_t i = decision(s, f), bit = i == LIFT ? s->n + f->section : i;
        undo(s, f);
        if (has_bit(s->failure, bit)) {
            const bool before = has_bit(s->now, bit); // an earlier lift of the same section
            for (int32_t w = 0; w < s->words; w++) {
                conflict[w] |= s->failure[w];
            }
            if (!before) {
                clear_bit(conflict, bit);
            }
            if (f->next < f->count) {
                return true;
            }
            memcpy(s->failure, conflict, (size_t)s->words * sizeof *conflict);
        }
        remember(s, f->key);
        s->depth--;
    }
    return false;
}

// One run of at most `limit` nodes from the empty plan.
static int run(search_t *s, int64_t limit) {
    uint64_t key = s->coarse ? 2 : 1; // what is remembered of one kind of run is not for the other
    for (int64_t node = 0; node < limit; node++) {
        s->nodes++;
        if (s->depth == s->depth_max) {
            return PACK_UNKNOWN;
        }
        bool done = true;
        for (int32_t t = 0; t < s->sections && done; t++) {
            done = s->left[t] == 0;
        }
        if (done) {
            return PACK_FOUND;
        }
        bool open = open_node(s, key);
        while (!open || !advance(s, &key)) {
            if (!jump_back(s)) {
                return PACK_NONE;
            }
            open = true;
        }
    }
    return PACK_UNKNOWN;
}

static int64_t luby(uint64_t i) { // 1 1 2 1 1 2 4 ...; i >= 1
    for (;;) {
        int bits = 64 - __builtin_clzll(i);
        if (i == (1ull << bits) - 1) {
            return 1ll << (bits - 1);
        }
        i -= (1ull << (bits - 1)) - 1;
    }
}

static void group(int32_t *list, int32_t *at, const int32_t *of, int32_t n, int32_t boundaries) {
    memset(at, 0, (size_t)(boundaries + 2) * sizeof *at);
    for (int32_t i = 0; i < n; i++) {
        at[of[i] + 1]++;
    }
    for (int32_t p = 0; p <= boundaries; p++) {
        at[p + 1] += at[p];
    }
    for (int32_t i = 0; i < n; i++) {
        list[at[of[i]]++] = i;
    }
    for (int32_t p = boundaries + 1; p > 0; p--) {
        at[p] = at[p - 1];
    }
    at[0] = 0;
}

static int32_t most_at_a_boundary(int32_t n, int32_t sections, const int32_t *begin,
                                  const int32_t *end) {
    int32_t most = 0;
    for (int32_t p = 0; p <= sections; p++) {
        int32_t starts = 0, ends = 0;
        for (int32_t i = 0; i < n; i++) {
            starts += begin[i] == p;
            ends += end[i] == p;
        }
        most = starts > most ? starts : most;
        most = ends > most ? ends : most;
    }
    return most;
}

static void find_least_below(search_t *s) {
    for (int32_t p = 0; p <= s->sections; p++) {
        s->below_start[p] = s->below_end[p] = WALL;
    }
    for (int32_t i = 0; i < s->n; i++) {
        int64_t least = WALL;
        for (int32_t j = 0; j < s->n; j++) {
            if (j != i && s->begin[j] < s->end[i] && s->begin[i] < s->end[j] &&
                s->size[j] < least) {
                least = s->size[j];
            }
        }
        int64_t *start = &s->below_start[s->begin[i]], *end = &s->below_end[s->end[i]];
        *start = least < *start ? least : *start;
        *end = least < *end ? least : *end;
    }
}

static bool allocate(search_t *s, void **blocks, int32_t *block_count) {
    const size_t n = (size_t)s->n, sections = (size_t)s->sections, words = (size_t)s->words;
    const size_t depth = (size_t)s->depth_max + 1, memo = 1u << MEMO_BITS;
    const struct {
        void *target;
        size_t count, size;
    } wanted[] = {
        {&s->starts, n, 4},
        {&s->start_at, sections + 2, 4},
        {&s->ends, n, 4},
        {&s->end_at, sections + 2, 4},
        {&s->alive, sections * words, 8},
        {&s->height, sections, 8},
        {&s->room, sections, 8},
        {&s->lifted, sections, 8},
        {&s->below_start, sections + 1, 8},
        {&s->below_end, sections + 1, 8},
        {&s->left, sections, 4},
        {&s->placed, n, 1},
        {&s->now, words, 8},
        {&s->failure, words, 8},
        {&s->memo_key, memo, 8},
        {&s->memo, memo * words, 8},
        {&s->key_of, n, 8},
        {&s->frames, depth, sizeof(frame_t)},
        {&s->conflicts, depth * words, 8},
        {&s->branches, depth * (size_t)s->degree, 4},
    };
    for (size_t k = 0; k < sizeof wanted / sizeof wanted[0]; k++) {
        void *block = calloc(wanted[k].count, wanted[k].size);
        if (!block) {
            return false;
        }
        memcpy(wanted[k].target, &block, sizeof block);
        blocks[(*block_count)++] = block;
    }
    return true;
}

// n buffers alive in sections begin..end-1 of 0..sections-1; sizes and capacity >= 1 in one unit.
// Effort: at most `nodes` nodes. offsets receives a plan when one is found. Returns PACK_FOUND,
// PACK_NONE (proved), PACK_UNKNOWN or PACK_MEMORY.
int pack_search(int32_t n, int32_t sections, const int32_t *begin, const int32_t *end,
                const int64_t *size, int64_t capacity, int64_t nodes, int64_t *offsets) {
    search_t s = {.n = n,
                  .sections = sections,
                  .words = (n + sections + 63) / 64,
                  .degree = most_at_a_boundary(n, sections, begin, end) + 1,
                  .begin = begin,
                  .end = end,
                  .size = size,
                  .depth_max = n + LIFTS_MAX,
                  .offsets = offsets,
                  .random = 1};
    void *blocks[32];
    int32_t block_count = 0;
    int result = allocate(&s, blocks, &block_count) ? PACK_UNKNOWN : PACK_MEMORY;
    if (result == PACK_UNKNOWN) {
        group(s.starts, s.start_at, begin, n, sections);
        group(s.ends, s.end_at, end, n, sections);
        find_least_below(&s);
        for (int32_t i = 0; i < n; i++) {
            s.key_of[i] = mix((uint64_t)i + 1);
            for (int32_t t = begin[i]; t < end[i]; t++) {
                set_bit(s.alive + (size_t)t * (size_t)s.words, i);
            }
        }
        for (int32_t t = 0; t < sections; t++) {
            set_bit(s.alive + (size_t)t * (size_t)s.words, n + t); // its own lifts
            s.room[t] = capacity;
        }
        for (int32_t i = 0; i < n; i++) {
            for (int32_t t = begin[i]; t < end[i]; t++) {
                s.room[t] -= size[i];
                s.left[t]++;
            }
        }
        for (int32_t t = 0; t < sections; t++) {
            result = s.room[t] < 0 ? PACK_NONE : result;
        }
    }
    bool roomy = false;
    for (int32_t t = 0; t < sections && result == PACK_UNKNOWN; t++) {
        roomy = roomy || s.room[t] > 0;
    }
    for (uint64_t turn = 1; result == PACK_UNKNOWN && s.nodes < nodes; turn++) {
        int64_t limit = RUN_NODES * luby(roomy ? (turn + 1) / 2 : turn);
        s.coarse = roomy && turn % 2 == 1;
        s.lowest = roomy && turn % 4 == 1;
        result = run(&s, limit < nodes - s.nodes ? limit : nodes - s.nodes);
        if (s.coarse && result == PACK_NONE) {
            result = PACK_UNKNOWN;
        }
        while (s.depth > 0 && result == PACK_UNKNOWN) { // back to the empty plan
            frame_t *f = &s.frames[--s.depth];
            if (f->next > 0) {
                undo(&s, f);
            }
        }
    }
    for (int32_t k = 0; k < block_count; k++) {
        free(blocks[k]);
    }
    return result;
}
