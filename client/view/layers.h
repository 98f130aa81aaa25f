/* SPDX-License-Identifier: Apache-2.0 */
/* What a person has chosen on the pages of many layers: layers, network. */
#ifndef CLIENT_VIEW_LAYERS_H
#define CLIENT_VIEW_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/model/model.h"

struct view;

/* How a history is drawn small. */
enum form { FORM_LINE, FORM_BOX, FORM_BANDS, FORM_HORIZON, FORM_COUNT };

/* What of a tensor. */
enum form_stat {
    FORM_L2,
    FORM_MEAN,
    FORM_ABS_MAX,
    FORM_RATIO,  /* norm of the update against that of the weights */
    FORM_CHANGE, /* 1 - cos of each unit's weights before and after a step: of its units */
    FORM_STAT_COUNT
};

enum { LAYERS_MAX_STEPS = 8, LAYERS_N_SIZES = 4 };

struct view_layers {
    enum form form;
    enum form_stat stat;
    bool is_shared;                  /* one y axis for all rows */
    unsigned size;                   /* of rows: place among the sizes */
    int moved;                       /* enum moved_kind; -1: chosen by the view */
    size_t k;                        /* of the most moved so many count; 0: the default */
    size_t n_steps;                  /* picked, to see what moved at all of them */
    int64_t steps[LAYERS_MAX_STEPS]; /* rising */
    struct moved_list last; /* that was shown last, while the next one is looked for */
    int64_t last_step;
    int64_t last_kind;
    bool has_last;
    uint64_t shown; /* what the scroll position belongs to */
};

/* What the boxes of the network are tinted by. */
enum network_color {
    NETWORK_BY_USUAL,  /* how far the norm is from its usual */
    NETWORK_BY_HEALTH, /* alerts */
    NETWORK_BY_VALUE,  /* the chosen statistic, among all boxes */
    NETWORK_COLOR_COUNT
};

struct view_network {
    enum form form;
    enum form_stat stat;
    enum network_color color;
};

/** Pick a step, or no longer if it is picked; says so in the view's notice. */
void layers_pick_step(struct view *view, double step);

/** Do what a key does on the pages of layers, tensor and network; false: nothing. */
bool layers_char(struct view *view, char key);

/** Take a choice of these pages. act: enum view_act, of those that they leave zones for */
void layers_act(struct view *view, int act, int64_t a);

#endif
