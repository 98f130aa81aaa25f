/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/reading.h"

#include <string.h>

#include "lib/base/err.h"
#include "lib/base/probe_pieces.h"
#include "lib/base/rng_state.h"
#include "lib/base/text.h"

static const char *const summary_stat_names[] = {"count", "n_nan", "n_pos_inf", "n_neg_inf",
    "n_zero", "min", "max", "mean", "var", "l1", "l2", "abs_max", "update_ratio",
    "first_bad_unit", "first_bad_row", "hist_every"};
_Static_assert(
    sizeof summary_stat_names / sizeof summary_stat_names[0] == SUMMARY_STAT_COUNT,
    "a name for each statistic");

static const char *const unit_stat_names[] = {
    "mean", "l2", "abs_max", "frac_zero", "n_nonfinite", "change"};
_Static_assert(sizeof unit_stat_names / sizeof unit_stat_names[0] == UNIT_STAT_MOST,
    "a name for each statistic");

const char *summary_stat_name(int stat)
{
    return stat >= 0 && stat < SUMMARY_STAT_COUNT ? summary_stat_names[stat] : "?";
}

const char *unit_stat_name(int stat)
{
    return stat >= 0 && stat < UNIT_STAT_MOST ? unit_stat_names[stat] : "?";
}

int reading_unit_stats(enum baro_role role)
{
    return role == BARO_UPDATE ? UNIT_STAT_MOST : UNIT_STAT_COUNT;
}

int reading_stat_parse(enum reading_kind kind, const char *name)
{
    bool is_units = kind == READING_UNITS;
    int n = is_units ? UNIT_STAT_MOST : SUMMARY_STAT_COUNT;
    for (int i = 0; i < n; i++) {
        if (strcmp(name, is_units ? unit_stat_names[i] : summary_stat_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

/* How a payload of each kind is made up. */
struct layout {
    const char *name;
    uint32_t n_f64;
    uint32_t max_extra_bytes;
    uint32_t extra_unit_bytes; /* extra is a whole number of these */
    bool is_text;
};

static const struct layout layouts[READING_KIND_END] = {
    [READING_SCALAR] = {"scalar", 1, 0, 1, false},
    [READING_STEP] = {"step", 1, 0, 1, false},
    [READING_SUMMARY] = {"summary", SUMMARY_STAT_COUNT,
        2 * 2048 * sizeof(struct reading_bin), sizeof(struct reading_bin), false},
    [READING_UNITS] = {"units", 0, 0, 1, false},
    [READING_BATCH] = {"batch", 1, READING_MAX_SAMPLES * 8, 8, false},
    [READING_EVENT] = {"event", 1, READING_MAX_TEXT_BYTES, 1, true},
    [READING_STATUS] = {"status", 1, READING_MAX_TEXT_BYTES, 1, true},
    [READING_DROPS] = {"drops", 2, 0, 1, false},
    [READING_PROBE] = {"probe", PROBE_PIECE_NUMBERS, PROBE_PIECE_BYTES, 1, false},
    [READING_FAILURE] = {"failure", PROBE_PIECE_NUMBERS, PROBE_PIECE_BYTES, 1, false},
    [READING_SAMPLES] = {"samples", 1, READING_MAX_SAMPLES * sizeof(struct reading_sample),
        sizeof(struct reading_sample), false},
    [READING_RANK] = {"rank", 2, 0, 1, false},
    [READING_RNG] = {"random state", RNG_STATE_NUMBERS, RNG_PACKED_MAX_BYTES, 1, false},
};

uint32_t reading_n_f64(uint32_t kind)
{
    return kind < READING_KIND_END ? layouts[kind].n_f64 : 0;
}

/* Whether a piece of a probe is as long as its numbers say. */
static bool is_whole_piece(const uint8_t *payload, uint32_t extra_bytes)
{
    double numbers[PROBE_PIECE_NUMBERS];
    struct probe_piece piece;
    memcpy(numbers, payload, sizeof numbers);
    return probe_piece_read(numbers, &piece) == 0 &&
           probe_piece_bytes(&piece) == extra_bytes;
}

/* Whether the bytes of a random state are as many as its numbers say. */
static bool is_whole_state(const uint8_t *payload, uint32_t extra_bytes)
{
    double numbers[RNG_STATE_NUMBERS];
    memcpy(numbers, payload, sizeof numbers);
    return rng_state_check(numbers, payload + sizeof numbers, extra_bytes) > 0;
}

int reading_check(const struct record_header *header, const uint8_t *payload,
    uint32_t n_units, enum baro_role role, struct reading *out_reading,
    struct baro_err *err)
{
    if (header->kind == 0 || header->kind >= READING_KIND_END ||
        layouts[header->kind].name == NULL) {
        return baro_err_set(
            err, BARO_ECORRUPT, "a record of the unknown kind %u", header->kind);
    }
    const struct layout *layout = &layouts[header->kind];
    bool is_units = header->kind == READING_UNITS;
    if (is_units && (n_units == 0 || n_units > READING_MAX_UNITS)) {
        return baro_err_set(err, BARO_ECORRUPT,
            "unit statistics of a tensor that was declared with %u units", n_units);
    }
    uint32_t n_f32 = is_units ? n_units * (uint32_t)reading_unit_stats(role) : 0;
    uint32_t fixed_bytes = layout->n_f64 * 8 + n_f32 * 4;
    if (header->payload_bytes < fixed_bytes ||
        header->payload_bytes - fixed_bytes > layout->max_extra_bytes ||
        (header->payload_bytes - fixed_bytes) % layout->extra_unit_bytes != 0) {
        return baro_err_set(err, BARO_ECORRUPT,
            "a %s record with %u bytes, where %u and at most %u more belong", layout->name,
            header->payload_bytes, fixed_bytes, layout->max_extra_bytes);
    }
    uint32_t extra_bytes = header->payload_bytes - fixed_bytes;
    const uint8_t *extra = payload + fixed_bytes;
    if (layout->is_text && !baro_utf8_valid((const char *)extra, extra_bytes)) {
        return baro_err_set(
            err, BARO_ECORRUPT, "a %s record whose text is not UTF-8", layout->name);
    }
    bool is_piece = header->kind == READING_PROBE || header->kind == READING_FAILURE;
    if (is_piece && !is_whole_piece(payload, extra_bytes)) {
        return baro_err_set(err, BARO_ECORRUPT,
            "a %s record whose numbers are not those of a piece", layout->name);
    }
    if (header->kind == READING_RNG && !is_whole_state(payload, extra_bytes)) {
        return baro_err_set(err, BARO_ECORRUPT,
            "a %s record whose numbers are not those of its bytes", layout->name);
    }
    *out_reading = (struct reading){
        .header = *header,
        .n_f64 = layout->n_f64,
        .n_f32 = n_f32,
        .extra_bytes = extra_bytes,
        .f64 = (const double *)(const void *)payload,
        .f32 = (const float *)(const void *)(payload + layout->n_f64 * 8),
        .extra = extra,
    };
    return 0;
}
