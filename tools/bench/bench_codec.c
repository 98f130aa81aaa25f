/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/reading.h"
#include "lib/codec/block.h"
#include "lib/codec/round.h"
#include "tools/bench/corpus.h"
#include "tools/bench/rivals.h"
#include "tools/cli.h"

/*
 * The codec of the store beside others, on recorded series: values only, no steps, no times, no
 * chunk around them. All get the same blocks: a column of a single number, or as many columns of
 * a tensor's units as make about 8,192 numbers. Doubles that survive being floats are floats for
 * all codecs alike. Every block is decoded and compared. Bytes stand beside those of the smallest
 * codec of all, so 1 is best; speeds beside a plain copy of the same words.
 */

enum {
    MAX_PIECES = 4096,
    BLOCK_NUMBERS = 8192,
    MAX_ROWS = 8192,
    SUMMARY_ROWS = 1024,
    N_ALL = 7
};

static const char best_name[] = "the smallest of all codecs";
static const char copy_name[] = "memcpy of the same words";

/* Some columns, coded at once. */
struct piece {
    struct rival_words words;
    enum block_type type; /* as the store sees them */
    uint8_t *bytes;       /* words, column after column */
    uint8_t *stored;      /* the same as doubles, where the store has doubles */
};

/* Which recorded numbers make up a kind. */
struct kind {
    const char *name;
    const char *prefixes[4]; /* of the series' names */
    int column;              /* -1: all, one after the other */
    size_t n_rows;           /* of a block, at most */
    bool is_units;
    bool is_rounded;
    bool is_stamps;
    size_t every; /* only one block of rows in so many; 0: all */
};

static const struct kind kinds[] = {
    {"losses", {"loss."}, -1, MAX_ROWS, false, false},
    {"gradient norms", {"gradnorm."}, -1, MAX_ROWS, false, false},
    {"weight norms", {"weights."}, SUMMARY_L2, MAX_ROWS, false, false},
    {"learning rates", {"lr."}, -1, MAX_ROWS, false, false},
    {"summaries", {"weights.", "gradients.", "activations."}, -1, SUMMARY_ROWS, false,
        false},
    {"units of weights", {"weights."}, -1, 250, true, false},
    {"units of gradients", {"gradients."}, -1, 250, true, false},
    {"units of activations", {"activations."}, -1, 250, true, false},
    {"units, 12 bits", {"weights.", "gradients.", "activations."}, -1, 250, true, true},
    {"units, 12 bits, 10 rows", {"weights.", "gradients.", "activations."}, -1, 10, true,
        true, .every = 25},
    {"steps", {NULL}, -1, MAX_ROWS, .is_stamps = true},
    {"times", {NULL}, -1, MAX_ROWS, .is_stamps = true},
    {"times, rounded", {NULL}, -1, MAX_ROWS, .is_stamps = true, .is_rounded = true},
};

/* What a codec came to. */
struct figure {
    double bytes;
    double encode_s;
    double decode_s;
};

struct measuring {
    struct piece pieces[MAX_PIECES];
    size_t n_pieces;
    double n_points;
    double n_bytes; /* of all words */
    struct block_scratch scratch;
    struct rival_scratch *rivals;
    uint8_t *encoded;
    uint8_t *decoded;
};

/* ---- choosing ---- */

static bool survives(const uint8_t *doubles, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double value;
        memcpy(&value, doubles + 8 * i, 8);
        double back = (double)(float)value;
        uint64_t bits = 0; /* compared as bits: of zeros and NaNs, too */
        memcpy(&bits, &back, 8);
        if (memcmp(&bits, doubles + 8 * i, 8) != 0) {
            return false;
        }
    }
    return true;
}

/* Give a piece whose words are filled in; n columns of n_rows words of a size. */
static struct piece *add_piece(
    struct measuring *measuring, enum block_type type, size_t n_columns, size_t n_rows)
{
    if (measuring->n_pieces == MAX_PIECES) {
        return NULL;
    }
    struct piece *piece = &measuring->pieces[measuring->n_pieces++];
    size_t size = type == BLOCK_F32 ? 4 : 8;
    *piece = (struct piece){.words = {size, n_columns * n_rows, n_rows}, .type = type};
    piece->bytes = baro_xcalloc(n_columns * n_rows, size);
    return piece;
}

static void finish_piece(struct measuring *measuring, struct piece *piece)
{
    if (piece->type == BLOCK_F64) {
        piece->stored = piece->bytes;
        if (survives(piece->bytes, piece->words.n)) {
            piece->words.size = 4;
            piece->bytes = baro_xcalloc(piece->words.n, 4);
            for (size_t i = 0; i < piece->words.n; i++) {
                double wide;
                memcpy(&wide, piece->stored + 8 * i, 8);
                float value = (float)wide;
                memcpy(piece->bytes + 4 * i, &value, 4);
            }
        }
    }
    measuring->n_points += (double)piece->words.n;
    measuring->n_bytes += (double)(piece->words.n * piece->words.size);
}

static void add_units(struct measuring *measuring, const struct kind *kind,
    const struct corpus_series *series, size_t from)
{
    size_t n_rows = kind->n_rows;
    size_t per_block = BLOCK_NUMBERS / n_rows;
    for (size_t first = 0; first < series->n_columns; first += per_block) {
        size_t n =
            series->n_columns - first < per_block ? series->n_columns - first : per_block;
        struct piece *piece = add_piece(measuring, BLOCK_F32, n, n_rows);
        if (piece == NULL) {
            return;
        }
        float *to = (float *)(void *)piece->bytes;
        for (size_t c = 0; c < n; c++) {
            for (size_t row = 0; row < n_rows; row++) {
                to[c * n_rows + row] =
                    series->f32[(from + row) * series->n_columns + first + c];
            }
            if (kind->is_rounded) {
                round_floats(to + c * n_rows, n_rows, to + c * n_rows);
            }
        }
        finish_piece(measuring, piece);
    }
}

static void add_doubles(struct measuring *measuring, const struct corpus_series *series,
    size_t column, size_t from, size_t n_rows)
{
    struct piece *piece = add_piece(measuring, BLOCK_F64, 1, n_rows);
    if (piece == NULL) {
        return;
    }
    for (size_t row = 0; row < n_rows; row++) {
        memcpy(piece->bytes + 8 * row,
            &series->f64[(from + row) * series->n_columns + column], 8);
    }
    finish_piece(measuring, piece);
}

static void add_stamps(struct measuring *measuring, const struct kind *kind,
    const int64_t *stamps, size_t n_rows)
{
    struct piece *piece = add_piece(measuring, BLOCK_I64, 1, n_rows);
    if (piece == NULL) {
        return;
    }
    memcpy(piece->bytes, stamps, n_rows * 8);
    if (kind->is_rounded) {
        round_times(stamps, n_rows, (int64_t *)(void *)piece->bytes);
    }
    finish_piece(measuring, piece);
}

static bool is_of_kind(const struct kind *kind, const struct corpus_series *series)
{
    if (kind->is_stamps) {
        return true;
    }
    for (size_t i = 0; i < BARO_LEN(kind->prefixes) && kind->prefixes[i] != NULL; i++) {
        size_t n = strlen(kind->prefixes[i]);
        if (strncmp(series->name, kind->prefixes[i], n) == 0) {
            return kind->is_units == (series->f32 != NULL);
        }
    }
    return false;
}

static void add_series(struct measuring *measuring, const struct kind *kind,
    const struct corpus_series *series)
{
    size_t step = kind->n_rows * (kind->every > 0 ? kind->every : 1);
    for (size_t from = 0; from < series->n_rows; from += step) {
        size_t n =
            series->n_rows - from < kind->n_rows ? series->n_rows - from : kind->n_rows;
        if (kind->is_stamps) {
            bool is_steps = strcmp(kind->name, "steps") == 0;
            add_stamps(
                measuring, kind, (is_steps ? series->steps : series->times_ns) + from, n);
        } else if (kind->is_units) {
            if (n == kind->n_rows) {
                add_units(measuring, kind, series, from);
            }
        } else {
            for (size_t c = 0; c < series->n_columns; c++) {
                if (kind->column < 0 || (size_t)kind->column == c) {
                    add_doubles(measuring, series, c, from, n);
                }
            }
        }
    }
}

static void choose(
    struct measuring *measuring, const struct kind *kind, const struct corpus *corpus)
{
    const int64_t *seen[3] = {NULL}; /* stamps of the run: of scalars, summaries, units */
    for (size_t i = 0; i < corpus->n_series; i++) {
        const struct corpus_series *series = &corpus->series[i];
        if (!is_of_kind(kind, series)) {
            continue;
        }
        if (kind->is_stamps) {
            size_t sort = series->f32 != NULL ? 2 : series->n_columns > 1;
            if (seen[sort] == series->steps) {
                continue; /* many series have the same ones */
            }
            seen[sort] = series->steps;
        }
        add_series(measuring, kind, series);
    }
}

static void forget(struct measuring *measuring)
{
    for (size_t i = 0; i < measuring->n_pieces; i++) {
        if (measuring->pieces[i].stored != measuring->pieces[i].bytes) {
            free(measuring->pieces[i].stored);
        }
        free(measuring->pieces[i].bytes);
    }
    measuring->n_pieces = 0;
    measuring->n_points = 0;
    measuring->n_bytes = 0;
}

/* ---- measuring ---- */

/* Time that this thread has computed: neighbours on the machine do not count. */
static uint64_t computed_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static double seconds_since(uint64_t began_ns)
{
    return (double)(computed_ns() - began_ns) * 1e-9;
}

/* The store's own codec; returns -1 when a block does not come back. */
static int run_own(struct measuring *measuring, struct piece *piece, struct figure *figure)
{
    size_t n_columns = piece->words.n / piece->words.n_rows;
    size_t size = piece->type == BLOCK_F32 ? 4 : 8;
    const uint8_t *from = piece->stored != NULL ? piece->stored : piece->bytes;
    struct block_columns columns = {
        .type = piece->type,
        .n_rows = (uint32_t)piece->words.n_rows,
        .n_columns = (uint32_t)n_columns,
        .base = from,
        .stride = piece->words.n_rows * size,
    };
    measuring->scratch.n_out = 0;
    uint64_t began = computed_ns();
    if (block_encode(&measuring->scratch, &columns, NULL) != 0) {
        return -1;
    }
    figure->encode_s += seconds_since(began);
    size_t n = measuring->scratch.n_out;
    figure->bytes += (double)n;
    (void)block_need_out(&measuring->scratch, 8);
    began = computed_ns();
    int rc = block_decode(&measuring->scratch, &columns, measuring->scratch.out, n, 0,
        columns.n_columns, measuring->decoded, columns.stride, NULL);
    figure->decode_s += seconds_since(began);
    return rc == 0 && memcmp(from, measuring->decoded, piece->words.n * size) == 0 ? 0 : -1;
}

static int run_rival(struct measuring *measuring, const struct rival *rival,
    struct piece *piece, struct figure *figure)
{
    uint64_t began = computed_ns();
    size_t n = rival->encode(measuring->rivals, &piece->words, piece->bytes,
        measuring->encoded, rival_room(&piece->words));
    figure->encode_s += seconds_since(began);
    figure->bytes += (double)n;
    began = computed_ns();
    int rc = rival->decode(
        measuring->rivals, &piece->words, measuring->encoded, n, measuring->decoded);
    figure->decode_s += seconds_since(began);
    size_t n_bytes = piece->words.n * piece->words.size;
    return rc == 0 && memcmp(piece->bytes, measuring->decoded, n_bytes) == 0 ? 0 : -1;
}

static double copy_s(struct measuring *measuring, const struct piece *piece)
{
    uint64_t began = computed_ns();
    memcpy(measuring->decoded, piece->bytes, piece->words.n * piece->words.size);
    __asm__ volatile("" : : "r"(measuring->decoded) : "memory");
    return seconds_since(began);
}

static int measure(struct measuring *measuring, struct figure *figures, double *out_copy_s)
{
    *out_copy_s = 0;
    for (size_t i = 0; i < measuring->n_pieces; i++) {
        struct piece *piece = &measuring->pieces[i];
        if (run_own(measuring, piece, &figures[0]) != 0) {
            return -1;
        }
        for (size_t k = 0; k < RIVALS_COUNT; k++) {
            if (run_rival(measuring, &rivals[k], piece, &figures[k + 1]) != 0) {
                return -1;
            }
        }
        *out_copy_s += copy_s(measuring, piece);
    }
    return 0;
}

static void report(struct bench *bench, const struct measuring *measuring,
    const struct kind *kind, const struct figure *figures, double copied_s)
{
    double best = figures[0].bytes;
    for (size_t k = 1; k < N_ALL; k++) {
        best = figures[k].bytes < best ? figures[k].bytes : best;
    }
    char name[96];
    for (size_t k = 0; k < N_ALL; k++) {
        (void)snprintf(name, sizeof name, "%s: %s", kind->name,
            k == 0 ? "Barograph" : rivals[k - 1].name);
        bench_report(bench, "codec", name, figures[k].bytes / measuring->n_points,
            "bytes/point", best / measuring->n_points, best_name);
    }
    for (size_t k = 0; k < N_ALL; k++) {
        const char *codec = k == 0 ? "Barograph" : rivals[k - 1].name;
        double copied = measuring->n_bytes / copied_s;
        (void)snprintf(name, sizeof name, "%s: encode, %s", kind->name, codec);
        bench_report(bench, "codec", name, measuring->n_bytes / figures[k].encode_s, "B/s",
            copied, copy_name);
        (void)snprintf(name, sizeof name, "%s: decode, %s", kind->name, codec);
        bench_report(bench, "codec", name, measuring->n_bytes / figures[k].decode_s, "B/s",
            copied, copy_name);
    }
}

int bench_codec(struct bench *bench)
{
    const char *corpus_dir = bench_corpus(bench);
    struct baro_err err = {0};
    struct corpus corpus = {0};
    if (corpus_dir == NULL) {
        bench_note(bench,
            "codec: needs recorded series, which tools/corpus/record_corpus.py "
            "makes; give their folder with --corpus");
        return 0;
    }
    if (corpus_open(corpus_dir, &corpus, &err) != 0) {
        return bench_fail(bench, "%s", err.text);
    }
    struct measuring *measuring = baro_xcalloc(1, sizeof *measuring);
    measuring->rivals = rival_scratch_create(BLOCK_NUMBERS);
    measuring->encoded = baro_xcalloc(BLOCK_NUMBERS * 2 + 1024, 8);
    measuring->decoded = baro_xcalloc(BLOCK_NUMBERS + 64, 8);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < BARO_LEN(kinds); i++) {
        struct figure figures[N_ALL] = {{0}};
        double copied_s = 0;
        choose(measuring, &kinds[i], &corpus);
        if (measuring->n_pieces == 0) {
            continue;
        }
        if (measure(measuring, figures, &copied_s) != 0) {
            rc = bench_fail(bench, "%s: a block did not come back", kinds[i].name);
        } else {
            report(bench, measuring, &kinds[i], figures, copied_s);
        }
        forget(measuring);
    }
    forget(measuring);
    block_finish(&measuring->scratch);
    rival_scratch_destroy(measuring->rivals);
    free(measuring->encoded);
    free(measuring->decoded);
    free(measuring);
    corpus_close(&corpus);
    return rc;
}
