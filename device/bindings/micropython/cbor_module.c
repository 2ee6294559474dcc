// SPDX-License-Identifier: MIT
// `_cbor`: protocol/cbor.py for MicroPython, where an interpreted codec would hold a slow board for
// tens of milliseconds a message. The same values, rules and words; no recursion.
#include <string.h>

#include "link/cbor.h"
#include "py/binary.h"
#include "py/objarray.h"
#include "py/objexcept.h"
#include "py/objint.h"
#include "py/objlist.h"
#include "py/objstr.h"
#include "py/objtuple.h"
#include "py/runtime.h"

enum { KEYS_MAX = 64 }; // of one map that is written

static MP_DEFINE_EXCEPTION(CborError, ValueError);

static _Noreturn void refuse(mp_rom_error_text_t text) {
    mp_raise_msg(&mp_type_CborError, text);
}

// ---- reading

typedef struct source {
    const uint8_t *data;
    size_t at, end;
    mp_int_t items; // that may still come
    bool canonical, floats;
} source_t;

typedef struct reading { // a container that is being filled
    mp_obj_t container, key;
    size_t left;            // items of a list, pairs of a map
    size_t key_at, key_end; // encoding of the last key
    bool is_map, has_key;
} reading_t;

static tac_cbor_head_t next_head(source_t *s) {
    tac_cbor_head_t head;
    const int taken = tac_cbor_get_head(s->data + s->at, s->end - s->at, s->canonical, &head);
    if (taken == TAC_CBOR_ENDS_EARLY) {
        refuse(MP_ERROR_TEXT("the data ends early"));
    }
    if (taken == TAC_CBOR_INDEFINITE) {
        refuse(MP_ERROR_TEXT("an indefinite or reserved length"));
    }
    if (taken == TAC_CBOR_NOT_SHORTEST) {
        refuse(MP_ERROR_TEXT("a number is not in its shortest form"));
    }
    s->at += (size_t)taken;
    return head;
}

static mp_obj_t simple(source_t *s, unsigned code) {
    if (code == 20 || code == 21) {
        return mp_obj_new_bool(code == 21);
    }
    if (code == 22) {
        return mp_const_none;
    }
    if (!s->floats || (code != 26 && code != 27)) {
        refuse(MP_ERROR_TEXT("a simple value or float that is not allowed"));
    }
    const size_t bytes = code == 26 ? 4 : 8;
    if (s->end - s->at < bytes) {
        refuse(MP_ERROR_TEXT("the data ends early"));
    }
    byte *from = (byte *)(uintptr_t)(s->data + s->at);
    s->at += bytes;
    return mp_binary_get_val('>', code == 26 ? 'f' : 'd', from, &from);
}

static mp_obj_t scalar(source_t *s, tac_cbor_head_t head) {
    const uint8_t *from = s->data + s->at;
    switch (head.major) {
    case TAC_CBOR_UINT:
        return mp_obj_new_int_from_ull(head.argument);
    case TAC_CBOR_NEGATIVE:
        return mp_unary_op(MP_UNARY_OP_INVERT, mp_obj_new_int_from_ull(head.argument));
    case TAC_CBOR_SIMPLE:
        return simple(s, (unsigned)head.argument);
    case TAC_CBOR_BYTES:
        s->at += (size_t)head.argument;
        return mp_obj_new_bytes(from, (size_t)head.argument);
    default: // text
        if (!tac_cbor_is_text(from, (size_t)head.argument)) {
            refuse(MP_ERROR_TEXT("text that is not UTF-8"));
        }
        s->at += (size_t)head.argument;
        // Manifests stay: their keys are looked up among the interned strings, so that they take no
        // room. Messages go: for them that search is not worth its 0.5 ms on a slow board.
        return s->canonical ? mp_obj_new_str((const char *)from, (size_t)head.argument)
                            : mp_obj_new_str_copy(&mp_type_str, from, (size_t)head.argument);
    }
}

static void check_length(const source_t *s, tac_cbor_head_t head, size_t depth) {
    if (head.major == TAC_CBOR_TAG) {
        refuse(MP_ERROR_TEXT("a tag"));
    }
    if (head.major < TAC_CBOR_BYTES || head.major == TAC_CBOR_SIMPLE) {
        return;
    }
    const size_t rest = s->end - s->at;
    if (head.argument > rest) {
        refuse(MP_ERROR_TEXT("a length beyond the data"));
    }
    if (head.major < TAC_CBOR_ARRAY) {
        return;
    }
    if (depth == TAC_CBOR_DEPTH_MAX) {
        refuse(MP_ERROR_TEXT("nested too deeply"));
    }
    if (head.major == TAC_CBOR_MAP && 2 * head.argument > rest) {
        refuse(MP_ERROR_TEXT("a length beyond the data"));
    }
}

static void take_key(const source_t *s, reading_t *to, mp_obj_t key, size_t key_at) {
    if (mp_map_lookup(mp_obj_dict_get_map(to->container), key, MP_MAP_LOOKUP) != NULL) {
        refuse(MP_ERROR_TEXT("a key occurs twice"));
    }
    if (s->canonical) {
        const size_t before = to->key_end - to->key_at, now = s->at - key_at;
        const int order =
            memcmp(s->data + to->key_at, s->data + key_at, before < now ? before : now);
        if (order > 0 || (order == 0 && before >= now)) {
            refuse(MP_ERROR_TEXT("keys are not sorted"));
        }
    }
    to->key = key;
    to->key_at = key_at;
    to->key_end = s->at;
    to->has_key = true;
}

// Gives a value to the innermost container, and containers that are full to theirs. Returns the
// outermost when all is read, otherwise MP_OBJ_NULL.
static mp_obj_t hand_over(const source_t *s, reading_t *levels, size_t *depth, mp_obj_t value,
                          size_t at) {
    while (*depth > 0) {
        reading_t *to = &levels[*depth - 1];
        if (to->is_map && !to->has_key) {
            take_key(s, to, value, at);
            return MP_OBJ_NULL;
        }
        if (to->is_map) {
            mp_obj_dict_store(to->container, to->key, value);
            to->has_key = false;
        } else {
            mp_obj_list_append(to->container, value);
        }
        if (--to->left > 0) {
            return MP_OBJ_NULL;
        }
        value = to->container;
        --*depth;
    }
    return value;
}

static bool is_key(const source_t *s) {
    const unsigned major = s->data[s->at] >> 5;
    return major == TAC_CBOR_UINT || major == TAC_CBOR_NEGATIVE || major == TAC_CBOR_TEXT;
}

// Of the table of a map: to grow it pair by pair takes longer than all the rest. What the data
// claims is believed up to a bound.
static size_t room_for(uint64_t pairs) {
    return pairs < KEYS_MAX ? (size_t)(pairs + pairs / 4) : KEYS_MAX;
}

static mp_obj_t read_value(source_t *s) {
    reading_t levels[TAC_CBOR_DEPTH_MAX];
    size_t depth = 0;
    for (;;) {
        if (s->items-- == 0) {
            refuse(MP_ERROR_TEXT("too many items"));
        }
        const reading_t *in = depth > 0 ? &levels[depth - 1] : NULL;
        if (in != NULL && in->is_map && !in->has_key && s->at < s->end && !is_key(s)) {
            refuse(MP_ERROR_TEXT("a key that is neither integer nor text"));
        }
        const size_t at = s->at;
        const tac_cbor_head_t head = next_head(s);
        check_length(s, head, depth);
        mp_obj_t value;
        if (head.major == TAC_CBOR_ARRAY || head.major == TAC_CBOR_MAP) {
            const bool is_map = head.major == TAC_CBOR_MAP;
            value = is_map ? mp_obj_new_dict(room_for(head.argument)) : mp_obj_new_list(0, NULL);
            if (head.argument > 0) {
                levels[depth++] = (reading_t){.container = value,
                                              .key = MP_OBJ_NULL,
                                              .left = (size_t)head.argument,
                                              .key_at = s->at,
                                              .key_end = s->at,
                                              .is_map = is_map};
                continue;
            }
        } else {
            value = scalar(s, head);
        }
        value = hand_over(s, levels, &depth, value, at);
        if (value != MP_OBJ_NULL) {
            return value;
        }
    }
}

static mp_obj_t cbor_decode(size_t n_args, const mp_obj_t *pos_args, mp_map_t *kw_args) {
    enum { DATA, OFFSET, END, CANONICAL, FLOATS, ITEMS };
    static const mp_arg_t allowed[] = {
        {MP_QSTR_data, MP_ARG_REQUIRED | MP_ARG_OBJ, {0}},
        {MP_QSTR_offset, MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_end, MP_ARG_INT, {.u_int = -1}},
        {MP_QSTR_canonical, MP_ARG_BOOL, {.u_bool = false}},
        {MP_QSTR_floats, MP_ARG_BOOL, {.u_bool = true}},
        {MP_QSTR_items, MP_ARG_INT, {.u_int = -1}},
    };
    mp_arg_val_t args[MP_ARRAY_SIZE(allowed)];
    mp_arg_parse_all(n_args, pos_args, kw_args, MP_ARRAY_SIZE(allowed), allowed, args);
    mp_buffer_info_t data;
    mp_get_buffer_raise(args[DATA].u_obj, &data, MP_BUFFER_READ);
    const mp_int_t offset = args[OFFSET].u_int;
    const mp_int_t end = args[END].u_int < 0 ? (mp_int_t)data.len : args[END].u_int;
    if (offset < 0 || end > (mp_int_t)data.len || offset > end) {
        refuse(MP_ERROR_TEXT("the data ends early"));
    }
    source_t s = {.data = data.buf,
                  .at = (size_t)offset,
                  .end = (size_t)end,
                  .items = args[ITEMS].u_int,
                  .canonical = args[CANONICAL].u_bool,
                  .floats = args[FLOATS].u_bool};
    const mp_obj_t value = read_value(&s);
    if (s.at != s.end) {
        refuse(MP_ERROR_TEXT("bytes after the value"));
    }
    return value;
}
static MP_DEFINE_CONST_FUN_OBJ_KW(cbor_decode_obj, 1, cbor_decode);

// ---- writing

typedef struct sink {
    uint8_t *buf;
    size_t at, size;
    bool counts; // only: writes nothing
} sink_t;

typedef struct writing { // a container that is being written
    mp_obj_t container;
    const mp_obj_t *items; // of a list or tuple
    size_t next, count;
    bool is_map;
    uint8_t order[KEYS_MAX]; // of a map: slots of its table, sorted
} writing_t;

typedef struct key {
    uint64_t argument;
    const uint8_t *text; // NULL for an integer
    unsigned major;
} map_key_t;

static void put(sink_t *to, const uint8_t *data, size_t size) {
    if (!to->counts) {
        if (to->size - to->at < size) {
            refuse(MP_ERROR_TEXT("the value does not fit the buffer"));
        }
        memcpy(to->buf + to->at, data, size);
    }
    to->at += size;
}

static void put_head(sink_t *to, unsigned major, uint64_t argument) {
    uint8_t head[TAC_CBOR_HEAD_MAX];
    put(to, head, tac_cbor_put_head(head, major, argument));
}

static uint64_t argument_of(mp_obj_t value, unsigned *major) {
    *major = TAC_CBOR_UINT;
    if (mp_obj_is_small_int(value)) {
        const mp_int_t number = MP_OBJ_SMALL_INT_VALUE(value);
        *major = number < 0 ? TAC_CBOR_NEGATIVE : TAC_CBOR_UINT;
        return (uint64_t)(number < 0 ? -1 - number : number);
    }
    if (mp_obj_int_sign(value) < 0) {
        *major = TAC_CBOR_NEGATIVE;
        value = mp_unary_op(MP_UNARY_OP_INVERT, value);
    }
    // A ninth byte, as the sign bit needs room of its own.
    uint8_t bytes[9];
    if (mp_obj_is_small_int(value)) {
        return (uint64_t)MP_OBJ_SMALL_INT_VALUE(value);
    }
    if (!mp_obj_int_to_bytes_impl(value, true, sizeof bytes, bytes) || bytes[0] != 0) {
        refuse(MP_ERROR_TEXT("an integer beyond 64 bits"));
    }
    uint64_t argument = 0;
    for (size_t i = 1; i < sizeof bytes; i++) {
        argument = argument << 8 | bytes[i];
    }
    return argument;
}

static map_key_t key_of(mp_obj_t key) {
    map_key_t out = {0, NULL, TAC_CBOR_TEXT};
    if (mp_obj_is_str(key)) {
        size_t size;
        out.text = (const uint8_t *)mp_obj_str_get_data(key, &size);
        out.argument = size;
    } else if (mp_obj_is_int(key)) {
        out.argument = argument_of(key, &out.major);
    } else {
        refuse(MP_ERROR_TEXT("a key that is neither integer nor text"));
    }
    return out;
}

// Bytewise order of the encodings: shortest heads order like (major type, argument).
static bool comes_before(const map_key_t *a, const map_key_t *b) {
    if (a->major != b->major) {
        return a->major < b->major;
    }
    if (a->argument != b->argument || a->text == NULL) {
        return a->argument < b->argument;
    }
    return memcmp(a->text, b->text, (size_t)a->argument) < 0;
}

// Insertion sort: maps are small, and many are written in order.
static size_t sort_keys(const mp_map_t *map, uint8_t order[KEYS_MAX]) {
    map_key_t keys[KEYS_MAX];
    size_t count = 0;
    for (size_t slot = 0; slot < map->alloc; slot++) {
        if (!mp_map_slot_is_filled(map, slot)) {
            continue;
        }
        if (count == KEYS_MAX || slot > UINT8_MAX) {
            refuse(MP_ERROR_TEXT("a map of too many keys"));
        }
        const map_key_t key = key_of(map->table[slot].key);
        size_t at = count++;
        for (; at > 0 && comes_before(&key, &keys[at - 1]); at--) {
            keys[at] = keys[at - 1];
            order[at] = order[at - 1];
        }
        keys[at] = key;
        order[at] = (uint8_t)slot;
    }
    return count;
}

static void put_key(sink_t *to, mp_obj_t key_obj) {
    const map_key_t key = key_of(key_obj);
    put_head(to, key.major, key.argument);
    if (key.text != NULL) {
        put(to, key.text, (size_t)key.argument);
    }
}

static void put_scalar(sink_t *to, mp_obj_t value) {
    if (mp_obj_is_int(value)) {
        unsigned major;
        const uint64_t argument = argument_of(value, &major);
        put_head(to, major, argument);
    } else if (mp_obj_is_str(value)) {
        put_key(to, value);
    } else if (value == mp_const_none) {
        put_head(to, TAC_CBOR_SIMPLE, 22);
    } else if (mp_obj_is_bool(value)) {
        put_head(to, TAC_CBOR_SIMPLE, value == mp_const_true ? 21 : 20);
    } else if (mp_obj_is_type(value, &mp_type_bytes) || mp_obj_is_type(value, &mp_type_bytearray) ||
               mp_obj_is_type(value, &mp_type_memoryview)) {
        mp_buffer_info_t buffer;
        mp_get_buffer_raise(value, &buffer, MP_BUFFER_READ);
        put_head(to, TAC_CBOR_BYTES, buffer.len);
        put(to, buffer.buf, buffer.len);
    } else {
        refuse(MP_ERROR_TEXT("a value of a type that has no encoding"));
    }
}

static bool is_container(mp_obj_t value) {
    return mp_obj_is_type(value, &mp_type_dict) || mp_obj_is_type(value, &mp_type_list) ||
           mp_obj_is_type(value, &mp_type_tuple);
}

static void open_container(sink_t *to, writing_t *level, mp_obj_t value) {
    level->container = value;
    level->next = 0;
    level->is_map = mp_obj_is_type(value, &mp_type_dict);
    if (level->is_map) {
        level->count = sort_keys(mp_obj_dict_get_map(value), level->order);
    } else {
        mp_obj_t *items;
        mp_obj_get_array(value, &level->count, &items);
        level->items = items;
    }
    put_head(to, level->is_map ? TAC_CBOR_MAP : TAC_CBOR_ARRAY, level->count);
}

static mp_obj_t next_value(sink_t *to, writing_t *level) {
    if (!level->is_map) {
        return level->items[level->next++];
    }
    const mp_map_t *map = mp_obj_dict_get_map(level->container);
    const mp_map_elem_t *pair = &map->table[level->order[level->next++]];
    put_key(to, pair->key);
    return pair->value;
}

static void write_value(sink_t *to, mp_obj_t value) {
    writing_t levels[TAC_CBOR_DEPTH_MAX];
    size_t depth = 0;
    for (;;) {
        if (!is_container(value)) {
            put_scalar(to, value);
        } else if (depth == TAC_CBOR_DEPTH_MAX) {
            refuse(MP_ERROR_TEXT("nested too deeply"));
        } else {
            open_container(to, &levels[depth++], value);
        }
        while (depth > 0 && levels[depth - 1].next == levels[depth - 1].count) {
            depth--;
        }
        if (depth == 0) {
            return;
        }
        value = next_value(to, &levels[depth - 1]);
    }
}

static mp_obj_t cbor_encode_into(mp_obj_t buffer_arg, mp_obj_t offset_arg, mp_obj_t value) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(buffer_arg, &buffer, MP_BUFFER_WRITE);
    const mp_int_t offset = mp_obj_get_int(offset_arg);
    if (offset < 0 || offset > (mp_int_t)buffer.len) {
        refuse(MP_ERROR_TEXT("the value does not fit the buffer"));
    }
    sink_t to = {buffer.buf, (size_t)offset, buffer.len, false};
    write_value(&to, value);
    return mp_obj_new_int_from_uint(to.at);
}
static MP_DEFINE_CONST_FUN_OBJ_3(cbor_encode_into_obj, cbor_encode_into);

static mp_obj_t cbor_encode(mp_obj_t value) {
    sink_t to = {NULL, 0, 0, true};
    write_value(&to, value);
    vstr_t out;
    vstr_init_len(&out, to.at);
    to = (sink_t){(uint8_t *)out.buf, 0, out.len, false};
    write_value(&to, value);
    return mp_obj_new_bytes_from_vstr(&out);
}
static MP_DEFINE_CONST_FUN_OBJ_1(cbor_encode_obj, cbor_encode);

static const mp_rom_map_elem_t cbor_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__cbor)},
    {MP_ROM_QSTR(MP_QSTR_CborError), MP_ROM_PTR(&mp_type_CborError)},
    {MP_ROM_QSTR(MP_QSTR_decode), MP_ROM_PTR(&cbor_decode_obj)},
    {MP_ROM_QSTR(MP_QSTR_encode), MP_ROM_PTR(&cbor_encode_obj)},
    {MP_ROM_QSTR(MP_QSTR_encode_into), MP_ROM_PTR(&cbor_encode_into_obj)},
};
static MP_DEFINE_CONST_DICT(cbor_globals, cbor_globals_table);

const mp_obj_module_t cbor_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&cbor_globals,
};
MP_REGISTER_MODULE(MP_QSTR__cbor, cbor_module);
