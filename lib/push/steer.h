/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person asks of a training that wants to be asked: flags, which the sender thread sets and
 * the training reads. Nothing here changes the training by itself.
 */
#ifndef BARO_STEER_H
#define BARO_STEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/push/baro.h"

/* What may be asked; pause and resume are one. */
enum steer_kind { STEER_STOP = 0, STEER_DUMP, STEER_PAUSE, STEER_LR, STEER_KIND_COUNT };

/* Of a run; zeroed, with lr_scale 1: nothing was asked. Written by the sender thread alone, but
 * for what was taken. */
struct steer {
    bool is_on;            /* the program looks at it */
    _Atomic uint64_t last; /* number of the newest that came in */
    struct {
        _Atomic uint64_t asked; /* number of the newest of the kind, */
        _Atomic uint64_t taken; /* and as the program has seen it */
    } kinds[STEER_KIND_COUNT];
    _Atomic bool is_stopped;
    _Atomic bool is_paused;
    _Atomic uint32_t n_dumps; /* asked for and not taken */
    _Atomic double lr_scale;
};

/** Choose whether a run may be steered: 0; BARO_EINVAL for a BARO_CONTROL that is neither. */
int steer_open(
    struct steer *steer, const struct baro_options *options, struct baro_err *err);

/**
 * Take in what was asked; what came before is passed over.
 *
 * id       from 1, rising
 * kind     as on the wire: enum Baro__ControlKind
 * thread   the sender's
 */
void steer_on_control(struct steer *steer, uint64_t id, int kind, double value);

#endif
