/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/codec/block.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/codec/bits.h"
#include "lib/codec/block_runs.h"

/*
 * Layout of a block:
 *
 *   runs of columns, until all columns of the block are covered (below)
 *   n_stored     varint: bytes of the compressed symbols; 0 when there are none
 *   symbols      one byte for each number of the columns that are not constant, column after
 *                column: a zstd frame less its first four bytes, which are always the same, or as
 *                they are when n_stored is their number
 *   bits         what each symbol says that follows, number after number, up to the end
 *
 * A run is the columns one after the other that are coded alike:
 *
 *   n_columns    varint, from 1
 *   form         bits 0-1  0 by magnitude, 1 even cut, 2 list (symbols.h), 3 constant
 *                bit 2     doubles of which all survive being floats: coded as floats
 *                bits 3-5  order of differences, or slowness of the mean (predict.h); 0: neither
 *                bit 6     bits 3-5 are a slowness
 *                bit 7     low_bits follows
 *   constant:    the number, 4 bytes for floats and doubles kept as such, else 8
 *   low_bits     byte, when the form says so: that many low bits of the numbers are taken off
 *                before anything else; symbols with bit 7 set are followed by them, after their
 *                own bits, others have zeros there
 *   even cut:    base (varint), n_bits (byte)
 *   list:        how many less one (byte), the first and the differences to the next (varints)
 *
 * The first number of a column is predicted by the first number of the column before, within a
 * run (0 at its start), so that rows of many columns and few rows are worth coding, too.
 *
 * A varint has seven bits a byte, low bits first, with the top bit set on all bytes but the last.
 */

void block_need(struct block_scratch *scratch, size_t n)
{
    if (scratch->class_tables[0].n_bits[SYMBOLS_HAS_LOW] != SYMBOLS_BAD) {
        symbols_class_table(false, &scratch->class_tables[0]);
        symbols_class_table(true, &scratch->class_tables[1]);
    }
    if (n <= scratch->room) {
        return;
    }
    n += n / 4;
    scratch->numbers = baro_xrealloc(scratch->numbers, n, sizeof *scratch->numbers);
    scratch->high = baro_xrealloc(scratch->high, n, sizeof *scratch->high);
    scratch->residuals = baro_xrealloc(scratch->residuals, n, sizeof *scratch->residuals);
    scratch->symbols = baro_xrealloc(scratch->symbols, n, 1);
    scratch->bits = baro_xrealloc(scratch->bits, n + 2, 8);
    scratch->room = n;
}

uint8_t *block_need_out(struct block_scratch *scratch, size_t n)
{
    if (scratch->n_out + n > scratch->out_room) {
        scratch->out_room = (scratch->n_out + n) * 2;
        scratch->out = baro_xrealloc(scratch->out, scratch->out_room, 1);
    }
    return scratch->out + scratch->n_out;
}

void block_finish(struct block_scratch *scratch)
{
    (void)ZSTD_freeCCtx(scratch->compress);
    (void)ZSTD_freeDCtx(scratch->decompress);
    free(scratch->numbers);
    free(scratch->high);
    free(scratch->residuals);
    free(scratch->symbols);
    free(scratch->bits);
    free(scratch->out);
    *scratch = (struct block_scratch){0};
}

uint8_t *block_put_varint(uint8_t *to, uint64_t number)
{
    for (; number >= 0x80; number >>= 7) {
        *to++ = (uint8_t)(number | 0x80);
    }
    *to++ = (uint8_t)number;
    return to;
}

bool block_take_varint(struct block_cursor *cursor, uint64_t *out_number)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64 && cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out_number = number;
            return true;
        }
    }
    return false;
}

static bool take_byte(struct block_cursor *cursor, uint8_t *out)
{
    if (cursor->at >= cursor->end) {
        return false;
    }
    *out = *cursor->at++;
    return true;
}

uint8_t *block_put_run(uint8_t *to, const struct block_run *run, bool is_f64)
{
    to = block_put_varint(to, run->n_columns);
    unsigned form = run->is_constant ? RUN_CONSTANT : (unsigned)run->coding;
    form |= run->is_narrow && is_f64 ? RUN_NARROW : 0;
    if (run->is_constant) {
        *to++ = (uint8_t)form;
        size_t n = run->is_narrow ? 4 : 8;
        memcpy(to, &run->constant, n);
        return to + n;
    }
    form |= (unsigned)(run->predict.order + run->predict.slow) << RUN_ORDER_SHIFT;
    form |= run->predict.slow > 0 ? RUN_HAS_SLOW : 0;
    form |= run->low_bits > 0 ? RUN_HAS_LOW : 0;
    *to++ = (uint8_t)form;
    if (run->low_bits > 0) {
        *to++ = run->low_bits;
    }
    if (run->coding == SYMBOLS_SPLIT) {
        to = block_put_varint(to, run->split.base);
        *to++ = run->split.n_bits;
    }
    return to;
}

static bool take_constant(struct block_cursor *cursor, struct block_run *run)
{
    size_t n = run->is_narrow ? 4 : 8;
    if ((size_t)(cursor->end - cursor->at) < n) {
        return false;
    }
    memcpy(&run->constant, cursor->at, n);
    cursor->at += n;
    return true;
}

static bool take_dict(struct block_cursor *cursor, struct block_run *run)
{
    uint8_t n = 0;
    bool is_good = take_byte(cursor, &n);
    run->n_dict = n + 1U;
    run->dict = cursor->at;
    for (uint32_t i = 0; is_good && i < run->n_dict; i++) {
        uint64_t ignored;
        is_good = block_take_varint(cursor, &ignored);
    }
    return is_good;
}

/* Read what the form of a run that is not constant says. */
static bool take_coding(struct block_cursor *cursor, uint8_t form, struct block_run *run)
{
    uint8_t order = (form >> RUN_ORDER_SHIFT) & 7;
    run->coding = (enum symbols_coding)(form & RUN_KIND_MASK);
    if ((form & RUN_HAS_SLOW) != 0) {
        run->predict.slow = order;
        if (order == 0 || order > PREDICT_MAX_SLOW || !run->is_narrow) {
            return false;
        }
    } else {
        run->predict.order = order;
        if (order > PREDICT_MAX_ORDER) {
            return false;
        }
    }
    if ((form & RUN_HAS_LOW) == 0) {
        return true;
    }
    return take_byte(cursor, &run->low_bits) && run->low_bits > 0 &&
           run->low_bits <= (run->is_narrow ? 31 : RUN_MAX_LOW);
}

bool block_take_run(struct block_cursor *cursor, int type, struct block_run *out_run)
{
    uint64_t n_columns = 0;
    uint8_t form = 0;
    if (!block_take_varint(cursor, &n_columns) || n_columns == 0 ||
        n_columns > UINT32_MAX || !take_byte(cursor, &form)) {
        return false;
    }
    struct block_run run = {
        .n_columns = (uint32_t)n_columns,
        .is_constant = (form & RUN_KIND_MASK) == RUN_CONSTANT,
        .is_narrow = type == BLOCK_F32 || (form & RUN_NARROW) != 0,
    };
    bool is_good = type == BLOCK_F64 || (form & RUN_NARROW) == 0;
    if (run.is_constant) {
        is_good = is_good && (form & ~(RUN_KIND_MASK | RUN_NARROW)) == 0 &&
                  take_constant(cursor, &run);
    } else {
        is_good = is_good && take_coding(cursor, form, &run);
        if (is_good && run.coding == SYMBOLS_SPLIT) {
            is_good = block_take_varint(cursor, &run.split.base) &&
                      take_byte(cursor, &run.split.n_bits);
        } else if (is_good && run.coding == SYMBOLS_DICT) {
            is_good = take_dict(cursor, &run);
        }
    }
    *out_run = run;
    return is_good;
}
