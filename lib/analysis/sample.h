/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choose few of many lines so that the picture stays true: blue noise in every interval of time,
 * and every line that leaves the flock. Pure and progressive: no clock; bounded work a step, and
 * what is there after any step is a valid sample. Used by the daemon's sample requests.
 */
#ifndef BARO_SAMPLE_H
#define BARO_SAMPLE_H

#include "lib/analysis/polyline.h"

/* Why a line is shown. The graver reason wins. */
enum sample_reason {
    SAMPLE_NOT_SHOWN = 0,
    SAMPLE_BLUE_NOISE, /* it stands for its like */
    SAMPLE_OUTLIER,    /* far from all other shown lines */
    SAMPLE_ENVELOPE,   /* the topmost or the lowest one somewhere */
    SAMPLE_LEAP,       /* rises or falls much further at once than the others do */
    SAMPLE_NONFINITE,  /* holds NaN or an infinity */
    SAMPLE_REASON_COUNT
};

/* How to choose; zero is the default. */
struct sample_options {
    size_t target; /* lines wanted; 0: 2 x height / (line + 2 px), from 24 to 400, but no
                    * more than 128 or a fifth of all, whichever is more */
    float line_px; /* width of a drawn line; 0: 1 */
    uint64_t seed; /* the same seed and readings give the same lines */
    const uint32_t
        *keep;     /* lines that were shown before and stay while they earn it; ... */
    size_t n_keep; /* ... borrowed for sampler_create */
    size_t
        readings_a_step; /* that each step of the lines stands for, where sampler_append()
                             * goes on with single ones; 0: 1 */
    bool
        is_next_frame; /* keep is the frame that was told last: as after sampler_end_frame() */
};

/* Readings of all lines that came together: one each, or what several come to. */
struct sample_news {
    const float *values;     /* n_lines */
    const float *low, *high; /* as in struct polylines, or both NULL */
    const uint8_t *marks;    /* likewise, or NULL */
    size_t n_readings;       /* that they stand for; 0: 1 */
};

/* What is known so far. Borrowed from the sampler until its next call. */
struct sample {
    size_t n_shown;
    const uint32_t *shown;     /* numbers of lines */
    const uint8_t *reasons;    /* enum sample_reason, of each */
    const uint32_t *n_members; /* of each: lines that it stands for, itself among them */
    const uint16_t
        *nearest;     /* n_lines: the place in shown of the line that stands for it; ... */
    bool is_assigned; /* ... both valid only with this */
    bool is_done;
    double fraction;    /* of the work that is known to be ahead */
    float radius_px;    /* median over intervals: shown lines keep this distance */
    float spread_px;    /* is_assigned: the furthest that a line lies from the shown one */
    size_t n_nonfinite; /* lines read so far that hold non-finite readings */
    size_t n_leaping;   /* that leap */
    size_t n_read;      /* lines looked at */
    size_t n_mandatory_left_out; /* lines that should be shown, but are too many */
};

struct sampler;

/**
 * Begin to sample.
 *
 * lines    borrowed until sampler_get says is_done, or sampler_destroy
 * axis     as in polyline_screen_init
 * returns  never NULL; ends the process without memory, of which it takes n_lines x (400 + 70)
 *          bytes, for more than 200,000 lines less by line, with fewer key columns; and
 *          72 bytes a line more while outliers are looked for
 */
struct sampler *sampler_create(const struct polylines *lines, const struct axis *axis,
    float height_px, const struct sample_options *options);

/** Free a sampler; accepts NULL. */
void sampler_destroy(struct sampler *sampler);

/**
 * Work on.
 *
 * n_work   about so many lines are looked at
 * returns  whether there is more to do
 */
bool sampler_step(struct sampler *sampler, size_t n_work);

/** Give the sample as it is by now; valid after any step. */
void sampler_get(const struct sampler *sampler, struct sample *out);

/**
 * Take the readings of one more step, all lines', behind those that are there.
 *
 * Lines that become non-finite, leap or reach the envelope are shown at once; else the shown
 * lines stay as they are. With time, or when the picture has changed, a new choice is due: then
 * sampler_step() has work again, and lines that still earn their place keep it.
 *
 * values   n_lines; marks as in struct polylines, or NULL
 * require  is_done
 * cost     grows with the number of lines
 */
void sampler_append(struct sampler *sampler, const float *values, const uint8_t *marks);

/** Likewise, of several steps at once: they take as much of the time axis as they are. */
void sampler_append_news(struct sampler *sampler, const struct sample_news *news);

/**
 * Put off a new choice that has just become due: what is shown goes on as it is until the next
 * sampler_append(). For who has other things to do first.
 *
 * returns  false, and nothing is changed: it is under way, or lines that must be shown have no place
 */
bool sampler_put_off(struct sampler *sampler);

/** Tell how many readings a key column stands for by now: no more of them should come at once. */
size_t sampler_readings_a_column(const struct sampler *sampler);

/**
 * End a frame: what is shown now is seen, and from now on the next frame shares 95 in 100 of its
 * lines (Jaccard similarity), but for what must be shown. When all is chosen anew the
 * lines are exchanged little by little, some with each call.
 *
 * require  is_done
 * returns  whether there are more to exchange
 */
bool sampler_end_frame(struct sampler *sampler);

/** Name a reason: "blue noise", "outlier", "envelope", "leap", "non-finite". */
const char *sample_reason_name(enum sample_reason reason);

#endif
